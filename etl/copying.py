"""COPY within a SQLAlchemy transaction, with ids drawn from a table's own sequence beforehand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import Connection, text


def driver_cursor(connection: Connection) -> psycopg.Cursor[Any]:
    """A psycopg cursor inside the transaction of a SQLAlchemy connection."""
    # SQLAlchemy opens its transaction with the first statement.
    connection.execute(text("SELECT 1"))
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)  # noqa: S101 - schema.engine builds no other
    return driver.cursor()


def reserve_ids(cursor: psycopg.Cursor[Any], table: str, n: int) -> list[int]:
    """`n` fresh ids of a table."""
    if n == 0:
        return []
    cursor.execute("SELECT nextval(pg_get_serial_sequence(%s, 'id')) FROM generate_series(1, %s)", (table, n))
    return [identity for (identity,) in cursor]


def copy_rows(cursor: psycopg.Cursor[Any], table: str, columns: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> None:
    """Append rows to a table by COPY."""
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(
        sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, columns))
    )
    with cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(row)
