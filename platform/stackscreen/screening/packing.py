"""How tiles hold numbers: see `schema.PairTile`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from schema.errors import StackscreenError
from stackscreen.pairs.match import ROUNDING
from stackscreen.screening.spaces import RunKey

COLUMNS: Final = {"n": "u1", "m": "u1", "strain": "<u2", "score": "<u2"}
"""The columns of a tile, and the type of an element."""
COLUMN_KIND: Final = "<u4"
"""Of the number of a column, where pairs are not all there."""
NO_MATCH: Final = 65535
"""Packed strain of a pair without a coincidence lattice."""
STRAIN_UNIT: Final = 1e-6
"""Of packed strains."""


def pack_strain(strain: NDArray[np.float64], levels: Sequence[float]) -> NDArray[np.uint16]:
    """Strains as tiles keep them, to 1e-6; NaN becomes `NO_MATCH`.

    What lies beyond a level is rounded to beyond it, so that no comparison with the level goes wrong.

    Args:
        strain: dimensionless, any shape.
        levels: in whole units of 1e-6.
    """
    known = ~np.isnan(strain)
    packed = np.where(known, np.rint(np.where(known, strain, 0.0) / STRAIN_UNIT), NO_MATCH).astype("<u2")
    for level in levels:
        unit = round(level / STRAIN_UNIT)
        packed[(packed <= unit) & (strain > level + ROUNDING)] = unit + 1
    return packed


class TilesMissingError(StackscreenError):
    """The tiles of a run are not what its ledger says."""


def arrays_of(pieces: tuple[bytes, ...]) -> dict[str, NDArray[Any]]:
    """The columns of a tile from their bytes."""
    return {name: np.frombuffer(piece, kind) for (name, kind), piece in zip(COLUMNS.items(), pieces, strict=True)}


def damaged(run: RunKey, what: str) -> TilesMissingError:
    """That a run's tiles are not whole."""
    return TilesMissingError(
        f"The tiles of run {run.id} are not those of its ledger: {what}.",
        hint="Tiles of a superseded run are dropped; those of the published run come back with a restored database, "
        "or when it is screened anew.",
    )
