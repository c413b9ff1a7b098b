"""What is refused, what is doubted, and by which rule: a table of small functions.

A refused record is quarantined whole, with its raw payload. A doubted property is not stored; the record is used and
carries a flag. Both name their rule and say what was found. What a person has released (`Waived`) is used in spite of
its rule. What each rule is for, and what to do about it, is told in `etl.explanations`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from ase.data import covalent_radii
from numpy.typing import NDArray

from etl.canonical import MAX_CRYSTAL_GAP, MIN_VACUUM, Canonical, canonical_crystal, canonical_slab
from etl.errors import RecordError
from etl.records import Atoms, Doubt, Fact, Record, Stack
from etl.spectra import UNREADABLE, Spectrum, fault_of, identity_of, name_of
from schema import quantities as q
from schema.vocabulary import Subject

MAX_ATOMIC_NUMBER = 103
"""Lawrencium; ASE and pymatgen have no radii beyond, and nobody calculates layers of it."""
OVERLAP = 0.5
"""Fraction of the sum of two covalent radii below which two nuclei overlap (H2: 1.2, strongest bonds: 0.8)."""
MAX_SEPARATION = 6.0
"""Å: if even the closest two atoms are farther apart, the lengths are not in Å."""
SHRUNK = 0.25
"""Fraction of the sum of two covalent radii: if every atom has a neighbour closer than this, the lengths are in nm."""
COINCIDENT = 0.1
"""Å: two nuclei closer than this are one atom, written twice."""
BONDED = 1.2
"""Fraction of the sum of two covalent radii below which two nuclei are bonded; van der Waals contacts: 1.4 to 2.5."""
MAX_THICKNESS = 60.0
"""Å, of a freestanding layer; the thickest of 18,000 published ones measures 38 Å."""
MAX_CHARGE = 0.5
"""Elementary charges: a charged cell is not the material."""
WRONG_UNIT_FACTOR = 100.0
"""A value this many times beyond the possible is a wrong unit, not a bad calculation."""
INTERPENETRATING = 1.0
"""Å, interlayer distance below which two layers have reacted, cross or interlock."""
STRONGEST_BONDS = 750.0
"""meV/Å²: cleaving diamond along (111), the strongest bonds per area there are, costs about 720."""
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
        Rule(
            "interpenetrating", "The layers are closer than 1 Å and bonded, or cross: reacted, or a failed relaxation."
        ),
        Rule(
            "interlocking", "The layers are closer than 1 Å, but not bonded: bumps of one lie in hollows of the other."
        ),
        Rule("chemically_bonded", "The binding energy is one of bonds between the layers, not of contact."),
        Rule("inconsistent", "Two figures of the record contradict each other."),
        Rule("not_converged", "The source itself says that the calculation did not converge."),
        Rule("no_vacuum_level", "A band edge is given, but not the vacuum level to refer it to."),
        Rule("unknown_label", "A word is not among those that the database uses."),
        Rule(UNREADABLE, "A density of states, band structure, phonon spectrum or stiffness is damaged or nonsense."),
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


@dataclass(frozen=True, slots=True)
class Waived:
    """What a person has released of one record.

    Attributes:
        rules: names of rules that do not refuse it.
        properties: keys of properties that are stored in spite of a doubt; the doubt stays on record.
    """

    rules: frozenset[str] = frozenset()
    properties: frozenset[str] = frozenset()


NOTHING_WAIVED = Waived()


def validate(record: Record, waived: Waived = NOTHING_WAIVED) -> Accepted:
    """Check a record and bring its structure into canonical form.

    Raises:
        RecordError: it is to be quarantined, by the rule that the error names. If that rule is waived, then because
            there is nothing in the record that could be used.
    """
    for refuse in _ESSENTIAL:
        refuse(record)
    for refuse in _DEBATABLE:
        _unless_waived(waived, refuse, record)
    structure = None
    if record.atoms is not None:
        structure = _canonical(record.atoms, record.subject, waived)
        contact = closest_contact(structure)
        _unless_waived(waived, _has_lengths_in_angstrom, contact)
        _has_distinct_atoms(contact)
        _unless_waived(waived, _has_room, contact)
        _unless_waived(waived, _is_one_layer, record, structure)
    accepted = Accepted(structure, [], list(record.doubts), record.stack, record.names)
    _keep_spectra(record, accepted)
    between = _Between(record.stack, structure)
    for fact in [*record.facts, *_distance_fact(record.stack, between, accepted, waived)]:
        doubt = _refined(doubt_of(fact), fact, between)
        if doubt is not None:
            accepted.doubts.append(doubt)
        if doubt is None or (doubt.property_key in waived.properties and doubt.rule != "non_finite"):
            accepted.facts.append(fact)
    _drop_reacted(accepted, waived)
    accepted.facts = _one_a_key(accepted)
    return accepted


def _keep_spectra(record: Record, accepted: Accepted) -> None:
    """Keep what is sound, the first of each kind and method; doubt the rest."""
    kept: set[tuple[object, ...]] = set()
    for spectrum in record.spectra:
        fault = fault_of(spectrum)
        if fault is None and identity_of(spectrum) in kept:
            fault = f"There are two of {spectrum.method}."
        if fault is not None:
            accepted.doubts.append(Doubt(UNREADABLE, name_of(spectrum), fault))
            continue
        kept.add(identity_of(spectrum))
        accepted.spectra.append(spectrum)


def doubt_of(fact: Fact) -> Doubt | None:
    """The doubt about one value for its own sake, or None if it can be stored."""
    for rule, doubted in _VALUE_RULES:
        detail = doubted(fact)
        if detail is not None:
            return Doubt(rule, fact.quantity.key, detail)
    return None


def _unless_waived(waived: Waived, check: Callable[..., None], *arguments: object) -> None:
    try:
        check(*arguments)
    except RecordError as error:
        if error.rule not in waived.rules:
            raise


def _canonical(atoms: Atoms, subject: Subject, waived: Waived) -> Canonical:
    try:
        if subject is Subject.BULK:
            return canonical_crystal(atoms, max_gap=math.inf if "not_3d" in waived.rules else MAX_CRYSTAL_GAP)
        return canonical_slab(atoms, min_vacuum=0.0 if "not_2d" in waived.rules else MIN_VACUUM)
    except RecordError:
        # A slab in nm has too little vacuum as well, but that is not what is wrong with it.
        if abs(np.linalg.det(atoms.cell)) > 0:
            _has_lengths_in_angstrom(_contact(*_contacts(atoms.numbers, atoms.positions, atoms.cell, 3)))
        raise


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


def _has_lengths_in_angstrom(contact: Contact) -> None:
    if contact.distance > MAX_SEPARATION:
        reason = f"The closest two atoms are {contact.distance:.1f} Å apart: lengths are not in Å."
        raise RecordError("wrong_unit", reason)
    if contact.loosest < SHRUNK:
        reason = f"No atom is farther than {contact.loosest:.2f} of a bond length from another: lengths are not in Å."
        raise RecordError("wrong_unit", reason)


def _has_distinct_atoms(contact: Contact) -> None:
    if contact.distance < COINCIDENT:
        raise RecordError("overlapping_atoms", f"Two atoms are in one place, {contact.distance:.3f} Å apart.")


def _has_room(contact: Contact) -> None:
    if contact.ratio < OVERLAP:
        reason = f"Nuclei are {contact.distance:.3f} Å apart, {contact.ratio:.2f} of the sum of their covalent radii."
        raise RecordError("overlapping_atoms", reason)


def _is_one_layer(record: Record, structure: Canonical) -> None:
    if record.subject is not Subject.MONOLAYER:
        return
    if structure.thickness > MAX_THICKNESS:
        raise RecordError("not_2d", f"The layer is {structure.thickness:.1f} Å thick, more than {MAX_THICKNESS} Å.")
    inner = float(np.diff(np.sort(structure.positions[:, 2])).max(initial=0.0))
    if inner > MIN_VACUUM:
        raise RecordError("not_2d", f"The cell holds separate layers, {inner:.1f} Å apart.")


_ESSENTIAL: tuple[Callable[[Record], None], ...] = (_has_structure, _is_finite, _has_real_elements)
"""Without these there is nothing to release."""
_DEBATABLE: tuple[Callable[[Record], None], ...] = (_is_neutral,)


class Contact(NamedTuple):
    """How close atoms are.

    Attributes:
        distance: Å between the closest two nuclei.
        ratio: smallest distance in units of the sum of the two covalent radii.
        loosest: the same ratio of the atom whose closest neighbour is farthest.
    """

    distance: float
    ratio: float
    loosest: float


def closest_contact(structure: Canonical) -> Contact:
    """The tightest pair of atoms under the structure's periodicity."""
    return _contact(*_pairs(structure))


def _contact(nearest: NDArray[np.float64], ratio: NDArray[np.float64]) -> Contact:
    return Contact(float(nearest.min()), float(ratio.min()), float(ratio.min(axis=1).max()))


def _pairs(structure: Canonical) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    # The shortest vectors of a skewed cell need a reduced basis for neighbouring images to be the nearest.
    basis = structure.cell if structure.periodicity == 3 else _reduced(structure.cell)
    return _contacts(structure.numbers, structure.positions, basis, structure.periodicity)


def _contacts(
    numbers: NDArray[np.int64], positions: NDArray[np.float64], basis: NDArray[np.float64], periodicity: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Distance of every pair of atoms, an atom and its own images included.

    Returns:
        Å, and in units of the sum of the two covalent radii; both of shape (n, n).
    """
    reach = np.arange(-1, 2)
    third = reach if periodicity == 3 else np.zeros(1, int)
    images = np.array(np.meshgrid(reach, reach, third, indexing="ij")).reshape(3, -1).T
    fractional = positions @ np.linalg.inv(basis)
    wrap = [True, True, periodicity == 3]
    fractional[:, wrap] -= np.floor(fractional[:, wrap])
    wrapped = fractional @ basis
    radii = covalent_radii[numbers]
    n = len(radii)
    apart = (wrapped[:, None] - wrapped[None])[None] + (images @ basis)[:, None, None]
    squared = np.einsum("ijkx,ijkx->ijk", apart, apart)
    squared[len(images) // 2, np.arange(n), np.arange(n)] = np.inf
    nearest = np.sqrt(squared.min(axis=0))
    return nearest, nearest / (radii[:, None] + radii[None, :])


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


# -- two layers --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Between:
    """The space between the two layers of a stack, where its structure is known."""

    stack: Stack | None
    structure: Canonical | None

    @property
    def distance(self) -> float | None:
        """Å, lowest nucleus of the upper layer minus highest of the lower one; None without structure."""
        if self.structure is None or self.stack is None or self.stack.top_atoms is None:
            return None
        top, heights = self._is_top(self.structure, self.stack.top_atoms), self.structure.positions[:, 2]
        return float(heights[top].min() - heights[~top].max())

    @property
    def bonded(self) -> bool | None:
        """Whether two atoms of different layers are as close as a chemical bond; None without structure."""
        if self.structure is None or self.stack is None or self.stack.top_atoms is None:
            return None
        top = self._is_top(self.structure, self.stack.top_atoms)
        _, ratio = _pairs(self.structure)
        return bool(ratio[np.ix_(top, ~top)].min() < BONDED)

    @staticmethod
    def _is_top(structure: Canonical, top_atoms: NDArray[np.int64]) -> NDArray[np.bool_]:
        is_top = np.zeros(len(structure.numbers), bool)
        is_top[top_atoms] = True
        return is_top


def _refined(doubt: Doubt | None, fact: Fact, between: _Between) -> Doubt | None:
    """The same doubt, by the rule that the structure tells is the right one."""
    if doubt is None or isinstance(fact.value, str):
        return doubt
    key = doubt.property_key
    if doubt.rule == "interpenetrating" and fact.value >= 0 and between.bonded is False:
        detail = f"{key} is {fact.value:.3f} Å, less than {INTERPENETRATING} Å, without a bond between the layers."
        return Doubt("interlocking", key, detail)
    strong = fact.quantity is q.BINDING_ENERGY and fact.quantity.high < fact.value <= STRONGEST_BONDS
    if doubt.rule == "outside_physics" and strong and between.bonded:
        detail = f"{key} is {fact.value:.6g} {fact.quantity.unit}, of layers that are chemically bonded."
        return Doubt("chemically_bonded", key, detail)
    return doubt


def _distance_fact(stack: Stack | None, between: _Between, accepted: Accepted, waived: Waived) -> list[Fact]:
    """The interlayer distance of the structure, unless the source's own figure contradicts it."""
    if stack is None:
        return []
    distance = between.distance
    if distance is None:
        return [] if stack.distance is None else [Fact(q.INTERLAYER_DISTANCE, stack.distance, stack.method)]
    key = q.INTERLAYER_DISTANCE.key
    if stack.distance is not None and not abs(stack.distance - distance) <= DISTANCE_TOLERANCE:
        detail = f"{key} is {stack.distance} Å, but {distance:.3f} Å in the structure."
        accepted.doubts.append(Doubt("inconsistent", key, detail))
        if key not in waived.properties:
            return []
    return [Fact(q.INTERLAYER_DISTANCE, distance, stack.method)]


def _drop_reacted(accepted: Accepted, waived: Waived) -> None:
    """The energy of two layers that have reacted is no van der Waals binding energy.

    A layer that a metal surface binds chemically keeps its energy per atom: that is what it measures.
    """
    if not any(doubt.rule == "interpenetrating" for doubt in accepted.doubts):
        return
    kept = []
    for fact in accepted.facts:
        key = fact.quantity.key
        if fact.quantity is q.BINDING_ENERGY:
            detail = f"{key} is {fact.value:.6g} {fact.quantity.unit}, of layers that interpenetrate."
            accepted.doubts.append(Doubt("interpenetrating", key, detail))
        if fact.quantity is not q.BINDING_ENERGY or key in waived.properties:
            kept.append(fact)
    accepted.facts = kept


def _one_a_key(accepted: Accepted) -> list[Fact]:
    """Facts without repetitions of the same quantity, method and face: the first stands."""
    seen: dict[tuple[str, str, str | None], Fact] = {}
    for fact in accepted.facts:
        seen.setdefault((fact.quantity.key, fact.method, fact.face), fact)
    return list(seen.values())
