"""`stackscreen models explain` of a class: how probable each one is, and what moves its odds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from stackscreen.cli.explained import contribution_table, print_origin, value_cells

if TYPE_CHECKING:
    from rich.table import Table

    from ml.class_explain import ClassExplanation
    from stackscreen.query.explain_class import ExplainedClass

ODDS = "ln odds"


def print_class(one: ExplainedClass, what: str, shown: int) -> None:
    """Everything about one named class.

    Args:
        one: the class, explained.
        what: target and pair, as its first line calls them.
        shown: how many features have a line of their own.
    """
    from rich.console import Console

    console, said = Console(), one.explanation
    sure = f", probability {100 * said.classes[0].probability:.1f} %" if said.classes else ""
    held = ", ".join(share.word for share in said.classes if share.held)
    typer.echo(f"{what}: {said.named}{sure}" + (f"; the 90 % set holds {held}" if held else ""))
    print_origin(one)
    if said.note:
        typer.echo(f"  {said.note}")
    if said.classes:
        console.print(_classes(said))
        _odds(said)
        if said.inputs:
            console.print(_inputs(said))
    if said.contributions:
        console.print(contribution_table(said.contributions, ODDS, shown))
    if one.neighbours:
        console.print(_neighbours(one))


def _odds(said: ClassExplanation) -> None:
    typer.echo(f"  {ODDS} of {said.named} against {said.against}: {said.odds:+.3g}, which is the sum of")
    typer.echo(f"  physics, {said.physics_name}: {said.physics:+.3g}")
    if said.contributions:
        typer.echo(f"  what the trees add on average: {said.typical:+.3g}")
        typer.echo(f"  what the features add, below: {sum(part.shap for part in said.contributions):+.3g}")
        typer.echo(f"  what averaging the ensemble's members makes: {said.rest:+.3g}")


def _classes(said: ClassExplanation) -> Table:
    from rich.table import Table

    table = Table("class", "probability", "by physics alone", "in the 90 % set")
    for share in said.classes:
        physics = f"{100 * share.physics:.1f} %"
        table.add_row(share.word, f"{100 * share.probability:.1f} %", physics, "yes" if share.held else "no")
    return table


def _inputs(said: ClassExplanation) -> Table:
    from rich.table import Table

    table = Table("physics reads", "value", "unit")
    for name, value, unit in said.inputs:
        table.add_row(name, *value_cells(value, unit))
    return table


def _neighbours(one: ExplainedClass) -> Table:
    from rich.table import Table

    from ml.class_artefact import WORDS

    words = WORDS[one.explanation.target]
    table = Table("nearest computed", "distance", "calculated (stackings)", "source")
    for near in one.neighbours:
        classes = ", ".join(f"{words[number]} ({count})" for number, count in near.classes.items())
        table.add_row(f"{near.bottom_uid} / {near.top_uid}", f"{near.distance:.2f}", classes, near.source)
    return table
