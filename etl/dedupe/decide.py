"""Whether two structures are the same material, with the numbers that say so."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure

from etl.dedupe.fingerprint import distance
from etl.dedupe.layers import Layer, space_group

VERSION = "1"
"""Raised whenever a decision could come out differently."""
MAX_SIZE_RATIO = 0.05
"""Largest |ln| of the ratio of areas per atom; beyond, it is another phase."""
MAX_FINGERPRINT = 0.2
"""Å: copies with 0.03 Å of noise stay below 0.13 Å, different structures are rarely closer than 0.5 Å."""
MAX_RMS = 0.15
"""Å, root mean square displacement of matched atoms, at one area per atom; functionals differ less."""
SUPERCELL_FINGERPRINT, SUPERCELL_RMS = 0.1, 0.045
"""The same two limits, Å, where the cells hold different numbers of atoms. A charge-density wave moves atoms by hardly
more than that (TiSe2: 0.044 Å, with a fingerprint of 0.11 Å), and it is another phase; a repeated cell moves none."""
MATCHING_VACUUM = 10.0
"""Å between periodic images when slabs are compared; the same for both, so that it cannot decide."""
PRIMITIVE_TOLERANCE = 0.1
"""Å, to reduce supercells before they are compared."""
_LENGTHS, _ANGLE = 0.05, 4.0
"""Relative and in degrees: what two in-plane lattices of one area may still differ in."""
MAX_VOLUME_RATIO = 0.15
"""Largest |ln| of the ratio of volumes per atom of one crystal phase under different functionals."""

METHOD_LAYER = "fingerprint+matcher"
METHOD_CRYSTAL = "matcher"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The comparison of two structures.

    Attributes:
        same: whether they are one material.
        distance: Å, of the fingerprints (crystals: root mean square displacement); infinite if never compared.
        evidence: the numbers behind it, and the reason where they are not the same.
    """

    same: bool
    distance: float
    evidence: dict[str, Any]


def compare(one: Layer, other: Layer) -> Verdict:
    """Judge two structures of the same reduced formula and periodicity."""
    if one.magnetic is not None and other.magnetic is not None and one.magnetic != other.magnetic:
        return Verdict(False, math.inf, {"reason": f"magnetic states {one.magnetic} and {other.magnetic}"})
    return _compare_slabs(one, other) if one.periodicity == 2 else _compare_crystals(one, other)


def _compare_slabs(one: Layer, other: Layer) -> Verdict:
    ratio = math.log(other.size_per_atom / one.size_per_atom)
    if abs(ratio) > MAX_SIZE_RATIO:
        return Verdict(False, math.inf, {"reason": "area per atom", "ln_area_ratio": ratio})
    middle = math.sqrt(one.size_per_atom * other.size_per_atom)
    apart = distance(one.fingerprint_at(middle), other.fingerprint_at(middle))
    evidence: dict[str, Any] = {"fingerprint": round(apart, 4), "ln_area_ratio": round(ratio, 5)}
    repeated = len(one.numbers) != len(other.numbers)
    max_fingerprint, max_rms = (SUPERCELL_FINGERPRINT, SUPERCELL_RMS) if repeated else (MAX_FINGERPRINT, MAX_RMS)
    if apart > max_fingerprint:
        return Verdict(False, apart, {**evidence, "reason": "fingerprint"})
    height = max(one.thickness, other.thickness) + MATCHING_VACUUM
    # The matcher can repeat the smaller of two cells, should noise have hidden that the larger is not primitive.
    first, second = sorted((_slab(one, middle, height), _slab(other, middle, height)), key=len, reverse=True)
    if len(first) % len(second):
        return Verdict(False, apart, {**evidence, "reason": "different supercells"})
    # The matcher wants its tolerance in units of the mean spacing of the atoms, vacuum included.
    spacing = (first.volume / len(first)) ** (1 / 3)
    matcher = StructureMatcher(
        ltol=_LENGTHS,
        stol=max_rms / spacing,
        angle_tol=_ANGLE,
        primitive_cell=False,
        scale=False,
        attempt_supercell=len(first) > len(second),
    )
    rms = matcher.get_rms_dist(first, second)
    if rms is None or rms[0] * spacing > max_rms:
        return Verdict(False, apart, {**evidence, "reason": "no match of the atoms"})
    evidence["rms"] = round(float(rms[0]) * spacing, 4)
    if one.symmetry.chiral and other.symmetry.chiral and _mirrored(matcher, first, second):
        return Verdict(False, apart, {**evidence, "reason": "mirror images"})
    if not one.symmetry.swaps_faces:
        evidence["flipped"] = _is_flipped(one, other)
    return Verdict(True, apart, evidence)


def _slab(layer: Layer, size_per_atom: float, height: float) -> Structure:
    """The layer as a pymatgen structure, scaled in plane, in a cell of the given height, reduced to its primitive."""
    positions, cell = layer.scaled(size_per_atom)
    cell = cell.copy()
    cell[2] = (0.0, 0.0, height)
    structure = Structure(Lattice(cell), layer.numbers.tolist(), positions, coords_are_cartesian=True)
    return structure.get_primitive_structure(tolerance=PRIMITIVE_TOLERANCE)


def _mirrored(matcher: StructureMatcher, first: Structure, second: Structure) -> bool:
    """Whether the best map of `second` onto `first` reverses handedness."""
    found = matcher.get_transformation(first, second)
    if found is None:
        return False
    supercell = np.asarray(found[0], float)
    mapped = supercell @ second.lattice.matrix
    return bool(np.linalg.det(mapped) * np.linalg.det(first.lattice.matrix) < 0)


def _is_flipped(one: Layer, other: Layer) -> bool:
    """Whether the upper face of `other` is the lower face of `one`, told by the heights of the elements."""
    upright, flipped = 0.0, 0.0
    for number in np.unique(one.numbers):
        mine, yours = one.positions[one.numbers == number, 2], other.positions[other.numbers == number, 2]
        for power in (1, 3):
            a, b = _moment(mine, power), _moment(yours, power)
            upright += (a - b) ** 2
            flipped += (a + b) ** 2
    return flipped < upright


def _moment(heights: NDArray[np.float64], power: int) -> float:
    mean = float((heights**power).mean())
    return math.copysign(abs(mean) ** (1 / power), mean)


def _compare_crystals(one: Layer, other: Layer) -> Verdict:
    ratio = math.log(other.size_per_atom / one.size_per_atom)
    evidence: dict[str, Any] = {"ln_volume_ratio": round(ratio, 5)}
    if abs(ratio) > MAX_VOLUME_RATIO:
        return Verdict(False, math.inf, {**evidence, "reason": "volume per atom"})
    try:
        groups = (space_group(one)[0], space_group(other)[0])
    except ValueError:
        groups = (0, 0)
    if groups[0] != groups[1]:
        return Verdict(False, math.inf, {**evidence, "reason": f"space groups {groups[0]} and {groups[1]}"})
    structures = [
        Structure(Lattice(s.cell), s.numbers.tolist(), s.positions, coords_are_cartesian=True) for s in (one, other)
    ]
    matcher = StructureMatcher(ltol=0.1, stol=0.15, angle_tol=3, primitive_cell=True, scale=True)
    rms = matcher.get_rms_dist(*structures)
    if rms is None:
        return Verdict(False, math.inf, {**evidence, "reason": "no match of the atoms"})
    apart = float(rms[0]) * one.size_per_atom ** (1 / 3)
    return Verdict(True, apart, {**evidence, "rms": round(apart, 4)})
