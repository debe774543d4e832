"""how far files of opens were taken over"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0011'
down_revision = '0010'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        'spool_file',
        sa.Column('name', sa.String(length=64), nullable=False),
        sa.Column('read_to', sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint('name', name=op.f('pk_spool_file')),
    )


def downgrade() -> None:
    op.drop_table('spool_file')
