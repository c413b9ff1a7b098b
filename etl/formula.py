"""Formulas as the field writes them: MoTe2, not Te2Mo; BN, SiC, CrSBr."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from math import gcd

from pymatgen.core import Composition, Element


def formulas(numbers: Iterable[int]) -> tuple[str, str]:
    """Reduced and anonymous formula of a list of atoms.

    Metals come first, and within metals and non-metals the less electronegative (Pauling, in steps of 0.1: sulphur and
    selenium are then equal, and alphabetical). pymatgen's order alone puts tellurium before molybdenum, which is more
    electronegative.

    Args:
        numbers: atomic numbers, any order.
    """
    return _formulas(tuple(sorted(Counter(numbers).items())))


@lru_cache(maxsize=100_000)
def _formulas(counted: tuple[tuple[int, int], ...]) -> tuple[str, str]:
    # A database repeats its compositions, so they are remembered.
    elements = {Element.from_Z(number): count for number, count in counted}
    divisor = gcd(*elements.values())
    order = sorted(elements, key=lambda e: (not e.is_metal, int(10 * e.X) if e.X == e.X else 99, e.symbol))
    reduced = "".join(f"{e.symbol}{elements[e] // divisor if elements[e] > divisor else ''}" for e in order)
    return reduced, Composition({e.symbol: count for e, count in elements.items()}).anonymized_formula
