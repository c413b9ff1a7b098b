"""From an empty database to the current schema, and back."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text
from sqlalchemy.dialects.postgresql import insert

from schema.properties import Property
from schema.quantities import QUANTITIES
from schema.roles import ensure_analyst_role
from schema.views import create_views, drop_views, views_are_current

_PACKAGED = Path(__file__).parent / "_alembic"
SCRIPTS = _PACKAGED if _PACKAGED.is_dir() else Path(__file__).parent.parent / "alembic"
"""Folder of the migrations: beside the packages in a checkout, inside `schema` in an installed wheel."""

# One upgrade at a time, whoever starts it: a worker, the command, a container.
_LOCK = "SELECT pg_advisory_xact_lock(hashtext('stackscreen_migrate'))"


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    config.set_main_option("path_separator", "os")
    if connection is not None:
        config.attributes["connection"] = connection
    return config


def head() -> str:
    """Identifier of the newest migration."""
    revision = ScriptDirectory.from_config(_config()).get_current_head()
    assert revision is not None  # noqa: S101 - there is always at least one migration
    return revision


def current(engine: Engine) -> str | None:
    """Identifier of the migration that the database stands at, or None if it is empty."""
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def upgrade(engine: Engine, revision: str = "head") -> bool:
    """Bring the database to `revision` in one transaction, with properties, views and the read-only role.

    Returns:
        False if everything, views included, was there already.
    """
    with engine.begin() as connection:
        connection.execute(text(_LOCK))
        standing = MigrationContext.configure(connection).get_current_revision()
        if revision in {"head", head()} and standing == head() and views_are_current(connection):
            return False
        drop_views(connection)
        command.upgrade(_config(connection), revision)
        if MigrationContext.configure(connection).get_current_revision() == head():
            _fill_properties(connection)
            create_views(connection)
            ensure_analyst_role(connection)
    return True


def downgrade(engine: Engine, revision: str) -> None:
    """Take the database back to `revision`, or to nothing with "base", in one transaction."""
    with engine.begin() as connection:
        connection.execute(text(_LOCK))
        drop_views(connection)
        command.downgrade(_config(connection), revision)


def _fill_properties(connection: Connection) -> None:
    """Write `schema.quantities` into the `property` table, which SQL users read."""
    rows = [
        {
            "key": q.key,
            "symbol": q.symbol,
            "unit": q.unit,
            "definition": q.meaning,
            "applies_to": [subject.value for subject in q.applies_to],
            "low": None if q.low == -float("inf") else q.low,
            "high": None if q.high == float("inf") else q.high,
        }
        for q in QUANTITIES.values()
    ]
    statement = insert(Property)
    columns = {name: statement.excluded[name] for name in rows[0] if name != "key"}
    connection.execute(statement.on_conflict_do_update(index_elements=["key"], set_=columns), rows)
