"""an index of the mails that were closed, by when"""

from __future__ import annotations

from alembic import op

revision = '0007'
down_revision = '0006'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index('ix_delivery_closed', 'delivery', ['closed_at', 'state', 'mail'])


def downgrade() -> None:
    op.drop_index('ix_delivery_closed', 'delivery')
