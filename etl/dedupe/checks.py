"""A comparison of two structures as a table: each check with its number, its limit and whether it was passed."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from etl.dedupe import decide
from etl.dedupe.decide import Verdict, compare
from etl.dedupe.layers import Layer, space_group


@dataclass(frozen=True, slots=True)
class Check:
    """One check of a comparison.

    Attributes:
        name: what was looked at.
        found: the number or the words, with unit.
        limit: what is allowed.
        passed: None where it was not reached, because an earlier check had decided.
    """

    name: str
    found: str
    limit: str
    passed: bool | None

    def as_dict(self) -> dict[str, Any]:
        """JSON-like."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two structures compared afresh.

    Attributes:
        distance: Å, of the fingerprints (crystals: root mean square displacement); None if never compared.
        reason: why they are not the same; None if they are.
    """

    same: bool
    distance: float | None
    reason: str | None
    checks: list[Check]

    def as_dict(self) -> dict[str, Any]:
        """JSON-like."""
        return asdict(self)

    @property
    def nearness(self) -> tuple[Any, ...]:
        """Sort key: the more checks were passed before one failed, and the smaller the numbers, the nearer."""
        passed = sum(check.passed is True for check in self.checks)
        return (not self.same, -passed, *(check.found for check in self.checks if check.passed is False))


def comparison(one: Layer, other: Layer) -> Comparison:
    """Compare two structures of one formula and kind, as deduplication does."""
    verdict = compare(one, other)
    reason = verdict.evidence.get("reason")
    table = _SLAB if one.periodicity == 2 else _CRYSTAL
    checks = []
    decided = False
    for make in table:
        name, found, limit, reasons = make(one, other, verdict)
        failed = reason is not None and any(str(reason).startswith(word) for word in reasons)
        checks.append(Check(name, found, limit, None if decided and not failed else not failed))
        decided = decided or failed
    if reason is not None and not decided:
        checks.append(Check("structure", str(reason), "", False))
    apart = verdict.distance if math.isfinite(verdict.distance) else None
    return Comparison(verdict.same, apart, reason, checks)


_Made = tuple[str, str, str, tuple[str, ...]]
"""Name, finding, limit, and how the reason begins that `compare` gives where it fails."""


def _magnetic(one: Layer, other: Layer, verdict: Verdict) -> _Made:
    found = f"{one.magnetic or 'unknown'} and {other.magnetic or 'unknown'}"
    return "magnetic state", found, "equal where both are known", ("magnetic",)


def _size(one: Layer, other: Layer, verdict: Verdict) -> _Made:
    slab = one.periodicity == 2
    ratio = abs(math.log(other.size_per_atom / one.size_per_atom))
    limit = decide.MAX_SIZE_RATIO if slab else decide.MAX_VOLUME_RATIO
    name = f"|ln| of the ratio of {'areas' if slab else 'volumes'} per atom"
    return name, f"{ratio:.4f}", f"≤ {limit:g}", ("area per atom", "volume per atom")


def _atoms(one: Layer, other: Layer, verdict: Verdict) -> _Made:
    found = "found" if "rms" in verdict.evidence else "none"
    return "motion that lays one's atoms on the other's", found, "one", ("no match",)


def _rms(one: Layer, other: Layer, verdict: Verdict) -> _Made:
    return "rms displacement of the atoms", _number(verdict, "rms", " Å"), f"≤ {decide.MAX_RMS:g} Å", ("displacements",)


def _largest(one: Layer, other: Layer, verdict: Verdict) -> _Made:
    found = _number(verdict, "largest", " Å")
    return "displacement of one atom", found, f"≤ {decide.MAX_MOVE:g} Å", ("displacement of one",)


def _strain(one: Layer, other: Layer, verdict: Verdict) -> _Made:
    limit = f"≤ {decide.MAX_STRAIN:g}, between different primitive cells {decide.BROKEN_STRAIN:g}"
    return "strain between the cells at one area", _number(verdict, "strain", ""), limit, ("shape",)


def _superlattice(one: Layer, other: Layer, verdict: Verdict) -> _Made:
    found = f"{len(one.pattern)} and {len(other.pattern)}"
    limit = f"equal, or rms ≤ {decide.BROKEN_RMS:g} Å (an ordered distortion: {decide.SUPERLATTICE_RMS:g} Å)"
    return "atoms in the primitive cells", found, limit, ("superlattice",)


def _layer_group(one: Layer, other: Layer, verdict: Verdict) -> _Made:
    found = " and ".join(str(layer.symmetry.layer_group or "unknown") for layer in (one, other))
    limit = f"equal, or rms ≤ {decide.BROKEN_RMS:g} Å and strain ≤ {decide.BROKEN_STRAIN:g}"
    return "layer groups", found, limit, ("layer groups",)


def _mirror(one: Layer, other: Layer, verdict: Verdict) -> _Made:
    mirrored = verdict.evidence.get("mirrored_rms")
    found = "no" if mirrored is None else f"yes, to {mirrored:g} Å"
    return "fits the mirror image only", found, "no", ("mirror",)


def _space_group(one: Layer, other: Layer, verdict: Verdict) -> _Made:
    return "space groups", " and ".join(_group(crystal) for crystal in (one, other)), "equal", ("space groups",)


def _group(crystal: Layer) -> str:
    try:
        return str(space_group(crystal)[0])
    except ValueError:
        return "unknown"


def _crystal_rms(one: Layer, other: Layer, verdict: Verdict) -> _Made:
    found = _number(verdict, "rms", " Å")
    return "rms displacement of the atoms", found, "a map of all atoms", ("no match",)


def _number(verdict: Verdict, key: str, unit: str) -> str:
    value = verdict.evidence.get(key)
    return "" if value is None else f"{value:.4f}{unit}"


_SLAB: tuple[Callable[[Layer, Layer, Verdict], _Made], ...] = (
    _magnetic, _size, _atoms, _rms, _largest, _strain, _superlattice, _layer_group, _mirror,
)  # fmt: skip
_CRYSTAL: tuple[Callable[[Layer, Layer, Verdict], _Made], ...] = (_magnetic, _size, _space_group, _crystal_rms)
