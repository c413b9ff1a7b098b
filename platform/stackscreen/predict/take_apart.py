"""A stacked structure taken apart into the two layers that it is made of.

What divides it is where its atoms hold together: the widest gap on whose either side there is one connected layer. A
stack whose layers were pushed into each other's bonding distance has no such gap; chemistry then decides, so that the
answer does not depend on the distance.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import gcd

import numpy as np
from numpy.typing import NDArray

from etl.canonical import CANONICAL_VACUUM, Canonical, canonical_slab
from etl.errors import RecordError
from etl.records import Atoms
from etl.sources.moire import split_by_height
from ml.descriptors.slab import Slab
from ml.stacks import RIGID_TOLERANCE, orientation, part, settled
from stackscreen.predict.errors import NotPredictedError, Reason

BONDED = 1.25
"""Two nuclei nearer than this many sums of their covalent radii hold together."""
SAME_BOND = 1.1
"""A contact that is no longer than this many bonds of the same two elements within the layers, or, where there are
none, than this many sums of covalent radii, is a bond."""
ALKALI_METALS = frozenset({3, 11, 19, 37, 55})
_NO_CONTACT = 1.5
"""Å: layers whose heights overlap leave no such gap in their middle."""
_HEAVIEST = 103
"""Atomic number of the last element that the descriptors describe."""
_MIN_STEP = 0.2
"""Å: nuclei whose heights differ by less lie in one plane, and no gap is between them."""

_Bonds = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]


@dataclass(frozen=True, eq=False)
class Apart:
    """The layers of a stack, put down at height 0 (`ml.stacks.settled`), in the stack's in-plane cell.

    Attributes:
        lower, upper: the layers; nothing tells any more how far apart they were.
    """

    lower: Slab
    upper: Slab


def take_apart(
    atoms: Atoms,
    *,
    cells: tuple[Counter[int], Counter[int]] | None = None,
    alike: bool = False,
) -> Apart:
    """The two layers of a stack.

    Args:
        atoms: the stack; which of its vectors crosses the vacuum is found.
        cells: atoms of one cell, or of one formula unit, of the two layers, by atomic number, in either order, where
            they are known.
        alike: whether the two layers are known to be the same.

    Raises:
        NotPredictedError: it is no stack of two layers.
    """
    _refuse_nonsense(atoms)
    try:
        stack = canonical_slab(atoms)
    except RecordError as error:
        raise NotPredictedError(Reason.NOT_A_STACK, error.reason) from error
    above = _by_name(stack, cells, alike)
    if above is None:
        above = _by_bonds(stack)
    slab = Slab.from_cell(stack.numbers, stack.positions, stack.cell)
    return Apart(settled(part(slab, np.setdiff1d(np.arange(len(slab)), above))), settled(part(slab, above)))


def _refuse_nonsense(atoms: Atoms) -> None:
    if len(atoms.numbers) < 2:
        raise NotPredictedError(Reason.NOT_A_STACK, f"It has {len(atoms.numbers)} atoms.")
    if not (np.isfinite(atoms.positions).all() and np.isfinite(atoms.cell).all()):
        raise NotPredictedError(Reason.UNREADABLE, "A coordinate is not finite.")
    if atoms.numbers.min() < 1 or atoms.numbers.max() > _HEAVIEST:
        raise NotPredictedError(Reason.UNREADABLE, "An atom is no element whose properties are known.")


def is_copy(layer: Slab, other: Slab) -> bool:
    """Whether two layers have the same atoms at the same heights, either way up."""
    return len(layer) == len(other) and orientation(layer, other)[1] <= RIGID_TOLERANCE


def _interlock(stack: Canonical, order: NDArray[np.int64]) -> bool:
    """Whether two copies of a layer, written one after the other, lie into each other, so that no height divides them.

    Atoms that are written in turn, one of either layer, make halves that are copies as well: as thick as the stack.
    """
    half = len(order) // 2
    heights = stack.positions[:, 2]
    if not half or heights[order[half]] - heights[order[half - 1]] > _NO_CONTACT:
        return False
    first, second = _side(stack, np.arange(half)), _side(stack, np.arange(half, len(order)))
    thinner = max(first.thickness, second.thickness) < stack.thickness - _MIN_STEP
    return thinner and second.positions[:, 2].mean() > first.positions[:, 2].mean() and is_copy(first, second)


def _side(stack: Canonical, atoms: NDArray[np.int64]) -> Slab:
    return Slab(stack.numbers[atoms], stack.positions[atoms], stack.cell[:2, :2])


def _by_name(
    stack: Canonical, cells: tuple[Counter[int], Counter[int]] | None, alike: bool
) -> NDArray[np.int64] | None:
    """The upper layer where it is known what the two layers are; None where no height divides the stack so."""
    order = np.argsort(stack.positions[:, 2], kind="stable")
    if alike:
        half = len(order) // 2
        if _interlock(stack, order):
            return np.arange(half, len(order))
        same = Counter(stack.numbers[order[:half]].tolist()) == Counter(stack.numbers[order[half:]].tolist())
        return np.sort(order[half:]) if same else None
    for below, above in (cells, cells[::-1]) if cells is not None else ():
        found = split_by_height(stack, below, above)
        if found is not None:
            return np.sort(found.above)
    return None


def _by_bonds(stack: Canonical) -> NDArray[np.int64]:
    """The upper layer, told by which atoms hold together."""
    order = np.argsort(stack.positions[:, 2], kind="stable")
    heights = stack.positions[order, 2]
    bonds = _bonds(stack)
    cuts = [k for k in range(1, len(order)) if heights[k] - heights[k - 1] > _MIN_STEP]
    whole = [cut for cut in cuts if _is_layer(order[:cut], bonds) and _is_layer(order[cut:], bonds)]
    apart = [cut for cut in whole if not _across(order[:cut], bonds).any()]
    if apart:
        best = max(apart, key=lambda cut: heights[cut] - heights[cut - 1])
        return np.sort(order[best:])
    if not whole:
        pieces = _pieces(np.arange(len(order)), bonds)
        if not _halves_are_one_layer(stack, order, bonds, pieces):
            raise NotPredictedError(Reason.NOT_A_STACK, _why_not(pieces))
        return np.sort(order[len(order) // 2 :])
    ranked = sorted(whole, key=lambda cut: (*_strangeness(stack, order, cut), heights[cut - 1] - heights[cut]))
    chosen = ranked[0]
    if _is_one(stack, order[:chosen], bonds):
        raise NotPredictedError(
            Reason.NOT_A_STACK, "Its atoms are bonded into one layer: no height divides it into two that are whole."
        )
    return np.sort(order[chosen:])


def _bonds(stack: Canonical) -> _Bonds:
    """Bonded pairs (i, j), how many cells of the plane apart, shape (pairs, 2), and lengths in sums of radii."""
    from ase import Atoms as AseAtoms
    from ase.data import covalent_radii
    from ase.neighborlist import neighbor_list

    cell = stack.cell.copy()
    cell[2] = (0.0, 0.0, stack.thickness + CANONICAL_VACUUM)
    ase = AseAtoms(stack.numbers, stack.positions, cell=cell, pbc=(True, True, False))
    radii = covalent_radii[stack.numbers]
    first, second, offsets, lengths = neighbor_list("ijSd", ase, BONDED * radii)
    return first, second, offsets[:, :2].astype(np.int64), lengths / (radii[first] + radii[second])


def _is_layer(atoms: NDArray[np.int64], bonds: _Bonds) -> bool:
    """Whether the bonds between some atoms hold all of them together, in both directions of the plane."""
    pieces = _pieces(atoms, bonds)
    return len(pieces) == 1 and pieces[0] == 2


def _pieces(atoms: NDArray[np.int64], bonds: _Bonds) -> list[int]:
    """In how many directions each connected piece of some atoms goes on without end: 0, 1 or 2."""
    inside = set(atoms.tolist())
    partners: dict[int, list[tuple[int, int, int]]] = {atom: [] for atom in inside}
    for i, j, (p, q) in zip(bonds[0].tolist(), bonds[1].tolist(), bonds[2].tolist(), strict=True):
        if i in inside and j in inside:
            partners[i].append((j, p, q))
    home: dict[int, tuple[int, int]] = {}
    found = []
    for start in sorted(inside):
        if start in home:
            continue
        home[start] = (0, 0)
        loops: list[tuple[int, int]] = []
        waiting = [start]
        while waiting:
            atom = waiting.pop()
            a, b = home[atom]
            for other, p, q in partners[atom]:
                if other not in home:
                    home[other] = (a + p, b + q)
                    waiting.append(other)
                else:
                    loops.append((a + p - home[other][0], b + q - home[other][1]))
        found.append(int(np.linalg.matrix_rank(np.array(loops))) if loops else 0)
    return found


def _across(below: NDArray[np.int64], bonds: _Bonds) -> NDArray[np.bool_]:
    """Which bonds lead from the lower atoms to the others."""
    return np.isin(bonds[0], below) & ~np.isin(bonds[1], below)


def _shares(stack: Canonical, order: NDArray[np.int64], cut: int) -> bool:
    return bool(set(stack.numbers[order[:cut]].tolist()) & set(stack.numbers[order[cut:]].tolist()))


def _strangeness(stack: Canonical, order: NDArray[np.int64], cut: int) -> tuple[bool, int, int]:
    """How unlike two layers the two sides of a cut are: shared elements, size of their formulas, faces that differ."""
    sides = (order[:cut], order[cut:])
    counts = [Counter(stack.numbers[side].tolist()) for side in sides]
    sizes = sum(count.total() // gcd(*count.values()) for count in counts)
    return _shares(stack, order, cut), sizes, sum(_is_polar(stack, side) for side in sides)


def _is_polar(stack: Canonical, side: NDArray[np.int64]) -> bool:
    """Whether the two outermost planes of a side hold different elements."""
    numbers, heights = stack.numbers[side], stack.positions[side, 2]
    low, high = numbers[heights < heights.min() + _MIN_STEP], numbers[heights > heights.max() - _MIN_STEP]
    return set(low.tolist()) != set(high.tolist())


def _is_one(stack: Canonical, below: NDArray[np.int64], bonds: _Bonds) -> bool:
    """Whether a contact between the two sides is a bond of one layer.

    It is, if it is as long as the bonds of the same two elements within the sides. Where there are none of these, a
    short contact is a bond if it completes a side that is nothing by itself: GaS is S-Ga-Ga-S, and no stack of GaS, and
    a plane of tellurium on WS is a Janus layer. What lies on a crystal may well be bonded to it.
    """
    above = np.setdiff1d(np.arange(len(stack.numbers)), below)
    if any(is_crystal_slab(stack.numbers[side], stack.positions[side, 2]) for side in (below, above)):
        return False
    across = _across(below, bonds)
    within = ~across & ~_across(below, (bonds[1], bonds[0], bonds[2], bonds[3]))
    unfinished = any(_is_polar(stack, side) or _is_loose_plane(stack, side, bonds) for side in (below, above))
    pairs = np.sort(np.column_stack([stack.numbers[bonds[0]], stack.numbers[bonds[1]]]), axis=1)
    for at in np.flatnonzero(across):
        alike = bonds[3][within & (pairs == pairs[at]).all(axis=1)]
        if bonds[3][at] < SAME_BOND * float(alike.max()) if len(alike) else unfinished and bonds[3][at] < SAME_BOND:
            return True
    return False


def _is_loose_plane(stack: Canonical, side: NDArray[np.int64], bonds: _Bonds) -> bool:
    """Whether a side is a flat plane of one element that does not bond to itself, or of an alkali metal."""
    numbers = stack.numbers[side]
    if len(set(numbers.tolist())) > 1 or np.ptp(stack.positions[side, 2]) > _MIN_STEP:
        return False
    own = bonds[3][np.isin(bonds[0], side) & np.isin(bonds[1], side)]
    return int(numbers[0]) in ALKALI_METALS or float(own.min(initial=np.inf)) > 1.0


def is_crystal_slab(numbers: NDArray[np.int64], heights: NDArray[np.float64]) -> bool:
    """Whether atoms look like the slab of a crystal: metals alone in three planes or more, or one element in five."""
    from pymatgen.core import Element

    planes = 1 + int((np.diff(np.sort(heights)) > _MIN_STEP).sum())
    elements = set(numbers.tolist())
    return (planes >= 3 and all(Element.from_Z(int(z)).is_metal for z in elements)) or (
        planes >= 5 and len(elements) == 1
    )


def _halves_are_one_layer(stack: Canonical, order: NDArray[np.int64], bonds: _Bonds, pieces: list[int]) -> bool:
    """Whether the two halves are copies of one layer that does not hold together by bonds: of chains or molecules."""
    half = len(order) // 2
    lower, upper = _side(stack, order[:half]), _side(stack, order[half:])
    # Four layers are two copies of two as well: only what has no layers of its own, or two, can be a stack.
    few = len(pieces) > 1 and sum(rank == 2 for rank in pieces) <= 2
    return few and not _across(order[:half], bonds).any() and is_copy(lower, upper)


def _why_not(pieces: list[int]) -> str:
    layers = sum(rank == 2 for rank in pieces)
    match layers, len(pieces):
        case 1, 1:
            return "It is one layer: no height divides it into two that each hold together."
        case (0, _):
            return f"Its atoms hold together as {len(pieces)} pieces, none of which is a layer."
        case _:
            return f"Its atoms hold together as {len(pieces)} pieces, {layers} of them layers: two layers are expected."
