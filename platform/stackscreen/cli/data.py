"""`stackscreen dedupe` and `stackscreen quarantine`: which records are one material, and what was set aside."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from stackscreen.cli.console import progress_bar, step
from stackscreen.cli.engine import open_engine
from stackscreen.settings import Settings, get_settings

if TYPE_CHECKING:
    from etl.api import DedupeReport

quarantine_app = typer.Typer(
    no_args_is_help=True,
    help="Look at what was set aside at import, and by which rule.",
    epilog="Example: `stackscreen quarantine list --source bidb`.",
)

_Json = Annotated[bool, typer.Option("--json", help="print the report as JSON")]


def run_dedupe(settings: Settings) -> DedupeReport:
    """Deduplicate with a progress bar.

    Raises:
        StackscreenError: see `etl.api.dedupe`.
    """
    from etl.api import dedupe as deduplicate

    engine = open_engine(settings)
    try:
        with progress_bar("formulas") as progress:
            report = deduplicate(engine, progress=progress)
    finally:
        engine.dispose()
    step(f"  {report.records} records judged: {report.created} new materials, {report.materials} in all")
    return report


def dedupe(as_json: _Json = False) -> None:
    """Find the records that describe the same material, or the same stack of two, and link stacks to their layers.

    Only what is new is looked at. Every decision keeps its evidence, in the tables material_member and
    interface_member.
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
    print(f"distinct stacks       {report.stacks:>9,}   further records of one of them: {report.same_stacks:,}")


@quarantine_app.command("list")
def quarantine_list(
    source: Annotated[str | None, typer.Option(help="only this source, e.g. bidb")] = None,
    rule: Annotated[str | None, typer.Option(help="only this rule, e.g. not_2d")] = None,
    limit: Annotated[int, typer.Option(min=1, help="most entries")] = 50,
    as_json: _Json = False,
) -> None:
    """Counts by rule, then the quarantined records and the doubted properties themselves."""
    from etl.quarantine import count_by_rule, list_set_aside

    engine = open_engine(get_settings())
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

    engine = open_engine(get_settings())
    try:
        print(json.dumps(show_record(engine, record), indent=2, ensure_ascii=False))
    finally:
        engine.dispose()
