"""Coincidence lattices that an earlier run has found, taken over where neither lattice has changed.

If the earlier run's limits were narrower, what it has found is where the search begins.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Engine

from stackscreen.pairs import Known, MatchedLevel, MatchedRow, PairLimits, RowMatcher, ShapeIndex, ShapeTable, match_row
from stackscreen.screening.members import MemberTable, load_members
from stackscreen.screening.packing import NO_MATCH, STRAIN_UNIT
from stackscreen.screening.spaces import RunKey, run_key
from stackscreen.screening.tiles import Places, RowOfPairs, read_rows


class KnownMatcher:
    """Matches rows of a run by another run's tiles; only what is not in them is searched for.

    Strains are as the tiles keep them, to 1e-6. A `stackscreen.pairs.matchers.Matcher`.

    Args:
        engine: the database of both.
        earlier: the run whose tiles are read.
        searched: its limits: those of the shapes, or narrower; every strain level of the shapes that is not wider than
            its `max_strain` must be among its own.
        members: of this run.
        shapes: their superlattices, by place.
    """

    def __init__(
        self, engine: Engine, earlier: int, searched: PairLimits, members: MemberTable, shapes: ShapeTable
    ) -> None:
        limits = shapes.limits
        self._searched = searched
        self._levels = (limits.max_strain, *reversed(limits.strain_levels))
        self._wider = None
        widest = (searched.max_strain, searched.max_area, searched.max_atoms)
        if widest != (limits.max_strain, limits.max_area, limits.max_atoms):
            self._wider = RowMatcher(ShapeIndex.build(shapes, members.n_monolayers))
        self._engine, self._shapes, self._layers = engine, shapes, members.n_monolayers
        with engine.connect() as connection:
            self._earlier: RunKey = run_key(connection, earlier)
            self._places = Places.of(connection, self._earlier)
            self._before = _same_lattice(members, load_members(connection, earlier))

    def match(self, row: int, first_column: int) -> MatchedRow:
        """The smallest supercell of lattice `row` with columns `first_column` and later."""
        return next(self.match_rows([row], [first_column]))

    def match_rows(self, rows: Sequence[int], first_columns: Sequence[int]) -> Iterator[MatchedRow]:
        """Those of several rows, one after another."""
        before = self._before[np.asarray(rows)]
        with self._engine.connect() as connection:
            known = read_rows(
                connection, self._earlier, self._places, before[before >= 0], levels=self._searched.strain_levels
            )
            for row, first, place in zip(rows, first_columns, before, strict=True):
                columns = np.arange(first, self._layers)
                if place < 0:
                    yield match_row(self._shapes, row, columns)
                    continue
                there = self._before[columns]
                old = there >= 0
                found = self._taken_over(next(known), there, old)
                if self._wider is not None:
                    wider = self._wider.match(row, first, Known(found, self._searched))
                    found = self._within_each(wider)
                if not old.all():
                    new = self._within_each(match_row(self._shapes, row, columns[~old]))
                    found = tuple(_put_in(one, ~old, other) for one, other in zip(found, new, strict=True))
                yield MatchedRow.of_levels(found)

    def _taken_over(self, tile: RowOfPairs, there: NDArray[np.int64], old: NDArray[np.bool_]) -> tuple[MatchedRow, ...]:
        """What a row of the earlier run says of today's columns, for each level of today's, the widest first."""
        levels = tuple(MatchedLevel(one.at, *_unpacked(one.columns)) for one in tile.levels)
        row = MatchedRow(*_unpacked(tile.columns), levels)
        size, at = len(there), there[old] - tile.first
        none = MatchedRow(np.zeros(size, np.uint8), np.zeros(size, np.uint8), np.full(size, np.nan))
        found = []
        for level in self._levels:
            within = row.within(self._searched, level)
            found.append(_put_in(none, old, MatchedRow(within.n[at], within.m[at], within.strain[at])))
        return tuple(found)

    def _within_each(self, row: MatchedRow) -> tuple[MatchedRow, ...]:
        """One whole row a level, the widest first."""
        return tuple(row.within(self._shapes.limits, level) for level in self._levels)


def _unpacked(columns: dict[str, NDArray[Any]]) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float64]]:
    packed = columns["strain"]
    return columns["n"], columns["m"], np.where(packed == NO_MATCH, np.nan, packed * STRAIN_UNIT)


def _put_in(row: MatchedRow, where: NDArray[np.bool_], other: MatchedRow) -> MatchedRow:
    """A whole row with some of its pairs from another."""
    n, m, strain = row.n.copy(), row.m.copy(), row.strain.copy()
    n[where], m[where], strain[where] = other.n, other.m, other.strain
    return MatchedRow(n, m, strain)


def _same_lattice(members: MemberTable, earlier: MemberTable) -> NDArray[np.int64]:
    """Place in the earlier run of each member whose lattice and atoms are the same there, -1 for others, shape (N,).

    Both runs order their members alike, so that places rise with places, and who lies below is the same.
    """

    def key(table: MemberTable) -> list[tuple[object, ...]]:
        surface = np.arange(len(table)) >= table.n_monolayers
        columns = (surface, table.material_id, table.ln_area, table.tau.real, table.tau.imag, table.n_atoms)
        return list(zip(*(column.tolist() for column in columns), strict=True))

    places: dict[tuple[object, ...], int] = {}
    for place, one in enumerate(key(earlier)):
        places.setdefault(one, place)
    found = [places.pop(one, -1) for one in key(members)]
    return np.array(found, np.int64)
