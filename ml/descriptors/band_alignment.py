"""Band alignment of two layers in the limit of no interaction.

R. L. Anderson, Solid-State Electron. 5, 341 (1962): the vacuum levels of the two facing faces coincide, and the band
edges keep their distance from them. Valid while charge transfer, hybridisation and image-charge screening between the
layers are small; hybridisation typically narrows a semiconductor pair's gap by 0.1-0.4 eV, more for chalcogenides
with a valence band maximum at Γ.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray


class Alignment(IntEnum):
    """Kind of alignment, as a small integer that packs into arrays."""

    UNKNOWN = 0
    STRADDLING = 1
    STAGGERED = 2
    BROKEN = 3
    METAL = 4


class Anderson(NamedTuple):
    """Alignment of pairs, each field of the pairs' shape.

    Attributes:
        kind: values of `Alignment`, int8.
        gap: lowest conduction minus highest valence edge, eV, not negative; 0 for metals and broken gaps.
        vbo: valence band offset, edge of b minus edge of a, eV.
        cbo: conduction band offset, edge of b minus edge of a, eV.
    """

    kind: NDArray[np.int8]
    gap: NDArray[np.float64]
    vbo: NDArray[np.float64]
    cbo: NDArray[np.float64]


def anderson(vbm_a: ArrayLike, cbm_a: ArrayLike, vbm_b: ArrayLike, cbm_b: ArrayLike) -> Anderson:
    """Align two layers by Anderson's rule.

    Args:
        vbm_a, cbm_a, vbm_b, cbm_b: band edges against the vacuum level of the *facing* face, eV, broadcastable. A
            metal has both edges at its Fermi level (cbm ≤ vbm). NaN means unknown.

    Returns:
        See `Anderson`. Where an edge is unknown: kind UNKNOWN and NaN, except that one metal makes the pair a metal.
    """
    va, ca, vb, cb = np.broadcast_arrays(*(np.asarray(x, float) for x in (vbm_a, cbm_a, vbm_b, cbm_b)))
    known = np.isfinite(va) & np.isfinite(ca) & np.isfinite(vb) & np.isfinite(cb)
    with np.errstate(invalid="ignore"):
        metal = (ca <= va) | (cb <= vb)
        gap = np.minimum(ca, cb) - np.maximum(va, vb)
        inside = (va >= vb) & (ca <= cb) | (vb >= va) & (cb <= ca)
        kind = np.select(
            [metal, ~known, gap <= 0, inside],
            [Alignment.METAL, Alignment.UNKNOWN, Alignment.BROKEN, Alignment.STRADDLING],
            Alignment.STAGGERED,
        )
    gap = np.where(metal, 0.0, np.where(known, np.maximum(gap, 0.0), np.nan))
    return Anderson(kind.astype(np.int8), gap, vb - va, cb - ca)


def smaller_gap(gap_a: ArrayLike, gap_b: ArrayLike) -> NDArray[np.float64]:
    """The smaller of two layers' gaps, eV: the stack's gap where alignment straddles and nothing hybridises.

    NaN where a gap is unknown, unless the other is 0: a metallic layer makes a metallic stack.
    """
    a, b = np.broadcast_arrays(np.asarray(gap_a, float), np.asarray(gap_b, float))
    return np.where((a == 0) | (b == 0), 0.0, np.minimum(a, b))
