"""Read-only connections for people who look: one snapshot a request, a time limit, and errors in a sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from schema.engine import make_engine
from schema.errors import StackscreenError
from stackscreen.settings import Settings


class DatabaseUnavailableError(StackscreenError):
    """The database does not answer."""


class DatabaseEmptyError(StackscreenError):
    """The database has no tables yet."""


class QueryTooSlowError(StackscreenError):
    """The server stopped a statement at its time limit."""


def reading_engine(settings: Settings) -> Engine:
    """An engine whose transactions refuse to write and whose statements end at the analysts' time limit."""
    from stackscreen.services import database_url

    return make_engine(
        database_url(settings),
        read_only=True,
        statement_timeout_ms=settings.analyst.statement_timeout_ms,
        application_name="stackscreen dashboard",
    )


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A connection on which everything is read from one snapshot of the database.

    Raises:
        DatabaseUnavailableError: it does not answer, or went away.
        DatabaseEmptyError: it has no tables yet.
        QueryTooSlowError: a statement reached the time limit.
    """
    try:
        with engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
            yield connection
    except DBAPIError as error:
        raise _explain(error) from error


def _explain(error: DBAPIError) -> Exception:
    if isinstance(error.orig, psycopg.errors.QueryCanceled):
        return QueryTooSlowError(
            "The question took longer than the time limit of analyst.statement_timeout_ms.",
            hint="Narrow the filter, or raise the limit in the settings.",
        )
    if isinstance(error.orig, psycopg.errors.UndefinedTable | psycopg.errors.InvalidSchemaName):
        return DatabaseEmptyError("The database has no tables yet.", hint="Run `stackscreen db upgrade`.")
    if isinstance(error.orig, psycopg.OperationalError) or error.connection_invalidated:
        return DatabaseUnavailableError(
            "The database does not answer.", hint="Run `stackscreen services start`, or check database_url."
        )
    return error
