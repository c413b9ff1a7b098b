"""`stackscreen models explain`: why a pair is predicted to be what it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from stackscreen.cli.console import step
from stackscreen.cli.explained import contribution_table, print_origin
from stackscreen.cli.models import engine_of
from stackscreen.settings import get_settings

if TYPE_CHECKING:
    from rich.table import Table
    from sqlalchemy import Connection

    from ml.explain import GraphShare
    from stackscreen.query.explain import Explained

_SHOWN = 6
"""Other meanings of a name that are listed."""


def explain(
    target: Annotated[str, typer.Argument(help="what is predicted, such as gap")],
    bottom: Annotated[
        str, typer.Argument(help="the lower side: uid, external id or formula of a layer, or the face of a crystal")
    ],
    top: Annotated[str, typer.Argument(help="the upper layer; the same for a homobilayer")],
    shown: Annotated[int, typer.Option(min=1, max=200, help="how many features")] = 12,
    registry: Annotated[
        str, typer.Option(help="of a class: how one cell lies on the other, such as AA or AB; see stackscreen build")
    ] = "",
) -> None:
    """Why a pair is predicted to be so: physics, what each feature adds, and the nearest computed interfaces.

    The contributions are SHAP values: they add up to the prediction. A layer on itself is answered for by a stack:
    half of what its trees add, and half of what the graph adds, which is followed back to the atoms. Of several layers
    of a formula the one of least energy above the hull is taken, and said. A class (alignment_type, slide_stability,
    metallic) comes with the probability of each, and what physics and each feature add to its odds. Examples:
    `stackscreen models explain binding_energy MoS2 1WSe2-1`,
    `stackscreen models explain binding_energy_per_atom "Ag-1f0c22ab(111)" MoS2`,
    `stackscreen models explain slide_stability MoS2 MoS2 --registry AB`
    """
    from rich.console import Console

    from ml.class_artefact import WORDS
    from stackscreen.cli.explain_class import print_class
    from stackscreen.query.explain import UnknownLayerError, explain_pair
    from stackscreen.query.explain_class import explain_pair_class

    if registry and target not in WORDS:
        raise UnknownLayerError(
            f"{target} is a number, and numbers are explained for no registry in particular.",
            hint=f"Leave --registry out, or ask for {' or '.join(WORDS)}.",
        )
    with engine_of(get_settings()) as engine, engine.connect() as connection:
        below, above = (_chosen(connection, name) for name in (bottom, top))
        if target in WORDS:
            named = explain_pair_class(connection, below, above, target=target, registry=registry)
            if named is not None:
                print_class(named, f"{target} of {below} / {above}", shown)
                return
        found = [] if target in WORDS else explain_pair(connection, below, above, target=target)
    if not found:
        raise UnknownLayerError(
            f"No model of {target} is served for {below} / {above}.",
            hint="See which there are, and for what kind of pair: stackscreen models list",
        )
    console = Console()
    for one in found:
        _headline(one, f"{target} of {below} / {above}")
        if one.explanation.contributions:
            console.print(contribution_table(one.explanation.contributions, one.explanation.unit, shown))
        if one.explanation.graph is not None:
            console.print(_atoms(one.explanation.graph, one.explanation.unit))
        if one.neighbours:
            console.print(_neighbours(one))


def _chosen(connection: Connection, name: str) -> str:
    from stackscreen.query.sides import most_stable

    found = most_stable(connection, name)
    if found.others:
        shown = ", ".join(found.others[:_SHOWN]) + (" ..." if len(found.others) > _SHOWN else "")
        step(f"{name} is taken to be {found.uid}, the one of least energy above the hull; it may be {shown} as well")
    return found.uid


def _headline(one: Explained, what: str) -> None:
    said, unit = one.explanation, one.explanation.unit
    typer.echo(f"{what}: {said.value:.4g} {unit}, 90 % interval {said.lower:.4g} to {said.upper:.4g} {unit}")
    print_origin(one)
    typer.echo(f"  physics, {said.physics_name}: {said.physics:.4g} {unit}")
    if said.note:
        typer.echo(f"  {said.note}")
    if said.graph is not None:
        graph = said.graph
        trees = said.typical + sum(part.shap for part in said.contributions)
        typer.echo(f"  half of what the trees add: {trees:+.3g} {unit}")
        typer.echo(f"  half of what the graph adds: {graph.added:+.3g} {unit} (it says {graph.value:.4g} {unit})")
    if said.contributions:
        typer.echo(f"  what the trees add on average: {said.typical:+.3g} {unit}")


def _atoms(graph: GraphShare, unit: str) -> Table:
    from rich.table import Table

    table = Table("atoms, by the graph", "layer", f"adds ({unit})")
    for part in graph.contributions:
        table.add_row(f"{part.atoms} {part.element}", part.layer, f"{part.added:+.3g}")
    table.add_row("all but the elements", "", f"{graph.without_elements:+.3g}")
    return table


def _neighbours(one: Explained) -> Table:
    from rich.table import Table

    table = Table("nearest computed", "distance", f"calculated ({one.explanation.unit})", "stackings", "source")
    for near in one.neighbours:
        several = f" ({near.smallest:.4g} to {near.largest:.4g})" if near.stackings > 1 else ""
        names = f"{near.bottom_uid} / {near.top_uid}"
        table.add_row(names, f"{near.distance:.2f}", f"{near.mean:.4g}{several}", str(near.stackings), near.source)
    return table
