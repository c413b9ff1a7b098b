"""The band edges of two sides on one vacuum level."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go
from stackscreen.query.detail import Side

from dashboard.components.scatter import axis, base_layout
from dashboard.components.words import BOTTOM_COLOUR, TOP_COLOUR, side_name

_HALF = 0.36
_REACH = 1.3
"""eV of band drawn above and below the edges."""


def band_figure(bottom: Side, top: Side) -> go.Figure | None:
    """Edges of the facing faces against the common vacuum (Anderson's rule); a metal is filled up to its Fermi level.

    None where the edges of neither side are known.
    """
    sides = ((0, bottom, BOTTOM_COLOUR), (1, top, TOP_COLOUR))
    known = [level for _, side, _ in sides for level in (side.vbm, side.cbm) if level is not None]
    if not known:
        return None
    floor, ceiling = min(known) - _REACH, max(known) + _REACH
    figure = go.Figure(layout=_layout(sides, floor, ceiling))
    for x, side, colour in sides:
        if side.vbm is None or side.cbm is None:
            figure.add_annotation(x=x, y=(floor + ceiling) / 2, text="edges not known", showarrow=False)
        elif side.cbm <= side.vbm:
            _band(figure, x, floor, side.vbm, colour, 0.45)
            _level(figure, x, side.vbm, colour, f"E<sub>F</sub> {side.vbm:.2f}", "top")
        else:
            _band(figure, x, floor, side.vbm, colour, 0.45)
            _band(figure, x, side.cbm, ceiling, colour, 0.16)
            _level(figure, x, side.vbm, colour, f"VBM {side.vbm:.2f}", "bottom")
            _level(figure, x, side.cbm, colour, f"CBM {side.cbm:.2f}", "top")
            figure.add_annotation(
                x=x, y=(side.vbm + side.cbm) / 2, text=f"{side.cbm - side.vbm:.2f} eV", showarrow=False,
                font={"size": 12, "color": colour},
            )  # fmt: skip
    _anderson_gap(figure, bottom, top)
    return figure


def _layout(sides: tuple[tuple[int, Side, str], ...], floor: float, ceiling: float) -> go.Layout:
    names = [side_name(side.formula, side.uid) for _, side, _ in sides]
    return base_layout(
        xaxis={
            "tickvals": [0, 1], "ticktext": [f"<b>{names[0]}</b><br>bottom", f"<b>{names[1]}</b><br>top"],
            "range": [-0.6, 1.6], "fixedrange": True, "showgrid": False, "zeroline": False, "linecolor": "#c4cad3",
        },
        yaxis=axis("Energy against vacuum (eV)", range=[floor, ceiling], fixedrange=True),
        showlegend=False,
        margin={"l": 58, "r": 10, "t": 10, "b": 46},
    )  # fmt: skip


def _band(figure: go.Figure, x: int, low: float, high: float, colour: str, opacity: float) -> None:
    figure.add_shape(
        type="rect", x0=x - _HALF, x1=x + _HALF, y0=low, y1=high, fillcolor=colour, opacity=opacity, line={"width": 0},
        layer="below",
    )  # fmt: skip


def _level(figure: go.Figure, x: int, y: float, colour: str, text: str, side: str) -> None:
    figure.add_trace(
        go.Scatter(
            x=[x - _HALF, x + _HALF], y=[y, y], mode="lines", line={"color": colour, "width": 3},
            hovertemplate=f"{text} eV<extra></extra>",
        )
    )  # fmt: skip
    figure.add_annotation(
        x=x, y=y, text=text, showarrow=False, yanchor="bottom" if side == "top" else "top", font={"size": 11}
    )


def _anderson_gap(figure: go.Figure, bottom: Side, top: Side) -> None:
    """An arrow between the highest valence and the lowest conduction edge of the two, where there is a gap."""
    edges: tuple[Any, ...] = (bottom.vbm, bottom.cbm, top.vbm, top.cbm)
    if any(edge is None for edge in edges):
        return
    low, high = max(edges[0], edges[2]), min(edges[1], edges[3])
    if high - low < 0.02:
        return
    figure.add_annotation(
        x=0.5, y=high, ax=0.5, ay=low, xref="x", yref="y", axref="x", ayref="y", showarrow=True, arrowhead=2,
        arrowside="end+start", startarrowhead=2, arrowwidth=1.3, arrowcolor="#111827", text="",
    )  # fmt: skip
    figure.add_annotation(
        x=0.5, y=(low + high) / 2, text=f"<b>{high - low:.2f} eV</b>", showarrow=False, bgcolor="white",
        font={"size": 12, "color": "#111827"}, borderpad=2,
    )  # fmt: skip
