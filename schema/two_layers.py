"""Which atoms of a stack are whose: two layers, or a layer and the crystal below it, divided by composition."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Divided(NamedTuple):
    """A stack divided by height.

    Attributes:
        below, above: indices of the atoms of the two sides.
        n_below, n_above: whole cells of the two sides.
    """

    below: NDArray[np.int64]
    above: NDArray[np.int64]
    n_below: int
    n_above: int


def divide_by_height(
    numbers: NDArray[np.int64], heights: NDArray[np.float64], below: Counter[int], above: Counter[int]
) -> Divided | None:
    """Divide a stack into whole cells of one side and, higher up, whole cells of another.

    Elements may be shared. Where several heights divide it so, as in a stack of a layer on itself, the widest gap does.

    Args:
        numbers: atomic numbers, shape (n,).
        heights: along the normal, Å, shape (n,).
        below, above: atoms of one cell of each side, by atomic number.

    Returns:
        None where no height divides it so.
    """
    order = np.argsort(heights, kind="stable")
    ordered, gaps = numbers[order], np.diff(heights[order])
    lower, upper = Counter[int](), Counter(ordered.tolist())
    found: list[tuple[float, Divided]] = []
    for cut in range(1, len(order)):
        moved = int(ordered[cut - 1])
        lower[moved] += 1
        upper[moved] -= 1
        n_below, n_above = whole_cells(lower, below), whole_cells(upper, above)
        if n_below and n_above:
            found.append((float(gaps[cut - 1]), Divided(order[:cut], order[cut:], n_below, n_above)))
    return max(found, key=lambda item: item[0])[1] if found else None


def film_atoms(
    numbers: NDArray[np.int64],
    heights: NDArray[np.float64],
    listed: NDArray[np.int64],
    film: Counter[int],
    substrate: Counter[int],
) -> NDArray[np.int64] | None:
    """The atoms of a layer on a substrate, of which a source lists some, rightly or not.

    Args:
        numbers: atomic numbers, shape (n,).
        heights: along the normal, Å, shape (n,).
        listed: indices that the source calls the layer's.
        film, substrate: atoms of one formula unit of each, by atomic number.

    Returns:
        Rising indices: the listed ones where they are whole formula units of the layer; else those that a height
        divides from the others, which are then whole formula units of the substrate; None where none does.
    """
    if whole_cells(Counter(numbers[listed].tolist()), film):
        # A slab need not be whole formula units of its crystal.
        return np.sort(listed)
    above = divide_by_height(numbers, heights, substrate, film)
    if above is not None:
        return np.sort(above.above)
    below = divide_by_height(numbers, heights, film, substrate)
    return None if below is None else np.sort(below.below)


def whole_cells(atoms: Counter[int], cell: Counter[int]) -> int | None:
    """How many whole cells atoms make up; None where they do not."""
    n, rest = divmod(atoms.total(), cell.total())
    return n if not rest and atoms == Counter({z: n * count for z, count in cell.items()}) else None
