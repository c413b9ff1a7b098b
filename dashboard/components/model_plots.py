"""How far to trust a model, drawn: parity, learning, calibration, errors by kind of interface, and why one number."""

from __future__ import annotations

import math

import plotly.graph_objects as go

from dashboard.components.scatter import axis, base_layout
from dashboard.components.words import MODEL_COLOUR
from ml.class_artefact import WORDS
from ml.explain import Explanation
from ml.report import Curve, Figure, Report
from schema.vocabulary import CurveKind, PartKind

BASELINE_COLOUR = "#8a6d00"
_SHADES = [[0, "#c9b8f2"], [0.5, MODEL_COLOUR], [1, "#2b1460"]]
_GUIDE = {"color": "#9aa3af", "width": 1}
_MAX_FAMILIES = 10
_NAME_LENGTH = 34


def parity_figure(report: Report, symbol: str, unit: str) -> go.Figure | None:
    """Predicted against calculated values as counts on a grid; None if there are none."""
    curve = report.curve(CurveKind.PARITY)
    if curve is None or curve.n is None:
        return None
    if report.judged.mae is None:
        return _confusion_figure(report, curve)
    ends = [min(curve.x + curve.y), max(curve.x + curve.y)]
    dots = go.Scatter(
        x=curve.x,
        y=curve.y,
        mode="markers",
        # Counts span orders of magnitude, and a single interface is to be seen as well.
        marker={
            "color": [math.log10(max(n, 1)) for n in curve.n],
            "colorscale": _SHADES,
            "size": 6,
            "symbol": "square",
        },
        customdata=curve.n,
        hovertemplate=f"calculated %{{x:.3g}} {unit}<br>predicted %{{y:.3g}} {unit}<br>"
        "%{customdata} interfaces<extra></extra>",
    )
    line = go.Scatter(x=ends, y=ends, mode="lines", line=_GUIDE, hoverinfo="skip")
    return go.Figure(
        [line, dots],
        base_layout(
            xaxis=axis(f"{symbol} calculated ({unit})"), yaxis=axis(f"{symbol} predicted ({unit})"), showlegend=False
        ),
    )


def _confusion_figure(report: Report, curve: Curve) -> go.Figure:
    """Calculated against named classes: the number of interfaces in every cell."""
    words = WORDS.get(report.target, {})
    classes = sorted({round(value) for value in curve.x + curve.y})
    counts = [[0] * len(classes) for _ in classes]
    for x, y, n in zip(curve.x, curve.y, curve.n or [], strict=True):
        counts[classes.index(round(x))][classes.index(round(y))] = n
    shares = [[n / max(sum(row), 1) for n in row] for row in counts]
    names = [words.get(value, str(value)) for value in classes]
    cells = go.Heatmap(
        x=names, y=names, z=shares, text=counts, texttemplate="%{text}", colorscale=_SHADES, zmin=0, zmax=1,
        hovertemplate="calculated %{y}<br>named %{x}<br>%{text} interfaces<extra></extra>", showscale=False,
    )  # fmt: skip
    # Classes are words: an axis of numbers would put them where there is none.
    return go.Figure(
        cells,
        base_layout(
            xaxis=axis("named", type="category"), yaxis=axis("calculated", type="category", autorange="reversed"),
            showlegend=False,
        ),
    )  # fmt: skip


def learning_figure(report: Report, unit: str) -> go.Figure | None:
    """Error against the number of training materials, beside the best baseline; None if there is no curve."""
    curve = report.curve(CurveKind.LEARNING)
    if curve is None:
        return None
    best = report.best_baseline
    model = go.Scatter(
        x=curve.x, y=curve.y, mode="lines+markers", name="model", line={"color": MODEL_COLOUR},
        customdata=curve.n, hovertemplate="%{x:.0f} materials, %{customdata} rows<br>%{y:.3g}<extra></extra>",
    )  # fmt: skip
    figure = go.Figure(
        model,
        base_layout(
            # Measured points are few: a tick at each, and none where nothing was measured.
            xaxis=axis("materials in training", type="log", tickvals=curve.x, ticktext=[f"{x:.0f}" for x in curve.x]),
            yaxis=axis(_error_title(report, unit), rangemode="tozero"),
            showlegend=False,
        ),
    )
    words = f"{best.method.replace('_', ' ')}: {best.error:.3g}"
    return figure.add_hline(
        best.error, line={"color": BASELINE_COLOUR, "dash": "dash"}, annotation_text=words,
        annotation_font_color=BASELINE_COLOUR,
    )  # fmt: skip


def calibration_figure(report: Report) -> go.Figure | None:
    """Share of interfaces that intervals cover against the share asked for; None if there is no curve."""
    curve = report.curve(CurveKind.CALIBRATION)
    if curve is None:
        return None
    ends = [0.4, 1.0]
    named = report.judged.mae is None
    asked, found = ("probability stated", "share right") if named else ("share asked for", "share covered")
    return go.Figure(
        [
            go.Scatter(x=ends, y=ends, mode="lines", line=_GUIDE, hoverinfo="skip"),
            go.Scatter(
                x=curve.x, y=curve.y, mode="lines+markers", line={"color": MODEL_COLOUR},
                hovertemplate=f"{asked} %{{x:.0%}}<br>{found} %{{y:.1%}}<extra></extra>",
            ),
        ],
        base_layout(
            xaxis=axis(asked, range=ends, tickformat=".0%"),
            yaxis=axis(found, range=ends, tickformat=".0%"),
            showlegend=False,
        ),
    )  # fmt: skip


def kinds_figure(report: Report, unit: str) -> go.Figure | None:
    """Errors by family and by block of elements, model beside baseline; None if none are told apart."""
    ours = [one for one in report.figures if one.method == report.method and one.part_kind != PartKind.ALL]
    if not ours or not report.baselines:
        return None
    best = report.best_baseline.method
    theirs = {(one.part_kind, one.part): one for one in report.figures if one.method == best}
    families = sorted((one for one in ours if one.part_kind == PartKind.FAMILY), key=lambda one: -one.n)
    shown = [*families[:_MAX_FAMILIES], *(one for one in ours if one.part_kind != PartKind.FAMILY)][::-1]
    names = [_kind_name(report.target, one) for one in shown]

    def bars(name: str, found: list[Figure | None], colour: str) -> go.Bar:
        values = [None if one is None else one.error for one in found]
        return go.Bar(
            y=names,
            x=values,
            name=name,
            orientation="h",
            marker={"color": colour},
            hovertemplate="%{y}<br>%{x:.3g}<extra></extra>",
        )

    beside = [theirs.get((one.part_kind, one.part)) for one in shown]
    return go.Figure(
        [bars(best.replace("_", " "), beside, BASELINE_COLOUR), bars("model", list(shown), MODEL_COLOUR)],
        base_layout(
            xaxis=axis(_error_title(report, unit)),
            yaxis={"automargin": True, "ticks": ""},
            barmode="group",
            legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "traceorder": "reversed"},
            margin={"l": 10, "r": 12, "t": 40, "b": 42},
        ),
    )  # fmt: skip


def why_figure(said: Explanation, shown: int = 8) -> go.Figure | None:
    """What the features that matter most add to one prediction; None where no model speaks."""
    if not said.contributions:
        return None
    top = list(said.contributions[:shown])
    rest = sum(one.shap for one in said.contributions[shown:])
    rows = [
        (
            _short(one.feature),
            one.shap,
            "unknown" if one.value is None else f"{one.value:.3g} {one.unit if one.unit != '1' else ''}",
        )
        for one in top
    ]
    rows.append((f"{max(len(said.contributions) - shown, 0)} others and the mean", rest + said.typical, ""))
    if said.graph is not None:
        rows.append(("the graph of the atoms", said.graph.added, f"it says {said.graph.value:.3g} {said.unit}"))
    rows.reverse()
    return go.Figure(
        go.Bar(
            y=[name for name, _, _ in rows],
            x=[value for _, value, _ in rows],
            orientation="h",
            marker={"color": [MODEL_COLOUR if value >= 0 else "#b9a7e6" for _, value, _ in rows]},
            customdata=[text for _, _, text in rows],
            hovertemplate=f"%{{y}} %{{customdata}}<br>%{{x:+.3g}} {said.unit}<extra></extra>",
        ),
        base_layout(
            xaxis=axis(f"added to physics ({said.unit})", zeroline=True, zerolinecolor="#6b7280"),
            yaxis={"automargin": True, "ticks": ""},
            margin={"l": 10, "r": 12, "t": 4, "b": 40},
            height=290,
        ),
    )


def _error_title(report: Report, unit: str) -> str:
    return "share named wrongly" if report.judged.mae is None else f"mean absolute error ({unit})"


def _kind_name(target: str, one: Figure) -> str:
    word = WORDS.get(target, {}).get(int(one.part), one.part) if one.part_kind == PartKind.CLASS else ""
    name = f"class {word}" if word else one.part
    return f"{name} ({one.n:,})"


def _short(feature: str) -> str:
    name = feature.replace("_", " ")
    return name if len(name) <= _NAME_LENGTH else f"{name[: _NAME_LENGTH - 1]}…"
