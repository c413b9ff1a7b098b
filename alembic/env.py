"""Runs migrations on a connection handed over by `schema.migrate`, or on STACKSCREEN_DATABASE_URL by hand."""

from __future__ import annotations

import os

from alembic import context

from schema import Base
from schema.engine import make_engine

config = context.config


def run(connection) -> None:
    """Run the migrations in the connection's transaction."""
    context.configure(
        connection=connection, target_metadata=Base.metadata, compare_type=True, transaction_per_migration=False
    )
    with context.begin_transaction():
        context.run_migrations()


given = config.attributes.get("connection")
if given is not None:
    run(given)
elif context.is_offline_mode():
    context.configure(dialect_name="postgresql", target_metadata=Base.metadata, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()
else:
    url = os.environ.get("STACKSCREEN_DATABASE_URL")
    if not url:
        raise SystemExit(
            "Set STACKSCREEN_DATABASE_URL, or use `stackscreen db upgrade`, which finds the database itself."
        )
    with make_engine(url).begin() as connection:
        run(connection)
