"""Model cards: what a person must know before trusting a number, from the artefact's own JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ml.bilayer_evaluation import REGISTRY_UNKNOWN
from ml.registry import EMBEDDING
from ml.report import Report
from ml.report_card import how_good
from schema.quantities import QUANTITIES
from schema.vocabulary import InterfaceKind

_METHODS = ("method", "n", "MAE", "RMSE", "R²", "coverage of 90 %", "by material", "mean half-width")

LIMITS = """\
- Learnt from homobilayers alone. **Heterobilayers are outside the domain it was validated on**: for two different
  layers the number rests on the physics estimate and on averages of the two layers' descriptors, and no interval was
  calibrated on such pairs unless the card says so. Treat it as a ranking aid.
- The screen's pairs have no single registry: what holds for them is the line "registry unknown".
- Strain is not an input. Layers are taken unstrained.
- PBE throughout: gaps are PBE gaps, binding energies PBE-D3.
- `domain_distance` says how far a layer lies from those in training (1 = the edge). Beyond 1 the prediction
  extrapolates and its interval promises nothing.
- Nothing is predicted for layers on bulk surfaces."""


_SHARED_LIMITS = """\
- Layers are taken as their isolated, unstrained selves; the relaxed stack's geometry is never an input.
- PBE edges and gaps of the layers are the only electronic inputs, so that predicted gaps are of the labels' functional
  as far as training shows it.
- `domain_distance` says how far either partner lies from those in training (1 = the edge). Beyond 1 the prediction
  extrapolates and its interval promises nothing."""
LIMITS_OF: dict[str, str] = {
    InterfaceKind.HETEROBILAYER.value: """\
- Learnt from heterobilayers of semiconductors of few prototypes, far fewer than there are pairs: intervals are those of
  the number of partners that training has not seen.
"""
    + _SHARED_LIMITS,
    InterfaceKind.ON_BULK.value: """\
- Learnt from a few films on elemental metals. Other films and compound substrates are outside what it was validated on.
"""
    + _SHARED_LIMITS,
}
"""By domain, where it is not the homobilayers', whose limits are `LIMITS`."""


def card_markdown(content: Mapping[str, Any], plots: Mapping[str, str] | None = None) -> str:
    """A model card.

    Args:
        content: as written to `card.json` (see `ml.shelf.write`), or the same columns of `model_version`; under
            "reports" its evaluations (`ml.report.Report.as_json`), if they are kept.
        plots: address of each plot that there is, by its name in `ml.plots.PLOTS`.
    """
    return _encoder_card(content) if content["target"] == EMBEDDING else _pair_card(content, plots or {})


def _pair_card(content: Mapping[str, Any], plots: Mapping[str, str]) -> str:
    card, quantity = content["card"], QUANTITIES[content["target"]]
    data = card["data"]
    served = (
        f"It beats calibrated physics (`{card['physics']}`) on unseen materials and is served."
        if card["beats_calibrated_physics"]
        else f"It does **not** beat calibrated physics (`{card['physics']}`) on unseen materials, which is served."
    )
    left_out = "; ".join(f"{count} {reason}" for reason, count in data["left_out"].items())
    lines = [
        f"# {content['name']}: {quantity.meaning.rstrip('.')}",
        "",
        f"Symbol {quantity.symbol}, unit {quantity.unit}. Family `{content['family']}`, domain `{content['domain']}`. "
        + served,
        "",
        f"Artefact SHA-256 `{card['digest']}`, training rows SHA-256 `{data['digest']}`.",
        "",
        "## What it does",
        "",
        card.get("what_it_does") or _residual_trees(card),
        "",
        "## Data",
        "",
        f"{data['source']}. {data['rows']} rows of {data['materials']} materials, cleaned by {data['cleaning_rule']}. "
        f"Left out: {left_out or 'none'}.",
        "",
        "## How good it is",
        "",
    ]
    reports = [Report.from_json(report) for report in content.get("reports", [])]
    lines += how_good(reports, quantity.unit, plots) if reports else _stored_metrics(content)
    if card.get("different_layers"):
        rule = card["different_layers"]
        lines += [
            f"**For two different semiconductors the trees are not used**: `{rule['feature']}` is given as it is, "
            f"with a half-width of {rule['half_width']:g} {quantity.unit}: the trees were seen to lose to it there.",
            "",
        ]
    if card.get("external_checks"):
        lines += ["## On heterobilayers it was not trained on", "", *_external(card["external_checks"]), ""]
    lines += ["## Where it stops being valid", "", LIMITS_OF.get(content["domain"], LIMITS), ""]
    return "\n".join(lines)


def _residual_trees(card: Mapping[str, Any]) -> str:
    calibration = card["calibration"]
    return (
        f"Physics estimate `{card['physics']}`, calibrated by a straight line "
        f"({calibration['intercept']:.4g} + {calibration['slope']:.4g} x), plus gradient-boosted trees on what is "
        f"left. The trees read {len(card['features']['names'])} components of the feature set "
        f"{card['features']['set']}: the isolated layers and, where there is one, the registry. The "
        "relaxed stack's geometry is never an input."
    )


def _stored_metrics(content: Mapping[str, Any]) -> list[str]:
    """Tables of a version that was registered with its metrics alone."""
    card, unit = content["card"], QUANTITIES[content["target"]].unit
    lines = [
        f"Errors in {unit}, out of fold ({card['folds']['number']} folds, {card['folds']['rule']}). What "
        "counts is leave-material-out: no layer of a test row is in training. The random split is there to show how it "
        "flatters. Intervals are calibrated without the fold they are tested on: with the registry known every row "
        "counts alike, otherwise every material.",
        "",
    ]
    for split, methods in content["metrics"].items():
        lines += [f"### {split}", "", _row(_METHODS), _row(["---"] * len(_METHODS))]
        lines += [_row(_metric_cells(name, values)) for name, values in methods.items()]
        lines.append("")
    return lines + _warnings(content)


def _warnings(content: Mapping[str, Any]) -> list[str]:
    """Where the served model loses to calibrated physics, said aloud."""
    physics = f"{content['card']['physics']}, calibrated"
    out = []
    for split, methods in content["metrics"].items():
        model, line = methods.get(REGISTRY_UNKNOWN), methods.get(physics)
        if model and line and model["mae"] >= line["mae"]:
            out += [
                f"**Under {split} the model's mean absolute error ({model['mae']:.3f}) is not below that of calibrated "
                f"physics ({line['mae']:.3f}); root mean squares are {model['rmse']:.3f} and {line['rmse']:.3f}.** For "
                "layers of a stoichiometry that training does not hold, trust it no more than the physics.",
                "",
            ]
    return out


def _metric_cells(name: str, values: Mapping[str, Any]) -> list[str]:
    def share(key: str) -> str:
        return "" if values.get(key) is None else f"{100 * values[key]:.1f} %"

    width = "" if values.get("width") is None else f"{values['width']:.3g}"
    return [
        name,
        str(values["n"]),
        f"{values['mae']:.3f}",
        f"{values['rmse']:.3f}",
        f"{values['r2']:.3f}",
        share("coverage"),
        share("coverage_by_material"),
        width,
    ]


def _external(checks: Mapping[str, Any]) -> list[str]:
    lines = [checks["what"], "", _row(_METHODS), _row(["---"] * len(_METHODS))]
    return lines + [_row(_metric_cells(name, values)) for name, values in checks["metrics"].items()]


def _encoder_card(content: Mapping[str, Any]) -> str:
    card = content["card"]
    data, parameters = card["data"], card["parameters"]
    lines = [
        f"# {content['name']}: {card['meaning']}",
        "",
        f"Message passing between atoms, periodic in the plane, cutoff {parameters['cutoff']} Å: "
        f"{parameters['dimensions']} dimensions for the layer, {parameters['face_dimensions']} for either face; "
        "turning the layer over exchanges those of the faces. "
        f"Artefact SHA-256 `{card['digest']}`.",
        "",
        "Used to find similar monolayers, and offered to the pair models. It has seen isolated layers and their "
        "properties, and no stack. Its heads only shaped the embedding.",
        "",
        "## Data",
        "",
        f"{data['source']}. {data['layers']} layers of at most {data['largest_cell']} atoms, {data['held_out']} of "
        f"them held out ({content['split']}).",
        "",
        "## How much it knows",
        "",
        _row(["held-out layers", "n", "MAE", "MAE of the median", "unit"]),
        _row(["---"] * 5),
    ]
    for key, values in content["metrics"]["held out"].items():
        lines.append(
            _row([key, str(values["n"]), f"{values['mae']:.3f}", f"{values['mae_of_median']:.3f}", values["unit"]])
        )
    lines += ["", "It is far from the best published networks; it is small, and trained in minutes on one thread.", ""]
    return "\n".join(lines)


def _row(cells: list[str] | tuple[str, ...]) -> str:
    return "| " + " | ".join(cells) + " |"
