"""`stackscreen saved`: filters that the nightly rescreening keeps an eye on."""

from __future__ import annotations

from typing import Annotated

import typer

from schema.errors import StackscreenError
from stackscreen.cli.console import step
from stackscreen.cli.screen import open_engine
from stackscreen.settings import get_settings

app = typer.Typer(
    no_args_is_help=True,
    help="Keep a filter, and see each morning what entered it, left it and moved in it.",
    epilog='Example: `stackscreen saved add solar "alignment.in=II&gap.min=1.1&gap.max=1.5"`.',
)


class SavedScreenError(StackscreenError):
    """No saved screen of that name, or one too many."""


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="a name of your choice")],
    filter_: Annotated[str, typer.Argument(metavar="FILTER", help="what follows the ? in the dashboard's address")],
    owner: Annotated[str, typer.Option(help="whose it is")] = "everyone",
    top: Annotated[int, typer.Option(min=1, max=10_000, help="how many ranks are kept of each run")] = 100,
) -> None:
    """Save a filter, and rank it in the published run.

    It filters candidates, whose supercell is the smallest within the run's own limit of strain: strain.max leaves out
    those beyond it, and looks for no other supercell of a pair, as `stackscreen run scan` does.

    Example: stackscreen saved add solar "alignment.in=II&gap.min=1.1&strain.max=0.01"
    """
    from sqlalchemy import insert
    from sqlalchemy.exc import IntegrityError

    from schema import SavedScreen
    from stackscreen.query.candidates import NoPublishedRunError, published_run
    from stackscreen.query.criteria import Criteria
    from stackscreen.screening.saved import update_saved_screens

    criteria = Criteria.from_query(filter_.removeprefix("?"))
    engine = open_engine(get_settings())
    try:
        with engine.begin() as connection:
            connection.execute(insert(SavedScreen).values(name=name, owner=owner, top=top, criteria=criteria.to_json()))
    except IntegrityError as error:
        raise SavedScreenError(
            f"{owner} has a saved screen {name!r} already.", hint=f"Remove it first: stackscreen saved remove {name}"
        ) from error
    step(f"saved {name}: {'; '.join(criteria.describe()) or 'all candidates'}")
    try:
        with engine.connect() as connection:
            run = published_run(connection)
    except NoPublishedRunError:
        step("It will be ranked when the first screen is published: stackscreen screen")
    else:
        update_saved_screens(engine, run)
    engine.dispose()


@app.command("list")
def list_screens() -> None:
    """The saved screens, with the size of their last change."""
    from rich.console import Console
    from rich.table import Table
    from sqlalchemy import text

    from stackscreen.query.criteria import Criteria

    engine = open_engine(get_settings())
    with engine.connect() as connection:
        rows = connection.execute(
            text("""
                SELECT s.name, s.owner, s.criteria, s.top, max(r.run_id) AS run,
                       count(*) FILTER (WHERE c.kind = 'entered') AS entered,
                       count(*) FILTER (WHERE c.kind = 'left') AS gone,
                       count(*) FILTER (WHERE c.kind = 'moved') AS moved
                FROM saved_screen s
                LEFT JOIN LATERAL (SELECT max(run_id) AS run_id FROM screen_result WHERE screen_id = s.id) r ON true
                LEFT JOIN screen_change c ON c.screen_id = s.id AND c.run_id = r.run_id
                GROUP BY s.id ORDER BY s.owner, s.name
            """)
        ).all()
    engine.dispose()
    if not rows:
        step("No saved screen yet. " + (app.info.epilog or ""))
        return
    table = Table("name", "owner", "filter", "ranks", "last run", "entered", "left", "moved")
    for row in rows:
        words = "; ".join(Criteria.from_json(row.criteria).describe()) or "all candidates"
        counts = (str(row.entered), str(row.gone), str(row.moved))
        table.add_row(row.name, row.owner, words, str(row.top), str(row.run or ""), *counts)
    Console().print(table)


@app.command()
def changes(
    name: Annotated[str, typer.Argument(help="name of the saved screen")],
    owner: Annotated[str, typer.Option(help="whose it is")] = "everyone",
) -> None:
    """What changed in a saved screen at its last run, and why."""
    from rich.console import Console
    from rich.table import Table
    from sqlalchemy import text

    engine = open_engine(get_settings())
    with engine.connect() as connection:
        known = connection.execute(
            text("SELECT id FROM saved_screen WHERE name = :name AND owner = :owner"), {"name": name, "owner": owner}
        ).scalar()
        rows = connection.execute(
            text("""
                SELECT kind, bottom_uid, top_uid, rank_before, rank_after, reason FROM screen_change
                WHERE screen_id = :id AND run_id = (SELECT max(run_id) FROM screen_result WHERE screen_id = :id)
                ORDER BY coalesce(rank_after, rank_before), bottom_uid, top_uid
            """),
            {"id": known},
        ).all()
    engine.dispose()
    if known is None:
        raise SavedScreenError(f"{owner} has no saved screen {name!r}.", hint="See them: stackscreen saved list")
    table = Table("change", "bottom", "top", "rank before", "rank now", "why")
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in row))
    Console().print(table)


@app.command()
def remove(
    name: Annotated[str, typer.Argument(help="name of the saved screen")],
    owner: Annotated[str, typer.Option(help="whose it is")] = "everyone",
) -> None:
    """Forget a saved screen with its history."""
    from sqlalchemy import delete

    from schema import SavedScreen

    engine = open_engine(get_settings())
    with engine.begin() as connection:
        gone = connection.execute(
            delete(SavedScreen).where(SavedScreen.name == name, SavedScreen.owner == owner)
        ).rowcount
    engine.dispose()
    if not gone:
        raise SavedScreenError(f"{owner} has no saved screen {name!r}.", hint="See them: stackscreen saved list")
    step(f"removed {name}")
