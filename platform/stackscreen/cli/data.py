"""`stackscreen dedupe`: which records are one material, and which stacks are one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from stackscreen.cli.console import progress_bar, step
from stackscreen.cli.engine import open_engine
from stackscreen.settings import Settings, get_settings

if TYPE_CHECKING:
    from etl.api import DedupeReport

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
