"""sessions, login tries, token scopes"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0003'
down_revision = '0002'
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table('dashboard_user') as table:
        table.drop_column('session_key')
    op.create_table('dashboard_session',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('user_id', sa.Integer(), nullable=False),
    sa.Column('key_hash', sa.String(length=64), nullable=False),
    sa.Column('browser', sa.String(length=64), nullable=False),
    sa.Column('started_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('seen_at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['user_id'], ['dashboard_user.id'], name=op.f('fk_dashboard_session_user_id_dashboard_user'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_dashboard_session')),
    sa.UniqueConstraint('key_hash', name=op.f('uq_dashboard_session_key_hash'))
    )
    op.create_index('ix_dashboard_session_user_id', 'dashboard_session', ['user_id'])
    op.create_table('login_tries',
    sa.Column('scope', sa.String(length=64), nullable=False),
    sa.Column('count', sa.Integer(), nullable=False),
    sa.Column('since_at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('scope', name=op.f('pk_login_tries'))
    )
    op.create_index('ix_login_tries_since_at', 'login_tries', ['since_at'])
    with op.batch_alter_table('apitoken') as table:
        table.add_column(sa.Column('scope', sa.String(length=16), nullable=False, server_default='read'))
        table.add_column(sa.Column('made_by', sa.String(length=64), nullable=False, server_default=''))
        table.add_column(sa.Column('used_at', sa.DateTime(timezone=True), nullable=True))
    op.create_index('ix_audit_log_enrollment_id', 'audit_log', ['enrollment_id'])


def downgrade() -> None:
    op.drop_index('ix_audit_log_enrollment_id', 'audit_log')
    with op.batch_alter_table('apitoken') as table:
        table.drop_column('used_at')
        table.drop_column('made_by')
        table.drop_column('scope')
    with op.batch_alter_table('dashboard_user') as table:
        table.add_column(sa.Column('session_key', sa.String(length=64), nullable=False, server_default=''))
    op.drop_table('login_tries')
    op.drop_table('dashboard_session')
