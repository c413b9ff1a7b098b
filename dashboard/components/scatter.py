"""Pictures of a whole filter: where its candidates lie, and how their gaps are spread."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go

from dashboard.components.words import ALIGNMENT_COLOURS, ALIGNMENT_NAMES, FONT, pair_path, side_name
from stackscreen.query.fields import FIELDS
from stackscreen.query.pictures import Histogram, Scatter

_GRID_LINE = "#e8ebef"
_TEXT = "#374151"


def base_layout(**more: Any) -> go.Layout:
    """The look that all plots share."""
    layout = go.Layout(
        font={"family": FONT, "size": 12, "color": _TEXT},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="white",
        margin={"l": 54, "r": 12, "t": 8, "b": 42},
        hoverlabel={"font": {"family": FONT, "size": 12}, "bgcolor": "white"},
    )
    return layout.update(more)


def axis(title: str, **more: Any) -> dict[str, Any]:
    """An axis in that look."""
    return {
        "title": {"text": title, "standoff": 6}, "gridcolor": _GRID_LINE, "linecolor": "#c4cad3", "zeroline": False,
        "ticks": "outside", "tickcolor": "#c4cad3", "ticklen": 4, "mirror": False, **more,
    }  # fmt: skip


def scatter_figure(found: Scatter, x: str, y: str) -> go.Figure:
    """Two predicted quantities of a filter, coloured by alignment type; a point is a pair."""
    traces = []
    for kind, name in ALIGNMENT_NAMES.items():
        points = [point for point in found.points if (point["alignment"] or "unknown") == kind]
        if not points:
            continue
        traces.append(
            go.Scatter(
                x=[point["x"] for point in points],
                y=[point["y"] for point in points],
                name=name,
                mode="markers",
                marker={
                    "color": ALIGNMENT_COLOURS[kind], "size": 7 if len(found.points) < 600 else 5,
                    "opacity": 0.75 if len(found.points) < 600 else 0.5, "line": {"width": 0.5, "color": "white"},
                },
                customdata=[
                    [
                        pair_path(point["bottom_uid"], point["top_uid"]),
                        side_name(point["bottom_formula"], point["bottom_uid"]),
                        side_name(point["top_formula"], point["top_uid"]),
                        100 * point["strain"],
                        point["n_atoms"],
                    ]
                    for point in points
                ],
                hovertemplate="<b>%{customdata[1]} / %{customdata[2]}</b><br>"
                f"{FIELDS[x].label} %{{x:.3g}} {FIELDS[x].unit}<br>{FIELDS[y].label} %{{y:.3g}} {FIELDS[y].unit}<br>"
                "misfit %{customdata[3]:.2f} %, %{customdata[4]} atoms<extra></extra>",
            )
        )  # fmt: skip
    return go.Figure(
        traces,
        base_layout(
            xaxis=axis(FIELDS[x].header),
            yaxis=axis(FIELDS[y].header),
            legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "font": {"size": 11}},
            margin={"l": 54, "r": 12, "t": 28, "b": 42},
            showlegend=True,
            hovermode="closest",
            clickmode="event",
            uirevision="scatter",
        ),
    )


def histogram_figure(found: Histogram, field: str) -> go.Figure:
    """How one quantity of a filter is spread."""
    centres = [(low + high) / 2 for low, high in zip(found.edges, found.edges[1:], strict=False)]
    width = found.edges[1] - found.edges[0] if centres else 1.0
    return go.Figure(
        go.Bar(
            x=centres, y=found.counts, width=width * 0.94, marker={"color": "#94a3b8"},
            hovertemplate=f"{FIELDS[field].label} %{{x:.3g}} {FIELDS[field].unit}: %{{y:,}} pairs<extra></extra>",
        ),
        base_layout(xaxis=axis(FIELDS[field].header), yaxis=axis("Candidates"), bargap=0),
    )  # fmt: skip
