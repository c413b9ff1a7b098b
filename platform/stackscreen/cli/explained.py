"""What every explanation prints, of numbers and of classes: where the model comes from, and what each feature adds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from schema.vocabulary import InterfaceKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from ml.explain import Contribution
    from stackscreen.query.explain import Explained
    from stackscreen.query.explain_class import ExplainedClass

_LEARNED_FROM: dict[str, str] = {
    InterfaceKind.HOMOBILAYER: "homobilayers",
    InterfaceKind.HETEROBILAYER: "heterobilayers",
    InterfaceKind.ON_BULK: "layers on crystals",
}


def print_origin(one: Explained | ExplainedClass) -> None:
    """The model, what it learned from, and how far the pair lies from that."""
    typer.echo(f"  model {one.model} (version {one.version}), learned from {_LEARNED_FROM[one.domain]}")
    below, above = one.domain_distance
    far = ": an extrapolation" if max(below, above) > 1 else ""
    typer.echo(f"  distance from the training layers: {below:.2f} (bottom), {above:.2f} (top), 1 = the edge{far}")


def contribution_table(parts: Sequence[Contribution], unit: str, shown: int) -> Table:
    """What the features add, the largest first, those beyond `shown` in one line.

    Args:
        parts: contributions.
        unit: of what they add.
        shown: how many features have a line of their own.
    """
    from rich.table import Table

    table = Table("feature", "value", "unit", f"adds ({unit})")
    for part in parts[:shown]:
        table.add_row(part.feature, *value_cells(part.value, part.unit), f"{part.shap:+.3g}")
    if len(parts) > shown:
        table.add_row(f"{len(parts) - shown} others", "", "", f"{sum(part.shap for part in parts[shown:]):+.3g}")
    return table


def value_cells(value: float | None, unit: str) -> tuple[str, str]:
    """A feature's value and unit, as cells of a table."""
    return "unknown" if value is None else f"{value:.4g}", "" if unit == "1" else unit
