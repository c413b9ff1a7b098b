"""The analysts' views: SQL files, re-made whole at every upgrade.

A view holds no data, so it needs no history: the files in `views/` are the truth, in the order of their names.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from psycopg import sql
from sqlalchemy import Connection, text

VIEWS_FOLDER = Path(__file__).parent / "views"


def _files() -> list[Path]:
    return sorted(VIEWS_FOLDER.glob("*.sql"))


def _comment() -> str:
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in _files())).hexdigest()
    return f"What analysts read: every column states its unit (views {digest[:16]})"


def views_are_current(connection: Connection) -> bool:
    """Whether the `analyst` schema was made from today's files."""
    found = connection.execute(text("SELECT obj_description(to_regnamespace('analyst'), 'pg_namespace')")).scalar()
    return found == _comment()


def drop_views(connection: Connection) -> None:
    """Remove the `analyst` schema with all its views and functions."""
    connection.execute(text("DROP SCHEMA IF EXISTS analyst CASCADE"))


def create_views(connection: Connection) -> None:
    """Make the `analyst` schema and everything in it from the .sql files."""
    drop_views(connection)
    connection.execute(text("CREATE SCHEMA analyst"))
    cursor = connection.connection.cursor()
    for path in _files():
        cursor.execute(path.read_bytes())
    cursor.execute(sql.SQL("COMMENT ON SCHEMA analyst IS {}").format(sql.Literal(_comment())))
