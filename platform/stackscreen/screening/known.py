"""Coincidence lattices that an earlier run has found, taken over where neither lattice has changed.

If the earlier run's limits were narrower, what it has found is where the search begins.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Engine

from stackscreen.pairs import Known, MatchedRow, PairLimits, RowMatcher, ShapeIndex, ShapeTable, match_row
from stackscreen.screening.members import MemberTable, load_members
from stackscreen.screening.spaces import RunKey, run_key
from stackscreen.screening.tiles import NO_MATCH, STRAIN_UNIT, Places, read_rows


class KnownMatcher:
    """Matches rows of a run by another run's tiles; only what is not in them is searched for.

    Strains are as the tiles keep them, to 1e-6. A `stackscreen.pairs.matchers.Matcher`.

    Args:
        engine: the database of both.
        earlier: the run whose tiles are read.
        searched: its limits: those of the shapes, or narrower.
        members: of this run.
        shapes: their superlattices, by place.
    """

    def __init__(
        self, engine: Engine, earlier: int, searched: PairLimits, members: MemberTable, shapes: ShapeTable
    ) -> None:
        self._searched = searched
        self._wider = None if searched == shapes.limits else RowMatcher(ShapeIndex.build(shapes, members.n_monolayers))
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
            known = read_rows(connection, self._earlier, self._places, before[before >= 0])
            for row, first, place in zip(rows, first_columns, before, strict=True):
                columns = np.arange(first, self._layers)
                if place < 0:
                    yield match_row(self._shapes, row, columns)
                    continue
                tile, there = next(known), self._before[columns]
                old = there >= 0
                n, m = np.zeros(len(columns), np.uint8), np.zeros(len(columns), np.uint8)
                strain = np.full(len(columns), np.nan)
                at = there[old] - tile.first
                n[old], m[old] = tile.columns["n"][at], tile.columns["m"][at]
                packed = tile.columns["strain"][at]
                strain[old] = np.where(packed == NO_MATCH, np.nan, packed * STRAIN_UNIT)
                if self._wider is not None:
                    found = MatchedRow(n, m, strain)
                    wider = self._wider.match(row, first, Known(found, self._searched))
                    n, m, strain = wider.n, wider.m, wider.strain
                if not old.all():
                    new = match_row(self._shapes, row, columns[~old])
                    n[~old], m[~old], strain[~old] = new.n, new.m, new.strain
                yield MatchedRow(n, m, strain)


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
