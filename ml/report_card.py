"""The part of a model card that says how good the model is: tables and plots from its evaluations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ml.class_artefact import WORDS
from ml.plots import PLOTS
from ml.report import Figure, Report, shown
from ml.splits import STRICT, Split
from schema.vocabulary import CurveKind, InterfaceKind, PartKind

MEANING: dict[Split, str] = {
    Split.MATERIAL: "no layer of a test row is in training",
    Split.BOTH_UNSEEN: "neither layer of a test row is in training",
    Split.ONE_UNSEEN: "exactly one layer of a test row is in training",
    Split.PAIR: "the two layers of a test row are in training, if at all, with other partners",
    Split.FAMILY: "no stoichiometry of a test row's layers is in training",
    Split.SUBSTRATE: "the substrate of a test row is not in training, with none of its surfaces",
    Split.RANDOM: "rows are dealt at random: shown only for how it flatters",
}
_OF_CLASSES = {"parity": "Named against calculated", "calibration": "What probabilities are worth"}
"""Captions of plots that say something else of classes."""
MAX_FAMILIES = 12
MAX_FEATURES = 10


def how_good(reports: Sequence[Report], unit: str, plots: Mapping[str, str]) -> list[str]:
    """Lines of Markdown.

    Args:
        reports: evaluations of the model, at least one.
        unit: of the target.
        plots: address of each plot that there is, by its name in `ml.plots.PLOTS`.
    """
    first = reports[0]
    classes = first.judged.mae is None
    what = "Shares of rows named rightly" if classes else f"Errors in {unit}"
    lines = [
        f"{what}, out of fold; folds by a stated rule (`ml/splits.py`). What counts is {STRICT[first.domain].value}: "
        f"{MEANING[STRICT[first.domain]]}. "
        + (
            f"**{first.method}** is what answers there; trees do only where they are ahead of every baseline by "
            "more than chance makes of the difference."
            if classes
            else "The method in **bold** is what answers; it is served only if it beats every baseline there. "
            "Intervals are calibrated without the rows that they are tested on."
        ),
        "",
    ]
    for report in reports:
        lines += _split_section(report, classes)
    strict = shown(reports) or first
    captions = {name: caption for name, (caption, _) in PLOTS.items()} | (_OF_CLASSES if classes else {})
    lines += [f"![{captions[name]}]({address})" for name, address in plots.items()]
    lines += [""] if plots else []
    lines += [*_warnings(reports), *_kinds(strict, classes), *_curve(strict, unit), *_features(strict, unit)]
    return lines


def _split_section(report: Report, classes: bool) -> list[str]:
    meaning = MEANING[Split(report.split)] if report.split in set(Split) else "folds from a file"
    lines = [f"### {report.split}, {report.source}", "", f"{meaning[0].upper()}{meaning[1:]}. {report.folds}.", ""]
    whole = [figure for figure in report.figures if figure.part_kind == PartKind.ALL]
    spread = any(figure.spread is not None for figure in whole)
    head = ["method", "n"]
    head += ["accuracy", "mean recall"] if classes else ["MAE", "RMSE", "R²"]
    head += ["± drawn again"] if spread else []
    head += [] if classes else ["coverage of 90 %", "by pair of layers", "mean half-width"]
    lines += [_row(head), _row(["---"] * len(head))]
    for figure in sorted(whole, key=lambda one: -one.error):
        ours = figure.method == report.method
        cells = [f"**{figure.method}**" if ours else figure.method, str(figure.n)]
        if classes:
            cells += [_share(figure.accuracy), _share(figure.balanced_accuracy)]
        else:
            cells += [_number(figure.mae), _number(figure.rmse), _number(figure.r2)]
        cells += [_spread(figure, classes)] if spread else []
        if not classes:
            cells += [_share(figure.coverage), _share(figure.coverage_by_material), _number(figure.width)]
        lines.append(_row(cells))
    lines.append("")
    if spread:
        drawn = f"Standard deviation of the error over {report.repeats} draws of folds and seeds."
        lines += [f"± drawn again: {drawn[0].lower()}{drawn[1:]}", ""]
    return lines


def _warnings(reports: Sequence[Report]) -> list[str]:
    """Where the judged method loses to a baseline, said aloud."""
    out = []
    for report in reports:
        if report.baselines and not report.beats_baseline and report.method not in report.baselines:
            best = report.best_baseline
            out += [
                f"**Under {report.split} the model's error ({report.judged.error:.3g}) is not below that of "
                f"{best.method} ({best.error:.3g}).** For what that split asks, trust it no more than the baseline.",
                "",
            ]
    return out


def _kinds(report: Report, classes: bool) -> list[str]:
    """The largest kinds of interface, model beside baseline."""
    if not report.baselines:
        return []
    theirs = {(one.part_kind, one.part): one for one in report.figures if one.method == report.best_baseline.method}
    ours = [one for one in report.figures if one.method == report.method and one.part_kind != PartKind.ALL]
    families = sorted((one for one in ours if one.part_kind == PartKind.FAMILY), key=lambda one: -one.n)
    shown = [*families[:MAX_FAMILIES], *(one for one in ours if one.part_kind != PartKind.FAMILY)]
    if not shown:
        return []
    head = ["interfaces", "n", "accuracy" if classes else "MAE", f"of {report.best_baseline.method}"]
    lines = [f"### By kind of interface ({report.split})", "", _row(head), _row(["---"] * 4)]
    for one in shown:
        beside = theirs.get((one.part_kind, one.part))
        name = f"class {_word(report.target, one.part)}" if one.part_kind == PartKind.CLASS else one.part
        pair = [one, beside]
        cells = ["" if x is None else _share(x.accuracy) if classes else _number(x.mae) for x in pair]
        lines.append(_row([name, str(one.n), *cells]))
    return [*lines, ""]


def _curve(report: Report, unit: str) -> list[str]:
    curve = report.curve(CurveKind.LEARNING)
    if curve is None or curve.n is None:
        return []
    drawn = "training rows" if report.domain == InterfaceKind.ON_BULK else "materials in training"
    points = "; ".join(f"{x:.0f} ({n} rows): {y:.3g}" for x, y, n in zip(curve.x, curve.y, curve.n, strict=True))
    return [f"Learning curve ({report.split}), error in {unit or 'shares'} by {drawn}: {points}.", ""]


def _features(report: Report, unit: str) -> list[str]:
    if not report.importance:
        return []
    top = ", ".join(f"`{name}` {value:.2g}" for name, value in report.importance[:MAX_FEATURES])
    return [
        f"What the trees go by (mean absolute SHAP value, {unit or 'logarithm of odds'}, over training rows): {top}."
        + " For one pair: `stackscreen models explain`.",
        "",
    ]


def _word(target: str, part: str) -> str:
    return WORDS.get(target, {}).get(int(part), part)


def _spread(figure: Figure, classes: bool) -> str:
    if figure.spread is None:
        return ""
    return f"{100 * figure.spread:.1f} %" if classes else f"{figure.spread:.2g}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _share(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f} %"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
