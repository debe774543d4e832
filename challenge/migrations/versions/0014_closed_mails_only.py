"""the index of closed mails holds closed mails only: those on their way are changed three times and need no place in it"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0014'
down_revision = '0013'
branch_labels = None
depends_on = None

_COLUMNS = ['closed_at', 'state', 'mail']


def upgrade() -> None:
    op.drop_index('ix_delivery_closed', 'delivery')
    closed = sa.text('closed_at IS NOT NULL')
    op.create_index('ix_delivery_closed', 'delivery', _COLUMNS, postgresql_where=closed, sqlite_where=closed)


def downgrade() -> None:
    op.drop_index('ix_delivery_closed', 'delivery')
    op.create_index('ix_delivery_closed', 'delivery', _COLUMNS)
