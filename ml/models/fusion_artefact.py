"""A fitted fusion head as bytes: one safetensors file, its weights and scalings as tensors, all else as JSON in it."""

from __future__ import annotations

import json

import torch
from safetensors import SafetensorError

from ml.artefact import ArtefactError
from ml.baselines import Calibrated
from ml.models.fusion import FittedFusion, FusionHead, Scaling
from ml.models.layer_inputs import LayerInputs

FORMAT = "stackscreen.fusion-head"
FORMAT_VERSION = 2
NO_LAYERS = LayerInputs({}, {})
"""For a head whose layers come with each question."""
_HEAD = "head"
_PARTS = ("mean", "scale", "kept", "marked")


def to_bytes(fitted: FittedFusion) -> bytes:
    """The head without the layers; the same head gives the same bytes."""
    from safetensors.torch import save

    head = fitted.head
    scalings = {**{f"layer.{name}": one for name, one in head.layer_scalings.items()}, "pair": head.pair_scaling}
    tensors = {f"weights.{name}": value.contiguous() for name, value in fitted.network.state_dict().items()}
    for name, scaling in scalings.items():
        tensors |= {f"{name}.{part}": torch.from_numpy(getattr(scaling, part)) for part in _PARTS}
    content = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "target": head.target,
        "fusion": head.fusion,
        "modalities": head.modalities,
        "pair_names": head.pair_names,
        "baseline": head.baseline.as_json(),
        "scale": head.scale,
        "odd": head.odd,
        "encoder": head.encoder,
        "members": fitted.network.members,
    }
    return save(tensors, metadata={_HEAD: json.dumps(content, sort_keys=True)})


def from_bytes(data: bytes, layers: LayerInputs = NO_LAYERS) -> FittedFusion:
    """A head that was written by `to_bytes`, for these layers.

    Raises:
        ArtefactError: the bytes are no such head.
    """
    from safetensors.torch import load

    try:
        length = int.from_bytes(data[:8], "little")
        content = json.loads(json.loads(data[8 : 8 + length])["__metadata__"][_HEAD])
        if content["format"] != FORMAT or content["format_version"] != FORMAT_VERSION:
            raise KeyError("format")
        tensors = load(data)

        def scaling(name: str) -> Scaling:
            return Scaling(*(tensors[f"{name}.{part}"].numpy() for part in _PARTS))

        head = FusionHead(
            content["target"],
            content["fusion"],
            tuple(content["modalities"]),
            tuple(content["pair_names"]),
            {name: scaling(f"layer.{name}") for name in content["modalities"]},
            scaling("pair"),
            Calibrated.from_json(content["baseline"]),
            content["scale"],
            content["odd"],
            content["encoder"],
        )
        network = head.network(content["members"])
        weights = {n.removeprefix("weights."): t for n, t in tensors.items() if n.startswith("weights.")}
        network.load_state_dict(weights)
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ArtefactError(
            "These bytes are not a fusion head that this version reads.",
            hint="Train it anew, or take the artefact that came with this version.",
        ) from error
    return FittedFusion(head, network.eval(), layers)
