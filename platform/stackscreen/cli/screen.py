"""`stackscreen screen` and `stackscreen run`: the pair space."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stackscreen.cli.console import step
from stackscreen.settings import Settings, get_settings

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from stackscreen.screening.ledger import Progress

app = typer.Typer(
    no_args_is_help=True,
    help="Look at screening runs, scan all pairs of the published one, and drop what superseded ones left.",
    epilog='Examples: `stackscreen run list`, `stackscreen run scan "alignment.in=II&strain.max=0.005"`.',
)


def open_engine(settings: Settings) -> Engine:
    """An engine on the database, whose services are started if need be."""
    from schema.engine import make_engine
    from stackscreen.services import database_url, ensure_started

    ensure_started(settings, step)
    return make_engine(database_url(settings))


def _progress(engine: Engine, run_id: int) -> Progress:
    from stackscreen.screening import ledger

    with engine.connect() as connection:
        return ledger.progress(connection, run_id)


def run_screen(settings: Settings) -> int:
    """Screen every pair of today's materials, with a progress bar; goes on with an interrupted run.

    A database or a broker that dies meanwhile is waited for, and the embedded ones are started again if their
    supervisor died with them.

    Returns:
        The number of the published run.

    Raises:
        NothingToScreenError: no monolayer was imported.
        ScreenFailedError, NoProgressError, OutageError: see `stackscreen.tasks.screening.wait`.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    from schema.vocabulary import RunState
    from stackscreen.outages import outlast
    from stackscreen.screening.runs import plan_run
    from stackscreen.screening.surfaces import ensure_surfaces
    from stackscreen.services import ServiceError, ensure_started
    from stackscreen.tasks.screening import dispatch, wait

    engine = open_engine(settings)
    columns = (TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())

    def revive(what_is_gone: str) -> None:
        step(f"  {what_is_gone}")
        with suppress(ServiceError):  # the caller goes on waiting, and says so in the end
            ensure_started(settings)

    try:
        with Bars(*columns, console=Console(stderr=True)) as bars:
            faces = bars.add_task("low-index faces of bulk phases", total=None)

            def report_faces(done: int, total: int) -> None:
                bars.update(faces, completed=done, total=total)

            outlast(lambda: ensure_surfaces(engine, report_faces), revive)
            bars.remove_task(faces)
            plan = outlast(lambda: plan_run(engine, settings.screen), revive)
            if plan.state is RunState.PUBLISHED:
                step(f"  run {plan.run_id} has screened exactly these materials with these models: nothing to do")
                return plan.run_id
            outlast(lambda: dispatch(engine, plan.run_id), revive)
            pairs = bars.add_task("pairs", total=None)

            def report(now: Progress) -> None:
                bars.update(pairs, completed=now.pairs_done, total=now.pairs)

            wait(engine, plan.run_id, report, say=revive)
        now = outlast(lambda: _progress(engine, plan.run_id), revive)
        step(
            f"  run {plan.run_id} published: {now.pairs:,} pairs, {now.matched:,} with a coincidence lattice, "
            f"{now.candidates:,} candidates"
        )
        return plan.run_id
    finally:
        engine.dispose()


def screen(
    plan: Annotated[bool, typer.Option("--plan", help="say what it would take, and screen nothing")] = False,
    layers: Annotated[
        int | None, typer.Option(min=1, help="plan for so many layers like today's instead of today's")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="plan for so many worker processes")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="the plan as JSON")] = False,
) -> None:
    """Screen every pair of all materials: match lattices, align bands, predict, rank, publish.

    The work is cut into blocks that Celery workers compute; it can be interrupted at any time and goes on where it
    stopped. Limits are settings: see `stackscreen settings`, group `screen`.

    --plan measures for some seconds, and says how many pairs, blocks, bytes and hours there would be.

    Examples: `STACKSCREEN_SCREEN__MAX_STRAIN=0.03 stackscreen screen`, `stackscreen screen --plan --layers 316505`.
    """
    if plan:
        from stackscreen.cli.screen_plan import show_plan

        show_plan(get_settings(), layers, workers, as_json=as_json)
        return
    if layers is not None or workers is not None or as_json:
        raise typer.BadParameter("--layers, --workers and --json belong to --plan.")
    run_screen(get_settings())


@app.command("list")
def list_runs() -> None:
    """Every screening run, newest first."""
    from rich.console import Console
    from rich.table import Table
    from sqlalchemy import text

    engine = open_engine(get_settings())
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT * FROM analyst.runs ORDER BY id DESC")).mappings().all()
    engine.dispose()
    if not rows:
        step("No run yet. Start one with: stackscreen screen")
        return
    table = Table(
        "run", "state", "layers", "surfaces", "pairs", "matched", "candidates", "strain ≤ %", "area ≤ Å²", "blocks"
    )
    for row in rows:
        table.add_row(
            str(row["id"]), row["state"], f"{row['n_monolayers']:,}", f"{row['n_surfaces']:,}", f"{row['n_pairs']:,}",
            "" if row["n_matched"] is None else f"{row['n_matched']:,}",
            "" if row["n_candidates"] is None else f"{row['n_candidates']:,}",
            f"{row['max_strain']:g}", f"{row['max_area']:g}", f"{row['blocks_done']}/{row['blocks']}",
        )  # fmt: skip
    Console().print(table)


@app.command()
def show(
    run: Annotated[int, typer.Argument(help="number of the run: see `stackscreen run list`")],
    as_json: Annotated[bool, typer.Option("--json", help="as JSON")] = False,
) -> None:
    """One run in full: inputs by version, limits, models, counts, blocks, speed, digests."""
    from stackscreen.query import runs
    from stackscreen.query.reading import reading

    engine = open_engine(get_settings())
    try:
        with reading(engine) as connection:
            found = runs.show(connection, run).as_dict()
    finally:
        engine.dispose()
    if as_json:
        print(json.dumps(found, ensure_ascii=False))
        return
    for key, value in found.items():
        if isinstance(value, dict):
            lines = [f"{name} = {_plain(one)}" for name, one in value.items()]
        elif isinstance(value, list):
            lines = [", ".join(f"{name} = {_plain(one)}" for name, one in entry.items()) for entry in value]
        else:
            lines = [_plain(value)]
        print(f"{key:<15} {lines[0] if lines else 'none'}")
        for line in lines[1:]:
            print(f"{'':<15} {line}")


@app.command()
def diff(
    before: Annotated[int, typer.Argument(help="number of the earlier run")],
    after: Annotated[int, typer.Argument(help="number of the later run")],
    examples: Annotated[int, typer.Option(min=0, max=1000, help="members and pairs named of each kind")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="as JSON")] = False,
) -> None:
    """What differs between two runs, and why: members, limits, models, candidates."""
    from stackscreen.query import runs
    from stackscreen.query.reading import reading

    engine = open_engine(get_settings())
    try:
        with reading(engine) as connection:
            found = runs.diff(connection, before, after, examples)
    finally:
        engine.dispose()
    if as_json:
        print(json.dumps(found.as_dict(), ensure_ascii=False))
        return
    for title, differences in (("limits", found.limits), ("models", found.models)):
        print(f"{title}: {'' if differences else 'the same'}")
        for name, (old, new) in differences.items():
            print(f"  {name}: {_plain(old)} -> {_plain(new)}")
    for kind, count in found.members.items():
        print(f"members {kind}: {count:,}")
        for member in found.member_examples[kind]:
            what = ", ".join(
                f"{name} {_plain(old)} -> {_plain(new)}" for name, (old, new) in member.get("columns", {}).items()
            )
            print(f"  {member['uid']}{': ' if what else ''}{what}")
    if found.candidates is None:
        print("candidates: those of a run were dropped, see `stackscreen run gc`")
        return
    for kind, count in found.candidates.items():
        print(f"candidates {kind}: {count:,}")
        for pair in found.candidate_examples[kind]:
            scores = f"{_plain(pair['score_before'])} -> {_plain(pair['score_after'])}"
            print(f"  {pair['bottom_uid']} / {pair['top_uid']}: score {scores}; {pair['reason']}")


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return "none" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


@app.command()
def scan(
    filter_: Annotated[
        str, typer.Argument(metavar="FILTER", help="what follows the ? in the dashboard's address; none for all pairs")
    ] = "",
    top: Annotated[int, typer.Option(min=0, max=10_000, help="how many of the best pairs are shown")] = 50,
    order: Annotated[
        str, typer.Option(help="by what they are the best: -score, strain, -gap_anderson, ...")
    ] = "-score",
    as_json: Annotated[bool, typer.Option("--json", help="as JSON")] = False,
) -> None:
    """Count every pair that a filter selects, candidate or not, and show the best.

    Of the published run, among the pairs with a coincidence lattice. `score` is the geometric score, which every pair
    has. What only candidates have (predictions) cannot be asked for. With strain.max, each pair is looked at with its
    smallest supercell within that strain: exactly at the run's strain levels, and if it lies between two, a line says
    what may be missed. The first scan copies the run's pairs to the data folder; later ones take a fraction of a
    second.

    Example: stackscreen run scan "alignment.in=II&gap_anderson.min=1.1&n_atoms.max=40" --top 20
    """
    from stackscreen.query.candidates import Order, published_run
    from stackscreen.query.criteria import Criteria
    from stackscreen.query.reading import reading
    from stackscreen.scan.cache import sweep
    from stackscreen.scan.scanner import Scanner, cache_folder

    criteria, best = Criteria.from_query(filter_), Order.parse(order)
    settings = get_settings()
    engine = open_engine(settings)
    try:
        with reading(engine) as connection:
            run = published_run(connection)
            sweep(connection, cache_folder(settings))
            found = Scanner.open(connection, run, settings).scan(criteria, best, best=top)
    finally:
        engine.dispose()
    if as_json:
        answer = {
            "run": run.id, "filter": criteria.to_json(), "order": str(best), "pairs": found.pairs, "count": found.count,
            "seconds": round(found.seconds, 4), "note": found.note, "rows": found.rows,
        }  # fmt: skip
        print(json.dumps(answer, ensure_ascii=False))
        return
    step(f"run {run.id}: {found.count:,} of {found.pairs:,} pairs in {1000 * found.seconds:.0f} ms")
    if found.note:
        step(found.note)
    _print_rows(found.rows)


def _print_rows(rows: list[dict[str, Any]]) -> None:
    """Scanned pairs as a table; --json has every column."""
    from rich.console import Console
    from rich.table import Table

    # Short headers: a terminal of 80 columns shows them all.
    columns = {"n": "n", "m": "m", "strain": "strain %", "n_atoms": "atoms", "alignment": "type",
               "gap_anderson": "gap eV", "score": "score"}  # fmt: skip
    table = Table()
    for name in ("bottom", "top"):
        table.add_column(name, no_wrap=True)
    for name in columns.values():
        table.add_column(name, justify="right")
    for row in rows:
        values = [_shown(row[name], per_cent=name == "strain") for name in columns]
        table.add_row(row["bottom_uid"], row["top_uid"], *values)
    Console().print(table)


def _shown(value: Any, *, per_cent: bool) -> str:
    if isinstance(value, float):
        return f"{100 * value if per_cent else value:.4g}"
    return "" if value is None else str(value)


@app.command()
def gc(
    keep: Annotated[int, typer.Option(min=0, help="superseded runs whose pairs are kept")] = 1,
) -> None:
    """Drop the pairs of superseded and failed runs; the runs and their ledgers stay on record."""
    from stackscreen.scan.cache import sweep
    from stackscreen.screening.runs import collect_garbage
    from stackscreen.services.layout import layout_of

    settings = get_settings()
    engine = open_engine(settings)
    emptied = collect_garbage(engine, keep)
    with engine.connect() as connection:
        sweep(connection, layout_of(settings).cache)
    engine.dispose()
    step(f"{emptied} runs emptied")
