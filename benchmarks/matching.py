"""The match of all pairs of some lattices, timed as a screen does it: one process, a thread a processor."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.lattices import layers_of
from schema.plane_lattice import PlaneLattice
from stackscreen.pairs import PairLimits, RowMatcher, ShapeIndex, ShapeTable


@dataclass(frozen=True, eq=False)
class Lattices:
    """Lattices by number: `cell` rows in Å, shape (N, 2, 2); ln of the area in Å², reduced shape, atoms, shape (N,)."""

    cell: np.ndarray
    ln_area: np.ndarray
    tau: np.ndarray
    atoms: np.ndarray

    @classmethod
    def of(cls, path: Path) -> Lattices:
        """Those of all layers of a C2DB file."""
        layers = layers_of(path)
        cell = np.array([layer.cell[:2, :2] for layer in layers])
        planes = [PlaneLattice.from_vectors(a, b) for a, b in cell]
        return cls(
            cell,
            np.array([plane.ln_area for plane in planes]),
            np.array([plane.tau for plane in planes]),
            np.array([len(layer.numbers) for layer in layers]),
        )

    def __len__(self) -> int:
        return len(self.atoms)

    def take(self, numbers: np.ndarray) -> Lattices:
        """Some of them."""
        return Lattices(self.cell[numbers], self.ln_area[numbers], self.tau[numbers], self.atoms[numbers])


@dataclass(frozen=True)
class Timed:
    """What a match took.

    Attributes:
        shapes: superlattice shapes.
        enumerating, sorting, matching: s.
        processor: s of all processors together.
        pairs, matched: looked at, and with a coincidence lattice.
    """

    shapes: int
    enumerating: float
    sorting: float
    matching: float
    processor: float
    pairs: int
    matched: int

    @property
    def seconds(self) -> float:
        """All of it."""
        return self.enumerating + self.sorting + self.matching


def compile_match(lattices: Lattices, limits: PairLimits) -> None:
    """Load the compiled code, so that it is not timed."""
    match_all(lattices.take(np.arange(2)), limits)


def match_all(lattices: Lattices, limits: PairLimits, rows: np.ndarray | None = None) -> Timed:
    """Match every lattice with itself and all later ones; of some rows of the pair matrix only if these are given."""
    computed = time.process_time()
    began = time.perf_counter()
    table = ShapeTable.build(lattices.ln_area, lattices.tau, lattices.atoms, limits)
    enumerated = time.perf_counter()
    index = ShapeIndex.build(table, len(lattices))
    sorted_ = time.perf_counter()
    rows = np.arange(len(lattices)) if rows is None else rows
    threads = len(os.sched_getaffinity(0))

    def match(part: np.ndarray) -> int:
        matcher = RowMatcher(index)
        return sum(int((matcher.match(int(row), int(row)).n > 0).sum()) for row in part)

    with ThreadPoolExecutor(threads) as pool:
        matched = sum(pool.map(match, [rows[first::threads] for first in range(threads)]))
    ended = time.perf_counter()
    return Timed(
        len(table.shape_re),
        enumerated - began,
        sorted_ - enumerated,
        ended - sorted_,
        time.process_time() - computed,
        int((len(lattices) - rows).sum()),
        matched,
    )
