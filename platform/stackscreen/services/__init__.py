"""The servers of one system: embedded Postgres and Redis, workers and beat, or those that the settings name."""

from stackscreen.services.addresses import broker_url, database_url, libpq_url
from stackscreen.services.errors import ServiceError

__all__ = ["ServiceError", "broker_url", "database_url", "ensure_started", "libpq_url"]


from collections.abc import Callable

from stackscreen.settings import Settings


def ensure_started(settings: Settings, say: Callable[[str], None] = lambda _: None) -> None:
    """Have the services answer: starts what is missing, and leaves alone what runs.

    Raises:
        ServiceError: a service could not be started, or a configured external one does not answer.
    """
    # psycopg, redis and supervisor take a fifth of a second to import: not for whoever wants an address only.
    from stackscreen.services.lifecycle import ensure_started as start_missing

    start_missing(settings, say)
