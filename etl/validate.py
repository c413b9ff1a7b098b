"""What is refused, what is doubted, and by which rule: a table of small functions.

A refused record is quarantined whole, with its raw payload. A doubted property is not stored; the record is used and
carries a flag. Both name their rule and say what was found.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from ase.data import covalent_radii

from etl.canonical import MIN_VACUUM, Canonical, canonical_crystal, canonical_slab
from etl.errors import RecordError
from etl.records import Doubt, Fact, Record, Stack
from etl.spectra import Spectrum
from schema import quantities as q
from schema.vocabulary import Subject

MAX_ATOMIC_NUMBER = 103
"""Lawrencium; ASE and pymatgen have no radii beyond, and nobody calculates layers of it."""
OVERLAP = 0.5
"""Fraction of the sum of two covalent radii below which two nuclei overlap (H2: 1.2, strongest bonds: 0.8)."""
MAX_SEPARATION = 6.0
"""Å: if even the closest two atoms are farther apart, the lengths are not in Å."""
MAX_THICKNESS = 40.0
"""Å, of a freestanding layer."""
MAX_CHARGE = 0.5
"""Elementary charges: a charged cell is not the material."""
WRONG_UNIT_FACTOR = 100.0
"""A value this many times beyond the possible is a wrong unit, not a bad calculation."""
INTERPENETRATING = 1.0
"""Å: below, the two layers have reacted, or the relaxation failed."""
DISTANCE_TOLERANCE = 0.05
"""Å, between a source's interlayer distance and the one of its structure."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A named rule, as `stackscreen quarantine` explains it."""

    name: str
    meaning: str


RULES: dict[str, Rule] = {
    rule.name: rule
    for rule in (
        Rule("unparsable", "The line, row or file is not what its container should hold."),
        Rule("crashed_parser", "The process that read the record died of it, or ran out of memory."),
        Rule("too_slow", "Reading the record took longer than its limit."),
        Rule("unknown_keys", "The record has none of the keys by which its database names records."),
        Rule("missing_structure", "The record has no readable atomic structure."),
        Rule("non_finite", "A number is NaN or infinite."),
        Rule("mass_or_charge_nonsense", "An element does not exist, a site is mixed, or the cell is charged."),
        Rule("overlapping_atoms", "Two nuclei are closer than half the sum of their covalent radii."),
        Rule("wrong_unit", "A length or value is off by orders of magnitude: another unit."),
        Rule("not_2d", "The cell has no vacuum, or holds several separate layers."),
        Rule("not_3d", "The cell of a bulk phase has no volume, or holds a slab."),
        Rule("duplicate_external_id", "The same file has another record of this name with another content."),
        Rule("outside_physics", "The value lies beyond what physics allows for the quantity."),
        Rule("not_bound", "The binding energy is zero or negative: the two layers repel each other."),
        Rule("interpenetrating", "The layers are closer than 1 Å: reacted, or a failed relaxation."),
        Rule("inconsistent", "Two figures of the record contradict each other."),
        Rule("no_vacuum_level", "A band edge is given, but not the vacuum level to refer it to."),
        Rule("unknown_label", "A word is not among those that the database uses."),
    )
}
"""All rules by name."""


@dataclass(slots=True)
class Accepted:
    """A record that passed: its canonical structure, the facts to store and the doubts about others.

    A stack, or a record that another one's structure belongs to by name, may come without structure of its own.
    """

    structure: Canonical | None
    facts: list[Fact]
    doubts: list[Doubt]
    stack: Stack | None = None
    names: list[str] = field(default_factory=list)
    spectra: list[Spectrum] = field(default_factory=list)


def validate(record: Record) -> Accepted:
    """Check a record and bring its structure into canonical form.

    Raises:
        RecordError: it is to be quarantined, by the rule that the error names.
    """
    for refuse in _BEFORE:
        refuse(record)
    structure = None
    if record.atoms is not None:
        canonical = canonical_crystal if record.subject is Subject.BULK else canonical_slab
        structure = canonical(record.atoms)
        for check in _AFTER:
            check(record, structure)
    accepted = Accepted(structure, [], list(record.doubts), record.stack, record.names, record.spectra)
    candidates = [*record.facts, *_distance_fact(record, structure, accepted)]
    for fact in candidates:
        doubt = doubt_of(fact)
        if doubt is None:
            accepted.facts.append(fact)
        else:
            accepted.doubts.append(doubt)
    _drop_reacted(accepted)
    accepted.facts = _one_a_key(accepted)
    return accepted


def doubt_of(fact: Fact) -> Doubt | None:
    """The doubt about one value, or None if it can be stored."""
    for rule, doubted in _VALUE_RULES:
        detail = doubted(fact)
        if detail is not None:
            return Doubt(rule, fact.quantity.key, detail)
    return None


# -- whole records -----------------------------------------------------------------------------------------------


def _has_structure(record: Record) -> None:
    if record.atoms is not None and len(record.atoms.numbers) > 0:
        return
    if record.atoms is None and (record.stack is not None or record.names):
        return
    raise RecordError("missing_structure", "The record has no atoms.")


def _is_finite(record: Record) -> None:
    atoms = record.atoms
    if atoms is not None and not (np.isfinite(atoms.positions).all() and np.isfinite(atoms.cell).all()):
        raise RecordError("non_finite", "A position or a cell vector is NaN or infinite.")


def _has_real_elements(record: Record) -> None:
    if record.atoms is None:
        return
    numbers = record.atoms.numbers
    wrong = numbers[(numbers < 1) | (numbers > MAX_ATOMIC_NUMBER)]
    if len(wrong):
        raise RecordError("mass_or_charge_nonsense", f"There is no element with atomic number {int(wrong[0])}.")


def _is_neutral(record: Record) -> None:
    charge = record.payload.get("charge")
    structure = record.payload.get("structure")
    if charge is None and isinstance(structure, dict):
        charge = structure.get("charge")
    if isinstance(charge, (int, float)) and not abs(charge) <= MAX_CHARGE:
        raise RecordError("mass_or_charge_nonsense", f"The cell carries a charge of {charge} e.")


def _has_room(_record: Record, structure: Canonical) -> None:
    contact, ratio = closest_contact(structure)
    if ratio < OVERLAP:
        raise RecordError(
            "overlapping_atoms", f"Nuclei are {contact:.3f} Å apart, {ratio:.2f} of the sum of their covalent radii."
        )
    if contact > MAX_SEPARATION:
        raise RecordError("wrong_unit", f"The closest two atoms are {contact:.1f} Å apart: lengths are not in Å.")


def _is_one_layer(record: Record, structure: Canonical) -> None:
    if record.subject is not Subject.MONOLAYER:
        return
    if structure.thickness > MAX_THICKNESS:
        raise RecordError("not_2d", f"The layer is {structure.thickness:.1f} Å thick, more than {MAX_THICKNESS} Å.")
    inner = float(np.diff(np.sort(structure.positions[:, 2])).max(initial=0.0))
    if inner > MIN_VACUUM:
        raise RecordError("not_2d", f"The cell holds separate layers, {inner:.1f} Å apart.")


_BEFORE: tuple[Callable[[Record], None], ...] = (_has_structure, _is_finite, _has_real_elements, _is_neutral)
_AFTER: tuple[Callable[[Record, Canonical], None], ...] = (_has_room, _is_one_layer)


def closest_contact(structure: Canonical) -> tuple[float, float]:
    """The tightest pair of atoms under the structure's periodicity.

    Returns:
        Å between the closest two nuclei, and the smallest distance in units of the sum of two covalent radii.
    """
    reach = np.arange(-1, 2)
    third = reach if structure.periodicity == 3 else np.zeros(1, int)
    images = np.array(np.meshgrid(reach, reach, third, indexing="ij")).reshape(3, -1).T
    # The shortest vectors of a skewed cell need a reduced basis for neighbouring images to be the nearest.
    basis = structure.cell if structure.periodicity == 3 else _reduced(structure.cell)
    fractional = structure.positions @ np.linalg.inv(basis)
    wrap = [True, True, structure.periodicity == 3]
    fractional[:, wrap] -= np.floor(fractional[:, wrap])
    positions = fractional @ basis
    radii = covalent_radii[structure.numbers]
    n = len(radii)
    apart = (positions[:, None] - positions[None])[None] + (images @ basis)[:, None, None]
    squared = np.einsum("ijkx,ijkx->ijk", apart, apart)
    squared[len(images) // 2, np.arange(n), np.arange(n)] = np.inf
    nearest = np.sqrt(squared.min(axis=0))
    return float(nearest.min()), float((nearest / (radii[:, None] + radii[None, :])).min())


def _reduced(cell: np.ndarray) -> np.ndarray:
    from schema.plane_lattice import DegenerateLatticeError, PlaneLattice

    try:
        lattice = PlaneLattice.from_vectors(cell[0, :2], cell[1, :2])
    except DegenerateLatticeError as error:
        raise RecordError("not_2d", error.message) from error
    reduced = cell.copy()
    reduced[:2, :2] = lattice.basis
    return reduced


# -- single values -----------------------------------------------------------------------------------------------


def _value_is_finite(fact: Fact) -> str | None:
    if isinstance(fact.value, str) or math.isfinite(fact.value):
        return None
    return f"{fact.quantity.key} ({fact.method}) is {fact.value}."


def _value_has_right_unit(fact: Fact) -> str | None:
    if isinstance(fact.value, str):
        return None
    low, high = fact.quantity.low, fact.quantity.high
    limit = max(abs(x) for x in (low, high) if math.isfinite(x)) if math.isfinite(min(abs(low), abs(high))) else None
    if limit is None or abs(fact.value) <= WRONG_UNIT_FACTOR * limit:
        return None
    return f"{fact.quantity.key} ({fact.method}) is {fact.value:.6g}: not in {fact.quantity.unit}."


def _value_is_possible(fact: Fact) -> str | None:
    if isinstance(fact.value, str) or fact.quantity.allows(fact.value):
        return None
    quantity = fact.quantity
    return (
        f"{quantity.key} ({fact.method}) is {fact.value:.6g} {quantity.unit}, "
        f"outside {quantity.low:g} to {quantity.high:g}."
    )


def _value_is_bound(fact: Fact) -> str | None:
    if fact.quantity is not q.BINDING_ENERGY or isinstance(fact.value, str) or fact.value > 0:
        return None
    return f"binding_energy ({fact.method}) is {fact.value:.6g} {fact.quantity.unit}: not bound."


def _value_is_apart(fact: Fact) -> str | None:
    if fact.quantity is not q.INTERLAYER_DISTANCE or isinstance(fact.value, str) or fact.value >= INTERPENETRATING:
        return None
    return f"interlayer_distance is {fact.value:.3f} Å, less than {INTERPENETRATING} Å."


_VALUE_RULES: tuple[tuple[str, Callable[[Fact], str | None]], ...] = (
    ("non_finite", _value_is_finite),
    ("wrong_unit", _value_has_right_unit),
    ("interpenetrating", _value_is_apart),
    ("outside_physics", _value_is_possible),
    ("not_bound", _value_is_bound),
)


def _distance_fact(record: Record, structure: Canonical | None, accepted: Accepted) -> list[Fact]:
    """The interlayer distance of the structure, unless the source's own figure contradicts it."""
    stack = record.stack
    if stack is None:
        return []
    if structure is None or stack.top_atoms is None:
        return [] if stack.distance is None else [Fact(q.INTERLAYER_DISTANCE, stack.distance, stack.method)]
    is_top = np.zeros(len(structure.numbers), bool)
    is_top[stack.top_atoms] = True
    heights = structure.positions[:, 2]
    distance = float(heights[is_top].min() - heights[~is_top].max())
    if stack.distance is not None and not abs(stack.distance - distance) <= DISTANCE_TOLERANCE:
        detail = f"interlayer_distance is {stack.distance} Å, but {distance:.3f} Å in the structure."
        accepted.doubts.append(Doubt("inconsistent", q.INTERLAYER_DISTANCE.key, detail))
        return []
    return [Fact(q.INTERLAYER_DISTANCE, distance, stack.method)]


def _drop_reacted(accepted: Accepted) -> None:
    """The energy of two layers that have reacted is no van der Waals binding energy.

    A layer that a metal surface binds chemically keeps its energy per atom: that is what it measures.
    """
    reacted = next((d for d in accepted.doubts if d.rule == "interpenetrating"), None)
    if reacted is None:
        return
    kept = []
    for fact in accepted.facts:
        if fact.quantity is q.BINDING_ENERGY:
            detail = f"{fact.quantity.key} is {fact.value:.6g} {fact.quantity.unit}, of layers that interpenetrate."
            accepted.doubts.append(Doubt("interpenetrating", fact.quantity.key, detail))
        else:
            kept.append(fact)
    accepted.facts = kept


def _one_a_key(accepted: Accepted) -> list[Fact]:
    """Facts without repetitions of the same quantity, method and face: the first stands."""
    seen: dict[tuple[str, str, str | None], Fact] = {}
    for fact in accepted.facts:
        seen.setdefault((fact.quantity.key, fact.method, fact.face), fact)
    return list(seen.values())
