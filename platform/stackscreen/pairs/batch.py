"""The smallest coincidence lattice of each pair of a list: any lattices, any pairs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stackscreen.pairs.limits import PairLimits
from stackscreen.pairs.maps import least_twists
from stackscreen.pairs.match import match_row
from stackscreen.pairs.shapes import ShapeTable


@dataclass(frozen=True, slots=True)
class PairMatches:
    """The smallest coincidence lattice of each of K pairs, and of equally large ones the least strained.

    Attributes:
        n, m: cells of the first and of the second lattice, shape (K,); 0 where none lies within the limits.
        strain: largest principal Hencky strain of the whole misfit, shape (K,), dimensionless; NaN where none.
        twist: degrees, shape (K,), see `pairs.twist.folded_twist`: of equally strained ones the least; NaN where none.
        area: Å², of the matched supercell √(n A₁ m A₂), shape (K,); NaN where none.
        natoms: atoms of both sides in the supercell, shape (K,); 0 where none.
    """

    n: NDArray[np.int64]
    m: NDArray[np.int64]
    strain: NDArray[np.float64]
    twist: NDArray[np.float64]
    area: NDArray[np.float64]
    natoms: NDArray[np.int64]


def match_pairs(
    ln_area: NDArray[np.float64],
    tau: NDArray[np.complex128],
    n_atoms: NDArray[np.int64],
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    limits: PairLimits,
) -> PairMatches:
    """Match a list of pairs. Exchanging the two lattices of a pair exchanges n and m, and changes nothing else.

    Memory grows with the number of superlattices within the area limit: hand over long lists in parts.

    Args:
        ln_area: ln of the cell areas in Å², shape (N,).
        tau: reduced shapes, shape (N,), complex: see `schema.plane_lattice`.
        n_atoms: atoms per cell, shape (N,).
        first, second: numbers of the two lattices of each pair, shape (K,).
        limits: of strain, area of either side, and atoms.
    """
    # Of two matches of equal area and strain the engine takes the one that it meets first: it always meets the two
    # lattices in one order.
    rank = np.empty(len(ln_area), np.int64)
    rank[np.lexsort((n_atoms, tau.imag, tau.real, ln_area))] = np.arange(len(ln_area))
    exchanged = rank[first] > rank[second]
    one, other = np.where(exchanged, second, first), np.where(exchanged, first, second)
    table = ShapeTable.build(ln_area, tau, n_atoms, limits)
    n, m = np.zeros(len(first), np.int64), np.zeros(len(first), np.int64)
    strain = np.full(len(first), np.nan)
    order = np.argsort(one, kind="stable")
    for group in np.split(order, np.flatnonzero(np.diff(one[order])) + 1) if len(order) else []:
        row = match_row(table, int(one[group[0]]), other[group])
        n[group], m[group], strain[group] = row.n, row.m, row.strain
    twist = least_twists(_bases(ln_area, tau), one, other, n, m, strain)
    n, m = np.where(exchanged, m, n), np.where(exchanged, n, m)
    matched = n > 0
    with np.errstate(divide="ignore"):
        area = np.where(matched, np.exp(0.5 * (np.log(n) + np.log(m) + ln_area[first] + ln_area[second])), np.nan)
    return PairMatches(n, m, strain, twist, area, n * n_atoms[first] + m * n_atoms[second])


def _bases(ln_area: NDArray[np.float64], tau: NDArray[np.complex128]) -> NDArray[np.float64]:
    """Reduced bases with a along x, rows, Å, shape (N, 2, 2)."""
    a = np.sqrt(np.exp(ln_area) / tau.imag)
    return np.stack([np.stack([a, 0 * a], -1), np.stack([a * tau.real, a * tau.imag], -1)], -2)
