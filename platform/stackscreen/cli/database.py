"""`stackscreen db`: migrations, and how to reach the database by other means."""

from typing import TYPE_CHECKING, Annotated

import typer

from stackscreen.cli.console import step
from stackscreen.services import database_url, ensure_started, libpq_url
from stackscreen.settings import Settings, get_settings

if TYPE_CHECKING:
    from sqlalchemy import Engine

app = typer.Typer(
    no_args_is_help=True,
    help="Migrate the database, and find it from psql, pandas or DBeaver.",
    epilog='Examples: `stackscreen db upgrade`, `psql "$(stackscreen db url)"`.',
)


def _engine(settings: Settings) -> "Engine":
    from schema.engine import make_engine

    ensure_started(settings, step)
    return make_engine(database_url(settings))


def upgrade_database(settings: Settings) -> bool:
    """Bring the database to the newest schema; False when it was there already."""
    from schema.migrate import upgrade

    engine = _engine(settings)
    try:
        return upgrade(engine)
    finally:
        engine.dispose()


@app.command()
def upgrade() -> None:
    """Bring the database to the newest schema, in one transaction; starts the services if need be."""
    step("upgraded" if upgrade_database(get_settings()) else "already at the newest schema")


@app.command()
def downgrade(
    revision: Annotated[str, typer.Argument(help="revision to go back to, or `base` for an empty database")],
    yes: Annotated[bool, typer.Option("--yes", help="really: tables and what is in them are dropped")] = False,
) -> None:
    """Take the database back to an older schema. What the older schema cannot hold is lost."""
    from schema.migrate import downgrade as downgrade_to

    if not yes:
        raise typer.BadParameter("this drops tables with all in them; add --yes if you mean to")
    engine = _engine(get_settings())
    downgrade_to(engine, revision)
    engine.dispose()
    step(f"at {revision}")


@app.command()
def current() -> None:
    """Print the schema's revision, and whether it is the newest."""
    from schema.migrate import current as current_revision
    from schema.migrate import head

    engine = _engine(get_settings())
    revision = current_revision(engine)
    engine.dispose()
    newest = "the newest" if revision == head() else f"the newest is {head()}: run `stackscreen db upgrade`"
    print(f"{revision or 'empty'} ({newest})")


@app.command()
def url() -> None:
    """Print the database's address, password included, as psql, pandas and DBeaver take it."""
    print(libpq_url(database_url(get_settings())))


@app.command("psql-hint")
def psql_hint(
    owner: Annotated[bool, typer.Option("--owner", help="with the right to write, not as an analyst")] = False,
) -> None:
    """Print the command that opens an SQL prompt on the database: read-only, as an analyst."""
    import shlex

    from schema.roles import ANALYST_ROLE
    from stackscreen.services.layout import layout_of

    settings = get_settings()
    program = "psql"
    if settings.database_url is None:
        from stackscreen.services.postgres import binaries

        program = str(binaries(layout_of(settings)) / "psql")
    # A session that takes a role does not take the role's own settings with it.
    analyst = {
        "role": ANALYST_ROLE,
        "search_path": "analyst",
        "default_transaction_read_only": "on",
        "statement_timeout": str(settings.analyst.statement_timeout_ms),
    }
    options = " ".join(f"-c {name}={value}" for name, value in analyst.items())
    print(shlex.join([*([] if owner else ["env", f"PGOPTIONS={options}"]), program, libpq_url(database_url(settings))]))
