"""The band edges of two sides on one vacuum level."""

from __future__ import annotations

import plotly.graph_objects as go

from dashboard.components.scatter import axis, base_layout
from dashboard.components.words import BOTTOM_COLOUR, TOP_COLOUR, side_name
from stackscreen.query.detail import Side

_HALF = 0.36
_REACH = 1.3
"""eV of band drawn above and below the edges."""


def band_figure(bottom: Side, top: Side) -> go.Figure | None:
    """Edges of the facing faces against the common vacuum (Anderson's rule); a metal is filled up to its Fermi level.

    None where the edges of neither side are known.
    """
    sides = ((0, bottom, BOTTOM_COLOUR), (1, top, TOP_COLOUR))
    edges = {x: _edges(side) for x, side, _ in sides}
    known = [level for pair in edges.values() if pair is not None for level in pair]
    if not known:
        return None
    floor, ceiling = min(known) - _REACH, max(known) + _REACH
    figure = go.Figure(layout=_layout(sides, floor, ceiling))
    for x, side, colour in sides:
        pair = edges[x]
        if pair is None:
            figure.add_annotation(
                x=x,
                y=(floor + ceiling) / 2,
                text="work function not known" if side.is_surface else "edges not known",
                showarrow=False,
            )
            continue
        vbm, cbm = pair
        _band(figure, x, floor, vbm, colour, 0.45)
        if cbm <= vbm:
            _level(figure, x, vbm, colour, f"E<sub>F</sub> {_signed(vbm)}", "top")
        else:
            _band(figure, x, cbm, ceiling, colour, 0.16)
            _level(figure, x, vbm, colour, f"VBM {_signed(vbm)}", "bottom")
            _level(figure, x, cbm, colour, f"CBM {_signed(cbm)}", "top")
            figure.add_annotation(
                x=x, y=(vbm + cbm) / 2, text=f"{cbm - vbm:.2f} eV", showarrow=False,
                font={"size": 12, "color": colour},
            )  # fmt: skip
    _anderson_gap(figure, edges[0], edges[1])
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


def _edges(side: Side) -> tuple[float, float] | None:
    """Valence and conduction edge; a metal whose edges nobody gives has both at its Fermi level."""
    if side.vbm is not None and side.cbm is not None:
        return side.vbm, side.cbm
    given = (fact.value for fact in side.facts if fact.key == "work_function" and isinstance(fact.value, float))
    fermi = side.work_function if side.work_function is not None else next(given, None)
    return None if side.gap != 0 or fermi is None else (-fermi, -fermi)


def _signed(energy: float) -> str:
    return f"{energy:.2f}".replace("-", "−")


def _anderson_gap(figure: go.Figure, bottom: tuple[float, float] | None, top: tuple[float, float] | None) -> None:
    """An arrow between the highest valence and the lowest conduction edge of the two, where there is a gap."""
    if bottom is None or top is None:
        return
    low, high = max(bottom[0], top[0]), min(bottom[1], top[1])
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
