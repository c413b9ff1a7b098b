"""The half of a served stack that looks at the atoms, as an artefact holds it: bytes, until somebody asks it."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ml import pair_features
from ml.models.layer_inputs import PairLayers
from ml.uncertainty import ByUnseen

if TYPE_CHECKING:
    from ml.models.fusion import FittedFusion


@dataclass(frozen=True)
class GraphHalf:
    """A fusion head that answers together with trees.

    Attributes:
        head: its safetensors (`ml.models.fusion_artefact`).
        encoder: SHA-256 of the encoder whose embeddings it needs, hexadecimal.
        intervals: half-widths of what both say together, by number of partners that training has not seen.
    """

    head: bytes = field(repr=False)
    encoder: str
    intervals: ByUnseen
    _read: list[FittedFusion] = field(default_factory=list, compare=False, repr=False)

    @classmethod
    def of(cls, fitted: FittedFusion, intervals: ByUnseen) -> GraphHalf:
        """From a fitted head."""
        from ml.models.fusion_artefact import to_bytes

        return cls(to_bytes(fitted), fitted.head.encoder, intervals)

    def fitted(self, layers: PairLayers) -> FittedFusion:
        """The head on some layers. Its libraries are loaded now, not with the model: a screen of different layers does
        without.
        """
        from ml.models.fusion_artefact import from_bytes

        if not self._read:
            self._read.append(from_bytes(self.head))
        return replace(self._read[0], layers=layers.inputs)

    def values(self, rows: NDArray[np.floating], layers: PairLayers) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Predictions of pairs and how far the networks disagree, shapes (pairs,), in the target's unit.

        NaN where a layer has not been encoded.

        Args:
            rows: pair features, shape (pairs, len(ml.pair_features.NAMES)).
            layers: of the pairs.

        Raises:
            ArtefactError: the layers were encoded by another encoder.
        """
        fitted = self.fitted(layers)
        return fitted.of_pairs(layers.lower, layers.upper, *asked(fitted, rows))

    def as_json(self, *, without_head: bool = False) -> dict[str, Any]:
        """For an artefact; without the head if another state has the same."""
        head = None if without_head else base64.b64encode(self.head).decode()
        return {"head": head, "encoder": self.encoder, "intervals": self.intervals.as_json()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> GraphHalf:
        """The inverse of `as_json`."""
        head = base64.b64decode(data["head"], validate=True)
        return cls(head, str(data["encoder"]), ByUnseen.from_json(data["intervals"]))


def asked(fitted: FittedFusion, rows: NDArray[np.floating]) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """What a head reads of pairs: their features, shape (pairs, its number of them), and its physics estimate."""
    features = rows[:, [pair_features.COLUMN[name] for name in fitted.head.pair_names]]
    physics = fitted.head.baseline.feature
    estimate = rows[:, pair_features.COLUMN[physics]] if physics else np.zeros(len(rows))
    return features, np.asarray(estimate, float)
