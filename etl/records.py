"""What a reader hands over: records with units already right, or the raw text of what it could not read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from etl.spectra import Spectrum
from schema.quantities import Quantity
from schema.vocabulary import Face, InterfaceKind, Method, Subject


@dataclass(frozen=True, slots=True, eq=False)
class Atoms:
    """Atoms in a cell, as the source gave them.

    Attributes:
        numbers: atomic numbers, shape (n,).
        positions: Cartesian, Å, shape (n, 3).
        cell: rows a, b, c, Å, shape (3, 3); a vector may be zero along a direction that is not periodic.
        periodic: whether each cell vector is a period.
    """

    numbers: NDArray[np.int64]
    positions: NDArray[np.float64]
    cell: NDArray[np.float64]
    periodic: tuple[bool, bool, bool] = (True, True, True)


@dataclass(frozen=True, slots=True)
class Fact:
    """One value of one quantity, in the quantity's own unit (a word for a label)."""

    quantity: Quantity
    value: float | str
    method: Method
    face: Face | None = None


@dataclass(frozen=True, slots=True)
class Doubt:
    """A reason not to trust one property of an otherwise good record."""

    rule: str
    property_key: str
    detail: str


@dataclass(frozen=True, slots=True)
class Stack:
    """What lies on what, and how. Strains are engineering strains of the top, dimensionless; shifts are fractional.

    Attributes:
        top_atoms: indices of the atoms of the upper layer in the record's atoms, shape (k,); None without structure.
        method: level of theory at which the structure was relaxed.
        distance: Å, the source's own figure for the interlayer distance, to be cross-checked with the structure.
    """

    kind: InterfaceKind
    bottom_name: str
    top_name: str
    top_atoms: NDArray[np.int64] | None
    method: Method
    surface: str | None = None
    bottom_matrix: tuple[int, int, int, int] = (1, 0, 0, 1)
    top_matrix: tuple[int, int, int, int] = (1, 0, 0, 1)
    top_operation: tuple[float, float, float, float] | None = None
    flip: bool = False
    shift_a: float | None = None
    shift_b: float | None = None
    twist: float | None = None
    strain_aa: float | None = None
    strain_bb: float | None = None
    strain_ab: float | None = None
    distance: float | None = None


@dataclass(slots=True)
class Record:
    """One record of a source.

    Attributes:
        external_id: the source's own name of it.
        subject: what it describes.
        payload: the record as read, JSON-like; hashing it tells whether a later import changed it.
        atoms: its structure, None if the source gives none.
        facts: values, converted to the units of `schema.quantities`.
        stack: how its layers lie, for an interface.
        doubts: what the reader itself found odd.
        names: further names by which other records may speak of this one: an older uid, the uuid of its structure.
        spectra: functions of energy or wave vector that came with it.
    """

    external_id: str
    subject: Subject
    payload: dict[str, Any]
    atoms: Atoms | None
    facts: list[Fact] = field(default_factory=list)
    stack: Stack | None = None
    doubts: list[Doubt] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    spectra: list[Spectrum] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class RawFailure:
    """A line or row that is no record: kept as raw text, or as the payload that was read, with the reason."""

    external_id: str
    rule: str
    reason: str
    raw_text: str | None = None
    payload: dict[str, Any] | None = None
