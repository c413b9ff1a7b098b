"""Any filter over all pairs: exact count, and the best."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from schema.vocabulary import InterfaceKind
from stackscreen.query.candidates import Order, Run
from stackscreen.query.criteria import Criteria, CriteriaError
from stackscreen.scan.cache import open_cache
from stackscreen.scan.kernel import Asked, Sides, Tiles, scan_rows
from stackscreen.scan.levels import Kept, Levels, narrow_pairs
from stackscreen.scan.members import Directory
from stackscreen.scan.selection import SCORE_UNIT, Selection
from stackscreen.screening.binary_copy import TextColumn
from stackscreen.screening.describe import derived_columns
from stackscreen.screening.packing import STRAIN_UNIT
from stackscreen.services.layout import check_folder, is_ours, layout_of, make_folders, system_lock
from stackscreen.settings import Settings

MAX_BEST: Final = 10_000
_SPARSE: Final = 16
"""Columns are looked at one by one where fewer than one in so many is wanted."""
_PIECES: Final = 8
"""Pieces of work a thread: small enough that none waits long for the last."""
_LAST: Final = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class Found:
    """What a scan found.

    Attributes:
        count: pairs that the filter selects, exactly.
        pairs: pairs of the run.
        rows: the best of them, in order.
        seconds: s, time of the scan.
        note: what a limit of strain between two strain levels of the run may not see; None if nothing.
    """

    count: int
    pairs: int
    rows: list[dict[str, Any]]
    seconds: float
    note: str | None = None


@dataclass(frozen=True, slots=True)
class _Piece:
    """Rows that one thread looks at, with the columns that they may meet."""

    rows: NDArray[np.int64]
    top: Sides
    picked: NDArray[np.int64]
    every_column: bool
    mask: NDArray[np.uint8]


class Scanner:
    """One run, ready to be scanned by any number of threads; costs no memory of its own but the members.

    Args:
        directory: the run's members.
        tiles: all its pairs.
        workers: threads of one scan; by default one a processor that this process may use.
        levels: what the run's strain levels keep; None: its tiles are all there is.
    """

    def __init__(
        self, directory: Directory, tiles: Tiles, workers: int | None = None, *, levels: Levels | None = None
    ) -> None:
        self.directory = directory
        self.tiles = tiles
        self.levels = levels
        self._kept = levels.kept if levels is not None else Kept.nothing(directory.layout.n_rows)
        self._starts = directory.layout.starts()
        self._workers = workers or len(os.sched_getaffinity(0))
        self._pool = ThreadPoolExecutor(self._workers, thread_name_prefix="scan")

    @classmethod
    def open(cls, connection: Connection, run: Run, settings: Settings) -> Scanner:
        """A scanner of a run, from its cache in the data folder, which is filled if need be.

        Args:
            connection: of a transaction that sees the run.
            run: the published run.
            settings: say where the data folder is.

        Raises:
            TilesMissingError: see `stackscreen.scan.cache.open_cache`.
            ServiceError, OSError: the data folder cannot be used.
        """
        pairs = open_cache(connection, cache_folder(settings), run.id)
        return cls(Directory.load(connection, run.id), pairs.tiles, levels=pairs.levels)

    def scan(self, criteria: Criteria, order: Order = Order(), *, best: int = 50) -> Found:  # noqa: B008 - immutable
        """Every pair that a filter selects, of those with a coincidence lattice within the run's limits.

        Where the filter allows less strain than the run did, a pair is looked at with the smallest supercell within
        that strain that the run's strain levels keep. At a level that is the smallest there is; between two levels
        there may be one that neither keeps, and `Found.note` says so.

        `score` is the geometric score, which every pair has; the ranking score is the candidates'. Strain is known to
        1e-6 and score to 1/65535; other numbers compare in single precision, as SQL does. An unknown number satisfies
        no limit and comes last in any order; ties are broken by the pair.

        Args:
            criteria: the filter.
            order: by what the best are chosen.
            best: how many rows are wanted, up to `MAX_BEST`.

        Raises:
            CriteriaError: filter or order speak of what is known of candidates only, or `best` is out of range.
        """
        if not 0 <= best <= MAX_BEST:
            raise CriteriaError(f"The best {best} pairs cannot be had.", hint=f"Ask for 0 to {MAX_BEST}.")
        began = time.perf_counter()
        selection = Selection.of(criteria, self.directory)
        limit, levels = selection.max_strain, self.levels
        narrowed = levels is not None and levels.narrows(limit)
        asked = selection.asked(order, best, narrowed=narrowed)
        pieces = () if selection.impossible else self._pieces(selection)
        results = list(self._pool.map(lambda piece: self._look(piece, selection, asked), pieces))
        keys = np.concatenate([keys for _, keys, _ in results] or [np.empty(0)])
        places = np.concatenate([places for _, _, places in results] or [np.empty(0, np.int64)])
        chosen = np.lexsort((places, -keys))
        places = places[chosen[places[chosen] != _LAST][:best]]
        return Found(
            sum(count for count, _, _ in results),
            self.directory.layout.n_pairs,
            self._describe(places, limit if narrowed else None),
            time.perf_counter() - began,
            None if levels is None else levels.note(limit),
        )

    def _pieces(self, selection: Selection) -> Iterator[_Piece]:
        layout = self.directory.layout
        lengths = np.diff(self._starts)
        aim = layout.n_pairs / (self._workers * _PIECES)
        for rows, columns in selection.groups(self.directory):
            picked = np.flatnonzero(columns)
            if not picked.size or not rows.size:
                continue
            every_column = picked.size * _SPARSE >= columns.size
            top = self.directory.top if every_column else self.directory.top.take(picked)
            # Of a row's columns the wanted share is looked at, one by one at about the cost of a stretch's sixteen.
            work = np.cumsum(lengths[rows]) * (1.0 if every_column else _SPARSE * picked.size / columns.size)
            cuts = np.flatnonzero(np.diff((work / aim).astype(np.int64))) + 1
            for part in np.split(rows, cuts):
                yield _Piece(part, top, picked, every_column, columns.astype(np.uint8))

    def _look(
        self, piece: _Piece, selection: Selection, asked: Asked
    ) -> tuple[int, NDArray[np.float64], NDArray[np.int64]]:
        keys, places = np.full(asked.best, -np.inf), np.full(asked.best, _LAST)
        count = scan_rows(
            self.tiles,
            self._kept,
            self._starts,
            piece.rows,
            self.directory.table.n_monolayers,
            InterfaceKind.HOMOBILAYER in selection.kinds,
            InterfaceKind.HETEROBILAYER in selection.kinds,
            self.directory.bottom,
            piece.top,
            piece.picked,
            piece.every_column,
            piece.mask,
            asked,
            keys,
            places,
        )
        return int(count), keys, places

    def _describe(self, places: NDArray[np.int64], limit: int | None) -> list[dict[str, Any]]:
        """Pairs as plain values, in the order given, by their supercells within a limit; None where unknown."""
        directory = self.directory
        bottom, top = directory.layout.locate(places)
        packed = [column[places] for column in self.tiles]
        if limit is not None:
            narrow_pairs(self._kept, bottom, top, np.uint16(limit), *packed)
        n, m, strain, score = (column.astype(float) for column in packed)
        atoms = n * directory.table.n_atoms[bottom] + m * directory.table.n_atoms[top]
        hull = np.maximum(directory.hull[bottom], directory.hull[top])
        table = np.column_stack([bottom, top, n, m, strain * STRAIN_UNIT, atoms, score * SCORE_UNIT, hull])
        columns = {name: _plain(column) for name, column in derived_columns(directory.table, table).items()}
        columns["score"] = [round(float(value), 6) for value in table[:, 6]]
        names = [key for key in columns if key not in {"bottom", "top"}]
        return [
            {
                "bottom_uid": directory.uids[below],
                "bottom_formula": directory.formulas[below],
                "top_uid": directory.uids[above],
                "top_formula": directory.formulas[above],
                **{name: columns[name][k] for name in names},
            }
            for k, (below, above) in enumerate(zip(bottom, top, strict=True))
        ]


def _plain(column: tuple[str, NDArray[Any]] | TextColumn) -> list[Any]:
    """Values as candidates have them: single precision, words, None where unknown."""
    if isinstance(column, TextColumn):
        return [column.words[code].decode() if code >= 0 else None for code in column.codes]
    kind, values = column
    if kind == "float4":
        # The shortest decimal that single precision tells apart, as Postgres prints it.
        return [None if np.isnan(value) else float(str(np.float32(value))) for value in values]
    return [int(value) for value in values]


def cache_folder(settings: Settings) -> Path:
    """The folder of caches in the data folder, made if need be.

    Raises:
        ServiceError: the data folder is not ours or cannot be written.
    """
    layout = layout_of(settings)
    if not is_ours(layout):  # a system whose servers are all elsewhere has not needed one yet
        check_folder(layout)
        with system_lock(layout, settings.services.start_timeout_s):
            make_folders(layout)
    layout.cache.mkdir(mode=0o700, exist_ok=True)
    return layout.cache
