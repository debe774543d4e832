"""an id is given once: SQLite gave the id of an erased person to the next one, and with it every link of the first

SQLite cannot add AUTOINCREMENT to a table, so the tables are made anew from their own words, with the same rows, indexes
and triggers; foreign keys are off meanwhile (`challenge.db` sees to that, and checks them). PostgreSQL never reused ids.
"""

from __future__ import annotations

from typing import Any

from alembic import op
from sqlalchemy import CursorResult

revision = '0015'
down_revision = '0014'
branch_labels = None
depends_on = None

_TABLES = ('subscriber', 'enrollment', 'delivery', 'conversion', 'conversion_link')
_KNOWN = {  # where else an id that was given may still be known
    'enrollment': 'SELECT max(enrollment_id) FROM audit_log',
    'delivery': 'SELECT max(delivery_id) FROM inbound_report',
}
_GAP = 10_000  # more than were erased lately: nobody knows any more which ids their links carry
_KEY = 'CONSTRAINT pk_{} PRIMARY KEY (id), '
_PLAIN, _ONCE = 'id INTEGER NOT NULL', 'id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL'


def upgrade() -> None:
    if op.get_bind().dialect.name != 'sqlite':
        return
    was_used = _sql('SELECT count(*) FROM installation').scalar()
    _sql('PRAGMA legacy_alter_table=ON')  # the triggers of other tables name these
    for table in _TABLES:
        _make_anew(table, (_PLAIN, _ONCE), (_KEY.format(table), ''))
        if was_used:
            known = f'max((SELECT coalesce(max(id), 0) FROM {table}), coalesce(({_KNOWN.get(table, "SELECT 0")}), 0))'
            _sql('DELETE FROM sqlite_sequence WHERE name = ?', table)
            _sql(f'INSERT INTO sqlite_sequence (name, seq) VALUES (?, {known} + {_GAP})', table)
    _sql('PRAGMA legacy_alter_table=OFF')


def downgrade() -> None:
    if op.get_bind().dialect.name != 'sqlite':
        return
    _sql('PRAGMA legacy_alter_table=ON')
    for table in _TABLES:
        _make_anew(table, (_ONCE, _PLAIN), ('CONSTRAINT ', f'{_KEY.format(table)}CONSTRAINT '))
    _sql('PRAGMA legacy_alter_table=OFF')


def _make_anew(table: str, *changes: tuple[str, str]) -> None:
    made = str(_sql("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?", table).scalar())
    rest = _sql("SELECT sql FROM sqlite_master WHERE type <> 'table' AND tbl_name = ? AND sql IS NOT NULL", table).scalars().all()
    _, columns = made.split('(', 1)
    changed = ' '.join(columns.split())
    for before, after in changes:
        changed = changed.replace(before, after, 1)
    if ('AUTOINCREMENT' in changed) == ('AUTOINCREMENT' in made) or changed.count('PRIMARY KEY') != 1:
        raise RuntimeError(f'This migration does not know the table {table}: {made}')
    _sql(f'CREATE TABLE new_{table} ({changed}')
    _sql(f'INSERT INTO new_{table} SELECT * FROM {table}')
    _sql(f'DROP TABLE {table}')
    _sql(f'ALTER TABLE new_{table} RENAME TO {table}')
    for sql in rest:
        _sql(sql)


def _sql(words: str, *values: str) -> CursorResult[Any]:
    return op.get_bind().exec_driver_sql(words, values)
