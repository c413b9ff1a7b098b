"""The database that a command works on, started if it is ours and not running."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stackscreen.cli.console import step

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from stackscreen.settings import Settings


def open_engine(settings: Settings) -> Engine:
    """An engine on the configured database; the embedded services are started first if need be."""
    from schema.engine import make_engine
    from stackscreen.services import database_url, ensure_started

    ensure_started(settings, step)
    return make_engine(database_url(settings))
