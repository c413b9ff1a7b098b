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


class Faces(NamedTuple):
    """Band edges of a layer against the vacuum of each of its faces, eV; each field of the layers' shape.

    As in `anderson`, a metal has both edges at its Fermi level, and NaN means unknown.
    """

    vbm_bottom: NDArray[np.float64]
    cbm_bottom: NDArray[np.float64]
    vbm_top: NDArray[np.float64]
    cbm_top: NDArray[np.float64]


ORIENTATIONS = ((False, False), (True, False), (False, True), (True, True))
"""Whether the lower, and whether the upper layer is turned over: the order of `orientations`."""


def orientations(lower: Faces, upper: Faces) -> tuple[Anderson, Anderson, Anderson, Anderson]:
    """Alignments of two layers for each way of turning them over, in the order of `ORIENTATIONS`.

    A layer whose faces differ (a polar one, or a Janus layer) shows another pair of edges when it is turned over: the
    facing vacuum levels are made equal, so its edges move by its whole dipole step against the partner's.

    Args:
        lower, upper: the layers as they are: the lower one shows its top face, the upper one its bottom face.
    """
    shown_below = {False: (lower.vbm_top, lower.cbm_top), True: (lower.vbm_bottom, lower.cbm_bottom)}
    shown_above = {False: (upper.vbm_bottom, upper.cbm_bottom), True: (upper.vbm_top, upper.cbm_top)}
    first, second, third, fourth = (anderson(*shown_below[below], *shown_above[above]) for below, above in ORIENTATIONS)
    return first, second, third, fourth


def vacuum_step(level_bottom: ArrayLike, level_top: ArrayLike) -> NDArray[np.float64]:
    """Vacuum level above a layer minus that below it, eV, from one electronic level seen from both faces.

    E − E_vac(bottom) less E − E_vac(top). Of a stack whose facing vacuum levels are equal the steps of the layers add
    up; the dipole that the contact itself makes is not in it.

    Args:
        level_bottom, level_top: the same level, a band edge or the Fermi level, against the vacuum of either face, eV.
    """
    return np.asarray(level_bottom, float) - np.asarray(level_top, float)


class Schottky(NamedTuple):
    """Barriers of a metal on a semiconductor, each field of the pairs' shape, eV; negative: an ohmic contact.

    Attributes:
        electron: conduction edge minus Fermi level of the metal.
        hole: Fermi level of the metal minus valence edge; both add up to the gap.
    """

    electron: NDArray[np.float64]
    hole: NDArray[np.float64]


def schottky_barriers(vbm_a: ArrayLike, cbm_a: ArrayLike, vbm_b: ArrayLike, cbm_b: ArrayLike) -> Schottky:
    """Barriers in the Schottky-Mott limit: W. Schottky, Z. Phys. 113, 367 (1939); N. F. Mott, Proc. R. Soc. A 171, 27
    (1939).

    The vacuum levels of the facing faces coincide and nothing pins the Fermi level: an upper bound of how strongly the
    choice of metal matters. Van der Waals contacts come near it; covalent ones, and charge pushed back from the metal's
    surface (a few tenths of an eV), do not.

    Args:
        vbm_a, cbm_a, vbm_b, cbm_b: as in `anderson`.

    Returns:
        See `Schottky`; NaN unless one is a metal of known Fermi level and the other a semiconductor of known edges.
    """
    va, ca, vb, cb = np.broadcast_arrays(*(np.asarray(x, float) for x in (vbm_a, cbm_a, vbm_b, cbm_b)))
    with np.errstate(invalid="ignore"):
        metal_a, metal_b = ca <= va, cb <= vb
        gapped_a, gapped_b = ca > va, cb > vb
        fermi = np.where(metal_a, va, vb)
        valence, conduction = np.where(metal_a, vb, va), np.where(metal_a, cb, ca)
        known = (metal_a & gapped_b | metal_b & gapped_a) & np.isfinite(fermi)
        return Schottky(np.where(known, conduction - fermi, np.nan), np.where(known, fermi - valence, np.nan))


def smaller_gap(gap_a: ArrayLike, gap_b: ArrayLike) -> NDArray[np.float64]:
    """The smaller of two layers' gaps, eV: the stack's gap where alignment straddles and nothing hybridises.

    NaN where a gap is unknown, unless the other is 0: a metallic layer makes a metallic stack.
    """
    a, b = np.broadcast_arrays(np.asarray(gap_a, float), np.asarray(gap_b, float))
    return np.where((a == 0) | (b == 0), 0.0, np.minimum(a, b))
