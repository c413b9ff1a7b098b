"""The card of a class model: what its classes mean, what answers when, and what its probabilities are worth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ml.card_page import card_page
from ml.class_calibration import rival
from schema.quantities import ALIGNMENT_TYPE, METALLIC, SLIDE_STABILITY

LIMITS: dict[str, str] = {
    ALIGNMENT_TYPE.key: """\
- Read off the band edges of calculated stacks (`ml/alignment.py`): two semiconductors in one cell, AA or AB, of few
  prototypes. Stacks whose edges belong to neither layer beyond the noise between sources are neither learned nor
  judged.
- PBE's gaps are too small, and the types are those of such calculations.
- Where a layer is a metal the type is "metal" by definition, and nothing is predicted.""",
    METALLIC.key: """\
- By the gaps of PBE, which are too small: some metals among these are semiconductors of small gap.
- Learnt from homobilayers alone. Of two different semiconductors a broken alignment (type III) leaves no gap.""",
    SLIDE_STABILITY.key: """\
- Of one registry: for pairs without one nothing is said.
- Learnt from homobilayers alone: of two different layers nothing is said.
- "Stable" is what the source calls so, by the curvature of its calculated energies against sliding.""",
}
"""Where each class stops being valid, before what holds for all."""
_SHARED = """\
- Layers are taken as their isolated, unstrained selves; the relaxed stack's geometry is never an input.
- `domain_distance` says how far either partner lies from those in training (1 = the edge). Beyond 1 the probability
  extrapolates and promises nothing."""
_PARTNERS = {"0": "neither", "1": "one", "2": "both"}


def class_card(content: Mapping[str, Any], plots: Mapping[str, str]) -> str:
    """A card.

    Args:
        content, plots: as for `ml.cards.card_markdown`.
    """
    card = content["card"]
    words = ", ".join(f"{number} = {word}" for number, word in card["classes"].items())
    return card_page(
        content,
        plots,
        meaning=card["meaning"],
        about=f"Classes: {words}.",
        what_it_does=[_what_it_does(card), "", *_answers(card)],
        limits=f"{LIMITS[content['target']]}\n{_SHARED}",
        more_figures=_probabilities(card),
    )


def _what_it_does(card: Mapping[str, Any]) -> str:
    physics = card["physics"]
    if physics["kind"] == "anderson":
        broken = physics["broken"]
        start = (
            "Anderson's rule with its doubts calibrated (`ml/models/class_physics.py`): a gap is broken with the "
            f"probability 1 / (1 + exp({-broken['intercept']:.3g} {-broken['slopes'][0]:+.3g} x)), x being the overlap "
            "of the layers' gaps in eV, and an offset is turned round with one that falls with its size. Levels are "
            "those without spin-orbit coupling, as the stacks are calculated, where these are known"
        )
    elif physics["kind"] == "line":
        line = physics["line"]
        start = (
            f"Physics estimate `{physics['feature']}`, calibrated: the second class has the probability "
            f"1 / (1 + exp({-line['intercept']:.3g} {-line['slopes'][0]:+.3g} x))"
        )
    else:
        start = "The classes' frequencies"
    where = " Of one registry only." if card["needs_registry"] else ""
    return (
        f"{start}; on it small trees that read {len(card['features']['names'])} components of the feature set "
        f"{card['features']['set']}. Probabilities are calibrated by a temperature on unseen rows.{where}"
    )


def _answers(card: Mapping[str, Any]) -> list[str]:
    lines = [
        "| layers that training has not seen | answered by | temperature | a 90 % set holds classes from |",
        "| --- | --- | --- | --- |",
    ]
    for number, split in card["by_unseen"].items():
        one = card["answers"][split]
        fitted = one["calibration"]
        lines.append(
            f"| {_PARTNERS[number]} | {one['method']} | {fitted['temperature']:.3g} | {100 * fitted['least']:.1f} % |"
        )
    return lines


def _probabilities(card: Mapping[str, Any]) -> list[str]:
    """What probabilities are worth, beside those of the classes' frequencies."""
    lines = [
        "### Probabilities",
        "",
        "Calibrated without the rows that they are judged on. Brier score (0 to 2) and log loss: small is good; beside "
        "them those of the best other probabilities.",
        "",
        "| split | beside | Brier | its | log loss | its | 90 % sets hold the class | classes in a set |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for split, one in card["answers"].items():
        other = rival(one["probabilities"], one["method"])
        ours, theirs = one["probabilities"][one["method"]], one["probabilities"][other]
        lines.append(
            f"| {split} | {other} | {ours['brier']:.3f} | {theirs['brier']:.3f} | {ours['log_loss']:.3f} | "
            f"{theirs['log_loss']:.3f} | {100 * ours['coverage']:.1f} % | {ours['set_size']:.2f} |"
        )
    return [*lines, ""]
