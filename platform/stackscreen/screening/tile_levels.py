"""What the strain levels of a run keep, row after row by place, put together from the tiles of its space."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from stackscreen.screening.packing import COLUMNS, arrays_of, damaged
from stackscreen.screening.spaces import RunKey

_FOUNDING: Final = (
    "SELECT row, col_from, max_strain, kept, n, m, strain, score FROM pair_tile_level "
    "WHERE run_id = %s AND row = ANY(%s) ORDER BY row, col_from, max_strain"
)
_LATER: Final = (
    "SELECT l.row, l.col_from, l.max_strain, l.kept, l.n, l.m, l.strain, l.score FROM pair_tile_level l "
    "JOIN screening_member s ON s.run_id = %s AND s.member = l.row AND s.since = l.run_id "
    "WHERE s.member = ANY(%s) AND s.since > s.run_id"
)
_FETCH: Final = 256
"""Levels of tiles in memory at a time: a few megabytes."""


@dataclass(frozen=True, slots=True)
class RowLevel:
    """The pairs of a row that have another supercell within a strain level than within the next wider one.

    Attributes:
        at: which columns of the row, rising, shape (E,).
        columns: n, m, strain and score as packed in tiles, by name, shape (E,).
    """

    at: NDArray[np.int64]
    columns: dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class _Kept:
    """What a level keeps of one tile: numbers of the partners, and the columns, shape (E,)."""

    row: int
    max_strain: float
    partners: NDArray[np.int64]
    columns: dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class _LaterPairs:
    """What a level keeps of the tiles of members that came later; each pair twice, once from either side.

    Attributes:
        one, other: numbers of the two members, sorted by the first, shape (E,).
        columns: n, m, strain and score, by name, shape (E,).
    """

    one: NDArray[np.int64]
    other: NDArray[np.int64]
    columns: dict[str, NDArray[Any]]

    @classmethod
    def of(cls, tiles: Sequence[_Kept]) -> _LaterPairs:
        """Put together."""
        rows = np.concatenate([np.empty(0, np.int64), *(np.full(len(tile.partners), tile.row) for tile in tiles)])
        partners = np.concatenate([np.empty(0, np.int64), *(tile.partners for tile in tiles)])
        apart = rows != partners
        one, other = np.concatenate([rows, partners[apart]]), np.concatenate([partners, rows[apart]])
        order = np.argsort(one, kind="stable")
        columns = {}
        for name, kind in COLUMNS.items():
            values = np.concatenate([np.empty(0, kind), *(tile.columns[name] for tile in tiles)])
            columns[name] = np.concatenate([values, values[apart]])[order]
        return cls(one[order], other[order], columns)

    def with_member(self, number: int) -> tuple[NDArray[np.int64], dict[str, NDArray[Any]]]:
        """Partners of a member, and the columns."""
        first, end = np.searchsorted(self.one, [number, number + 1])
        return self.other[first:end], {name: column[first:end] for name, column in self.columns.items()}


class LevelReader:
    """Reads what levels keep, beside the tiles; rows must be asked for in the order in which they were announced.

    Args:
        connection: of a transaction that sees the run.
        run: whose rows.
        number: of each member in the space, by place.
        rows: places of the rows, rising.
        levels: strain levels that are wanted.
        n_monolayers: places below this are monolayers.
        n_founding: numbers below this were there when the space was founded.
    """

    def __init__(
        self,
        connection: Connection,
        run: RunKey,
        number: NDArray[np.int64],
        rows: NDArray[np.int64],
        levels: Sequence[float],
        n_monolayers: int,
        n_founding: int,
    ) -> None:
        self._run, self._number, self._levels, self._layers = run, number, levels, n_monolayers
        self._n_founding = n_founding
        if not levels:
            return
        self._place = np.full(int(number.max(initial=-1)) + 1, -1)
        self._place[number] = np.arange(len(number))
        founding = number[rows] < n_founding
        self._tiles = self._read(connection, _FOUNDING, number[rows[founding]], "levels")
        self._next = next(self._tiles, None)
        came = number[number >= n_founding]
        later = list(self._read(connection, _LATER, came)) if came.size else []
        self._later = {level: _LaterPairs.of([tile for tile in later if tile.max_strain == level]) for level in levels}

    def _read(
        self, connection: Connection, statement: str, numbers: NDArray[np.int64], name: str = ""
    ) -> Iterator[_Kept]:
        # With a name it stays on the server, and comes part by part; as bytes, not as hexadecimal digits.
        driver: Any = connection.connection.driver_connection
        with driver.cursor(name=name, binary=True) as cursor:
            if name:
                cursor.itersize = _FETCH
            cursor.execute(statement, (self._run.space_id, numbers.tolist()))
            for row, col_from, max_strain, kept, *pieces in cursor:
                columns = arrays_of(tuple(pieces))
                partners = col_from + np.flatnonzero(np.unpackbits(np.frombuffer(kept, np.uint8), bitorder="little"))
                if len(partners) != len(columns["n"]):
                    raise damaged(self._run, f"a strain level of row {row} is cut off")
                yield _Kept(row, max_strain, partners, columns)

    def of(self, place: int, first: int) -> tuple[RowLevel, ...]:
        """What each level keeps of a row.

        Args:
            place: of the row.
            first: place of its first column.

        Raises:
            TilesMissingError: a level does not keep as many pairs as it says.
        """
        number = int(self._number[place])
        own: dict[float, _Kept] = {}
        while self._levels and number < self._n_founding and self._next is not None and self._next.row <= number:
            if self._next.row == number:
                own[self._next.max_strain] = self._next
            self._next = next(self._tiles, None)
        return tuple(self._row_level(number, first, own.get(level), level) for level in self._levels)

    def _row_level(self, number: int, first: int, own: _Kept | None, level: float) -> RowLevel:
        partners, columns = self._later[level].with_member(number)
        if own is not None:
            partners = np.concatenate([own.partners, partners])
            columns = {name: np.concatenate([own.columns[name], column]) for name, column in columns.items()}
        # Of members that are gone, and of pairs that belong to another row, there is no column here.
        known = np.where(partners < len(self._place), self._place[np.minimum(partners, len(self._place) - 1)], -1)
        here = np.flatnonzero((known >= first) & (known < self._layers))
        order = here[np.argsort(known[here], kind="stable")]
        return RowLevel(known[order] - first, {name: column[order] for name, column in columns.items()})
