"""`stackscreen dedupe`: which records are one material, which stacks are one, why, and what a person rules."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from schema.errors import StackscreenError
from stackscreen.cli.console import login_name, progress_bar, step
from stackscreen.cli.engine import open_engine
from stackscreen.settings import Settings, get_settings

if TYPE_CHECKING:
    from etl.dedupe.api import DedupeReport, MaterialExplained, PairExplained, RulingReport

app = typer.Typer(
    help="Find the records that describe the same material; explain and correct what was found.",
    epilog="Examples: `stackscreen dedupe`, `stackscreen dedupe explain MoS2-1f0c22ab`.",
)

_Json = Annotated[bool, typer.Option("--json", help="print the report as JSON")]
_Uid = Annotated[str, typer.Argument(help="name of a material, e.g. MoS2-1f0c22ab")]
_Note = Annotated[str | None, typer.Option(help="why")]
_Author = Annotated[str, typer.Option(help="who rules; the login name if not given", show_default=False)]


class DedupeCommandError(StackscreenError):
    """The command was not given what it needs."""


def run_dedupe(settings: Settings) -> DedupeReport:
    """Deduplicate with a progress bar.

    Raises:
        StackscreenError: see `etl.dedupe.api.dedupe`.
    """
    from etl.dedupe.api import dedupe as deduplicate

    engine = open_engine(settings)
    try:
        with progress_bar("formulas") as progress:
            report = deduplicate(engine, progress=progress)
    finally:
        engine.dispose()
    step(f"  {report.records} records judged: {report.created} new materials, {report.materials} in all")
    return report


@app.callback(invoke_without_command=True)
def dedupe(context: typer.Context, as_json: _Json = False) -> None:
    """Find the records that describe the same material, or the same stack of two, and link stacks to their layers.

    Only what is new is looked at. Every decision keeps its evidence, in the tables material_member and
    interface_member.
    """
    if context.invoked_subcommand is not None:
        return
    report = run_dedupe(get_settings())
    if as_json:
        print(json.dumps(report.as_dict()))
        return
    print(f"records judged        {report.records:>9,}   in {report.seconds:.1f} s")
    print(f"  new materials       {report.created:>9,}")
    print(f"  joined one          {report.joined:>9,}")
    if report.by_name or report.unplaced:
        print(f"  joined one by name  {report.by_name:>9,}   still without a material: {report.unplaced:,}")
    print(f"materials             {report.materials:>9,}   withdrawn: {report.withdrawn:,}")
    print(f"interface sides found {report.linked:>9,}   still without a material: {report.unlinked:,}")
    print(f"distinct stacks       {report.stacks:>9,}   further records of one of them: {report.same_stacks:,}")


@app.command()
def explain(
    uid: _Uid,
    other: Annotated[str | None, typer.Argument(metavar="[UID2]", help="a second one, to compare with")] = None,
    limit: Annotated[int, typer.Option(min=0, help="most near misses")] = 10,
    as_json: _Json = False,
) -> None:
    """Why a material has the members it has, and why its near misses are others; or why two materials are two."""
    from etl.dedupe.api import explain as explain_one
    from etl.dedupe.api import explain_pair

    engine = open_engine(get_settings())
    try:
        explained: MaterialExplained | PairExplained
        explained = explain_one(engine, uid, limit=limit) if other is None else explain_pair(engine, uid, other)
    finally:
        engine.dispose()
    if as_json:
        print(json.dumps(explained.as_dict(), ensure_ascii=False))
    elif other is None:
        _print_material(explained)  # type: ignore[arg-type]
    else:
        _print_pair(explained)  # type: ignore[arg-type]


def _print_material(explained: MaterialExplained) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    into = f" into {explained.merged_into}" if explained.merged_into else ""
    console.print(f"{explained.uid}: {explained.kind}, {explained.formula}, {explained.state}{into}", highlight=False)
    members = Table("record", "distance", "method", "version", "because", title="members", title_justify="left")
    for m in explained.members:
        apart = "" if m.distance is None else f"{m.distance:.3f} Å"
        members.add_row(m.record, apart, m.method, m.version, m.because)
    console.print(members)
    if explained.near:
        title = f"near misses, {len(explained.near)} of {explained.n_others} of the formula"
        near = Table("material", "is another because", title=title, title_justify="left")
        for miss in explained.near:
            near.add_row(miss.uid, miss.because)
        console.print(near)
    for ruling in explained.rulings:
        note = f": {ruling.note}" if ruling.note else ""
        words = f"ruling {ruling.id}: {ruling.one} and {ruling.other} are {ruling.ruling} ({ruling.author}{note})"
        console.print(words, highlight=False)
    for event in explained.history:
        console.print(f"{event.at}  {event.what}", highlight=False)


def _print_pair(explained: PairExplained) -> None:
    from rich.console import Console
    from rich.table import Table

    found = explained.comparison
    title = f"{explained.one} and {explained.other}: {'alike' if found.same else 'different'}"
    table = Table("check", "found", "allowed", "", title=title, title_justify="left")
    for check in found.checks:
        table.add_row(check.name, check.found, check.limit, {True: "passed", False: "FAILED", None: ""}[check.passed])
    console = Console()
    console.print(table)
    if found.distance is not None:
        console.print(f"distance {found.distance:.3f} Å", highlight=False)
    if explained.because:
        console.print(explained.because, highlight=False)


@app.command()
def merge(
    uid: _Uid,
    other: Annotated[str, typer.Argument(metavar="UID2", help="name of the other material")],
    note: _Note = None,
    author: _Author = "",
    as_json: _Json = False,
) -> None:
    """Rule that two materials are one. The better source's keeps its name; every later deduplication honours it."""
    from etl.dedupe.api import merge as merge_materials

    engine = open_engine(get_settings())
    try:
        report = merge_materials(engine, uid, other, author=author or login_name(), note=note)
    finally:
        engine.dispose()
    _print_ruling(report, as_json)


@app.command()
def split(
    uid: _Uid,
    record: Annotated[str, typer.Argument(metavar="SOURCE:EXTERNAL_ID", help="the record, e.g. c2db:1MoS2-1")],
    note: _Note = None,
    author: _Author = "",
    as_json: _Json = False,
) -> None:
    """Rule that a record is not this material: it gets one of its own. What came by a merge leaves as it came."""
    from etl.dedupe.api import split as split_material

    source, colon, external_id = record.partition(":")
    if not (source and colon and external_id):
        raise DedupeCommandError(
            f"{record!r} does not name a record.", hint=f"Write source:external id, as `dedupe explain {uid}` does."
        )
    engine = open_engine(get_settings())
    try:
        report = split_material(engine, uid, source, external_id, author=author or login_name(), note=note)
    finally:
        engine.dispose()
    _print_ruling(report, as_json)


def _print_ruling(report: RulingReport, as_json: bool) -> None:
    if as_json:
        print(json.dumps(report.as_dict(), ensure_ascii=False))
        return
    for material in report.materials:
        print(f"{material.uid:<24} {material.state:<10} {', '.join(material.records)}")
    step(f"Ruled {report.ruling} by {report.author}, in {len(report.rulings)} pairs of records.")
    step("Next: `stackscreen features` and `stackscreen screen`, which pick up what changed.")
