"""conversions, visits, and blocks of bits to count from

Triggers mark a block when a row it was made from changes, in the same transaction. SQLite has one writer, so one mark a
block is enough; on PostgreSQL each transaction writes its own, so that none hides another that is still open.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0006'
down_revision = '0005'
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), 'sqlite')
_PEOPLE = 'state, source, utm_source, utm_medium, utm_campaign, utm_term, utm_content, referrer, form_variant, variant, position, edition, signed_up_at, confirmed_at'
# name -> (table, when, condition, rows of block numbers)
_TRIGGERS = {
    'stats_event_insert': ('event', 'INSERT', '', 'SELECT NEW.enrollment_id >> 10'),
    'stats_event_update': ('event', 'UPDATE', '', 'SELECT NEW.enrollment_id >> 10'),
    'stats_event_delete': ('event', 'DELETE', '', 'SELECT OLD.enrollment_id >> 10'),
    'stats_delivery_insert': ('delivery', 'INSERT', "NEW.state = 'sent'", 'SELECT NEW.enrollment_id >> 10'),
    'stats_delivery_update': ('delivery', 'UPDATE OF state', "NEW.state = 'sent' OR OLD.state = 'sent'", 'SELECT NEW.enrollment_id >> 10'),
    'stats_enrollment_insert': ('enrollment', 'INSERT', '', 'SELECT NEW.id >> 10'),
    'stats_enrollment_update': ('enrollment', f'UPDATE OF {_PEOPLE}', '', 'SELECT NEW.id >> 10'),
    'stats_enrollment_delete': ('enrollment', 'DELETE', '', 'SELECT OLD.id >> 10'),
    'stats_subscriber_update': ('subscriber', 'UPDATE OF timezone', '', 'SELECT DISTINCT id >> 10 FROM enrollment WHERE subscriber_id = NEW.id'),
}


def upgrade() -> None:
    op.create_table(
        'conversion',
        sa.Column('id', _ID, nullable=False),
        sa.Column('key', sa.String(length=128), nullable=False),
        sa.Column('digest', sa.String(length=64), nullable=False),
        sa.Column('enrollment_id', _ID, nullable=True),
        sa.Column('amount', sa.BigInteger(), nullable=False),
        sa.Column('currency', sa.String(length=3), nullable=False),
        sa.Column('joined_at', sa.DateTime(timezone=True), nullable=False),
        sa.Column('recorded_at', sa.DateTime(timezone=True), nullable=False),
        sa.Column('how', sa.String(length=16), nullable=False),
        sa.Column('last_day', sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(['enrollment_id'], ['enrollment.id'], name=op.f('fk_conversion_enrollment_id_enrollment'), ondelete='CASCADE'),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_conversion')),
        sa.UniqueConstraint('key', name=op.f('uq_conversion_key')),
    )
    op.create_index(op.f('ix_conversion_enrollment_id'), 'conversion', ['enrollment_id'])
    words = ('source', 'utm_source', 'utm_medium', 'utm_campaign', 'utm_term', 'utm_content')
    op.create_table(
        'visit',
        sa.Column('id', _ID, nullable=False),
        sa.Column('day', sa.String(length=10), nullable=False),
        sa.Column('who', sa.String(length=8), nullable=False),
        sa.Column('words', sa.String(length=64), nullable=False),
        sa.Column('challenge', sa.String(length=64), nullable=False),
        sa.Column('edition', sa.String(length=12), nullable=False),
        *(sa.Column(name, sa.String(length=100), nullable=False) for name in words),
        sa.Column('referrer', sa.String(length=200), nullable=False),
        sa.Column('form_variant', sa.String(length=32), nullable=False),
        sa.Column('visitors', sa.Integer(), nullable=False),
        sa.Column('views', sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint('id', name=op.f('pk_visit')),
        sa.UniqueConstraint('day', 'who', 'words', name=op.f('uq_visit_day')),
    )
    op.create_index('ix_visit_source', 'visit', ['source', 'day'])
    op.create_table(
        'visitor',
        sa.Column('day', sa.String(length=10), nullable=False),
        sa.Column('hash', sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint('day', 'hash', name=op.f('pk_visitor')),
    )
    op.create_table(
        'stats_block',
        sa.Column('challenge', sa.String(length=64), nullable=False),
        sa.Column('number', sa.BigInteger(), nullable=False),
        sa.Column('form', sa.String(length=32), nullable=False),
        sa.Column('version', sa.String(length=32), nullable=False),
        sa.Column('data', sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint('challenge', 'number', name=op.f('pk_stats_block')),
    )
    op.create_table(
        'stats_mark',
        sa.Column('number', sa.BigInteger(), nullable=False),
        sa.Column('mark', sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint('number', 'mark', name=op.f('pk_stats_mark')),
    )
    op.execute('INSERT INTO stats_mark (number, mark) SELECT DISTINCT id >> 10, 0 FROM enrollment')
    install = _on_postgres if op.get_bind().dialect.name == 'postgresql' else _on_sqlite
    for name, trigger in _TRIGGERS.items():
        install(name, *trigger)


def _on_sqlite(name: str, table: str, when: str, condition: str, numbers: str) -> None:
    test = f'WHEN {condition}' if condition else ''
    op.execute(
        f'CREATE TRIGGER {name} AFTER {when} ON {table} {test} BEGIN '
        f'INSERT INTO stats_mark (number, mark) SELECT number, 0 FROM (SELECT 0 AS number WHERE 0 UNION ALL {numbers}) AS touched '
        'WHERE NOT EXISTS (SELECT 1 FROM stats_mark WHERE stats_mark.number = touched.number); END'
    )


def _on_postgres(name: str, table: str, when: str, condition: str, numbers: str) -> None:
    test = f'WHEN ({condition})' if condition else ''
    op.execute(
        f'CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN '
        f'INSERT INTO stats_mark (number, mark) SELECT number, txid_current() FROM ({numbers}) AS touched (number) '
        'ON CONFLICT DO NOTHING; RETURN NULL; END $$'
    )
    op.execute(f'CREATE TRIGGER {name} AFTER {when} ON {table} FOR EACH ROW {test} EXECUTE FUNCTION {name}()')


def downgrade() -> None:
    postgres = op.get_bind().dialect.name == 'postgresql'
    for name, trigger in _TRIGGERS.items():
        op.execute(f'DROP TRIGGER {name} ON {trigger[0]}' if postgres else f'DROP TRIGGER {name}')
        if postgres:
            op.execute(f'DROP FUNCTION {name}()')
    for table in ('stats_mark', 'stats_block', 'visitor', 'visit', 'conversion'):
        op.drop_table(table)
