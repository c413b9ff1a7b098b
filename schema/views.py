"""The analysts' views: SQL files, re-made whole at every upgrade.

A view holds no data, so it needs no history: the files in `views/` are the truth, in the order of their names.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, text

VIEWS_FOLDER = Path(__file__).parent / "views"


def drop_views(connection: Connection) -> None:
    """Remove the `analyst` schema with all its views and functions."""
    connection.execute(text("DROP SCHEMA IF EXISTS analyst CASCADE"))


def create_views(connection: Connection) -> None:
    """Make the `analyst` schema and everything in it from the .sql files."""
    drop_views(connection)
    connection.execute(text("CREATE SCHEMA analyst"))
    connection.execute(text("COMMENT ON SCHEMA analyst IS 'What analysts read: every column states its unit'"))
    cursor = connection.connection.cursor()
    for path in sorted(VIEWS_FOLDER.glob("*.sql")):
        cursor.execute(path.read_bytes())
