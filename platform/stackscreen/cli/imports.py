"""`stackscreen import`: one command for every reader."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from stackscreen.cli.console import progress_bar, step
from stackscreen.cli.engine import open_engine
from stackscreen.settings import Settings, get_settings

if TYPE_CHECKING:
    from etl.api import ImportReport
    from etl.source import Source

STARTER_LABEL = "starter"


class ImportCommand(TyperCommand):
    """The command with the list of readers in its help, which only they can tell."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """The usual help, then one line a reader."""
        from etl.source import described_sources

        super().format_help(ctx, formatter)
        lines = described_sources()
        width = max(map(len, lines))
        print("\n Sources\n" + "\n".join(f"   {name:<{width}}  {text}" for name, text in lines.items()) + "\n")


def run_import(settings: Settings, source: Source, path: Path, label: str | None = None) -> ImportReport:
    """Import one file with a progress bar.

    Raises:
        StackscreenError: see `etl.api.import_file`.
    """
    from etl.api import import_file
    from etl.parsing import ParserLimits

    # A wrong path must not start servers first.
    source.check(path)
    chosen = settings.imports
    limits = ParserLimits(
        workers=chosen.workers,
        record_seconds=chosen.record_timeout_s,
        memory_bytes=chosen.worker_memory_mb << 20,
    )
    engine = open_engine(settings)
    try:
        with progress_bar(f"{label + '-' if label else ''}{source.info.key}") as progress:
            return import_file(engine, source, path, label=label, progress=progress, limits=limits)
    finally:
        engine.dispose()


def import_starter(settings: Settings) -> list[ImportReport]:
    """Import the starter set, labelled so that real data win over it; again, it changes nothing."""
    from etl.source import get_source
    from etl.starter import paths

    files = paths()
    reports = [
        run_import(settings, get_source(reader), path, STARTER_LABEL)
        for reader, path in (
            ("c2db", files.c2db),
            ("2dmatpedia", files.twodmatpedia),
            ("bulk", files.metals),
            ("bidb", files.bidb),
            ("hetero2d", files.hetero2d),
        )
    ]
    read, new = sum(r.read for r in reports), sum(r.accepted for r in reports)
    step(f"  {read} records read, {new} new")
    return reports


def import_data(
    source: Annotated[str, typer.Argument(help="whose file it is: one of the sources below", show_default=False)],
    path: Annotated[Path, typer.Argument(help="the file or folder, as its database distributes it")],
    label: Annotated[
        str | None,
        typer.Option(help="keep these records apart as source <label>-<database>, which yields to the plain one"),
    ] = None,
    column_map: Annotated[
        Path | None, typer.Option("--map", help="for `table`: the TOML file that says what each column is")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print the report as JSON")] = False,
) -> None:
    """Import a database's file. Again, it changes nothing; a changed record supersedes the older one.

    Bad records are set aside with a reason, and the raw content of every record is kept. After the imports,
    `stackscreen dedupe` finds which records are one material.
    """
    report = run_import(get_settings(), _reader(source, column_map), path, label)
    if as_json:
        print(json.dumps(report.as_dict()))
    else:
        _print_report(report)


def _reader(name: str, column_map: Path | None) -> Source:
    from etl.source import get_source
    from schema.errors import StackscreenError

    if name != "table":
        if column_map is not None:
            raise StackscreenError(f"--map is for `table`, and {name} knows its own columns.", hint="Leave it out.")
        return get_source(name)
    from etl.sources.table import table_source

    if column_map is None:
        raise StackscreenError(
            "A table of your own needs --map FILE.toml, which says what each of its columns is.",
            hint="docs/own-data.md has examples to start from.",
        )
    return table_source(column_map)


def _print_report(report: ImportReport) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{report.file} into {report.source}, {report.seconds:.1f} s", title_justify="left")
    table.add_column("records")
    table.add_column("number", justify="right")
    table.add_row("read", f"{report.read:,}")
    table.add_row("accepted", f"{report.accepted:,}")
    table.add_row("  of these with a doubted property", f"{report.flagged:,}")
    table.add_row("quarantined", f"{sum(report.quarantined.values()):,}")
    for rule, n in report.quarantined.items():
        table.add_row(f"  by {rule}", f"{n:,}")
    table.add_row("unchanged", f"{report.unchanged:,}")
    table.add_row("older versions superseded", f"{report.superseded:,}")
    for rule, n in report.flags.items():
        table.add_row(f"doubted properties by {rule}", f"{n:,}")
    Console().print(table)
    if report.quarantined or report.flags:
        step(f"Details: `stackscreen quarantine list --source {report.source}`.")
    if report.accepted:
        step("Next: `stackscreen dedupe`, which finds the records that describe the same material.")
