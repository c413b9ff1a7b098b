"""Training the slab encoder on the monolayers of the database, and judging it on monolayers it has not seen."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml.artefact import sha256
from ml.features import Layer
from ml.models import encoder_fit, slab_encoder
from ml.models.slab_encoder import FACE_TASKS, TASKS, WHOLE_TASKS, SlabEncoder, Task
from ml.models.slab_graph import CUTOFF, SlabGraph, slab_graph
from ml.registry import EMBEDDING, ENCODER_DOMAIN, Shipped
from ml.training import TooFewRowsError
from schema.quantities import (
    POLARIZABILITY_X,
    POLARIZABILITY_Y,
    QUANTITIES,
    STIFFNESS_11,
    STIFFNESS_22,
)
from schema.vocabulary import Face

MAX_ATOMS = 24
"""Larger cells are embedded but not trained on: they are few, and a minute of training is dear."""
MIN_LAYERS = 1000
TEST_SHARE = 5
"""One layer in so many is held out, by SHA-256 of its reduced composition: no composition is on both sides."""
SPLIT = "leave-composition-out-v1, 1 in 5"

_IN_PLANE = {
    "polarizability_xy": (POLARIZABILITY_X, POLARIZABILITY_Y),
    "stiffness": (STIFFNESS_11, STIFFNESS_22),
}
"""Tasks that are the mean of two components."""


@dataclass(frozen=True)
class EncoderData:
    """Layers to train an encoder on.

    Attributes:
        uids: of the materials, sorted.
        graphs: one a layer.
        targets: shape (layers, len(TASKS)); NaN where unknown.
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
            hasher.update(graph.vectors.tobytes())
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
        values = _targets(layer)
        if len(layer.slab) > MAX_ATOMS or not np.isfinite(values).any():
            continue
        uids.append(uid)
        graphs.append(slab_graph(layer.slab))
        targets.append(values)
        test.append(held_out(layer.slab.numbers))
    if len(uids) < MIN_LAYERS:
        raise TooFewRowsError(
            f"There are {len(uids)} monolayers with a known gap, formation energy or work function, and the encoder "
            f"needs {MIN_LAYERS}.",
            hint="Import C2DB first: stackscreen import c2db PATH",
        )
    return EncoderData(uids, graphs, np.array(targets), np.array(test))


def _targets(layer: Layer) -> list[float]:
    whole = [_value(layer, task) for task in WHOLE_TASKS]
    return whole + [layer.value(task.key, face) for face in (Face.BOTTOM, Face.TOP) for task in FACE_TASKS]


def _value(layer: Layer, task: Task) -> float:
    if task.key in _IN_PLANE:
        one, two = (layer.value(quantity.key) for quantity in _IN_PLANE[task.key])
        return 0.5 * (one + two)
    return layer.value(task.key)


def held_out(numbers: NDArray[np.int64]) -> bool:
    """Whether the encoder has not been shown layers of this composition.

    Args:
        numbers: atomic numbers of the layer's atoms.
    """
    elements, counts = np.unique(numbers, return_counts=True)
    reduced = counts // np.gcd.reduce(counts)
    name = ",".join(f"{e}:{c}" for e, c in zip(elements, reduced, strict=True))
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") % TEST_SHARE == 0


def train_encoder(
    data: EncoderData,
    *,
    epochs: int = encoder_fit.EPOCHS,
    device: str = "cpu",
    checkpoint: Path | None = None,
    on_epoch: Callable[[int, float], None] | None = None,
) -> Shipped:
    """Train, judge on the held-out layers, and describe.

    The served weights are those that were judged: the held-out layers stay held out. Nothing of any stack is seen.

    Args:
        data: the layers.
        epochs, device, checkpoint, on_epoch: as `ml.models.encoder_fit.fit` takes them.
    """
    known = [graph for graph, out in zip(data.graphs, data.test, strict=True) if not out]
    model = encoder_fit.fit(
        known,
        data.targets[~data.test],
        epochs=epochs,
        device=device,
        checkpoint=checkpoint,
        data_digest=data.digest.hex(),
        on_epoch=on_epoch,
    )
    return describe(model, data, epochs=epochs)


def describe(model: SlabEncoder, data: EncoderData, *, epochs: int) -> Shipped:
    """A trained encoder with its errors on the held-out layers, ready to be registered and written."""
    unseen = [graph for graph, out in zip(data.graphs, data.test, strict=True) if out]
    artefact = slab_encoder.to_bytes(model)
    card = {
        "target": EMBEDDING,
        "domain": ENCODER_DOMAIN,
        "digest": sha256(artefact).hex(),
        "meaning": "64 numbers a layer and 32 a face; Euclidean distance says how alike two layers are",
        "tasks": [task.key for task in (*WHOLE_TASKS, *FACE_TASKS)],
        "data": {
            "source": "C2DB (Haastrup et al., 2D Mater. 5, 042002 (2018); Gjerding et al., 2D Mater. 8, 044002 (2021))",
            "layers": len(data.uids),
            "held_out": int(data.test.sum()),
            "largest_cell": MAX_ATOMS,
            "digest": data.digest.hex(),
        },
        "parameters": {
            "epochs": epochs,
            "batch": encoder_fit.BATCH,
            "learning_rate": encoder_fit.LEARNING_RATE,
            "seed": encoder_fit.SEED,
            "cutoff": CUTOFF,
            "dimensions": slab_encoder.DIMENSIONS,
            "face_dimensions": slab_encoder.FACE_DIMENSIONS,
        },
        "versions": {"torch": version("torch").split("+")[0], "torch-geometric": version("torch-geometric")},
    }
    metrics = _metrics(slab_encoder.predict(model, unseen), data)
    return Shipped(
        EMBEDDING, ENCODER_DOMAIN, "slab-graph-encoder", "slab encoder v2", SPLIT, artefact, data.digest,
        {"held out": metrics}, card,
    )  # fmt: skip


def _metrics(predicted: NDArray[np.float64], data: EncoderData) -> dict[str, Any]:
    """Errors on the held-out layers beside those of the median; the two faces of a layer count as two."""
    columns: dict[Task, list[int]] = {}
    for column, task in enumerate(TASKS):
        columns.setdefault(task, []).append(column)
    out = {}
    for task, where in columns.items():
        truth, guess = data.targets[data.test][:, where].ravel(), predicted[:, where].ravel()
        ok = np.isfinite(truth)
        median = np.nanmedian(data.targets[~data.test][:, where])
        quantities = _IN_PLANE.get(task.key) or (QUANTITIES[task.key],)
        out[task.key] = {
            "unit": quantities[0].unit,
            "n": int(ok.sum()),
            "mae": round(float(np.abs(guess[ok] - truth[ok]).mean()), 4),
            "mae_of_median": round(float(np.abs(median - truth[ok]).mean()), 4),
        }
    return out
