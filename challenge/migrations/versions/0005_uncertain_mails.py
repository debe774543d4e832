"""an index of the uncertain mails, for the desk"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0005'
down_revision = '0004'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index('ix_delivery_uncertain', 'delivery', ['id'], sqlite_where=sa.text("state = 'uncertain'"), postgresql_where=sa.text("state = 'uncertain'"))


def downgrade() -> None:
    op.drop_index('ix_delivery_uncertain', 'delivery')
