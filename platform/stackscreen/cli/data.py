"""`stackscreen import`, `stackscreen dedupe` and `stackscreen quarantine`: data in, and what was set aside."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stackscreen.cli.console import step
from stackscreen.settings import Settings, get_settings

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from etl.api import DedupeReport, ImportReport

import_app = typer.Typer(
    no_args_is_help=True,
    help="Import a database's file. Importing it again changes nothing; a changed record supersedes the old one.",
    epilog="Example: `stackscreen import c2db c2db.db`, then `stackscreen dedupe`.",
)
quarantine_app = typer.Typer(
    no_args_is_help=True,
    help="Look at what was set aside at import, and by which rule.",
    epilog="Example: `stackscreen quarantine list --source bidb`.",
)

STARTER_LABEL = "starter"

_Path = Annotated[Path, typer.Argument(help="the file as its database distributes it")]
_Folder = Annotated[Path, typer.Argument(help="folder or .zip of POSCAR and CIF files")]
_Label = Annotated[
    str | None,
    typer.Option(help="keep these records apart as source <label>-<database>, which yields to the plain one"),
]
_Json = Annotated[bool, typer.Option("--json", help="print the report as JSON")]


def _engine(settings: Settings) -> Engine:
    from schema.engine import make_engine
    from stackscreen.services import database_url, ensure_started

    ensure_started(settings, step)
    return make_engine(database_url(settings))


@contextmanager
def _progress(title: str) -> Iterator[Callable[[int, int | None], None]]:
    """A progress bar on standard error, as a function of (done, total)."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bars:
        task = bars.add_task(title, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)


def run_import(settings: Settings, reader: str, path: Path, label: str | None = None) -> ImportReport:
    """Import one file with a progress bar.

    Raises:
        StackscreenError: see `etl.api.import_file`.
    """
    from etl.api import import_file
    from etl.source import get_source

    # A wrong path must not start servers first.
    get_source(reader).check(path)
    engine = _engine(settings)
    try:
        with _progress(f"{label + '-' if label else ''}{reader}") as progress:
            return import_file(engine, reader, path, label=label, progress=progress)
    finally:
        engine.dispose()


def import_starter(settings: Settings) -> list[ImportReport]:
    """Import the starter set, labelled so that real data win over it; again, it changes nothing."""
    from etl.starter import paths

    files = paths()
    reports = [
        run_import(settings, reader, path, STARTER_LABEL)
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


def run_dedupe(settings: Settings) -> DedupeReport:
    """Deduplicate with a progress bar.

    Raises:
        StackscreenError: see `etl.api.dedupe`.
    """
    from etl.api import dedupe as deduplicate

    engine = _engine(settings)
    try:
        with _progress("formulas") as progress:
            report = deduplicate(engine, progress=progress)
    finally:
        engine.dispose()
    step(f"  {report.records} records judged: {report.created} new materials, {report.materials} in all")
    return report


def _import(reader: str, path: Path, label: str | None, as_json: bool) -> None:
    report = run_import(get_settings(), reader, path, label)
    if as_json:
        print(json.dumps(report.as_dict()))
    else:
        _print_report(report)


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


@import_app.command("c2db")
def import_c2db(path: _Path, label: _Label = None, as_json: _Json = False) -> None:
    """C2DB: an ASE .db file, keys of 2021 or 2024."""
    _import("c2db", path, label, as_json)


@import_app.command("bidb")
def import_bidb(path: _Path, label: _Label = None, as_json: _Json = False) -> None:
    """BiDB: an ASE .db file of bilayers."""
    _import("bidb", path, label, as_json)


@import_app.command("2dmatpedia")
def import_2dmatpedia(path: _Path, label: _Label = None, as_json: _Json = False) -> None:
    """2DMatPedia: db.json or db.json.gz."""
    _import("2dmatpedia", path, label, as_json)


@import_app.command("hetero2d")
def import_hetero2d(path: _Path, label: _Label = None, as_json: _Json = False) -> None:
    """Hetero2d or aiHD: layers on substrates, as JSON."""
    _import("hetero2d", path, label, as_json)


@import_app.command("bulk")
def import_bulk(path: _Folder, label: _Label = None, as_json: _Json = False) -> None:
    """Bulk phases: a folder or .zip of POSCAR and CIF files."""
    _import("bulk", path, label, as_json)


def dedupe(as_json: _Json = False) -> None:
    """Find the records that describe the same material, and link computed interfaces to their layers.

    Only what is new is looked at. Every decision keeps its evidence, in the table material_member.
    """
    report = run_dedupe(get_settings())
    if as_json:
        print(json.dumps(report.as_dict()))
        return
    print(f"records judged        {report.records:>9,}   in {report.seconds:.1f} s")
    print(f"  new materials       {report.created:>9,}")
    print(f"  joined one          {report.joined:>9,}")
    print(f"materials             {report.materials:>9,}   withdrawn: {report.withdrawn:,}")
    print(f"interface sides found {report.linked:>9,}   still without a material: {report.unlinked:,}")


@quarantine_app.command("list")
def quarantine_list(
    source: Annotated[str | None, typer.Option(help="only this source, e.g. bidb")] = None,
    rule: Annotated[str | None, typer.Option(help="only this rule, e.g. not_2d")] = None,
    limit: Annotated[int, typer.Option(min=1, help="most entries")] = 50,
    as_json: _Json = False,
) -> None:
    """Counts by rule, then the quarantined records and the doubted properties themselves."""
    from etl.quarantine import count_by_rule, list_set_aside

    engine = _engine(get_settings())
    try:
        counts = [c for c in count_by_rule(engine) if source in (None, c.source) and rule in (None, c.rule)]
        entries = list_set_aside(engine, source=source, rule=rule, limit=limit)
    finally:
        engine.dispose()
    if as_json:
        print(json.dumps({"rules": [c.as_dict() for c in counts], "entries": [e.as_dict() for e in entries]}))
        return
    for c in counts:
        print(f"{c.source:<16} {c.rule:<24} {c.quarantined:>7,} records {c.flagged:>7,} properties   {c.meaning}")
    if not counts:
        print("Nothing is set aside.")
    for e in entries:
        what = f" [{e.property_key}]" if e.property_key else ""
        print(f"{e.record:>8} {e.source} {e.external_id}{what}: {e.rule}: {e.detail}")


@quarantine_app.command("show")
def quarantine_show(
    record: Annotated[int, typer.Argument(help="number of the record, from `quarantine list`")],
) -> None:
    """One record with its rule, the rule's sentence, its flags and its raw content, as JSON."""
    from etl.quarantine import show_record

    engine = _engine(get_settings())
    try:
        print(json.dumps(show_record(engine, record), indent=2, ensure_ascii=False))
    finally:
        engine.dispose()
