"""Why a pair's numbers are predicted to be so: what each feature adds, and the nearest computed interfaces."""

from __future__ import annotations

from typing import Any

from dash import dcc, html

from dashboard.components.model_plots import why_figure
from dashboard.components.tables import table
from dashboard.components.words import number
from ml.neighbours import Neighbour
from stackscreen.query.explain import Explained

_GRAPH: Any = {"displaylogo": False, "displayModeBar": False}


def why(found: list[Explained]) -> html.Div:
    """One column a predicted quantity."""
    return html.Div([_column(one) for one in found], className="why")


def _column(one: Explained) -> html.Div:
    said = one.explanation
    figure = why_figure(said)
    below, above = one.domain_distance
    parts: list[Any] = [
        html.H3(said.target.replace("_", " ")),
        html.P(
            [
                f"{said.physics_name.replace('_', ' ')}: {number(said.physics)} {said.unit}",
                "" if figure is None else ", to which the model adds",
            ],
            className="muted",
        ),
        dcc.Graph(id=f"why-{said.target}", figure=figure, config=_GRAPH) if figure is not None else None,
        html.P(said.note, className="muted") if said.note else None,
        html.P(
            f"Distance from the training layers: {number(below, 2)} (bottom), {number(above, 2)} (top); 1 is the edge.",
            className="muted",
        ),
        _nearest(one.neighbours, said.unit),
    ]
    return html.Div([part for part in parts if part is not None])


def _nearest(found: list[Neighbour], unit: str) -> html.Div | None:
    if not found:
        return None
    rows = []
    for near in found:
        several = f" ({number(near.smallest)} to {number(near.largest)})" if near.stackings > 1 else ""
        name = near.top_uid if near.top_uid == near.bottom_uid else f"{near.bottom_uid} / {near.top_uid}"
        rows.append([html.Code(name), f"{number(near.mean)}{several}", number(near.distance, 2), near.source])
    return table(["Nearest computed", f"Calculated ({unit})", "Distance", "Source"], rows, numeric=(1, 2))
