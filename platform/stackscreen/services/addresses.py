"""Where the database and the broker are: the configured ones, or the embedded ones; starts nothing."""

from typing import Final
from urllib.parse import quote

from stackscreen.services.layout import layout_of
from stackscreen.settings import Settings

DATABASE: Final = "stackscreen"
ROLE: Final = "stackscreen"


def database_url(settings: Settings) -> str:
    """SQLAlchemy URL of the database, always with the psycopg 3 driver."""
    return settings.database_url or embedded_database_url(settings, DATABASE)


def embedded_database_url(settings: Settings, database: str) -> str:
    """SQLAlchemy URL of one database of the embedded server, which listens on a unix socket."""
    host = quote(str(layout_of(settings).postgres_sockets), safe="/")
    return f"postgresql+psycopg://{ROLE}@/{database}?host={host}"


def broker_url(settings: Settings) -> str:
    """Celery URL of the broker."""
    return settings.broker_url or f"redis+socket://{quote(str(layout_of(settings).redis_socket), safe='/')}"


def libpq_url(url: str) -> str:
    """The same database as psql, DBeaver and psycopg spell it."""
    return url.replace("postgresql+psycopg://", "postgresql://", 1)
