"""The smallest coincidence lattice of one lattice with all later ones at once.

`match_row` asks every pair whether it has a match; here the matches themselves are looked up. All superlattice shapes
of all columns are kept in a grid over (ln of the whole area, ln Im τ, Re τ). In these coordinates a match is a point of
the double cone ½ |Δ ln A| + ½ d ≤ ε around a shape of the row, so only the cells that the cone touches are opened.
Results are those of `match_row`, to rounding.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from stackscreen.pairs.limits import PairLimits
from stackscreen.pairs.match import MatchedLevel, MatchedRow
from stackscreen.pairs.shapes import ShapeTable

_LEVEL, _AREA = 0.75, 0.5
"""Sizes of a cell along ln Im τ (and Re τ) and along ln area, in units of the widest cone 2 ε: found by measuring."""
_FINEST = 0.01
"""Smallest cell: a tighter strain limit would only make more cells, most of them empty."""
_MAX_COLUMNS = 1 << 23
"""A column and its index (below 256) are packed in 32 bits."""
_NO_PRODUCT = 65535
"""Above every n·m."""
LOWEST = math.log(math.sqrt(0.75)) - 1e-6
"""ln of the smallest Im τ of a reduced lattice."""
SINGLE = 3e-6
"""The grid's coordinates are rounded to single precision: the first sieve is wider by this, the second is exact."""


@dataclass(frozen=True, slots=True)
class ShapeIndex:
    """A grid of the shapes of columns 0 to K-1 of a table.

    Cells are numbered `base[level] + re_bin * n_areas + area_bin`; the entries of a cell are in the order of their
    columns, from `offset[cell]` to `offset[cell + 1]`.

    Attributes:
        packed: column << 8 | index, shape (E,), int32.
        shape: number of the entry in the table's shapes, shape (E,), int32.
        re, im, ln_area: coordinates of the entries, shape (E,), float32.
        own_cells: cells of all entries, column by column, shape (E,), int32.
        own_start: where a column's entries begin in `own_cells`, shape (K + 1,).
    """

    table: ShapeTable
    packed: NDArray[np.int32]
    shape: NDArray[np.int32]
    re: NDArray[np.float32]
    im: NDArray[np.float32]
    ln_area: NDArray[np.float32]
    offset: NDArray[np.int32]
    base: NDArray[np.int64]
    width: NDArray[np.float64]
    own_cells: NDArray[np.int32]
    own_start: NDArray[np.int64]
    lowest_area: float
    n_areas: int
    level_step: float
    area_step: float

    @classmethod
    def build(cls, table: ShapeTable, n_columns: int) -> ShapeIndex:
        """Sort the shapes of the first `n_columns` lattices of a table into a grid.

        Raises:
            ValueError: more columns than can be numbered.
        """
        if n_columns >= _MAX_COLUMNS:
            raise ValueError(f"{n_columns} columns are more than {_MAX_COLUMNS}: cut them into several tables")
        window = 2.0 * table.limits.max_strain
        level_step, area_step = max(_LEVEL * window, _FINEST), max(_AREA * window, _FINEST)
        packed, shape, ln_area, own_start = _entries(
            table.first, table.start, table.max_index, table.ln_area, n_columns
        )
        re, im = table.shape_re[shape], table.shape_im[shape]
        highest = float(im.max(initial=1.0))
        n_levels = int((math.log(highest) - LOWEST) / level_step) + 1
        width = level_step * np.exp(LOWEST + level_step * np.arange(n_levels))
        lowest_area = float(ln_area.min(initial=0.0)) - 1e-9
        n_areas = int((float(ln_area.max(initial=0.0)) - lowest_area) / area_step) + 1
        base = np.zeros(n_levels + 1, np.int64)
        base[1:] = np.cumsum(((0.5 + 1e-9) // width + 1).astype(np.int64) * n_areas)
        cells = _cells(re, im, ln_area, base, width, lowest_area, n_areas, level_step, area_step)
        order = np.argsort(cells, kind="stable")
        offset = np.zeros(int(base[-1]) + 1, np.int32)
        offset[1:] = np.cumsum(np.bincount(cells, minlength=int(base[-1])))
        return cls(
            table,
            packed[order],
            shape[order],
            re[order].astype(np.float32),
            im[order].astype(np.float32),
            ln_area[order].astype(np.float32),
            offset,
            base,
            width,
            cells,
            own_start,
            lowest_area,
            n_areas,
            level_step,
            area_step,
        )

    @property
    def n_columns(self) -> int:
        """K."""
        return len(self.own_start) - 1


@dataclass(frozen=True, slots=True)
class Known:
    """The matches of a row within narrower limits, or the same: each at most that of the limits asked for.

    Attributes:
        found: one whole row for the strain limit and each strain level that are asked for, the widest first.
        limits: within which they were searched for.
    """

    found: tuple[MatchedRow, ...]
    limits: PairLimits


class RowMatcher:
    """Matches rows with all columns from a first one on. Not for two threads at a time; they may share the index.

    Rows in ascending order with ascending first columns are fastest: what lies before the first column is then left
    behind, cell by cell.
    """

    def __init__(self, index: ShapeIndex) -> None:
        self._index = index
        self._begin = index.offset[:-1].copy()
        self._first = 0
        limits = index.table.limits
        self._windows = 2.0 * np.array([limits.max_strain, *reversed(limits.strain_levels)])
        # The widest level first; those of one column lie side by side.
        size = (index.n_columns, len(self._windows))
        self._product = np.empty(size, np.uint16)
        self._value, self._stretch = np.empty(size), np.empty(size)
        self._n, self._m = np.empty(size, np.uint8), np.empty(size, np.uint8)
        self._found = np.empty(int(np.diff(index.offset).max(initial=0)) * 8 + 64, np.int32)

    def match(self, row: int, first_column: int, known: Known | None = None) -> MatchedRow:
        """The smallest supercell of lattice `row` with columns `first_column` to K-1.

        Smallest is least n·m, that is least area of the matched cell, √(n A₁ m A₂); of equal ones the least strained.

        Args:
            row: number of the lower lattice in the table.
            first_column: number of the first upper lattice.
            known: what a search within narrower limits has found for these columns: only what is smaller, or lies
                beyond those limits, is looked for.
        """
        self._leave_behind(first_column)
        index, table = self._index, self._index.table
        self._product[first_column:] = _NO_PRODUCT
        self._n[first_column:] = 0
        self._m[first_column:] = 0
        searched_n, searched_area = self._take_over(row, first_column, known)
        while not _search(
            row, table.ln_area, table.n_atoms, table.max_index, table.first, table.start, table.shape_re,
            table.shape_im, index.packed, index.shape, index.re, index.im, index.ln_area, index.offset, self._begin,
            index.base, index.width, index.lowest_area, index.n_areas, index.level_step, index.area_step,
            self._windows, table.limits.max_atoms, searched_n, searched_area, self._found,
            self._product, self._value, self._stretch, self._n, self._m,
        ):  # fmt: skip
            # One column of cells holds more than there was room for; asking again changes nothing that was found.
            self._found = np.empty(2 * len(self._found), np.int32)
        n, m = self._n[first_column:, 0].copy(), self._m[first_column:, 0].copy()
        strain = np.full(len(n), np.nan)
        matched = np.flatnonzero(n)
        strain[matched] = self._strain(matched + first_column, 0)
        levels: list[MatchedLevel] = []
        for level in range(len(self._windows) - 1, 0, -1):
            own_n, own_m = self._n[first_column:, level], self._m[first_column:, level]
            wider_n, wider_m = self._n[first_column:, level - 1], self._m[first_column:, level - 1]
            at = np.flatnonzero((own_n > 0) & ((own_n != wider_n) | (own_m != wider_m)))
            levels.append(MatchedLevel(at, own_n[at], own_m[at], self._strain(at + first_column, level)))
        return MatchedRow(n, m, strain, tuple(levels))

    def _strain(self, columns: NDArray[np.int64], level: int) -> NDArray[np.float64]:
        """Strain of what was found for some columns within a level."""
        value = self._value[columns, level]
        distance = np.log1p(value + np.sqrt(value * (value + 2.0)))
        return np.asarray(0.5 * (self._stretch[columns, level] + distance))

    def _take_over(self, row: int, first_column: int, known: Known | None) -> tuple[int, float]:
        """Begin with what is known.

        Returns:
            Up to which n all supercells of up to which ln area were looked at; 0 if none can be passed over.
        """
        if known is None:
            return 0, -np.inf
        limits = self._index.table.limits
        for level, found in enumerate(known.found):
            matched = found.n > 0
            columns = first_column + np.flatnonzero(matched)
            self._product[columns, level] = (found.n.astype(np.uint16) * found.m)[matched]
            self._n[first_column:, level], self._m[first_column:, level] = found.n, found.m
            # As a stretch without any change of shape: the sum of the two is what counts.
            self._value[columns, level] = 0.0
            self._stretch[columns, level] = 2.0 * found.strain[matched]
        if (known.limits.max_strain, known.limits.max_atoms) != (limits.max_strain, limits.max_atoms):
            return 0, -np.inf
        area = math.log(known.limits.max_area)
        searched = math.floor(math.exp(area - self._index.table.ln_area[row]) + 1e-9)
        return min(searched, int(self._index.table.max_index[row])), area

    def match_rows(self, rows: Sequence[int], first_columns: Sequence[int]) -> Iterator[MatchedRow]:
        """The smallest supercells of several rows, one after another.

        Args:
            rows: numbers of the lower lattices in the table.
            first_columns: number of the first upper lattice of each.
        """
        for row, first_column in zip(rows, first_columns, strict=True):
            yield self.match(row, first_column)

    def _leave_behind(self, first_column: int) -> None:
        """Move the beginning of every cell to the entries of `first_column` and later."""
        index = self._index
        if first_column < self._first:
            self._begin[:] = index.offset[:-1]
            self._first = 0
        passed = index.own_cells[index.own_start[self._first] : index.own_start[first_column]]
        np.add.at(self._begin, passed, 1)
        self._first = first_column


@njit(cache=True)
def _entries(
    first: np.ndarray, start: np.ndarray, max_index: np.ndarray, ln_area: np.ndarray, n_columns: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    own_start = np.zeros(n_columns + 1, np.int64)
    for j in range(n_columns):
        own_start[j + 1] = own_start[j] + start[first[j] + max_index[j]] - start[first[j]]
    total = own_start[n_columns]
    packed = np.empty(total, np.int32)
    shape = np.empty(total, np.int32)
    area = np.empty(total)
    at = 0
    for j in range(n_columns):
        for m in range(1, max_index[j] + 1):
            whole = ln_area[j] + np.log(m)
            for k in range(start[first[j] + m - 1], start[first[j] + m]):
                packed[at] = (j << 8) | m
                shape[at] = k
                area[at] = whole
                at += 1
    return packed, shape, area, own_start


@njit(cache=True)
def _cells(
    re: np.ndarray,
    im: np.ndarray,
    ln_area: np.ndarray,
    base: np.ndarray,
    width: np.ndarray,
    lowest_area: float,
    n_areas: int,
    level_step: float,
    area_step: float,
) -> np.ndarray:
    cells = np.empty(re.shape[0], np.int32)
    for k in range(re.shape[0]):
        level = int((np.log(im[k]) - LOWEST) / level_step)
        cells[k] = base[level] + int(re[k] / width[level]) * n_areas + int((ln_area[k] - lowest_area) / area_step)
    return cells


@njit(cache=True, nogil=True)
def _search(  # noqa: PLR0912, PLR0915 - one loop nest, kept together for speed
    row: int,
    ln_area: np.ndarray,
    n_atoms: np.ndarray,
    max_index: np.ndarray,
    first: np.ndarray,
    start: np.ndarray,
    shape_re: np.ndarray,
    shape_im: np.ndarray,
    packed: np.ndarray,
    shape: np.ndarray,
    grid_re: np.ndarray,
    grid_im: np.ndarray,
    grid_area: np.ndarray,
    offset: np.ndarray,
    begin: np.ndarray,
    base: np.ndarray,
    width: np.ndarray,
    lowest_area: float,
    n_areas: int,
    level_step: float,
    area_step: float,
    windows: np.ndarray,
    max_atoms: int,
    searched_n: int,
    searched_area: float,
    found: np.ndarray,
    product: np.ndarray,
    value: np.ndarray,
    stretch: np.ndarray,
    out_n: np.ndarray,
    out_m: np.ndarray,
) -> bool:
    """Find the matches of one row; False if `found` is too short for a column of cells."""
    slack = 1e-12
    window, tightest = windows[0], windows.shape[0] - 1
    w2 = window * window
    # cosh(w) - 1 = w²/2 · (1 + w²/12 + ...), and the farthest Δ Re τ at distance w, in units of √(Im τ₁ Im τ₂)
    reach = np.sqrt(w2 * (1.0 + w2 / 12.0 + w2 * w2 / 300.0)) * (1.0 + 1e-9)
    bend = np.float32((1.0 + w2 / 12.0 + w2 * w2 / 300.0) * (1.0 + 1e-5))
    window32 = np.float32(window + SINGLE)
    zero = np.float32(0.0)
    n_levels = width.shape[0]
    stretch_of_level = np.exp(level_step)
    for n in range(1, max_index[row] + 1):
        target = ln_area[row] + np.log(n)
        target32 = np.float32(target)
        atoms = n * n_atoms[row]
        for s in range(start[first[row] + n - 1], start[first[row] + n]):
            x, y = shape_re[s], shape_im[s]
            x32, y32 = np.float32(x), np.float32(y)
            ln_y = np.log(y)
            level_from = max(0, int(np.floor((ln_y - window - 1e-9 - LOWEST) / level_step)))
            level_to = min(n_levels - 1, int(np.floor((ln_y + window + 1e-9 - LOWEST) / level_step)))
            for level in range(level_from, level_to + 1):
                w = width[level]
                y_low = w / level_step
                y_high = y_low * stretch_of_level
                dy = max(0.0, y_low - y, y - y_high)
                dx = reach * np.sqrt(y * y_high) + 1e-9
                bin_from = int((x - dx) / w) if x > dx else 0
                bin_to = min((base[level + 1] - base[level]) // n_areas - 1, int((x + dx) / w))
                for re_bin in range(bin_from, bin_to + 1):
                    gap = max(0.0, re_bin * w - x, x - (re_bin + 1) * w)
                    # The nearest corner of the cell is at least this far: the cone is narrower there.
                    nearest = (gap * gap + dy * dy) / (2.0 * y * y_high)
                    left = window - np.sqrt(2.0 * nearest) * (1.0 - nearest / 6.0) + 2.0 * SINGLE
                    if left < 0.0:
                        continue
                    area_from = max(0, int(np.floor((target - left - lowest_area) / area_step)))
                    area_to = min(n_areas - 1, int(np.floor((target + left - lowest_area) / area_step)))
                    if n <= searched_n:
                        # Smaller ones of the other side have been looked at with this n.
                        area_from = max(area_from, int(np.floor((searched_area - 1e-6 - lowest_area) / area_step)))
                    cell_of = base[level] + re_bin * n_areas
                    hits = 0
                    for cell in range(cell_of + area_from, cell_of + area_to + 1):
                        if hits + offset[cell + 1] - begin[cell] >= found.shape[0]:
                            return False
                        for e in range(begin[cell], offset[cell + 1]):
                            room = window32 - abs(grid_area[e] - target32)
                            re_off, im_off = x32 - grid_re[e], y32 - grid_im[e]
                            # Without a branch: what is no match is overwritten by the next.
                            found[hits] = e
                            hits += (room >= zero) & (
                                re_off * re_off + im_off * im_off <= y32 * grid_im[e] * room * room * bend
                            )
                    for h in range(hits):
                        e = found[h]
                        j, m = packed[e] >> 8, packed[e] & 255
                        area = n * m
                        # What is smallest within a tighter level is no smaller than what is within a wider one.
                        if area > product[j, tightest] or atoms + m * n_atoms[j] > max_atoms:
                            continue
                        widest = 0
                        while area > product[j, widest]:
                            widest += 1
                        if widest:
                            # Too large for the wider levels: the sieve once more, of the first that it may be for.
                            near = np.float32(windows[widest] + SINGLE) - abs(grid_area[e] - target32)
                            re_off, im_off = x32 - grid_re[e], y32 - grid_im[e]
                            if near < zero or (
                                re_off * re_off + im_off * im_off > y32 * grid_im[e] * near * near * bend
                            ):
                                continue
                        k = shape[e]
                        re_gap, im_gap = x - shape_re[k], y - shape_im[k]
                        v = (re_gap * re_gap + im_gap * im_gap) / (2.0 * y * shape_im[k])
                        apart = abs(np.log(m / n) - (ln_area[row] - ln_area[j]))
                        for limit in range(widest, tightest + 1):
                            room = windows[limit] + slack - apart
                            r2 = room * room
                            if room < 0.0 or v > r2 * (0.5 + r2 * (1.0 / 24.0 + r2 * (1.0 / 720.0 + r2 / 40320.0))):
                                break
                            if area == product[j, limit]:
                                old = value[j, limit]
                                before = stretch[j, limit] + np.log1p(old + np.sqrt(old * (old + 2.0)))
                                if apart + np.log1p(v + np.sqrt(v * (v + 2.0))) >= before:
                                    continue
                            product[j, limit] = area
                            value[j, limit] = v
                            stretch[j, limit] = apart
                            out_n[j, limit] = n
                            out_m[j, limit] = m
    return True
