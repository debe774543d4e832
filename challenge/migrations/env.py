"""Runs Alembic on the connection that `challenge.db` hands over; the address is never in a file."""

from __future__ import annotations

from typing import Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from sqlmodel import SQLModel
from sqlmodel.sql.sqltypes import AutoString

from challenge.models import UtcDateTime, Word


def _plain(kind: str, column: object, autogen: AutogenContext) -> str | Literal[False]:
    """Migrations show plain SQL types: they must still run when the code's own types have changed."""
    if kind == "type" and isinstance(column, UtcDateTime):
        return "sa.DateTime(timezone=True)"
    if kind == "type" and isinstance(column, Word):
        return "sa.String(length=32)"
    if kind == "type" and isinstance(column, AutoString):
        return f"sa.String(length={column.length})" if column.length else "sa.String()"
    return False


connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=SQLModel.metadata,
    render_as_batch=True,
    compare_type=True,
    render_item=_plain,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
