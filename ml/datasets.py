"""Training rows of the pair models: computed homobilayers, seen as a screen would see them.

A row knows the isolated layer (its material's features) and the registry (lateral positions). What the bilayer's
relaxed structure says beyond that, first of all the distance between its layers, is a target and never an input.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ml.descriptors import stacking
from ml.descriptors.slab import Slab
from ml.pair_features import PairFeatures
from ml.stacks import Seen, seen, split_layers
from schema.quantities import BINDING_ENERGY, GAP, INTERLAYER_DISTANCE

TARGETS = (BINDING_ENERGY.key, INTERLAYER_DISTANCE.key, GAP.key)

MAX_BINDING_ENERGY = 60.0
"""meV/Å²: above, the layers are chemically bonded, or the calculation failed."""
MIN_DISTANCE = 1.5
"""Å: below, the layers are chemically bonded or interpenetrate."""
CLEANING_RULE = f"0 < E_b ≤ {MAX_BINDING_ENERGY:g} meV/Å² and d ≥ {MIN_DISTANCE:g} Å"


@dataclass(frozen=True)
class Bilayer:
    """One computed homobilayer.

    Attributes:
        id: stable name of the record.
        material: uid of the layer.
        slab: the stacked structure.
        targets: values by quantity key, in the unit of `schema.quantities`.
    """

    id: str
    material: str
    slab: Slab
    targets: Mapping[str, float]


@dataclass(frozen=True)
class TrainingTable:
    """Rows ready for fitting.

    Attributes:
        ids: name of each row, sorted.
        groups: uid of each row's material: what a strict split keeps together.
        families: anonymous formula of each row's material.
        known: pair features with the registry known, shape (rows, features), float32.
        targets: by quantity key, shape (rows,), NaN where unlabelled.
        left_out: why rows were left out, and how many.
        registry_unknown: rows whose registry could not be used.
    """

    ids: list[str]
    groups: list[str]
    families: list[str]
    known: NDArray[np.float32]
    targets: dict[str, NDArray[np.float64]]
    left_out: dict[str, int] = field(default_factory=dict)
    registry_unknown: int = 0

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def digest(self) -> bytes:
        """SHA-256 of names, features and targets: the same digest, the same training data."""
        hasher = hashlib.sha256("\n".join(self.ids).encode())
        hasher.update("\n".join(self.groups).encode())
        hasher.update(np.ascontiguousarray(self.known).tobytes())
        for key in sorted(self.targets):
            hasher.update(key.encode())
            hasher.update(np.ascontiguousarray(self.targets[key]).tobytes())
        return hasher.digest()


def rejection(targets: Mapping[str, float]) -> str | None:
    """Why a bilayer is left out of training by `CLEANING_RULE`, or None if it stays."""
    energy = targets.get(BINDING_ENERGY.key, np.nan)
    distance = targets.get(INTERLAYER_DISTANCE.key, np.nan)
    if not np.isfinite(energy) or not np.isfinite(distance):
        return "binding energy or distance missing or unphysical"
    if energy <= 0:
        return "binding energy ≤ 0 (not bound)"
    if energy > MAX_BINDING_ENERGY:
        return f"binding energy > {MAX_BINDING_ENERGY:g} meV/Å² (bonded or failed)"
    if distance < MIN_DISTANCE:
        return f"distance < {MIN_DISTANCE:g} Å (bonded or interpenetrating)"
    return None


def build(
    bilayers: Iterable[Bilayer],
    slabs: Mapping[str, Slab],
    features: Mapping[str, NDArray[np.floating]],
    families: Mapping[str, str],
) -> TrainingTable:
    """Training rows from computed bilayers and their isolated layers.

    Args:
        bilayers: in any order; rows come out sorted by id.
        slabs, features, families: by material uid: isolated layer, its feature vector, its anonymous formula.
    """
    left_out: Counter[str] = Counter()
    uids = sorted(features)
    row_of = {uid: row for row, uid in enumerate(uids)}
    kept: list[Bilayer] = []
    faces: list[tuple[bool, bool]] = []
    registry: list[NDArray[np.float64]] = []
    unknown = 0
    for bilayer in sorted(bilayers, key=lambda b: b.id):
        reason = rejection(bilayer.targets)
        if reason is None and bilayer.material not in row_of:
            reason = "layer not among the known monolayers"
        if reason is not None:
            left_out[reason] += 1
            continue
        stacked = _seen(bilayer, slabs[bilayer.material])
        unknown += not stacked.registry_known
        kept.append(bilayer)
        faces.append((stacked.top_a, stacked.top_b))
        registry.append(stacked.registry)
    rows = np.array([row_of[b.material] for b in kept], np.int64)
    turned = np.array(faces, bool).reshape(-1, 2)
    table = PairFeatures(np.array([features[uid] for uid in uids], np.float32).reshape(len(uids), -1)) if uids else None
    known = (
        table(rows, rows, top_a=turned[:, 0], top_b=turned[:, 1], registry=np.array(registry))
        if table is not None and kept
        else np.empty((0, 0), np.float32)
    )
    return TrainingTable(
        [b.id for b in kept],
        [b.material for b in kept],
        [families[b.material] for b in kept],
        known,
        {key: np.array([b.targets.get(key, np.nan) for b in kept], float) for key in TARGETS},
        dict(left_out),
        unknown,
    )


def _seen(bilayer: Bilayer, isolated: Slab) -> Seen:
    """Which faces meet, and the registry; NaN where the stack's layers are not the isolated one, moved rigidly."""
    try:
        lower, upper = split_layers(bilayer.slab)
    except ValueError:
        return Seen(True, False, np.full(len(stacking.NAMES), np.nan))
    return seen(lower, upper, isolated, isolated)
