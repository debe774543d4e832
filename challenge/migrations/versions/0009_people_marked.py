"""marks name the person who changed, not the block: what is counted again is what changed

The stored blocks have another form now. They are dropped, and everybody is marked: every number stays right, and the
workers store the blocks anew.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0009'
down_revision = '0008'
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), 'sqlite')
_PEOPLE = 'state, source, utm_source, utm_medium, utm_campaign, utm_term, utm_content, referrer, form_variant, variant, position, edition, signed_up_at, confirmed_at'
_PERSON, _GONE = 'SELECT NEW.enrollment_id', 'SELECT OLD.enrollment_id'
# name -> (table, when, condition, the people)
_TRIGGERS = {
    'stats_event_insert': ('event', 'INSERT', '', _PERSON),
    'stats_event_update': ('event', 'UPDATE', '', _PERSON),
    'stats_event_delete': ('event', 'DELETE', '', _GONE),
    'stats_delivery_insert': ('delivery', 'INSERT', "NEW.state = 'sent'", _PERSON),
    'stats_delivery_update': ('delivery', 'UPDATE OF state', "NEW.state = 'sent' OR OLD.state = 'sent'", _PERSON),
    'stats_enrollment_insert': ('enrollment', 'INSERT', '', 'SELECT NEW.id'),
    'stats_enrollment_update': ('enrollment', f'UPDATE OF {_PEOPLE}', '', 'SELECT NEW.id'),
    'stats_enrollment_delete': ('enrollment', 'DELETE', '', 'SELECT OLD.id'),
    'stats_subscriber_update': ('subscriber', 'UPDATE OF timezone', '', 'SELECT id FROM enrollment WHERE subscriber_id = NEW.id'),
}
_BLOCKS = {
    'SELECT NEW.enrollment_id': 'SELECT NEW.enrollment_id >> 10',
    'SELECT OLD.enrollment_id': 'SELECT OLD.enrollment_id >> 10',
    'SELECT NEW.id': 'SELECT NEW.id >> 10',
    'SELECT OLD.id': 'SELECT OLD.id >> 10',
    'SELECT id FROM enrollment WHERE subscriber_id = NEW.id': 'SELECT DISTINCT id >> 10 FROM enrollment WHERE subscriber_id = NEW.id',
}


def upgrade() -> None:
    _drop()
    op.create_table(
        'stats_mark',
        sa.Column('id', _ID, nullable=False),
        sa.Column('enrollment_id', sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_stats_mark')),
        sqlite_autoincrement=True,
    )
    op.execute('DELETE FROM stats_block')
    op.execute('INSERT INTO stats_mark (enrollment_id) SELECT id FROM enrollment ORDER BY id')
    for name, (table, when, condition, people) in _TRIGGERS.items():
        mark = f'INSERT INTO stats_mark (enrollment_id) {people}'
        _install(name, table, when, condition, mark, mark)


def downgrade() -> None:
    _drop()
    op.create_table(
        'stats_mark',
        sa.Column('number', sa.BigInteger(), nullable=False),
        sa.Column('mark', sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint('number', 'mark', name=op.f('pk_stats_mark')),
    )
    op.execute('DELETE FROM stats_block')
    op.execute('INSERT INTO stats_mark (number, mark) SELECT DISTINCT id >> 10, 0 FROM enrollment')
    for name, (table, when, condition, people) in _TRIGGERS.items():
        numbers = _BLOCKS[people]
        _install(
            name,
            table,
            when,
            condition,
            f'INSERT INTO stats_mark (number, mark) SELECT number, 0 FROM (SELECT 0 AS number WHERE 0 UNION ALL {numbers}) AS touched '
            'WHERE NOT EXISTS (SELECT 1 FROM stats_mark WHERE stats_mark.number = touched.number)',
            f'INSERT INTO stats_mark (number, mark) SELECT number, txid_current() FROM ({numbers}) AS touched (number) ON CONFLICT DO NOTHING',
        )


def _install(name: str, table: str, when: str, condition: str, on_sqlite: str, on_postgres: str) -> None:
    if op.get_bind().dialect.name != 'postgresql':
        test = f'WHEN {condition}' if condition else ''
        op.execute(f'CREATE TRIGGER {name} AFTER {when} ON {table} {test} BEGIN {on_sqlite}; END')
        return
    test = f'WHEN ({condition})' if condition else ''
    op.execute(f'CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {on_postgres}; RETURN NULL; END $$')
    op.execute(f'CREATE TRIGGER {name} AFTER {when} ON {table} FOR EACH ROW {test} EXECUTE FUNCTION {name}()')


def _drop() -> None:
    postgres = op.get_bind().dialect.name == 'postgresql'
    for name, trigger in _TRIGGERS.items():
        op.execute(f'DROP TRIGGER {name} ON {trigger[0]}' if postgres else f'DROP TRIGGER {name}')
        if postgres:
            op.execute(f'DROP FUNCTION {name}()')
    op.drop_table('stats_mark')
