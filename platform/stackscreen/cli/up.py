"""`stackscreen up`: from nothing to ranked candidates in the browser, every step safe to repeat."""

import time
from collections.abc import Callable
from typing import Annotated

import typer

from stackscreen.cli import dashboard
from stackscreen.cli.console import step
from stackscreen.settings import Settings, get_settings


def up(
    serve: Annotated[bool, typer.Option("--serve/--no-serve", help="serve the dashboard at the end")] = True,
) -> None:
    """Start the services, load the starter set, screen every pair, and serve the dashboard.

    Run again, it does only what is missing, and loses nothing. Ctrl+C ends the dashboard; the services keep running
    until `stackscreen services stop`.
    """
    settings = get_settings()
    if serve:
        # Known now, not after minutes of work.
        dashboard.listen(settings.dashboard.host, settings.dashboard.port).close()
    steps = _steps()
    began = time.monotonic()
    for number, (title, run) in enumerate(steps, start=1):
        step(f"[{number}/{len(steps)}] {title}")
        run(settings)
    step(f"ready after {time.monotonic() - began:.0f} s")
    if serve:
        dashboard.serve(settings)


def _steps() -> list[tuple[str, Callable[[Settings], object]]]:
    # Imported here: they bring pandas, LightGBM and numba, which the other commands do without.
    from stackscreen.cli import dedupe, imports, models, screen
    from stackscreen.cli.database import upgrade_database
    from stackscreen.services import ensure_started

    return [
        ("starting Postgres, Redis and the workers", lambda settings: ensure_started(settings, step)),
        ("bringing the database to the newest schema", upgrade_database),
        ("importing the starter set", imports.import_starter),
        ("finding which records are the same material", dedupe.run_dedupe),
        ("registering the trained models", models.register_shipped),
        ("computing features", models.run_features),
        ("screening every pair", screen.run_screen),
    ]
