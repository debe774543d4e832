"""a mark says when all that changed is a mail that left: then only the mail need be read"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0013'
down_revision = '0012'
branch_labels = None
depends_on = None

_WHEN = {'stats_delivery_insert': ('INSERT', "NEW.state = 'sent'"), 'stats_delivery_update': ('UPDATE OF state', "NEW.state = 'sent' OR OLD.state = 'sent'")}
_MARKS = {
    'stats_delivery_insert': 'INSERT INTO stats_mark (enrollment_id, delivery_id) SELECT NEW.enrollment_id, NEW.id',
    'stats_delivery_update': "INSERT INTO stats_mark (enrollment_id, delivery_id) SELECT NEW.enrollment_id, CASE WHEN OLD.state <> 'sent' THEN NEW.id END",
}


def upgrade() -> None:
    op.add_column('stats_mark', sa.Column('delivery_id', sa.BigInteger(), nullable=True))
    for name, mark in _MARKS.items():
        _install(name, mark)


def downgrade() -> None:
    for name in _MARKS:
        _install(name, 'INSERT INTO stats_mark (enrollment_id) SELECT NEW.enrollment_id')
    op.drop_column('stats_mark', 'delivery_id')


def _install(name: str, mark: str) -> None:
    if op.get_bind().dialect.name == 'postgresql':
        op.execute(f'CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {mark}; RETURN NULL; END $$')
        return
    when, test = _WHEN[name]
    op.execute(f'DROP TRIGGER {name}')
    op.execute(f'CREATE TRIGGER {name} AFTER {when} ON delivery WHEN {test} BEGIN {mark}; END')
