"""A filter as a scan carries it out: which members may lie below and above, and limits on each pair.

One renderer an operator, as `stackscreen.query.conditions` has for SQL.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ml.descriptors.band_alignment import Alignment
from schema.vocabulary import AlignmentType, InterfaceKind
from stackscreen.query.candidates import Order
from stackscreen.query.criteria import Condition, Criteria, CriteriaError, Operator
from stackscreen.query.fields import FIELDS
from stackscreen.scan.kernel import Asked, Quantity
from stackscreen.scan.members import Directory, Mask
from stackscreen.screening.describe import ALIGNMENTS
from stackscreen.screening.packing import NO_MATCH, STRAIN_UNIT

SCORE_UNIT: Final = 1 / 65535

_QUANTITIES: Final[Mapping[str, Quantity]] = {
    "n": Quantity.N,
    "m": Quantity.M,
    "strain": Quantity.STRAIN,
    "score": Quantity.SCORE,
    "n_atoms": Quantity.ATOMS,
    "area": Quantity.AREA,
    "gap_anderson": Quantity.GAP,
    "valence_offset": Quantity.VALENCE,
    "conduction_offset": Quantity.CONDUCTION,
    "work_function_difference": Quantity.WORK_FUNCTION,
}
"""Fields of a pair that a scan knows, of those that candidates have."""
SORTED: Final = frozenset(_QUANTITIES)
"""Fields that a scan can sort by."""
LIMITED: Final = SORTED | {"layers", "elements", "text", "kind", "alignment", "hull_energy"}
"""Fields that a scan's filter can speak of."""
# Packed integers: unit, and the largest that means something.
_PACKED: Final = {
    Quantity.N: (1.0, 255),
    Quantity.M: (1.0, 255),
    Quantity.STRAIN: (STRAIN_UNIT, NO_MATCH - 1),
    Quantity.SCORE: (SCORE_UNIT, 65535),
    Quantity.ATOMS: (1.0, 2**31 - 1),
}
_KINDS: Final = {word.value: code for code, word in ALIGNMENTS.items()}


@dataclass(slots=True)
class Selection:
    """What a filter asks of members and of pairs.

    Attributes:
        allowed: members that both sides must be among, shape (N+S,).
        either: masks of which at least one side must be in each, each of shape (N+S,).
        kinds: wanted kinds of interface.
        alignments: allowed kinds of alignment, shape (5,); None for no condition.
        limits: lowest and highest allowed value of a quantity, in its packed unit.
    """

    allowed: Mask
    either: list[Mask] = field(default_factory=list)
    kinds: frozenset[str] = frozenset(kind.value for kind in InterfaceKind)
    alignments: NDArray[np.bool_] | None = None
    limits: dict[Quantity, tuple[float, float]] = field(default_factory=dict)

    @classmethod
    def of(cls, criteria: Criteria, directory: Directory) -> Selection:
        """Render a filter.

        Raises:
            CriteriaError: it speaks of something that is known of candidates only.
        """
        selection = cls(np.ones(len(directory.table), bool))
        for one in criteria.conditions:
            _RENDER[one.operator](selection, directory, one)
        return selection

    @property
    def impossible(self) -> bool:
        """Whether the limits exclude every pair."""
        return any(low > high for low, high in self.limits.values()) or not self.kinds

    def rows(self, directory: Directory) -> Mask:
        """Members that may lie below."""
        layers = np.arange(len(directory.table)) < directory.table.n_monolayers
        stacks = bool(self.kinds & {InterfaceKind.HOMOBILAYER, InterfaceKind.HETEROBILAYER})
        return self.allowed & np.where(layers, stacks, InterfaceKind.ON_BULK in self.kinds)

    def groups(self, directory: Directory) -> Iterator[tuple[NDArray[np.int64], Mask]]:
        """Rows, ascending, with the columns that all of them may meet; no row is in two groups."""
        rows = np.flatnonzero(self.rows(directory))
        columns = self.allowed[: directory.table.n_monolayers]
        if not self.either:
            yield rows, columns
            return
        # What a row does not bring itself, its columns must: rows that bring the same have the same columns.
        brought = np.packbits(np.array([mask[rows] for mask in self.either]), axis=0)
        kinds, group_of = np.unique(brought, axis=1, return_inverse=True)
        order = np.argsort(group_of.ravel(), kind="stable")
        ends = np.cumsum(np.bincount(group_of.ravel(), minlength=kinds.shape[1]))
        for members in np.split(rows[order], ends[:-1]):
            if members.size:
                missing = [mask[: len(columns)] for mask in self.either if not mask[members[0]]]
                yield members, np.logical_and.reduce([columns, *missing])

    @property
    def max_strain(self) -> int:
        """Largest strain asked for, in units of 1e-6; `NO_MATCH` - 1 where it is not limited."""
        return int(self.limits.get(Quantity.STRAIN, (0, NO_MATCH - 1))[1])

    def asked(self, order: Order, best: int, *, narrowed: bool = False) -> Asked:
        """The conditions on pairs, for the compiled pass.

        Args:
            order: by what the best are chosen.
            best: how many.
            narrowed: see `Asked`.

        Raises:
            CriteriaError: a scan cannot sort by that field.
        """
        active = np.zeros(len(Quantity), bool)
        low, high = np.zeros(len(Quantity)), np.zeros(len(Quantity))
        for quantity, ends in self.limits.items():
            active[quantity] = True
            low[quantity], high[quantity] = ends
        return Asked(
            active,
            low,
            high,
            np.ones(len(Alignment), bool) if self.alignments is None else self.alignments,
            self.alignments is not None,
            int(_quantity(order.field)),
            order.descending,
            best,
            narrowed,
        )


def _quantity(key: str) -> Quantity:
    if key not in _QUANTITIES:
        raise _unknown(key)
    return _QUANTITIES[key]


def _unknown(key: str) -> CriteriaError:
    return CriteriaError(
        f"{FIELDS[key].label} ({key}) is known of candidates only, not of every pair.",
        hint=f"Use it in the dashboard or in analyst.candidates. Every pair has: {', '.join(_QUANTITIES)}.",
    )


def _limit(selection: Selection, directory: Directory, one: Condition) -> None:
    value = float(one.value)  # type: ignore[arg-type]
    at_least = one.operator is Operator.MIN
    if one.field == "hull_energy":
        _limit_hull(selection, directory, np.float32(value), at_least)
        return
    quantity = _quantity(one.field)
    packed = _PACKED.get(quantity)
    if packed is None:
        low, high = selection.limits.get(quantity, (-3.4e38, 3.4e38))
        value = max(min(value, 3.4e38), -3.4e38)
    else:
        unit, most = packed
        low, high = selection.limits.get(quantity, (0, most))
        # A limit that names a stored value includes it, however the division comes out.
        scaled = min(max(value / unit, -1.0), most + 1.0)
        value = math.ceil(scaled - 1e-6) if at_least else math.floor(scaled + 1e-6)
    selection.limits[quantity] = (max(low, value), high) if at_least else (low, min(high, value))


def _limit_hull(selection: Selection, directory: Directory, value: np.float32, at_least: bool) -> None:
    """The larger of both energies is known where both are; it is small if both are, large if either is."""
    hull = directory.hull.astype(np.float32)
    selection.allowed &= ~np.isnan(hull)
    if at_least:
        selection.either.append(hull >= value)
    else:
        selection.allowed &= hull <= value


def _is_word(selection: Selection, directory: Directory, one: Condition) -> None:
    words: Any = one.value
    if one.field == "kind":
        selection.kinds &= frozenset(words)
    elif one.field != "alignment":
        raise _unknown(one.field)
    else:
        selection.alignments = np.zeros(len(Alignment), bool)
        selection.alignments[[_KINDS[AlignmentType(word)] for word in words]] = True


def _either(selection: Selection, directory: Directory, one: Condition) -> None:
    selection.either.append(directory.named(one.value))  # type: ignore[arg-type]


def _both(selection: Selection, directory: Directory, one: Condition) -> None:
    selection.allowed &= directory.named(one.value)  # type: ignore[arg-type]


def _all_elements(selection: Selection, directory: Directory, one: Condition) -> None:
    selection.either += [directory.with_element(symbol) for symbol in one.value]  # type: ignore[union-attr]


def _no_elements(selection: Selection, directory: Directory, one: Condition) -> None:
    for symbol in one.value:  # type: ignore[union-attr]
        selection.allowed &= ~directory.with_element(symbol)


def _has_text(selection: Selection, directory: Directory, one: Condition) -> None:
    selection.either += [directory.containing(word) for word in str(one.value).split()]


_RENDER: Final[Mapping[Operator, Callable[[Selection, Directory, Condition], None]]] = {
    Operator.MIN: _limit,
    Operator.MAX: _limit,
    Operator.IN: _is_word,
    Operator.EITHER: _either,
    Operator.BOTH: _both,
    Operator.ALL: _all_elements,
    Operator.NONE: _no_elements,
    Operator.HAS: _has_text,
}
