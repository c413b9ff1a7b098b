"""Which candidates a filter selects, in any order, how many they are and how they are spread: exactly.

The answers are those of `stackscreen.query.candidates` and `stackscreen.query.pictures`, which are SQL; here a filter
is a pass over columns in memory, so that no filter and no order needs an index. Rows that are shown come from the
database.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Integer

from stackscreen.query.candidates import Order, Page, Place, Run, check_page, page_of, read_token, rows_of
from stackscreen.query.criteria import Condition, Criteria, Operator
from stackscreen.query.fields import FIELDS, FieldKind
from stackscreen.query.pictures import POINT_FIELDS, SCATTER_POINTS, Histogram, Scatter, sample_limit
from stackscreen.scan.candidate_cache import BOTTOM, DRAW, TOP, UNKNOWN, codes, open_candidates
from stackscreen.scan.candidate_kernel import binned, both, either, extent
from stackscreen.scan.members import Directory, Mask
from stackscreen.scan.scanner import cache_folder
from stackscreen.scan.store import Columns
from stackscreen.settings import Settings

_DECIMALS: Final = 6
"""Of the coordinates of points: finer than any of them means anything."""
_SPARSE: Final = 64
"""One of so many candidates is looked at to learn how their keys lie."""


class CandidateList:
    """The candidates of one run, for any number of threads.

    Args:
        directory: the run's members.
        columns: see `stackscreen.scan.candidate_cache.open_candidates`.
    """

    def __init__(self, directory: Directory, columns: Columns) -> None:
        self._directory = directory
        self._columns = columns
        numbers = directory.table.number
        self._place = np.zeros(int(numbers.max(initial=-1)) + 1, np.int64)
        self._place[numbers] = np.arange(numbers.size)

    @classmethod
    def open(cls, connection: Connection, run: Run, settings: Settings) -> CandidateList:
        """The candidates of a run, from their copy in the data folder, which is filled if need be.

        Raises:
            TilesMissingError, StoreChangedError, OSError: see `stackscreen.scan.candidate_cache.open_candidates`.
            ServiceError: the data folder is not ours or cannot be written.
        """
        columns = open_candidates(connection, cache_folder(settings), run.id)
        return cls(Directory.load(connection, run.id), columns)

    def count(self, criteria: Criteria) -> int:
        """See `stackscreen.query.candidates.count`."""
        return int(np.count_nonzero(self._selected(criteria)))

    def page(
        self,
        connection: Connection,
        run: Run,
        criteria: Criteria,
        order: Order,
        *,
        limit: int,
        offset: int = 0,
        after: str | None = None,
    ) -> Page:
        """See `stackscreen.query.candidates.page`."""
        check_page(limit, offset)
        selected = self._selected(criteria)
        keys = self._keys(order)
        if after:
            selected &= self._behind(order, read_token(order, after), keys)
        shown = _first(selected, keys, offset + limit + 1)[offset:]
        found = rows_of(connection, run, self._columns[BOTTOM][shown].tolist(), self._columns[TOP][shown].tolist())
        return page_of(order, found, limit)

    def scatter(self, criteria: Criteria, x: str, y: str, *, points: int = SCATTER_POINTS) -> Scatter:
        """See `stackscreen.query.pictures.scatter`; coordinates to the sixth decimal."""
        known = self._selected(criteria)
        for name in (x, y):
            known &= ~np.isnan(self._columns[name])
        total = int(np.count_nonzero(known))
        limit = sample_limit(total, points)
        if limit is not None:
            known &= self._columns[DRAW] < limit
        chosen = np.flatnonzero(known)[: 2 * points]
        values = {name: self._values(name, chosen) for name in (x, y, *POINT_FIELDS)}
        bottoms, tops = (self._place[self._columns[name][chosen]].tolist() for name in (BOTTOM, TOP))
        uids, formulas = self._directory.uids, self._directory.formulas
        rows = [
            {
                "x": values[x][k],
                "y": values[y][k],
                "bottom_uid": uids[bottom],
                "bottom_formula": formulas[bottom],
                "top_uid": uids[top],
                "top_formula": formulas[top],
                **{name: values[name][k] for name in POINT_FIELDS},
            }
            for k, (bottom, top) in enumerate(zip(bottoms, tops, strict=True))
        ]
        return Scatter(rows, total, limit is not None)

    def histogram(self, criteria: Criteria, name: str, *, bins: int = 40) -> Histogram:
        """See `stackscreen.query.pictures.histogram`."""
        selected, values = self._selected(criteria), self._columns[name]
        every, known, low, high = extent(selected, values)
        if not known:
            return Histogram([], [], every)
        # As Postgres prints single precision, so that both put every value into the same bin.
        low, high = (float(str(np.float32(end))) for end in (low, high))
        high = high if high > low else low + max(abs(low), 1.0) * 1e-6
        counts = binned(selected, values, low, high, bins)
        step = (high - low) / bins
        return Histogram([low + step * k for k in range(bins + 1)], counts.tolist(), every - known)

    def _selected(self, criteria: Criteria) -> Mask:
        """Which candidates a filter selects, shape (K,)."""
        selected = np.ones(self._columns[BOTTOM].size, bool)
        for one in criteria.conditions:
            selected &= _RENDER[one.operator](self, one)
        return selected

    def _keys(self, order: Order) -> NDArray[np.float32]:
        """What is sorted by, ascending; NaN, which numpy sorts last, where it is unknown."""
        column = self._columns[order.field]
        if FIELDS[order.field].kind is FieldKind.WORD:
            column = np.where(column == UNKNOWN, np.float32(np.nan), column.astype(np.float32))
        return -column if order.descending else column

    def _behind(self, order: Order, place: Place, keys: NDArray[np.float32]) -> Mask:
        """Which candidates come after a place; the pair decides among equals, and unknown ones are last."""
        bottom, top = self._columns[BOTTOM], self._columns[TOP]
        first, end = np.searchsorted(bottom, place.bottom, "left"), np.searchsorted(bottom, place.bottom, "right")
        later = int(first + np.searchsorted(top[first:end], place.top, "right"))
        if place.value is None:
            behind, equal = np.zeros(keys.size, bool), np.isnan(keys)
        else:
            words = codes(FIELDS[order.field])
            value = np.float32(words[place.value] if isinstance(place.value, str) else place.value)
            key = -value if order.descending else value
            behind, equal = ~(keys <= key), keys == key  # NaN is not less than anything
        behind[later:] |= equal[later:]
        return behind

    def _values(self, name: str, chosen: NDArray[np.intp]) -> list[Any]:
        """A field of some candidates as plain values; it is known of each, unless it is a word."""
        column, field = self._columns[name][chosen], FIELDS[name]
        if field.kind is FieldKind.WORD:
            words = {code: word for word, code in codes(field).items()}
            return [words.get(code) for code in column.tolist()]
        if field.expression is not None and isinstance(field.expression.type, Integer):
            return column.astype(int).tolist()
        return np.round(column.astype(float), _DECIMALS).tolist()

    def _limit(self, one: Condition) -> Mask:
        # In single precision, as the column is; an unknown number satisfies no limit.
        value = np.float32(max(min(float(one.value), 3.4e38), -3.4e38))  # type: ignore[arg-type]
        column = self._columns[one.field]
        return column >= value if one.operator is Operator.MIN else column <= value

    def _is_word(self, one: Condition) -> Mask:
        column, numbers = self._columns[one.field], codes(FIELDS[one.field])
        return np.logical_or.reduce([column == numbers[word] for word in one.value])  # type: ignore[union-attr]

    def _either(self, members: Mask) -> Mask:
        return either(members[self._place], self._columns[BOTTOM], self._columns[TOP])

    def _both(self, members: Mask) -> Mask:
        return both(members[self._place], self._columns[BOTTOM], self._columns[TOP])

    def _named(self, one: Condition) -> Mask:
        members = self._directory.named(one.value)  # type: ignore[arg-type]
        return self._either(members) if one.operator is Operator.EITHER else self._both(members)

    def _all_elements(self, one: Condition) -> Mask:
        parts = [self._either(self._directory.with_element(symbol)) for symbol in one.value]  # type: ignore[union-attr]
        return np.logical_and.reduce(parts)

    def _no_elements(self, one: Condition) -> Mask:
        having = [self._directory.with_element(symbol) for symbol in one.value]  # type: ignore[union-attr]
        return self._both(~np.logical_or.reduce(having))

    def _has_text(self, one: Condition) -> Mask:
        parts = [self._either(self._directory.containing(word)) for word in str(one.value).split()]
        return np.logical_and.reduce(parts)


def _first(selected: Mask, keys: NDArray[np.float32], size: int) -> NDArray[np.intp]:
    """Places of the smallest keys of those selected, in order, NaN last; of equals the earlier first."""
    # A few of them tell where about the last that is wanted lies: what is beyond need not be ordered.
    few = keys[::_SPARSE][selected[::_SPARSE]]
    rank = 2 * size // _SPARSE + _SPARSE
    if few.size > rank:
        near = selected & (keys <= np.partition(few, rank)[rank])
        if np.count_nonzero(near) >= size:
            selected = near
    chosen = np.flatnonzero(selected)
    return chosen[np.argsort(keys[chosen], kind="stable")[:size]]


_RENDER: Final[Mapping[Operator, Callable[[CandidateList, Condition], Mask]]] = {
    Operator.MIN: CandidateList._limit,
    Operator.MAX: CandidateList._limit,
    Operator.IN: CandidateList._is_word,
    Operator.EITHER: CandidateList._named,
    Operator.BOTH: CandidateList._named,
    Operator.ALL: CandidateList._all_elements,
    Operator.NONE: CandidateList._no_elements,
    Operator.HAS: CandidateList._has_text,
}
