"""All coincidence lattices of two lattices within limits, each with its matrices, strains and twist."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from schema.errors import StackscreenError
from schema.plane_lattice import PlaneLattice
from stackscreen.pairs.limits import MAX_INDEX, PairLimits
from stackscreen.pairs.maps import SAME_STRAIN, all_maps, describe_maps
from stackscreen.pairs.solution import PairSolution, principal_strains_of
from stackscreen.pairs.superlattices import superlattices

_SAME_TWIST = 1e-3
"""Degrees: two twists nearer than this are one."""


class TooManyCellsError(StackscreenError):
    """A supercell within the limits has more cells than the engine counts."""


@dataclass(frozen=True, slots=True)
class Coincidence:
    """One coincidence lattice of a bottom and a top lattice.

    Attributes:
        n, m: cells of the bottom and of the top.
        natoms: atoms of both sides together.
        area: Å², of the matched supercell, √(n A₁ m A₂).
        twist: degrees, 0 to 90: see `stackscreen.pairs.twist.folded_twist`.
        solution: matrices, deformation, strains of the whole misfit, turning over.
    """

    n: int
    m: int
    natoms: int
    area: float
    twist: float
    solution: PairSolution

    @property
    def strain(self) -> float:
        """Largest principal Hencky strain of the whole misfit in magnitude, dimensionless."""
        return self.solution.max_strain

    @property
    def tensor(self) -> NDArray[np.float64]:
        """Hencky strain of the whole misfit, ln √(FᵀF), in the frame of the bottom; shape (2, 2), dimensionless.

        It is what the bottom would have to bear to fit the top; the top would bear its negative.
        """
        squares, axes = np.linalg.eigh(self.solution.deformation.T @ self.solution.deformation)
        return np.asarray(0.5 * (axes * np.log(squares)) @ axes.T)

    @property
    def rotation(self) -> float:
        """Degrees, counter-clockwise, -180 to 180, that the top is turned by to lie on the bottom.

        A top that is turned over is first turned by 180° about the x axis of its own frame.
        """
        return self.solution.twist if self.solution.flip else -self.solution.twist


def max_cells(area: float, n_atoms: int, limits: PairLimits) -> int:
    """Most cells of a lattice in a supercell within the limits.

    Raises:
        TooManyCellsError: they are more than the engine counts.
    """
    by_area = int(limits.max_area / area + 1e-9)
    # The other side has at least one atom.
    cells = min(by_area, (limits.max_atoms - 1) // n_atoms)
    if cells > MAX_INDEX:
        raise TooManyCellsError(
            f"A cell of {area:.2f} Å² fits {cells} times into the limits, and at most {MAX_INDEX} are searched.",
            hint=f"Lower the area limit to {MAX_INDEX * area:.0f} Å², or check the cell.",
        )
    return cells


def coincidences(bottom: ArrayLike, top: ArrayLike, n_atoms: tuple[int, int], limits: PairLimits) -> list[Coincidence]:
    """All coincidence lattices of two lattices, by area, then strain, then twist.

    A multiple of a smaller one (the same map, of which not every coinciding vector is kept) is left out. Of those that
    the symmetries of the two lattices, or the mirror image of the whole pair, turn into each other there is one: of
    equal ones, one that need not be turned over, of these the one that is rotated least.

    Args:
        bottom, top: in-plane lattice vectors, Å, shape (2, 2), rows; any basis, any orientation.
        n_atoms: atoms per cell of both.
        limits: of strain, area of either side, and atoms.

    Raises:
        TooManyCellsError: see `max_cells`.
        DegenerateLatticeError: a lattice spans no area.
    """
    bases = [np.ascontiguousarray(np.asarray(side, float)[:2, :2]) for side in (bottom, top)]
    areas = [PlaneLattice.from_vectors(*basis).area for basis in bases]
    most = [max_cells(area, atoms, limits) for area, atoms in zip(areas, n_atoms, strict=True)]
    upper = {m: superlattices(bases[1], m) for m in range(1, most[1] + 1)}
    window = 2 * limits.max_strain
    ratio = areas[0] / areas[1]
    found: list[Coincidence] = []
    for n in range(1, most[0] + 1):
        lower = superlattices(bases[0], n)
        first = max(1, int(np.ceil(n * ratio * np.exp(-window) - 1e-9)))
        last = min(most[1], int(np.floor(n * ratio * np.exp(window) + 1e-9)))
        for m in range(first, last + 1):
            if n * n_atoms[0] + m * n_atoms[1] > limits.max_atoms:
                break
            room = window - abs(np.log(m / n / ratio)) + 1e-12
            if room >= 0:
                matches = all_maps(*lower, *upper[m], room)
                natoms = n * n_atoms[0] + m * n_atoms[1]
                found += _distinct(matches, bases, n, m, natoms, float(np.sqrt(n * areas[0] * m * areas[1])))
    return sorted(found, key=lambda one: (one.n * one.m, round(one.strain, 7), one.twist))


def _distinct(
    matches: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]],
    bases: list[NDArray[np.float64]],
    n: int,
    m: int,
    natoms: int,
    area: float,
) -> list[Coincidence]:
    """One of each class of equivalent matches of n with m cells."""
    lower, upper, cells_1, cells_2 = matches
    if not len(lower):
        return []
    maps, angles, mirrors, twists = describe_maps(cells_1, cells_2, *bases)
    strains = principal_strains_of(maps)
    classes = np.stack(
        [_groups(strains[:, 0], SAME_STRAIN), _groups(strains[:, 1], SAME_STRAIN), _groups(twists, _SAME_TWIST)]
    )
    # A map and its opposite are one: a lattice has both signs of every vector.
    turns = np.abs(np.remainder(angles + 90.0, 180.0) - 90.0).round(6)
    order = np.lexsort((turns, mirrors))
    _, first = np.unique(classes[:, order], axis=1, return_index=True)
    chosen = []
    for k in order[first]:
        sign = 1 if abs(angles[k]) <= 90.0 else -1
        turn = float(angles[k]) if sign == 1 else float(angles[k] - np.copysign(180.0, angles[k]))
        solution = PairSolution(
            lower[k], sign * upper[k], sign * maps[k], (float(strains[k, 0]), float(strains[k, 1])), turn,
            bool(mirrors[k]),
        )  # fmt: skip
        chosen.append(Coincidence(n, m, natoms, area, float(twists[k]), solution))
    return chosen


def _groups(values: NDArray[np.float64], nearer: float) -> NDArray[np.int64]:
    """Numbers of groups of equal values: those with no gap wider than `nearer` between them."""
    order = np.argsort(values)
    groups = np.empty(len(values), np.int64)
    groups[order] = np.concatenate([[0], np.cumsum(np.diff(values[order]) > nearer)])
    return groups


def smallest_by_level(found: list[Coincidence], levels: list[float]) -> list[Coincidence | None]:
    """The smallest coincidence lattice of each strain level, and of equally large ones the least strained.

    Args:
        found: all of them up to the largest level, as `coincidences` gives them.
        levels: largest strains, dimensionless.
    """
    within = ([one for one in found if one.strain <= level + 1e-12] for level in levels)
    return [min(some, key=lambda one: (one.n * one.m, one.strain), default=None) for some in within]
