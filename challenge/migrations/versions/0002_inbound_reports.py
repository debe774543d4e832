"""what came back about a mail"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0002'
down_revision = '0001'
branch_labels = None
depends_on = None

_BIG = sa.BigInteger().with_variant(sa.Integer(), 'sqlite')


def upgrade() -> None:
    op.create_table(
        'inbound_report',
        sa.Column('id', _BIG, nullable=False),
        sa.Column('digest', sa.String(length=64), nullable=False),
        sa.Column('enrollment_id', _BIG, nullable=True),
        sa.Column('delivery_id', _BIG, nullable=True),
        sa.Column('address_hash', sa.String(length=64), nullable=False),
        sa.Column('kind', sa.String(length=16), nullable=False),
        sa.Column('reason', sa.String(length=32), nullable=False),
        sa.Column('hardness', sa.String(length=8), nullable=False),
        sa.Column('status', sa.String(length=16), nullable=False),
        sa.Column('evidence', sa.String(length=500), nullable=False),
        sa.Column('source', sa.String(length=32), nullable=False),
        sa.Column('authenticated_by', sa.String(length=32), nullable=False),
        sa.Column('effect', sa.String(length=16), nullable=False),
        sa.Column('occurred_at', sa.DateTime(timezone=True), nullable=False),
        sa.Column('recorded_at', sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ['enrollment_id'], ['enrollment.id'], name='fk_inbound_report_enrollment_id_enrollment', ondelete='SET NULL'
        ),
        sa.PrimaryKeyConstraint('id', name='pk_inbound_report'),
        sa.UniqueConstraint('digest', name='uq_inbound_report_digest'),
    )
    op.create_index('ix_inbound_report_enrollment_id', 'inbound_report', ['enrollment_id'])
    op.create_index('ix_inbound_report_recorded_at', 'inbound_report', ['recorded_at'])


def downgrade() -> None:
    op.drop_table('inbound_report')
