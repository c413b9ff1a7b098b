"""Connections to the database."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, create_engine, make_url
from sqlalchemy.exc import ArgumentError

from schema.errors import StackscreenError


class DatabaseUrlError(StackscreenError):
    """The database address cannot be used."""


def make_engine(
    url: str,
    *,
    read_only: bool = False,
    statement_timeout_ms: int | None = None,
    application_name: str = "stackscreen",
) -> Engine:
    """An engine on psycopg 3 for a Postgres address.

    Args:
        url: `postgresql://user:password@host:port/database`, with or without `+psycopg`.
        read_only: every transaction refuses to write.
        statement_timeout_ms: milliseconds after which the server stops a statement.
        application_name: how the connection shows in `pg_stat_activity`.

    Raises:
        DatabaseUrlError: the address is not one of Postgres.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise DatabaseUrlError(
            "The database address is not a URL.", hint="Use postgresql://user:password@host:5432/stackscreen."
        ) from error
    if parsed.get_backend_name() not in {"postgresql", "postgres"}:
        raise DatabaseUrlError(
            f"The database address names {parsed.get_backend_name()}, and Stackscreen needs Postgres.",
            hint="Use postgresql://user:password@host:5432/stackscreen.",
        )
    options = []
    if read_only:
        options.append("-c default_transaction_read_only=on")
    if statement_timeout_ms is not None:
        options.append(f"-c statement_timeout={int(statement_timeout_ms)}")
    arguments: dict[str, Any] = {"application_name": application_name, "connect_timeout": 10}
    if options:
        arguments["options"] = " ".join(options)
    return create_engine(
        parsed.set(drivername="postgresql+psycopg"), pool_pre_ping=True, pool_recycle=1800, connect_args=arguments
    )
