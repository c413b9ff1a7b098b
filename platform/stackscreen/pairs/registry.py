"""Registry: the places where one layer may lie on the other that symmetry singles out.

Moving the upper layer by a vector of either lattice changes nothing, so all registries of a stack are the points of one
cell of the lattice Λ that both layers' vectors span together (of area A_bottom / m). A symmetry operation that both
layers have (a rotation about z, a mirror plane that holds z) takes one registry to another of the same energy; those
that it leaves in place have no in-plane force along what it turns. The isolated fixed points of the common rotations
are the high-symmetry registries: AA, AB, BA of three-fold layers, and so on.

In a large moiré cell Λ is small: every local registry occurs somewhere in the cell, and shifting the upper layer
moves the pattern and hardly changes the stack.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from math import gcd

import numpy as np
from numpy.typing import NDArray

from ml.descriptors.slab import FACE_DEPTH, Slab
from schema.plane_lattice import PlaneLattice
from stackscreen.pairs.common_cell import CommonCell

SYMMETRY_TOLERANCE = 0.05
"""Å: how far an atom may lie from where a symmetry operation puts it."""
MATTERS = 0.5
"""Å: where no two registries lie farther apart than this, they hardly differ."""
_SAME_PLACE = 0.02
"""Part of Λ's vectors: two shifts that are nearer than this are one."""
_ABOVE = 0.1
"""Å, lateral: an atom is above another."""

_Vector = NDArray[np.float64]
_Operation = tuple[NDArray[np.int64], _Vector]


@dataclass(frozen=True, slots=True)
class Registry:
    """One place of the upper layer on the lower one.

    Attributes:
        name: AA is the one in which most atoms lie above atoms; see `high_symmetry`.
        shift: of the upper layer, in fractions of the lower layer's strained cell vectors, from where the origins of
            both cells lie above each other; in [0, 1).
        symmetric: symmetry forbids an in-plane force on either layer.
        sites: which atoms lie above which.
    """

    name: str
    shift: tuple[float, float]
    symmetric: bool
    sites: str


@dataclass(frozen=True, slots=True)
class _Column:
    """Atoms above each other in one layer: where, the one next to the other layer, its depth in Å, and all of them.

    `content` is (atomic number, height in 0.1 Å over the middle of the layer) of each atom.
    """

    place: _Vector
    number: int
    depth: float
    content: tuple[tuple[int, int], ...]


def registry_lattice(cell: CommonCell) -> NDArray[np.float64]:
    """Reduced basis of Λ, the lattice of shifts that change nothing, Å, shape (2, 2), rows."""
    size = [abs(round(float(np.linalg.det(matrix)))) for matrix in (cell.bottom_matrix, cell.top_matrix)]
    rows = [
        np.rint(np.linalg.inv(matrix) * size[0] * size[1]).astype(int)
        for matrix in (cell.bottom_matrix, cell.top_matrix)
    ]
    basis = _spanned(np.vstack(rows).tolist()) @ cell.lattice / (size[0] * size[1])
    # The reduction refuses lattices too small for atoms, which this one may be.
    scale = 10.0 / np.sqrt(abs(np.linalg.det(basis)))
    return PlaneLattice.from_vectors(*(basis * scale)).basis / scale


def registry_spread(cell: CommonCell) -> float:
    """The largest distance from any registry to the nearest equivalent of any other, Å: Λ's covering radius."""
    a, b = registry_lattice(cell)
    sides = [float(np.linalg.norm(side)) for side in (a, b, b - a)]
    return sides[0] * sides[1] * sides[2] / (2.0 * abs(float(a[0] * b[1] - a[1] * b[0])))


def high_symmetry(cell: CommonCell) -> list[Registry]:
    """The high-symmetry registries of a stack, AA first; no two of them are related by a symmetry of both layers.

    Names: AA has most atoms above atoms (a layer on itself: without a shift). Where both layers are three-fold, AB and
    BA are the two other fixed points, AB being the one in which the lighter atom of the bottom is covered, and `bridge`
    lies halfway between two AA. Where they are four-fold, AB is the other four-fold point and `bridge` the two-fold
    one. Else `half-a`, `half-b` and `half-ab` are half a vector of Λ from AA, and any other two-fold
    point is `twofold`.

    Args:
        cell: the stack.
    """
    basis = registry_lattice(cell)
    common = list(_common_operations(cell, basis))
    rotations = [(turn, move) for turn, move in common if round(np.linalg.det(turn)) == 1 and _order(turn) > 1]
    below, above = _columns(cell, basis, bottom=True), _columns(cell, basis, bottom=False)
    fixed = {
        order: _distinct(point for turn, move in rotations if _order(turn) == order for point in _fixed(turn, move))
        for order in (6, 4, 3, 2)
    }
    highest = next((points for points in fixed.values() if points), None)
    if highest is None:
        highest = _distinct(low.place - high.place for low in below for high in above)

    def merit(point: _Vector) -> tuple[object, ...]:
        pairs = _eclipsed(point, below, above, basis)
        # A layer on itself without a shift is AA, whatever its faces show each other.
        alike = sum(low.content == high.content for low, high in pairs)
        facing = sum(low.depth <= FACE_DEPTH and high.depth <= FACE_DEPTH for low, high in pairs)
        lightest = sorted((low.number, high.number) for low, high in pairs)
        return (-len(pairs), -alike, -facing, lightest, tuple(np.round(point, 2)))

    reference = min(highest, key=merit)
    halves = [reference + half for half in ((0.5, 0.0), (0.0, 0.5), (0.5, 0.5))]
    others = sorted((point for points in fixed.values() for point in points), key=merit)
    places = _inequivalent([reference, *others, *halves], common)
    symmetric = [point for points in fixed.values() for point in points]
    to_bottom = basis @ np.linalg.inv(cell.bottom_cell)
    return [
        Registry(
            name,
            _wrapped(point @ to_bottom),
            any(_same(point, other) for other in symmetric),
            _describe(_eclipsed(point, below, above, basis)),
        )
        for name, point in zip(_names(places, fixed), places, strict=True)
    ]


def _names(places: list[_Vector], fixed: dict[int, list[_Vector]]) -> list[str]:
    letters = iter(("AB", "BA"))
    halves = {(0.5, 0.0): "half-a", (0.0, 0.5): "half-b", (0.5, 0.5): "half-ab"}
    names = ["AA"]
    for point in places[1:]:
        if any(_same(point, other) for order in (4, 3) for other in fixed[order]):
            names.append(next(letters))
            continue
        offset = (point - places[0]) % 1.0
        half = next((word for at, word in halves.items() if _same(offset, np.array(at))), "twofold")
        names.append("bridge" if fixed[4] or fixed[3] else half)
    twice = Counter(names)
    seen: Counter[str] = Counter()
    for k, name in enumerate(names):
        if twice[name] > 1:
            seen[name] += 1
            names[k] = f"{name}-{seen[name]}"
    return names


def _spanned(rows: list[list[int]]) -> NDArray[np.int64]:
    """Basis of the lattice that integer rows (x, y) span, shape (2, 2): Euclid on x, then on y of what has no x."""
    pivot, second = [0, 0], 0
    for row in rows:
        other = list(row)
        while other[0]:
            quotient = pivot[0] // other[0]
            pivot, other = other, [pivot[0] - quotient * other[0], pivot[1] - quotient * other[1]]
        second = gcd(second, other[1])
    return np.array([pivot, [0, second]], dtype=np.int64)


def _operations(slab: Slab) -> Iterator[tuple[NDArray[np.float64], _Vector]]:
    """In-plane parts (W, t) of a layer's symmetry operations that keep z, acting on fractional rows: x -> x W + t."""
    import spglib

    cell = np.eye(3)
    cell[:2, :2] = slab.cell[:, :2]
    cell[2, 2] = slab.thickness + 20.0
    fractional = slab.positions @ np.linalg.inv(cell)
    atoms = (cell.tolist(), fractional.tolist(), slab.numbers.tolist())
    found = spglib.get_symmetry(atoms, symprec=SYMMETRY_TOLERANCE)
    if found is None:
        yield np.eye(2), np.zeros(2)
        return
    for turn, move in zip(found["rotations"], found["translations"], strict=True):
        if turn[2, 2] == 1 and not turn[2, :2].any() and not turn[:2, 2].any():
            yield turn[:2, :2].T.astype(float), np.asarray(move[:2], float)


def _common_operations(cell: CommonCell, basis: NDArray[np.float64]) -> Iterator[_Operation]:
    """What both layers have, as registries feel it: s -> s W + t in fractions of Λ's basis."""
    lower = _in_basis(cell.bottom, cell.bottom_cell, basis)
    upper = _in_basis(cell.top, cell.top_cell, basis)
    for key, moves in lower.items():
        turn = np.array(key, np.int64).reshape(2, 2)
        for below, above in product(moves, upper.get(key, [])):
            yield turn, below - above


def _in_basis(
    slab: Slab, strained: NDArray[np.float64], basis: NDArray[np.float64]
) -> dict[tuple[int, ...], list[_Vector]]:
    to_cell = basis @ np.linalg.inv(strained)
    from_cell = np.linalg.inv(to_cell)
    found: dict[tuple[int, ...], list[_Vector]] = {}
    for turn, move in _operations(slab):
        carried = to_cell @ turn @ from_cell
        if np.abs(carried - np.rint(carried)).max() < 1e-4:
            key = tuple(int(number) for number in np.rint(carried).ravel())
            found.setdefault(key, []).append(move @ from_cell)
    return {key: _distinct(moves) for key, moves in found.items()}


def _order(turn: NDArray[np.int64]) -> int:
    return {2: 1, -2: 2, -1: 3, 0: 4, 1: 6}[int(np.trace(turn))]


def _fixed(turn: NDArray[np.int64], move: _Vector) -> Iterator[_Vector]:
    """All s with s = s W + t mod 1, for a rotation W."""
    solve = np.linalg.inv(np.eye(2) - turn)
    for steps in product(range(4), repeat=2):
        yield (move + np.array(steps)) @ solve


def _distinct(points: Iterable[_Vector]) -> list[_Vector]:
    found: list[_Vector] = []
    for point in points:
        if not any(_same(point, other) for other in found):
            found.append(np.asarray(point, float) % 1.0)
    return found


def _same(one: _Vector, other: _Vector) -> bool:
    apart = np.asarray(one) - np.asarray(other)
    return bool(np.abs(apart - np.rint(apart)).max() < _SAME_PLACE)


def _inequivalent(points: list[_Vector], operations: list[_Operation]) -> list[_Vector]:
    found: list[_Vector] = []
    for point in points:
        images = [point, *(point @ turn + move for turn, move in operations)]
        if not any(_same(image, other) for image in images for other in found):
            found.append(point)
    return found


def _columns(cell: CommonCell, basis: NDArray[np.float64], *, bottom: bool) -> list[_Column]:
    """The lateral sites of a layer, in fractions of Λ, each with the atom that is next to the other layer."""
    slab, strained = (cell.bottom, cell.bottom_cell) if bottom else (cell.top, cell.top_cell)
    fractional = slab.positions[:, :2] @ np.linalg.inv(slab.cell[:, :2])
    nearest = nearest_image(strained)
    depth = slab.depth(top=bottom)
    heights = np.rint(10 * (slab.positions[:, 2] - 0.5 * (slab.positions[:, 2].min() + slab.positions[:, 2].max())))
    columns: list[list[int]] = []
    for atom in np.argsort(depth, kind="stable"):
        own = next((one for one in columns if nearest(fractional[atom] - fractional[one[0]]) <= _ABOVE), None)
        if own is None:
            columns.append([int(atom)])
        else:
            own.append(int(atom))
    places = fractional @ strained @ np.linalg.inv(basis)
    return [
        _Column(
            places[first],
            int(slab.numbers[first]),
            float(depth[first]),
            tuple(sorted((int(slab.numbers[atom]), int(heights[atom])) for atom in (first, *others))),
        )
        for first, *others in columns
    ]


def nearest_image(vectors: NDArray[np.float64]) -> Callable[[_Vector], float]:
    """The function that gives the shortest length, Å, of a fractional difference over the lattice of `vectors`."""
    lattice = np.asarray(vectors, float)
    images = np.array(list(product(range(-2, 3), repeat=2)), float)

    def length(difference: _Vector) -> float:
        whole = difference - np.rint(difference)
        return float(np.linalg.norm((whole + images) @ lattice, axis=1).min())

    return length


def _eclipsed(
    shift: _Vector, below: list[_Column], above: list[_Column], basis: NDArray[np.float64]
) -> list[tuple[_Column, _Column]]:
    """The pairs of columns that lie above each other somewhere in the stack."""
    length = nearest_image(basis)
    return [(low, high) for low in below for high in above if length(high.place + shift - low.place) < _ABOVE]


def _describe(pairs: list[tuple[_Column, _Column]]) -> str:
    from ase.data import chemical_symbols

    def word(column: _Column) -> str:
        deep = f" ({column.depth:.1f} Å deep)" if column.depth > FACE_DEPTH else ""
        return f"{chemical_symbols[column.number]}{deep}"

    counted = Counter(f"{word(high)} over {word(low)}" for low, high in pairs)
    words = [f"{number} x {text}" if number > 1 else text for text, number in sorted(counted.items())]
    return ", ".join(words) or "no atom above another"


def _wrapped(point: _Vector) -> tuple[float, float]:
    # -1e-12 and 0.9999999 are 0: a shift reads as people write it.
    first, second = np.round(point, 9) % 1.0
    return (0.0 if first > 1 - 1e-6 else float(first), 0.0 if second > 1 - 1e-6 else float(second))
