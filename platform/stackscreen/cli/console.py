"""What the commands print: results on standard output, progress and errors on standard error."""

import getpass
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from schema.errors import StackscreenError


def step(text: str) -> None:
    """Say what is going on, on standard error."""
    print(text, file=sys.stderr, flush=True)


def print_error(error: StackscreenError) -> None:
    """One error as a person needs it: what is wrong, then the next step."""
    print(f"Error: {error.message}", file=sys.stderr)
    if error.hint:
        print(f"  {error.hint}", file=sys.stderr)


def login_name() -> str:
    """Who is at the keyboard, for what a person decides."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


@contextmanager
def progress_bar(title: str, *, in_bytes: bool = False) -> Iterator[Callable[[int, int | None], None]]:
    """A progress bar on standard error, as a function of (done, total); total is None where it is not known."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TransferSpeedColumn,
    )

    amounts = (DownloadColumn(binary_units=True), TransferSpeedColumn()) if in_bytes else (MofNCompleteColumn(),)
    columns = (TextColumn("  {task.description}"), BarColumn(), *amounts, TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bars:
        task = bars.add_task(title, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)
