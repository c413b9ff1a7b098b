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
from etl.dedupe.matching import Match, match

VERSION = "2"
"""Raised whenever a decision could come out differently."""
MAX_SIZE_RATIO = 0.07
"""Largest |ln| of the ratio of areas per atom. PBE and van der Waals functionals differ by up to 0.066 for one layer;
C2DB has no two entries of one structure that differ by 0.045 to 0.3."""
MAX_RMS = 0.17
"""Å, root mean square displacement of the atoms at one area, where cell and layer group are the same: functionals
differ by up to 0.16 Å in layers of weakly bound parts, different phases of C2DB by 0.21 Å and more."""
MAX_MOVE = 0.3
"""Å, of any one atom: where the others stay, it has gone to another site."""
MAX_STRAIN = 0.03
"""Principal logarithmic strain between the cells at one area, where the layer group is the same."""
BROKEN_RMS, BROKEN_STRAIN = 0.09, 0.02
"""The same two limits where the layer groups or the primitive cells differ: a distortion of that size that is not
noise is a phase of its own. Noise of 0.03 Å a coordinate reached 0.0896 Å in one layer of 800; phases of C2DB that
differ in symmetry but not in their cell begin at 0.11 Å."""
SUPERLATTICE_RMS = 0.03
"""Å, the limit where one primitive cell is a multiple of the other and the distortion that makes it so is ordered: a
charge-density wave moves the atoms by hardly more (RhO2 0.040 Å, TiSe2 0.044 Å), and it is another phase."""
ORDERED = 0.35
"""A distortion is ordered if some motion or reflection keeps it to within this fraction of itself. A relaxed
superlattice keeps part of its parent's symmetry (0 to 0.34 in C2DB). Noise did so to 0.37 and more in the 2,489 noisy
supercells that the limit was set on; in a few of the benchmark's it falls below, and the layer is missed."""
HANDEDNESS = 0.5
"""Layers are mirror images if a reflection leaves less than this fraction of the displacements that motions leave."""
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
    """Judge two structures of the same reduced formula and periodicity; slabs in either order get one verdict."""
    if one.magnetic is not None and other.magnetic is not None and one.magnetic != other.magnetic:
        return Verdict(False, math.inf, {"reason": f"magnetic states {one.magnetic} and {other.magnetic}"})
    return _compare_slabs(one, other) if one.periodicity == 2 else _compare_crystals(one, other)


def _compare_slabs(one: Layer, other: Layer) -> Verdict:
    ratio = math.log(other.size_per_atom / one.size_per_atom)
    if abs(ratio) > MAX_SIZE_RATIO:
        return Verdict(False, math.inf, {"reason": "area per atom", "ln_area_ratio": ratio})
    evidence: dict[str, Any] = {"ln_area_ratio": round(ratio, 5)}
    middle = math.sqrt(one.size_per_atom * other.size_per_atom)
    patterns = [layer.pattern.scaled(math.sqrt(middle / layer.size_per_atom)) for layer in (one, other)]
    found = match(*patterns)
    objection = _objection(found, one, other)
    if found is not None:
        evidence |= {
            "rms": round(found.rms, 4),
            "largest": round(found.largest, 4),
            "strain": round(found.strain, 4),
        }
    if objection is not None or (found is not None and found.rms > SUPERLATTICE_RMS):
        reflected = match(*patterns, mirrored=True)
        # An achiral layer fits its mirror image as well as itself.
        fits_better = reflected is not None and (found is None or reflected.rms < HANDEDNESS * found.rms)
        if reflected is not None and fits_better and _objection(reflected, one, other) is None:
            objection, evidence["mirrored_rms"] = "mirror images", round(reflected.rms, 4)
    if found is None or objection is not None:
        return Verdict(False, math.inf, {**evidence, "reason": objection})
    apart = distance(one.fingerprint_at(middle), other.fingerprint_at(middle))
    evidence["fingerprint"] = round(apart, 4)
    if not one.symmetry.swaps_faces:
        evidence["flipped"] = found.flipped
    return Verdict(True, apart, evidence)


def _objection(found: Match | None, one: Layer, other: Layer) -> str | None:
    """Why two layers that can be laid on each other so well are different phases; None if they are one."""
    if found is None:
        return "no match of the atoms"
    if found.rms > MAX_RMS or found.largest > MAX_MOVE:
        return "displacements" if found.rms > MAX_RMS else "displacement of one atom"
    large = max((one, other), key=lambda layer: len(layer.pattern))
    same_cell = len(one.pattern) == len(other.pattern)
    if found.strain > (MAX_STRAIN if same_cell else BROKEN_STRAIN):
        return "shape of the cell"
    if not same_cell:
        # In a cell of two atoms nothing can be without symmetry.
        ordered = len(large.pattern) > 2 and large.self_match <= ORDERED * found.rms
        return "superlattice" if found.rms > (SUPERLATTICE_RMS if ordered else BROKEN_RMS) else None
    if found.rms <= BROKEN_RMS and found.strain <= BROKEN_STRAIN:
        return None
    groups = sorted((one.symmetry.layer_group or 0, other.symmetry.layer_group or 0))
    return None if groups[0] == groups[1] > 0 else f"layer groups {groups[0]} and {groups[1]}"


def is_flipped(one: Layer, other: Layer) -> bool:
    """Whether the upper face of `other` is the lower face of `one`, told by the heights of the elements.

    For layers that `compare` keeps apart; of those that it joins, the motion that joins them tells.
    """
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
