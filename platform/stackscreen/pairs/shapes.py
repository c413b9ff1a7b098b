"""All superlattices of each lattice, as points of the hyperbolic half-plane.

A superlattice of index n of a lattice with shape τ is a Hermite normal form (p, q; 0, d), pd = n, 0 ≤ q < d, and has
the shape dτ/(p + qτ) (Santoro & Mighell, Acta Cryst. A 28, 284 (1972)). Shapes are folded into the chamber
0 ≤ Re τ ≤ 1/2, |τ| ≥ 1 of the reflection group GL(2, Z): there the distance of two points is the distance of the two
lattices, with no other image to look at, because the walls of the chamber are mirrors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from stackscreen.pairs.limits import MAX_INDEX, PairLimits

_SAME_SHAPE = 1e-9
"""Two shapes of one index nearer than this are one: far below any strain that matters, far above rounding."""


@njit(cache=True)
def fold(re: float, im: float) -> tuple[float, float]:
    """Fold a shape into 0 ≤ Re ≤ 1/2, |τ| ≥ 1 by translation, reflection and inversion.

    Args:
        re, im: the shape, im > 0.
    """
    for _ in range(200):
        re = abs(re - np.rint(re))
        norm = re * re + im * im
        if norm >= 1.0 - 1e-14:
            break
        re, im = re / norm, im / norm
    return re, im


@njit(cache=True)
def _shapes_of_index(tau_re: float, tau_im: float, index: int, out_re: np.ndarray, out_im: np.ndarray) -> int:
    """Distinct folded shapes of one index, sorted by Im then Re; returns how many."""
    found = 0
    for p in range(1, index + 1):
        if index % p:
            continue
        d = index // p
        for q in range(d):
            # d τ / (p + q τ)
            bottom_re, bottom_im = p + q * tau_re, q * tau_im
            norm = bottom_re * bottom_re + bottom_im * bottom_im
            re = d * (tau_re * bottom_re + tau_im * bottom_im) / norm
            im = d * (tau_im * bottom_re - tau_re * bottom_im) / norm
            re, im = fold(re, im)
            known = False
            for k in range(found):
                if abs(out_im[k] - im) < _SAME_SHAPE and abs(out_re[k] - re) < _SAME_SHAPE:
                    known = True
                    break
            if not known:
                out_re[found], out_im[found] = re, im
                found += 1
    order = np.argsort(out_im[:found])
    out_re[:found] = out_re[:found][order]
    out_im[:found] = out_im[:found][order]
    return found


@njit(cache=True)
def divisor_sum(index: int) -> int:
    """Number of superlattices of an index: the sum of its divisors."""
    total = 0
    for p in range(1, index + 1):
        if index % p == 0:
            total += index // p
    return total


@njit(cache=True)
def _build(
    tau_re: np.ndarray, tau_im: np.ndarray, max_index: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    members = tau_re.shape[0]
    first = np.zeros(members + 1, np.int64)
    for i in range(members):
        first[i + 1] = first[i] + max_index[i] + 1
    start = np.zeros(first[members], np.int64)
    largest = 1
    capacity = 0
    for i in range(members):
        for index in range(1, max_index[i] + 1):
            forms = divisor_sum(index)
            capacity += forms
            largest = max(largest, forms)
    all_re = np.empty(capacity)
    all_im = np.empty(capacity)
    scratch_re = np.empty(largest)
    scratch_im = np.empty(largest)
    used = 0
    for i in range(members):
        start[first[i]] = used
        for index in range(1, max_index[i] + 1):
            found = _shapes_of_index(tau_re[i], tau_im[i], index, scratch_re, scratch_im)
            all_re[used : used + found] = scratch_re[:found]
            all_im[used : used + found] = scratch_im[:found]
            used += found
            start[first[i] + index] = used
    return first, start, all_re[:used].copy(), all_im[:used].copy()


@dataclass(frozen=True, slots=True)
class ShapeTable:
    """Every superlattice shape, within the limits, of a list of lattices.

    Attributes:
        ln_area: ln of the cell area in Å², shape (N,).
        n_atoms: atoms per cell, shape (N,).
        max_index: largest useful index of each lattice, shape (N,).
        first: where the lattice's rows of `start` begin, shape (N + 1,).
        start: `start[first[i] + n - 1]` to `start[first[i] + n]` are the shapes of index n of lattice i.
        shape_re, shape_im: the folded shapes, sorted by Im within an index.
        limits: the limits that the table was made for.
    """

    ln_area: NDArray[np.float64]
    n_atoms: NDArray[np.int64]
    max_index: NDArray[np.int64]
    first: NDArray[np.int64]
    start: NDArray[np.int64]
    shape_re: NDArray[np.float64]
    shape_im: NDArray[np.float64]
    limits: PairLimits

    @classmethod
    def build(
        cls,
        ln_area: NDArray[np.float64],
        tau: NDArray[np.complex128],
        n_atoms: NDArray[np.int64],
        limits: PairLimits,
    ) -> ShapeTable:
        """Enumerate the shapes of N lattices.

        Args:
            ln_area: natural logarithm of the cell areas in Å², shape (N,).
            tau: reduced shapes, shape (N,), complex.
            n_atoms: atoms per cell, shape (N,).
            limits: area, atoms and strain limits.
        """
        ln_area = np.ascontiguousarray(ln_area, np.float64)
        n_atoms = np.ascontiguousarray(n_atoms, np.int64)
        by_area = np.floor(limits.max_area / np.exp(ln_area) + 1e-9)
        # The other side has at least one atom.
        by_atoms = (limits.max_atoms - 1) // np.maximum(n_atoms, 1)
        max_index = np.clip(np.minimum(by_area, by_atoms), 0, MAX_INDEX).astype(np.int64)
        first, start, shape_re, shape_im = _build(
            np.ascontiguousarray(tau.real), np.ascontiguousarray(tau.imag), max_index
        )
        return cls(ln_area, n_atoms, max_index, first, start, shape_re, shape_im, limits)

    def __len__(self) -> int:
        return len(self.ln_area)

    def joined(self, other: ShapeTable) -> ShapeTable:
        """The lattices of this table, and those of another behind them.

        Raises:
            ValueError: the two were made for different limits.
        """
        if other.limits != self.limits:
            raise ValueError(f"tables for {self.limits} and {other.limits} cannot be joined")
        if not len(other):
            return self
        # `start` counts shapes, `first` counts rows of `start`; the last of `first` is the next lattice's.
        return ShapeTable(
            np.concatenate([self.ln_area, other.ln_area]),
            np.concatenate([self.n_atoms, other.n_atoms]),
            np.concatenate([self.max_index, other.max_index]),
            np.concatenate([self.first, self.first[-1] + other.first[1:]]),
            np.concatenate([self.start, len(self.shape_re) + other.start]),
            np.concatenate([self.shape_re, other.shape_re]),
            np.concatenate([self.shape_im, other.shape_im]),
            self.limits,
        )

    @property
    def n_shapes(self) -> NDArray[np.int64]:
        """Shapes of each lattice, shape (N,)."""
        begin = self.first[:-1]
        return self.start[begin + self.max_index] - self.start[begin]
