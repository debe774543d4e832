"""one-time links by which somebody says that they joined"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0010'
down_revision = '0009'
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), 'sqlite')


def upgrade() -> None:
    op.create_table(
        'conversion_link',
        sa.Column('id', _ID, nullable=False),
        sa.Column('key', sa.String(length=128), nullable=False),
        sa.Column('enrollment_id', _ID, nullable=False),
        sa.Column('amount', sa.BigInteger(), nullable=False),
        sa.Column('currency', sa.String(length=3), nullable=False),
        sa.Column('made_by', sa.String(length=64), nullable=False),
        sa.Column('made_at', sa.DateTime(timezone=True), nullable=False),
        sa.Column('ends_at', sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(['enrollment_id'], ['enrollment.id'], name='fk_conversion_link_enrollment_id_enrollment', ondelete='CASCADE'),
        sa.PrimaryKeyConstraint('id', name='pk_conversion_link'),
        sa.UniqueConstraint('key', name='uq_conversion_link_key'),
    )
    op.create_index('ix_conversion_link_enrollment_id', 'conversion_link', ['enrollment_id'])


def downgrade() -> None:
    op.drop_table('conversion_link')
