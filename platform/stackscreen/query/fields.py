"""What a candidate can be filtered, sorted and described by: one row a field.

Units and meanings are those of the database's own column comments, so that a header, a message and SQL say the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement
from sqlalchemy.orm import InstrumentedAttribute

from schema import Candidate
from schema.quantities import QUANTITIES
from schema.vocabulary import AlignmentType, InterfaceKind, StackSide


class FieldKind(StrEnum):
    """What the values of a field are, and so which operators it takes."""

    NUMBER = "number"
    WORD = "word"
    LAYERS = "layers"
    ELEMENTS = "elements"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Field:
    """One thing a candidate can be filtered by.

    Attributes:
        key: name in addresses, JSON and exports.
        label: header for people, without the unit.
        unit: unit of the stored values; "1" is dimensionless, "" has no number.
        meaning: definition, as the database comments it.
        kind: what the values are.
        expression: SQL expression over `candidate`; None where the field speaks of the two sides.
        words: the closed list of values of a WORD field.
        per_cent: whether people read it in per cent; addresses and exports keep the stored fraction.
    """

    key: str
    label: str
    unit: str
    meaning: str
    kind: FieldKind
    expression: ColumnElement[Any] | InstrumentedAttribute[Any] | None = None
    words: tuple[str, ...] = ()
    per_cent: bool = False

    @property
    def shown_unit(self) -> str:
        """The unit in which people see it; empty where there is none to show."""
        return "%" if self.per_cent else "" if self.unit == "1" else self.unit

    @property
    def header(self) -> str:
        """Label with unit."""
        return f"{self.label} ({self.shown_unit})" if self.shown_unit else self.label


_UNITS = {quantity.unit for quantity in QUANTITIES.values()} | {"Å²"}
_COUNTS = {"n_atoms", "n", "m"}


def _unit(column: InstrumentedAttribute[Any]) -> str:
    """The unit that a column's comment begins with; "1" for counts, scores and dimensionless numbers."""
    comment = column.comment or ""
    first = comment.split(",", 1)[0]
    if first in _UNITS:
        return first
    if "dimensionless" in comment or "0 to 1" in comment or "1 =" in comment or column.key in _COUNTS:
        return "1"
    raise LookupError(f"the comment of candidate.{column.key} does not begin with a unit: {comment!r}")


def _number(column: InstrumentedAttribute[Any], label: str, *, per_cent: bool = False, note: str = "") -> Field:
    unit = _unit(column)
    meaning = (column.comment or "").removeprefix(f"{unit}, ") + note
    return Field(column.key, label, unit, meaning, FieldKind.NUMBER, column, per_cent=per_cent)


def _width(of: str, label: str) -> Field:
    lower, upper = getattr(Candidate, f"{of}_lower"), getattr(Candidate, f"{of}_upper")
    key = f"{of}_width"
    return Field(key, label, _unit(lower), "width of the 90 % interval", FieldKind.NUMBER, upper - lower)


FIELDS: Mapping[str, Field] = {
    field.key: field
    for field in (
        Field("layers", "Layers", "", "uid or formula of the layers", FieldKind.LAYERS),
        Field("elements", "Elements", "", "element symbols of both layers", FieldKind.ELEMENTS),
        Field("text", "Search", "", "words in uid or formula of either layer", FieldKind.TEXT),
        Field("kind", "Kind", "", "what is stacked on what", FieldKind.WORD, Candidate.kind,
              tuple(word.value for word in InterfaceKind)),
        Field("alignment", "Alignment", "", Candidate.alignment.comment or "", FieldKind.WORD, Candidate.alignment,
              tuple(word.value for word in AlignmentType)),
        Field("electron_donor", "Electron donor", "", Candidate.electron_donor.comment or "", FieldKind.WORD,
              Candidate.electron_donor, tuple(word.value for word in StackSide)),
        _number(Candidate.score, "Score"),
        _number(Candidate.gap, "Gap"),
        _width("gap", "Gap interval width"),
        _number(Candidate.gap_anderson, "Anderson gap"),
        _number(Candidate.gap_anderson_low, "Anderson gap, least over orientations"),
        _number(Candidate.gap_anderson_high, "Anderson gap, largest over orientations"),
        _number(Candidate.valence_offset, "Valence offset"),
        _number(Candidate.conduction_offset, "Conduction offset"),
        _number(Candidate.work_function_difference, "Work function difference"),
        _number(Candidate.vacuum_step, "Vacuum step"),
        _number(Candidate.schottky_electron, "Schottky barrier, electrons"),
        _number(Candidate.schottky_hole, "Schottky barrier, holes"),
        _number(Candidate.solar_efficiency, "Solar cell limit", per_cent=True),
        _number(Candidate.binding_energy, "Binding energy"),
        _width("binding_energy", "Binding energy interval width"),
        _number(Candidate.distance, "Interlayer distance"),
        _width("distance", "Distance interval width"),
        _number(Candidate.distance_vdw, "Van der Waals distance"),
        _number(Candidate.dispersion_energy, "Dispersion energy"),
        _number(
            Candidate.strain, "Misfit", per_cent=True,
            note="; of a candidate, of its smallest supercell within the run's own limit: only among all pairs does a "
            "filter for less look for another supercell",
        ),
        _number(Candidate.strain_bottom, "Misfit carried below", per_cent=True),
        _number(Candidate.strain_top, "Misfit carried above", per_cent=True),
        _number(Candidate.strain_von_mises, "Von Mises strain", per_cent=True),
        _number(Candidate.area, "Area"),
        _number(Candidate.n_atoms, "Atoms"),
        _number(Candidate.n, "Cells below"),
        _number(Candidate.m, "Cells above"),
        _number(Candidate.hull_energy, "Energy above hull"),
        _number(Candidate.domain_distance, "Domain distance"),
    )
}  # fmt: skip
"""All fields by key, in the order in which they are shown."""
