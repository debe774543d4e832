"""webhook requests that were taken"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0004'
down_revision = '0003'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        'webhook_seen',
        sa.Column('id', sa.String(length=64), nullable=False),
        sa.Column('forget_at', sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint('id', name='pk_webhook_seen'),
    )
    op.create_index('ix_webhook_seen_forget_at', 'webhook_seen', ['forget_at'])


def downgrade() -> None:
    op.drop_table('webhook_seen')
