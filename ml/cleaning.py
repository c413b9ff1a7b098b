"""What a label must be to be learnt from: a rule for each target, and the count of what it leaves out.

A row that fails the rule of one target keeps the others: that layers are bonded says nothing against their gap.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from ml.alignment import MIN_MARGIN
from schema.quantities import ALIGNMENT_TYPE, BINDING_ENERGY, INTERLAYER_DISTANCE

MAX_BINDING_ENERGY = 60.0
"""meV/Å²: above, the layers are chemically bonded, or the calculation failed."""
MIN_DISTANCE = 1.5
"""Å: below, the layers are chemically bonded or interpenetrate."""
MAX_DISTANCE = 6.0
"""Å: above, two layers have not found each other: van der Waals contacts end at 5 Å."""

BOUND_BILAYER = f"0 < E_b ≤ {MAX_BINDING_ENERGY:g} meV/Å² and d ≥ {MIN_DISTANCE:g} Å"
_STACKS = frozenset({"bidb", "hetml"})


@dataclass(frozen=True)
class Rule:
    """A rule and its wording.

    Attributes:
        says: the rule, as a model card prints it.
        reason: given all labels of a row, why its label is left out, or None if it stays.
    """

    says: str
    reason: Callable[[Mapping[str, float]], str | None]


def _bound_bilayer(labels: Mapping[str, float]) -> str | None:
    energy = labels.get(BINDING_ENERGY.key, np.nan)
    distance = labels.get(INTERLAYER_DISTANCE.key, np.nan)
    if not np.isfinite(energy) or not np.isfinite(distance):
        return "binding energy or distance missing or unphysical"
    if energy <= 0:
        return "binding energy ≤ 0 (not bound)"
    if energy > MAX_BINDING_ENERGY:
        return f"binding energy > {MAX_BINDING_ENERGY:g} meV/Å² (bonded or failed)"
    if distance < MIN_DISTANCE:
        return f"distance < {MIN_DISTANCE:g} Å (bonded or interpenetrating)"
    return None


def _distance(labels: Mapping[str, float]) -> str | None:
    distance = labels[INTERLAYER_DISTANCE.key]
    if distance < MIN_DISTANCE:
        return f"distance < {MIN_DISTANCE:g} Å (bonded or interpenetrating)"
    return f"distance > {MAX_DISTANCE:g} Å (apart)" if distance > MAX_DISTANCE else None


def _decided(labels: Mapping[str, float]) -> str | None:
    undecided = labels[ALIGNMENT_TYPE.key] == 0
    return f"an edge within {MIN_MARGIN:g} eV of belonging to either layer" if undecided else None


def _everything(_: Mapping[str, float]) -> None:
    return None


ALL = Rule("all labelled rows", _everything)
_BOUND = Rule(BOUND_BILAYER, _bound_bilayer)
_IN_CONTACT = Rule(f"{MIN_DISTANCE:g} Å ≤ d ≤ {MAX_DISTANCE:g} Å", _distance)


_DECIDED = Rule(f"no edge within {MIN_MARGIN:g} eV, the noise between sources, of belonging to either layer", _decided)


def rule_of(source: str, target: str) -> Rule:
    """The rule for a target of a source."""
    if target in (BINDING_ENERGY.key, INTERLAYER_DISTANCE.key) and source in _STACKS:
        return _BOUND
    if target == ALIGNMENT_TYPE.key:
        return _DECIDED
    return _IN_CONTACT if target == INTERLAYER_DISTANCE.key else ALL


def clean(source: str, labels: Mapping[str, float], left_out: Counter[str]) -> dict[str, float]:
    """The labels of a row that may be learnt from.

    Args:
        source: key of the source.
        labels: by quantity key; NaN and absent mean unlabelled.
        left_out: counts "<quantity key>: <reason>", added to.
    """
    kept = {}
    for target, value in labels.items():
        if not np.isfinite(value):
            continue
        reason = rule_of(source, target).reason(labels)
        if reason is None:
            kept[target] = float(value)
        else:
            left_out[f"{target}: {reason}"] += 1
    return kept
