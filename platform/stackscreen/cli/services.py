"""`stackscreen services`: the embedded servers and the supervised workers."""

import json
import sys
import time
from dataclasses import asdict
from typing import Annotated

import typer

from stackscreen.cli.console import step
from stackscreen.settings import get_settings

app = typer.Typer(
    no_args_is_help=True,
    help="Start, stop and look at Postgres, Redis, worker and beat.",
    epilog="Examples: `stackscreen services start`, `stackscreen services logs worker -n 100`.",
)


@app.command()
def start() -> None:
    """Start what is not running, and wait until it answers. Run again it changes nothing.

    With STACKSCREEN_DATABASE_URL or STACKSCREEN_BROKER_URL set, those servers are used instead of embedded ones.
    """
    from stackscreen.services.lifecycle import start as start_services

    began = time.monotonic()
    start_services(get_settings(), step)
    status()
    step(f"ready after {time.monotonic() - began:.1f} s")


@app.command()
def status(
    as_json: Annotated[bool, typer.Option("--json", help="machine-readable, on standard output")] = False,
) -> None:
    """Show each service: its state, process and whether it answers. Starts nothing."""
    from stackscreen.services.lifecycle import status as services_status

    settings = get_settings()
    found = services_status(settings)
    if as_json:
        print(json.dumps([asdict(service) for service in found], indent=1))
        return
    for service in found:
        process = f"pid {service.pid}, up {_duration(service.uptime_s)}" if service.pid else ""
        print(f"{service.name:<10}{service.state:<10}{process:<28}{service.detail}".rstrip())
    print(f"data in {settings.data_dir}")


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


@app.command()
def stop() -> None:
    """Stop everything in order. The data stay; tasks at work go back to the queue."""
    from stackscreen.services.lifecycle import stop as stop_services

    step("stopped" if stop_services(get_settings()) else "nothing was running")


@app.command()
def logs(
    name: Annotated[str, typer.Argument(help="postgres, redis, worker, beat or supervisord; all when left out")] = "",
    lines: Annotated[int, typer.Option("-n", "--lines", min=1, help="how many of the last lines")] = 30,
) -> None:
    """Print the end of the logs, which are kept under `logs` in the data folder."""
    from stackscreen.services.layout import layout_of
    from stackscreen.services.lifecycle import NAMES, tail

    known = (*NAMES, "supervisord")
    if name and name not in known:
        raise typer.BadParameter(f"{name!r} is none of {', '.join(known)}", param_hint="NAME")
    layout = layout_of(get_settings())
    for chosen in [name] if name else known:
        if not name:
            print(f"== {layout.logs / chosen}.log")
        sys.stdout.writelines(f"{line}\n" for line in tail(layout, chosen, lines))


@app.command()
def destroy(
    yes: Annotated[bool, typer.Option("--yes", help="really: there is no way back")] = False,
) -> None:
    """Stop everything and remove the data folder: database, queue, logs, caches."""
    from stackscreen.services.lifecycle import destroy as destroy_services

    settings = get_settings()
    if not yes:
        raise typer.BadParameter(f"this removes {settings.data_dir} with all in it; add --yes if you mean to")
    step(f"removed {settings.data_dir}" if destroy_services(settings) else f"{settings.data_dir} does not exist")
