"""Model cards: what a person must know before trusting a number, from the artefact's own JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ml.card_page import card_page
from ml.class_cards import class_card
from ml.registry import EMBEDDING
from schema.quantities import QUANTITIES
from schema.vocabulary import InterfaceKind

_SHARED_LIMITS = """\
- Layers are taken as their isolated, unstrained selves; the relaxed stack's geometry is never an input.
- The layers' PBE gaps and band edges are the only electronic inputs; what is predicted is of the labels' functional.
- `domain_distance` says how far either partner lies from those in training (1 = the edge). Beyond 1 the prediction
  extrapolates and its interval promises nothing."""
LIMITS: dict[str, str] = {
    InterfaceKind.HOMOBILAYER.value: """\
- Learnt from homobilayers alone: two different layers are answered for by the heterobilayers' model.
- A twisted homobilayer has no single registry: what holds for it is the line "registry unknown".
""",
    InterfaceKind.HETEROBILAYER.value: """\
- Learnt from heterobilayers of few prototypes, far fewer than there are pairs. Most pairs of a screen have two partners
  that training has not seen, and intervals are those of that number.
- Calculations of a single registry and of moiré cells come from different sources and functionals: each state answers
  in its own.
""",
    InterfaceKind.ON_BULK.value: """\
- Learnt from three films on elemental metals. Other films and compound substrates are outside what it was validated on.
""",
}
"""What is to be known of each domain, before what holds for all."""


def card_markdown(content: Mapping[str, Any], plots: Mapping[str, str] | None = None) -> str:
    """A model card.

    Args:
        content: as written to `card.json` (see `ml.shelf.write`), or the same columns of `model_version`; under
            "reports" its evaluations (`ml.report.Report.as_json`), if they are kept.
        plots: address of each plot that there is, by its name in `ml.plots.PLOTS`.
    """
    if content["target"] == EMBEDDING:
        return _encoder_card(content)
    one_of_classes = content["card"].get("kind") == "classes"
    return (class_card if one_of_classes else _pair_card)(content, plots or {})


def _pair_card(content: Mapping[str, Any], plots: Mapping[str, str]) -> str:
    card, quantity = content["card"], QUANTITIES[content["target"]]
    served = (
        f"It beats calibrated physics (`{card['physics']}`) on unseen materials and is served."
        if card["beats_calibrated_physics"]
        else f"It does **not** beat calibrated physics (`{card['physics']}`) on unseen materials, which is served."
    )
    return card_page(
        content,
        plots,
        meaning=quantity.meaning,
        about=f"Symbol {quantity.symbol}, unit {quantity.unit}.",
        what_it_does=[_what_it_does(card)],
        limits=LIMITS[content["domain"]] + _SHARED_LIMITS,
        unit=quantity.unit,
        served=served,
    )


def _what_it_does(card: Mapping[str, Any]) -> str:
    read = (
        f"The trees read {len(card['features']['names'])} components of the feature set {card['features']['set']}: the "
        "isolated layers and, where there is one, the registry. The relaxed stack's geometry is never an input."
    )
    lines = []
    for key, state in card["states"].items():
        line = _line(state["physics"]["feature"] or "mean of the training rows", state["physics"])
        trees = (
            f", plus the mean of ensembles of {state['trees']} trees in all on what is left" if state["trees"] else ""
        )
        learned = f"learned from {state['rows']} rows of {state['source']}"
        if state.get("networks"):
            half = "one half of what is given; the other is a graph fusion of both layers' atoms on the same physics"
            trees += f": {half}, the mean of {state['networks']} networks"
        lines.append(f"Registry {key}: {line[0].lower()}{line[1:]}{trees}, {learned}.")
    if card.get("encoder"):
        read += (
            " The graph half reads the embeddings that the slab encoder (artefact SHA-256 "
            f"`{card['encoder'][:12]}…`) makes of each isolated layer and of the face that it shows, with composition, "
            "properties and the pair features. Where a layer has not been encoded the trees answer alone, with "
            "intervals of their own. `stackscreen models explain` gives SHAP values of the trees and, for the graph, "
            "what each element of either layer adds. See [graph and fusion heads](graph-fusion.md)."
        )
    return "\n".join([*lines, read] if card["features"]["names"] else lines)


def _line(physics: str, calibration: Mapping[str, Any]) -> str:
    return (
        f"Physics estimate `{physics}`, calibrated by a straight line "
        f"({calibration['intercept']:.4g} + {calibration['slope']:.4g} x)"
    )


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
