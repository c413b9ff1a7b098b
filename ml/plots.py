"""The plots of a model card, as SVG: the same report gives the same bytes."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure as Canvas

from ml.class_artefact import WORDS
from ml.report import Curve, Report
from schema.quantities import QUANTITIES
from schema.vocabulary import CurveKind, PartKind

MODEL_COLOUR = "#6941c6"
BASELINE_COLOUR = "#8a6d00"
MAX_BARS = 14
"""Families shown, the largest ones."""
_STYLE: Any = {
    "svg.hashsalt": "stackscreen",
    # Text stays text: small files, and readable by search.
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def parity(report: Report) -> bytes | None:
    """Predicted against calculated values, rows counted on a grid; of classes a confusion matrix. None without."""
    curve = report.curve(CurveKind.PARITY)
    if curve is None or curve.n is None:
        return None
    symbol, unit = _symbol(report)
    if report.judged.mae is None:
        return _confusion(report, curve)

    def draw(canvas: Canvas) -> None:
        axes = canvas.add_subplot()
        ends = [min(curve.x + curve.y), max(curve.x + curve.y)]
        axes.plot(ends, ends, color="#9aa3af", linewidth=0.8, zorder=0)
        dots = axes.scatter(curve.x, curve.y, c=curve.n, s=9, marker="s", norm=LogNorm(), cmap="viridis", linewidths=0)
        canvas.colorbar(dots, ax=axes, label="interfaces in the cell")
        axes.set(xlabel=f"{symbol} calculated ({unit})", ylabel=f"{symbol} predicted ({unit})", aspect="equal")
        axes.set_title(f"{report.split}, MAE {report.judged.mae:.3g} {unit}", fontsize=9)

    return _svg(draw, 4.2, 3.6)


def _confusion(report: Report, curve: Curve) -> bytes:
    """Calculated against named classes, with the number of interfaces in every cell."""
    names = WORDS.get(report.target, {})
    classes = sorted({round(value) for value in curve.x + curve.y})
    counts = np.zeros((len(classes), len(classes)), int)
    for x, y, n in zip(curve.x, curve.y, curve.n or [], strict=True):
        counts[classes.index(round(x)), classes.index(round(y))] = n
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)

    def draw(canvas: Canvas) -> None:
        axes = canvas.add_subplot()
        axes.imshow(shares, cmap="Purples", vmin=0, vmax=1)
        words = [names.get(value, str(value)) for value in classes]
        axes.set_xticks(range(len(classes)), words)
        axes.set_yticks(range(len(classes)), words)
        for i, j in np.ndindex(*counts.shape):
            shade = "white" if shares[i, j] > 0.5 else "black"
            axes.text(j, i, f"{counts[i, j]}", ha="center", va="center", color=shade)
        axes.set(xlabel="named", ylabel="calculated")
        axes.set_title(f"{report.split}, {100 * (report.judged.accuracy or 0):.1f} % right", fontsize=9)

    return _svg(draw, 3.4, 3.2)


def learning(report: Report) -> bytes | None:
    """Error against the number of training materials; None if the report has no learning curve."""
    curves = [curve for curve in report.curves if curve.kind == CurveKind.LEARNING]
    if not curves:
        return None
    _, unit = _symbol(report)

    def draw(canvas: Canvas) -> None:
        axes = canvas.add_subplot()
        for curve in curves:
            ours = curve.method == report.method or report.method.startswith(f"{curve.method},")
            axes.plot(
                curve.x,
                curve.y,
                "o-",
                color=MODEL_COLOUR if ours else BASELINE_COLOUR,
                label=curve.method,
                markersize=4,
            )
        if report.baselines:
            best = report.best_baseline
            axes.axhline(best.error, color=BASELINE_COLOUR, linestyle="--", linewidth=1, label=best.method)
        axes.set(xscale="log", xlabel="materials in training", ylabel=_error_label(report, unit))
        axes.set_ylim(bottom=0)
        ticks = sorted({round(x) for x in curves[0].x})
        axes.set_xticks(ticks, [str(tick) for tick in ticks])
        axes.set_xticks([], minor=True)
        axes.legend(frameon=False, fontsize=8)

    return _svg(draw, 4.2, 3.2)


def calibration(report: Report) -> bytes | None:
    """Share that intervals cover against the share asked for; None if the report has no such curve.

    Rows count as in `ml.uncertainty`, half-way between rows and materials counting alike. Of classes the share named
    rightly against the probability stated.
    """
    curve = report.curve(CurveKind.CALIBRATION)
    if curve is None:
        return None

    named = report.judged.mae is None
    words = ("probability stated", "share named rightly") if named else ("share asked for", "share covered")

    def draw(canvas: Canvas) -> None:
        axes = canvas.add_subplot()
        axes.plot([0.4, 1], [0.4, 1], color="#9aa3af", linewidth=0.8)
        axes.plot(curve.x, curve.y, "o-", color=MODEL_COLOUR, markersize=4)
        axes.set(xlabel=words[0], ylabel=f"{words[1]}, without having calibrated", xlim=(0.4, 1), ylim=(0.4, 1))
        axes.set_aspect("equal")
        axes.set_title(report.split, fontsize=9)

    return _svg(draw, 3.2, 3.2)


def by_kind(report: Report) -> bytes | None:
    """Errors by family and by block of elements, model beside baseline; None if the report tells none apart."""
    ours = [one for one in report.figures if one.method == report.method and one.part_kind != PartKind.ALL]
    if not ours or not report.baselines:
        return None
    baseline = report.best_baseline.method
    theirs = {(one.part_kind, one.part): one for one in report.figures if one.method == baseline}
    _, unit = _symbol(report)
    families = sorted((one for one in ours if one.part_kind == PartKind.FAMILY), key=lambda one: -one.n)[:MAX_BARS]
    shown = [*families, *(one for one in ours if one.part_kind != PartKind.FAMILY)]

    def draw(canvas: Canvas) -> None:
        axes = canvas.add_subplot()
        at = np.arange(len(shown))[::-1]
        beside = [theirs.get((one.part_kind, one.part)) for one in shown]
        axes.barh(at + 0.2, [one.error for one in shown], 0.4, color=MODEL_COLOUR, label=report.method)
        axes.barh(
            at - 0.2,
            [np.nan if one is None else one.error for one in beside],
            0.4,
            color=BASELINE_COLOUR,
            label=baseline,
        )
        names = [f"{'class ' if one.part_kind == PartKind.CLASS else ''}{one.part} ({one.n})" for one in shown]
        axes.set_yticks(at, names)
        axes.set_xlabel(_error_label(report, unit))
        axes.legend(frameon=False, fontsize=8, loc="lower left", bbox_to_anchor=(0, 1), ncols=2)

    return _svg(draw, 5.2, 0.9 + 0.28 * len(shown))


def importance(report: Report, shown: int = 15) -> bytes | None:
    """Mean absolute SHAP value of the features that matter most; None if the report has none."""
    if not report.importance:
        return None
    top = report.importance[:shown][::-1]
    _, unit = _symbol(report)

    def draw(canvas: Canvas) -> None:
        axes = canvas.add_subplot()
        axes.barh(np.arange(len(top)), [value for _, value in top], color=MODEL_COLOUR)
        axes.set_yticks(np.arange(len(top)), [name for name, _ in top])
        axes.set_xlabel(f"mean |SHAP value| ({unit or 'ln odds'})")

    return _svg(draw, 5.2, 0.7 + 0.24 * len(top))


PLOTS: dict[str, tuple[str, Callable[[Report], bytes | None]]] = {
    "parity": ("Predicted against calculated", parity),
    "learning": ("Error against the number of materials in training", learning),
    "calibration": ("What intervals cover", calibration),
    "by_kind": ("Errors by family and by block of elements", by_kind),
    "importance": ("What the trees go by", importance),
}
"""Name, caption and drawing of every plot of a card, in its order."""


def write(report: Report, folder: Path) -> list[Path]:
    """Write the plots that a report has data for as `<name>.svg`; returns the files."""
    files = []
    for name, (_, draw) in PLOTS.items():
        content = draw(report)
        if content is not None:
            folder.mkdir(parents=True, exist_ok=True)
            files.append(folder / f"{name}.svg")
            files[-1].write_bytes(content)
    return files


def _symbol(report: Report) -> tuple[str, str]:
    quantity = QUANTITIES.get(report.target)
    return (report.target, "") if quantity is None else (quantity.symbol, quantity.unit)


def _error_label(report: Report, unit: str) -> str:
    return "share named wrongly" if report.judged.mae is None else f"mean absolute error ({unit})"


def _svg(draw: Callable[[Canvas], None], width: float, height: float) -> bytes:
    with mpl.rc_context(_STYLE):
        canvas = Canvas(figsize=(width, height), layout="constrained")
        FigureCanvasSVG(canvas)
        draw(canvas)
        out = io.BytesIO()
        canvas.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    # A file that ends in blanks at its lines' ends is changed by every editor that opens it.
    return b"\n".join(line.rstrip() for line in out.getvalue().splitlines()) + b"\n"
