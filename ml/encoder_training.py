"""Training the slab encoder on the monolayers of the database, and judging it on monolayers it has not seen."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml.artefact import sha256
from ml.features import Layer
from ml.models import slab_encoder
from ml.models.slab_graph import CUTOFF, SlabGraph, slab_graph
from ml.registry import EMBEDDING, ENCODER_DOMAIN, Shipped
from ml.training import TooFewRowsError
from schema.quantities import QUANTITIES
from schema.vocabulary import Face

MAX_ATOMS = 24
"""Larger cells are embedded but not trained on: they are few, and a minute of training is dear."""
MIN_LAYERS = 1000
TEST_SHARE = 5
"""One layer in so many is held out, by SHA-256 of its reduced composition: no composition is on both sides."""
SPLIT = "leave-composition-out-v1, 1 in 5"


@dataclass(frozen=True)
class EncoderData:
    """Layers to train an encoder on.

    Attributes:
        uids: of the materials, sorted.
        graphs: one a layer.
        targets: shape (layers, tasks); NaN where unknown.
        test: held out, shape (layers,).
    """

    uids: list[str]
    graphs: list[SlabGraph]
    targets: NDArray[np.float64]
    test: NDArray[np.bool_]

    @property
    def digest(self) -> bytes:
        """SHA-256 of names, targets and edges."""
        hasher = hashlib.sha256("\n".join(self.uids).encode())
        hasher.update(np.ascontiguousarray(self.targets).tobytes())
        for graph in self.graphs:
            hasher.update(graph.features.tobytes())
        return hasher.digest()


def collect(layers: Mapping[str, Layer]) -> EncoderData:
    """Choose the layers of which some task is known.

    Args:
        layers: by material uid.

    Raises:
        TooFewRowsError: fewer than `MIN_LAYERS`.
    """
    uids, graphs, targets, test = [], [], [], []
    for uid in sorted(layers):
        layer = layers[uid]
        values = [_value(layer, key) for key in slab_encoder.TASKS]
        if len(layer.slab) > MAX_ATOMS or not np.isfinite(values).any():
            continue
        uids.append(uid)
        graphs.append(slab_graph(layer.slab))
        targets.append(values)
        test.append(_held_out(layer.slab.numbers))
    if len(uids) < MIN_LAYERS:
        raise TooFewRowsError(
            f"There are {len(uids)} monolayers with a known gap, formation energy or work function, and the encoder "
            f"needs {MIN_LAYERS}.",
            hint="Import C2DB first: stackscreen import c2db PATH",
        )
    return EncoderData(uids, graphs, np.array(targets), np.array(test))


def _value(layer: Layer, key: str) -> float:
    # Of two faces, the mean: it does not depend on which side is up.
    faces = [layer.value(key, face) for face in (Face.BOTTOM, Face.TOP)]
    return float(np.mean(faces))


def _held_out(numbers: NDArray[np.int64]) -> bool:
    elements, counts = np.unique(numbers, return_counts=True)
    reduced = counts // np.gcd.reduce(counts)
    name = ",".join(f"{e}:{c}" for e, c in zip(elements, reduced, strict=True))
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") % TEST_SHARE == 0


def train_encoder(data: EncoderData, *, on_epoch: Callable[[int, float], None] | None = None) -> Shipped:
    """Train, judge on the held-out layers, and describe.

    The served weights are those that were judged: the held-out layers stay held out.
    """
    known = [graph for graph, out in zip(data.graphs, data.test, strict=True) if not out]
    unseen = [graph for graph, out in zip(data.graphs, data.test, strict=True) if out]
    model = slab_encoder.fit(known, data.targets[~data.test], on_epoch=on_epoch)
    predicted, truth = slab_encoder.predict(model, unseen), data.targets[data.test]
    metrics: dict[str, Any] = {}
    for k, key in enumerate(slab_encoder.TASKS):
        ok = np.isfinite(truth[:, k])
        median = np.nanmedian(data.targets[~data.test, k])
        metrics[key] = {
            "unit": QUANTITIES[key].unit,
            "n": int(ok.sum()),
            "mae": round(float(np.abs(predicted[ok, k] - truth[ok, k]).mean()), 4),
            "mae_of_median": round(float(np.abs(median - truth[ok, k]).mean()), 4),
        }
    artefact = slab_encoder.to_bytes(model)
    card = {
        "target": EMBEDDING,
        "domain": ENCODER_DOMAIN,
        "digest": sha256(artefact).hex(),
        "meaning": "64 numbers a layer; Euclidean distance says how alike two layers are",
        "tasks": list(slab_encoder.TASKS),
        "data": {
            "source": "C2DB (Haastrup et al., 2D Mater. 5, 042002 (2018); Gjerding et al., 2D Mater. 8, 044002 (2021))",
            "layers": len(data.uids),
            "held_out": int(data.test.sum()),
            "largest_cell": MAX_ATOMS,
            "digest": data.digest.hex(),
        },
        "parameters": {
            "epochs": slab_encoder.EPOCHS,
            "batch": slab_encoder.BATCH,
            "learning_rate": slab_encoder.LEARNING_RATE,
            "seed": slab_encoder.SEED,
            "cutoff": CUTOFF,
            "dimensions": slab_encoder.DIMENSIONS,
        },
        "versions": {"torch": version("torch").split("+")[0], "torch-geometric": version("torch-geometric")},
    }
    return Shipped(
        EMBEDDING, ENCODER_DOMAIN, "slab-graph-encoder", "slab encoder v1", SPLIT, artefact, data.digest,
        {"held out": metrics}, card,
    )  # fmt: skip
