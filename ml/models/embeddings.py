"""What the slab encoder makes of layers, for all that reads it without the encoder itself."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

DIMENSIONS = 64
"""Of a layer's embedding."""
FACE_DIMENSIONS = 32
"""Of a face's embedding."""


class Embeddings(NamedTuple):
    """What the encoder makes of layers: shapes (layers, 64), (layers, 32), (layers, 32), dimensionless."""

    whole: NDArray[np.float32]
    bottom: NDArray[np.float32]
    top: NDArray[np.float32]

    def take(self, rows: NDArray[np.integer]) -> Embeddings:
        """Those of some layers; NaN for row −1."""
        known = np.asarray(rows) >= 0
        parts = [np.full((len(known), part.shape[1]), np.nan, np.float32) for part in self]
        for out, part in zip(parts, self, strict=True):
            out[known] = part[rows[known]]
        return Embeddings(*parts)
