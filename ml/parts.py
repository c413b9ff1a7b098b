"""Kinds of interface whose errors are told apart: by stoichiometry, by block of the elements, by class."""

from __future__ import annotations

import re
from collections import Counter
from typing import NamedTuple

import numpy as np
from ase.data import atomic_numbers
from numpy.typing import NDArray

from ml.rows import InterfaceRows
from schema.vocabulary import InterfaceKind, PartKind

MIN_ROWS = 15
"""A family with fewer rows is counted among the others."""

# Atomic numbers of the f-block, and columns 3 to 12 of the periodic table.
_F = {*range(57, 71), *range(89, 103)}
_D = {*range(21, 31), *range(39, 49), *range(71, 81), *range(103, 113)}


class Part(NamedTuple):
    """One kind of interface.

    Attributes:
        kind: by what it is told apart.
        name: which it is: "AB2 | AB2", "with d-block", "II".
    """

    kind: PartKind
    name: str


def parts_of(rows: InterfaceRows, classes: NDArray[np.floating] | None = None) -> list[tuple[Part, NDArray[np.bool_]]]:
    """The kinds of interface among some rows, each with the mask of its rows, shape (rows,).

    Args:
        rows: interfaces.
        classes: class of each row, shape (rows,), if the target names classes.
    """
    names = [" | ".join(sorted(pair)) for pair in zip(rows.bottom_family, rows.top_family, strict=True)]
    if rows.domain == InterfaceKind.HOMOBILAYER.value:
        names = list(rows.top_family)
    if rows.domain == InterfaceKind.ON_BULK.value:
        names = [f"{film} on {base}" for film, base in zip(rows.top_family, rows.bottom_family, strict=True)]
    common = {name for name, count in Counter(names).items() if count >= MIN_ROWS}
    found = _masks(PartKind.FAMILY, [name if name in common else "other" for name in names])
    found += _masks(PartKind.BLOCK, [block(f"{a} {b}") for a, b in zip(rows.bottom, rows.top, strict=True)])
    if classes is not None:
        found += _masks(PartKind.CLASS, [str(int(value)) for value in np.rint(classes)])
    return found


def block(name: str) -> str:
    """Which block the heaviest kind of element in a material's name belongs to; "unknown" if it names none."""
    numbers = {atomic_numbers.get(symbol) for symbol in re.findall(r"[A-Z][a-z]?", name)} - {None}
    if not numbers:
        return "unknown"
    if numbers & _F:
        return "with f-block"
    return "with d-block" if numbers & _D else "s- and p-block only"


def _masks(kind: PartKind, names: list[str]) -> list[tuple[Part, NDArray[np.bool_]]]:
    array = np.array(names, object)
    return [(Part(kind, name), array == name) for name in sorted(set(names))]
