"""The pairs of a run, row after row by place, put together from the tiles of its space."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, select

from schema import ScreeningMember, ScreeningRun
from stackscreen.screening.members import BY_PLACE
from stackscreen.screening.packing import COLUMNS, arrays_of, damaged
from stackscreen.screening.spaces import RunKey, of_run
from stackscreen.screening.tile_levels import LevelReader, RowLevel

_FOUNDING: Final = (
    "SELECT row, col_from, block, n_pairs, n, m, strain, score FROM pair_tile "
    "WHERE run_id = %s AND row = ANY(%s) ORDER BY row, col_from"
)
_LATER: Final = (
    "SELECT t.run_id, t.row, t.block, t.n, t.m, t.strain, t.score FROM pair_tile t "
    "JOIN screening_member s ON s.run_id = %s AND s.member = t.row AND s.since = t.run_id "
    "WHERE s.member = ANY(%s) AND s.since > s.run_id ORDER BY t.row"
)
_FETCH: Final = 64
"""Tiles in memory at a time: a few megabytes."""


@dataclass(frozen=True, slots=True)
class Places:
    """The members of a run by place: monolayers first, then surfaces, each by age of the material.

    Attributes:
        number: of each member in the space, shape (N+S,).
        n_monolayers: N.
        n_founding: how many members the space was founded with; larger numbers came later.
    """

    number: NDArray[np.int64]
    n_monolayers: int
    n_founding: int

    def __len__(self) -> int:
        return len(self.number)

    @classmethod
    def of(cls, connection: Connection, run: RunKey) -> Places:
        """The places of a run's members."""
        counts = select(ScreeningRun.n_monolayers, ScreeningRun.n_surfaces)
        here = connection.execute(counts.where(ScreeningRun.id == run.id)).one()
        if run.id == run.space_id:
            size = here.n_monolayers + here.n_surfaces
            return cls(np.arange(size), here.n_monolayers, size)
        first = connection.execute(counts.where(ScreeningRun.id == run.space_id)).one()
        numbers = connection.execute(
            select(ScreeningMember.member).where(of_run(ScreeningMember, run)).order_by(*BY_PLACE)
        ).scalars()
        return cls(np.array(list(numbers), np.int64), here.n_monolayers, first.n_monolayers + first.n_surfaces)


@dataclass(frozen=True, slots=True)
class RowOfPairs:
    """One row of a run: by place, a layer with itself and all layers behind it, or a surface with all layers.

    Attributes:
        place: of the row.
        first: place of the first column.
        columns: n, m, strain and score as packed in tiles, by name, shape (columns,).
        levels: what the strain levels keep, the tightest first, one a level that was asked for.
    """

    place: int
    first: int
    columns: dict[str, NDArray[Any]]
    levels: tuple[RowLevel, ...] = ()


@dataclass(slots=True)
class Seen:
    """Matched pairs of the tiles that were read, by run and block: to be compared with the ledger."""

    matched: dict[tuple[int, int], int]

    def add(self, run_id: int, block: int, n: NDArray[np.uint8]) -> None:
        """Count a tile's pairs with a coincidence lattice."""
        self.matched[run_id, block] = self.matched.get((run_id, block), 0) + int(np.count_nonzero(n))


def read_rows(
    connection: Connection,
    run: RunKey,
    members: Places,
    rows: NDArray[np.int64],
    seen: Seen | None = None,
    levels: Sequence[float] = (),
) -> Iterator[RowOfPairs]:
    """Rows of a run, in the order of their places, a few megabytes at a time.

    Args:
        connection: of a transaction that sees the run.
        run: whose rows.
        members: of the run, by place.
        rows: places of the rows wanted, rising.
        seen: filled with what was read.
        levels: strain levels of the run that are wanted too.

    Raises:
        TilesMissingError: a row's tiles are not there, or do not lie where they should.
    """
    layers = members.n_monolayers
    founding = members.number < members.n_founding
    later = _read_later(connection, run, members.number[~founding], seen)
    tiles = _stream(connection, run, members.number[rows[founding[rows]]], seen)
    kept = LevelReader(connection, run, members.number, rows, levels, layers, members.n_founding)
    for place in rows:
        first = int(place) if place < layers else 0
        columns = np.arange(first, layers)
        if founding[place]:
            row = members.number[place]
            found = _founding_row(run, next(tiles, None), int(row), members, columns, later)
        else:
            found = _later_row(int(members.number[place]), members.number[columns], later)
        yield RowOfPairs(int(place), first, found, kept.of(int(place), first))


@dataclass(frozen=True, slots=True)
class _Tile:
    row: int
    col_from: int
    columns: dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class _Later:
    """The tiles of members that came later: element k of a row is the pair with member k.

    Attributes:
        numbers: of the members, rising, shape (K,).
        columns: n, m, strain and score, by name, shape (K, one more than the largest number).
    """

    numbers: NDArray[np.int64]
    columns: dict[str, NDArray[Any]]

    def of(self, name: str, numbers: NDArray[np.int64], other: int) -> NDArray[Any]:
        """A column of the pairs of some of them with an earlier member."""
        if not numbers.size:
            return np.empty(0, COLUMNS[name])  # where there are none at all, no column reaches as far as the other
        return self.columns[name][np.searchsorted(self.numbers, numbers), other]


def _stream(connection: Connection, run: RunKey, numbers: NDArray[np.int64], seen: Seen | None) -> Iterator[_Tile]:
    """The founding run's tiles of some rows, one a row."""
    # On the wire as bytes, not as hexadecimal digits.
    driver: Any = connection.connection.driver_connection
    with driver.cursor(name="tiles", binary=True) as cursor:
        cursor.itersize = _FETCH
        cursor.execute(_FOUNDING, (run.space_id, numbers.tolist()))
        for row, col_from, block, n_pairs, *pieces in cursor:
            tile = _Tile(row, col_from, arrays_of(tuple(pieces)))
            if len(tile.columns["n"]) != n_pairs:
                raise damaged(run, f"the tile of row {row} is cut off")
            if seen is not None:
                seen.add(run.space_id, block, tile.columns["n"])
            yield tile


def _read_later(connection: Connection, run: RunKey, numbers: NDArray[np.int64], seen: Seen | None) -> _Later:
    """The tiles of the members that came later."""
    numbers = np.sort(numbers)
    size = int(numbers.max(initial=-1)) + 1
    later = _Later(numbers, {name: np.zeros((len(numbers), size), kind) for name, kind in COLUMNS.items()})
    if not numbers.size:
        return later
    driver: Any = connection.connection.driver_connection
    missing = set(numbers.tolist())
    with driver.cursor(binary=True) as cursor:
        cursor.execute(_LATER, (run.space_id, numbers.tolist()))
        for run_id, row, block, *pieces in cursor:
            arrays = arrays_of(tuple(pieces))
            if len(arrays["n"]) != row + 1:
                raise damaged(run, f"the tile of row {row} is cut off")
            for name, values in arrays.items():
                later.columns[name][np.searchsorted(numbers, row), : row + 1] = values
            if seen is not None:
                seen.add(run_id, block, arrays["n"])
            missing.discard(row)
    if missing:
        raise damaged(run, f"those of row {min(missing)} are not there")
    return later


def _founding_row(
    run: RunKey,
    tile: _Tile | None,
    row: int,
    members: Places,
    columns: NDArray[np.int64],
    later: _Later,
) -> dict[str, NDArray[Any]]:
    """From the row's own tile, and from those of the members that came later."""
    wanted = members.number[columns]
    first, last = (tile.col_from, tile.col_from + len(tile.columns["n"])) if tile else (0, 0)
    own = wanted < members.n_founding
    if tile is None or tile.row != row or (own.any() and not first <= wanted[own].min() <= wanted[own].max() < last):
        raise damaged(run, f"the pairs of row {row} are out of place")
    if len(wanted) == last - first and own.all():
        return tile.columns
    out = {}
    for name, values in tile.columns.items():
        column = np.empty(len(wanted), values.dtype)
        column[own] = values[wanted[own] - tile.col_from]
        column[~own] = later.of(name, wanted[~own], row)
        out[name] = column
    return out


def _later_row(row: int, wanted: NDArray[np.int64], later: _Later) -> dict[str, NDArray[Any]]:
    """The pair lies in the tile of whichever of the two came last."""
    out = {}
    before = wanted <= row
    for name, kind in COLUMNS.items():
        column = np.empty(len(wanted), kind)
        column[before] = later.columns[name][np.searchsorted(later.numbers, row), wanted[before]]
        column[~before] = later.of(name, wanted[~before], row)
        out[name] = column
    return out
