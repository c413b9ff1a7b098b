"""The `stackscreen` command."""

import sys

import typer

from schema.errors import StackscreenError
from stackscreen.cli import (
    build,
    dashboard,
    database,
    dedupe,
    evaluate,
    explain,
    fetch,
    imports,
    match,
    models,
    predict,
    processes,
    quarantine,
    saved,
    screen,
    services,
    status,
    up,
)
from stackscreen.cli import settings as settings_command
from stackscreen.cli.console import print_error

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Screens stacked 2D materials: van der Waals bilayers and 2D-on-bulk interfaces.",
    epilog="Begin with `stackscreen up`. Where things stand: `stackscreen status`.",
)
app.command()(up.up)
app.command()(status.status)
app.command()(fetch.fetch)
app.command("import", cls=imports.ImportCommand, no_args_is_help=True)(imports.import_data)
app.add_typer(dedupe.app, name="dedupe")
app.command()(models.features)
app.command()(screen.screen)
app.command(no_args_is_help=True)(match.match)
app.command(no_args_is_help=True)(build.build)
app.add_typer(predict.app, name="predict")
app.command()(dashboard.dashboard)
app.command()(models.train)
app.command()(evaluate.evaluate)
app.command(no_args_is_help=True)(models.promote)
app.command()(settings_command.settings)
app.add_typer(quarantine.app, name="quarantine")
models.app.command("explain", no_args_is_help=True)(explain.explain)
app.add_typer(models.app, name="models")
app.add_typer(screen.app, name="run")
app.add_typer(saved.app, name="saved")
app.add_typer(services.app, name="services")
app.add_typer(database.app, name="db")
app.command()(processes.worker)
app.command()(processes.beat)


def main() -> None:
    """Run the command; an error that a user can meet is printed as a sentence, and the exit code is 1."""
    try:
        app()
    except StackscreenError as error:
        print_error(error)
        sys.exit(1)
    except OSError as error:
        if error.strerror is None:
            raise
        where = f": {error.filename}" if error.filename else ""
        print_error(StackscreenError(f"{error.strerror}{where}."))
        sys.exit(1)
    except Exception as error:
        explained = _explain(error)
        if explained is None:
            raise
        print_error(explained)
        sys.exit(1)


def _explain(error: Exception) -> StackscreenError | None:
    """A database that is down, or older than the code, as a sentence; None for a defect of ours."""
    # Only a program that has imported psycopg can have met its errors.
    psycopg = sys.modules.get("psycopg")
    if psycopg is None:
        return None
    cause: BaseException | None = getattr(error, "orig", error)
    if isinstance(cause, psycopg.errors.UndefinedTable | psycopg.errors.UndefinedColumn):
        return StackscreenError(
            "The database's schema is older than this Stackscreen.", hint="Run `stackscreen db upgrade`."
        )
    if isinstance(cause, psycopg.OperationalError):
        from stackscreen.services.lifecycle import database_is_down
        from stackscreen.settings import get_settings

        return database_is_down(get_settings(), cause)
    return None
