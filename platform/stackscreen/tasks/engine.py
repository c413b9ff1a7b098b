"""The database connection of a worker process."""

from __future__ import annotations

from functools import lru_cache

from sqlalchemy import Engine

from schema.engine import make_engine
from stackscreen.services.addresses import database_url
from stackscreen.settings import get_settings


@lru_cache(maxsize=1)
def worker_engine() -> Engine:
    """One engine a process, made when a task first needs it: after the fork, so that no connection is shared."""
    return make_engine(database_url(get_settings()), application_name="stackscreen worker")
