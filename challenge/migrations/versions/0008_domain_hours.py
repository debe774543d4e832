"""what became of mails, per recipient domain and hour"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0008'
down_revision = '0007'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        'domain_hour',
        sa.Column('domain', sa.String(length=255), nullable=False),
        sa.Column('hour', sa.DateTime(timezone=True), nullable=False),
        sa.Column('sent', sa.Integer(), nullable=False),
        sa.Column('deferred', sa.Integer(), nullable=False),
        sa.Column('bounced', sa.Integer(), nullable=False),
        sa.Column('complained', sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint('domain', 'hour', name='pk_domain_hour'),
    )
    op.create_index('ix_domain_hour_hour', 'domain_hour', ['hour'])


def downgrade() -> None:
    op.drop_table('domain_hour')
