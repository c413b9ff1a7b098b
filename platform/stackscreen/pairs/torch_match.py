"""The smallest coincidence lattices of a band of rows with all later lattices, by torch: on a GPU, or on processors.

The same search as `stackscreen.pairs.dense`, in the same grid, as a few large array operations: every superlattice
shape of the band is joined with the cells that its cone touches, the entries of those cells are listed chunk by chunk,
sieved in single precision, tested in double precision, and reduced to the smallest of each pair by scattered minima.
No step depends on the order in which a device works, so every device gives the same. Results are those of
`RowMatcher`, to rounding.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stackscreen.pairs.dense import LOWEST, SINGLE, ShapeIndex
from stackscreen.pairs.match import MatchedRow

CHUNK: Final = {"cpu": 1 << 19, "cuda": 1 << 24}
"""Entries looked at in one step, by kind of device: about 100 bytes each, so 50 MB and 1.6 GB."""
_BAND_PAIRS: Final = {"cpu": 1 << 20, "cuda": 1 << 24}
"""Pairs of one band, by kind of device: 14 bytes each for their results."""
_BAND_SHAPES: Final = 1 << 16
"""Superlattice shapes of one band, at most: each touches tens of cells, at about 100 bytes."""
_STALE: Final = 1.0 / 16.0
"""Part of the columns that may lie behind the band before the grid is copied without them."""
_NO_PRODUCT: Final = 65535


@dataclass(frozen=True, slots=True)
class _Columns:
    """The entries of columns `first` and later, cell by cell: the grid of `ShapeIndex` on the device."""

    first: int
    packed: Tensor
    shape: Tensor
    re: Tensor
    im: Tensor
    ln_area: Tensor
    offset: Tensor

    def since(self, first: int) -> _Columns:
        """The same without the columns before `first`."""
        kept = (self.packed >> 8) >= first
        count = torch.cumsum(kept, 0)
        before = torch.cat([count.new_zeros(1), count])
        return _Columns(
            first,
            self.packed[kept],
            self.shape[kept],
            self.re[kept],
            self.im[kept],
            self.ln_area[kept],
            before[self.offset],
        )


@dataclass(frozen=True, slots=True)
class _Windows:
    """Runs of entries, one of which may match a shape of the band: entries `start` to `start + count` of each."""

    shape: Tensor
    start: Tensor
    count: Tensor


@dataclass(frozen=True, slots=True)
class _Shapes:
    """The superlattice shapes of a band: row in the band and in the table, index n, shape, ln of the whole area."""

    band_row: Tensor
    row: Tensor
    n: Tensor
    re: Tensor
    im: Tensor
    ln_area: Tensor


class TorchMatcher:
    """Matches bands of rows with all columns from a first one on, on one device. Not for two threads at a time."""

    def __init__(self, index: ShapeIndex, device: str = "cpu", chunk: int | None = None) -> None:
        """Copy the grid to a device.

        Args:
            index: the grid; `RowMatcher` takes the same.
            device: as torch names it: cpu, cuda, cuda:1.
            chunk: entries looked at in one step; None takes what suits the kind of device.
        """
        self._index = index
        self.device = torch.device(device)
        self._chunk = chunk or CHUNK.get(self.device.type, CHUNK["cuda"])
        self._band_pairs = _BAND_PAIRS.get(self.device.type, _BAND_PAIRS["cuda"])
        table = index.table
        self._n_atoms, self._max_index = self._tensor(table.n_atoms), self._tensor(table.max_index)
        self._first, self._start = self._tensor(table.first), self._tensor(table.start)
        self._ln_area = self._tensor(table.ln_area)
        self._shape_re, self._shape_im = self._tensor(table.shape_re), self._tensor(table.shape_im)
        self._base, self._width = self._tensor(index.base), self._tensor(index.width)
        self._all = _Columns(
            0,
            self._tensor(index.packed),
            self._tensor(index.shape),
            self._tensor(index.re),
            self._tensor(index.im),
            self._tensor(index.ln_area),
            self._tensor(index.offset).long(),
        )
        self._columns = self._all

    def _tensor(self, values: NDArray[Any]) -> Tensor:
        return torch.from_numpy(values).to(self.device)

    def match(self, row: int, first_column: int) -> MatchedRow:
        """The smallest supercell of lattice `row` with columns `first_column` to K-1: see `RowMatcher.match`."""
        return next(self.match_rows([row], [first_column]))

    def match_rows(self, rows: Sequence[int], first_columns: Sequence[int]) -> Iterator[MatchedRow]:
        """The smallest supercells of several rows, one after another; a GPU works on a band of them at a time.

        Args:
            rows: numbers of the lower lattices in the table.
            first_columns: number of the first upper lattice of each; ascending ones are fastest.
        """
        table = self._index.table
        begin = 0
        while begin < len(rows):
            end, shapes, first = begin, 0, int(first_columns[begin])
            while end < len(rows):
                row = rows[end]
                shapes += int(table.start[table.first[row] + table.max_index[row]] - table.start[table.first[row]])
                first = min(first, int(first_columns[end]))
                pairs = (end + 1 - begin) * (self._index.n_columns - first)
                if end > begin and (pairs > self._band_pairs or shapes > _BAND_SHAPES):
                    break
                end += 1
            yield from self._band(np.asarray(rows[begin:end]), np.asarray(first_columns[begin:end]))
            begin = end

    def _band(self, rows: NDArray[np.int64], first_columns: NDArray[np.int64]) -> Iterator[MatchedRow]:
        first = int(first_columns.min())
        columns = self._columns_since(first)
        width = self._index.n_columns - first
        size = len(rows) * width
        limits = self._index.table.limits
        within = (limits.max_strain, *reversed(limits.strain_levels))
        smallest = [_Smallest.none(size, self.device) for _ in within]
        shapes = self._shapes(torch.as_tensor(rows, device=self.device))
        starts = torch.as_tensor(first_columns, device=self.device)
        for entry, shape in self._near(columns, shapes):
            pair, n, m, stretch, value = self._exact(columns, shapes, entry, shape, starts)
            place = pair[0] * width + pair[1] - first
            strain = 0.5 * (stretch + torch.log1p(value + torch.sqrt(value * (value + 2.0))))
            for limit, kept in zip(within, smallest, strict=True):
                fits = _fits(stretch, value, limit)
                kept.take(place[fits], n[fits], m[fits], strain[fits])
        whole = [kept.rows(len(rows), width) for kept in smallest]
        for k, own_first in enumerate(first_columns - first):
            yield MatchedRow.of_levels(
                [
                    MatchedRow(n[k, own_first:].copy(), m[k, own_first:].copy(), strain[k, own_first:].copy())
                    for n, m, strain in whole
                ]
            )

    def _columns_since(self, first: int) -> _Columns:
        """The grid without most of the columns before `first`."""
        behind = first - self._columns.first
        if behind < 0:
            self._columns, behind = self._all, first
        if behind > _STALE * (self._index.n_columns - self._columns.first):
            self._columns = self._columns.since(first)
        return self._columns

    def _shapes(self, rows: Tensor) -> _Shapes:
        owner, step = _expand(self._max_index[rows])
        row, n = rows[owner], step + 1
        begin = self._start[self._first[row] + step]
        group, place = _expand(self._start[self._first[row] + n] - begin)
        shape = begin[group] + place
        ln_area = self._ln_area[row] + torch.log(n.double())
        return _Shapes(owner[group], row[group], n[group], self._shape_re[shape], self._shape_im[shape], ln_area[group])

    def _windows(self, columns: _Columns, shapes: _Shapes) -> _Windows:
        """The cells that each shape's cone touches, as runs along the area, which lies innermost in the grid."""
        index = self._index
        window = 2.0 * index.table.limits.max_strain
        level_step, n_areas = index.level_step, index.n_areas
        ln_y = torch.log(shapes.im)
        level_from = torch.floor((ln_y - window - 1e-9 - LOWEST) / level_step).long().clamp(min=0)
        level_to = torch.floor((ln_y + window + 1e-9 - LOWEST) / level_step).long().clamp(max=len(self._width) - 1)
        owner, step = _expand(level_to - level_from + 1)
        level = level_from[owner] + step
        x, y, w = shapes.re[owner], shapes.im[owner], self._width[level]
        y_low = w / level_step
        y_high = y_low * math.exp(level_step)
        dy = torch.maximum(y_low - y, y - y_high).clamp(min=0.0)
        dx = _reach(window) * torch.sqrt(y * y_high) + 1e-9
        n_bins = (self._base[level + 1] - self._base[level]) // n_areas
        bin_from = ((x - dx) / w).clamp(min=0.0).long()
        bin_to = torch.minimum(n_bins - 1, ((x + dx) / w).long())
        part, step = _expand(bin_to - bin_from + 1)
        re_bin = bin_from[part] + step
        owner, level, x, y, w = owner[part], level[part], x[part], y[part], w[part]
        gap = torch.maximum(re_bin * w - x, x - (re_bin + 1) * w).clamp(min=0.0)
        # The nearest corner of the cell is at least this far: the cone is narrower there.
        nearest = (gap * gap + dy[part] ** 2) / (2.0 * y * y_high[part])
        left = window - torch.sqrt(2.0 * nearest) * (1.0 - nearest / 6.0) + 2.0 * SINGLE
        target = shapes.ln_area[owner]
        area_from = torch.floor((target - left - index.lowest_area) / index.area_step).long().clamp(min=0)
        area_to = torch.floor((target + left - index.lowest_area) / index.area_step).long().clamp(max=n_areas - 1)
        touched = (left >= 0.0) & (area_from <= area_to)
        cell = (self._base[level] + re_bin * n_areas)[touched]
        start = columns.offset[cell + area_from[touched]]
        count = columns.offset[cell + area_to[touched] + 1] - start
        filled = count > 0
        return _Windows(owner[touched][filled], start[filled], count[filled])

    def _near(self, columns: _Columns, shapes: _Shapes) -> Iterator[tuple[Tensor, Tensor]]:
        """Entries and the shapes of the band that they may match, by single precision, chunk by chunk."""
        windows = self._windows(columns, shapes)
        window = 2.0 * self._index.table.limits.max_strain
        bend = _bend(window) * (1.0 + 1e-5)
        re, im, ln_area = shapes.re.float(), shapes.im.float(), shapes.ln_area.float()
        ends = torch.cumsum(windows.count, 0)
        total = int(ends[-1]) if len(ends) else 0
        for begin in range(0, total, self._chunk):
            end = min(begin + self._chunk, total)
            low, high = torch.searchsorted(
                ends, torch.tensor([begin, end - 1], device=self.device), right=True
            ).tolist()
            part_end = ends[low : high + 1]
            part_begin = part_end - windows.count[low : high + 1]
            taken_from = part_begin.clamp(min=begin)
            run, place = _expand(part_end.clamp(max=end) - taken_from, end - begin)
            entry = (windows.start[low : high + 1] + taken_from - part_begin)[run] + place
            shape = windows.shape[low : high + 1][run]
            room = (window + SINGLE) - (columns.ln_area[entry] - ln_area[shape]).abs()
            own_im, other_im = im[shape], columns.im[entry]
            re_off, im_off = re[shape] - columns.re[entry], own_im - other_im
            near = (room >= 0) & (re_off * re_off + im_off * im_off <= own_im * other_im * room * room * bend)
            yield entry[near], shape[near]

    def _exact(
        self, columns: _Columns, shapes: _Shapes, entry: Tensor, shape: Tensor, first_columns: Tensor
    ) -> tuple[tuple[Tensor, Tensor], Tensor, Tensor, Tensor, Tensor]:
        """Those within the limits, by double precision: (row of the band, column), n, m, |Δ ln area| and cosh d - 1."""
        limits = self._index.table.limits
        packed = columns.packed[entry]
        column, m = (packed >> 8).long(), (packed & 255).long()
        band_row, row, n = shapes.band_row[shape], shapes.row[shape], shapes.n[shape]
        other = columns.shape[entry].long()
        y, other_im = shapes.im[shape], self._shape_im[other]
        re_gap, im_gap = shapes.re[shape] - self._shape_re[other], y - other_im
        v = (re_gap * re_gap + im_gap * im_gap) / (2.0 * y * other_im)
        stretch = (torch.log(m.double() / n.double()) - (self._ln_area[row] - self._ln_area[column])).abs()
        within = (
            (column >= first_columns[band_row])
            & (n * self._n_atoms[row] + m * self._n_atoms[column] <= limits.max_atoms)
            & _fits(stretch, v, limits.max_strain)
        )
        return (band_row[within], column[within]), n[within], m[within], stretch[within], v[within]


def _fits(stretch: Tensor, value: Tensor, max_strain: float) -> Tensor:
    """Whether ½ |ln of the areas' ratio| + ½ d is within a limit of strain, by cosh d - 1."""
    # A tolerance for limits met exactly, as in the search by rows.
    room = 2.0 * max_strain + 1e-12 - stretch
    r2 = room * room
    return (room >= 0.0) & (value <= r2 * (0.5 + r2 * (1.0 / 24.0 + r2 * (1.0 / 720.0 + r2 / 40320.0))))


@dataclass(frozen=True, slots=True)
class _Smallest:
    """The smallest supercell so far of each pair of a band within one limit of strain: n·m, strain and n."""

    product: Tensor
    strain: Tensor
    cells: Tensor

    @classmethod
    def none(cls, size: int, device: torch.device) -> _Smallest:
        """No pair has any."""
        return cls(
            torch.full((size,), _NO_PRODUCT, dtype=torch.int32, device=device),
            torch.full((size,), math.inf, dtype=torch.float64, device=device),
            torch.full((size,), 256, dtype=torch.int32, device=device),
        )

    def take(self, pair: Tensor, n: Tensor, m: Tensor, found: Tensor) -> None:
        """Take in matches of some pairs: least n·m, of these the least strain, of these the least n."""
        area = (n * m).int()
        before = self.product[pair]
        self.product.scatter_reduce_(0, pair, area, "amin")
        smallest = self.product[pair]
        # A smaller supercell makes what was kept of larger ones void.
        self.strain[pair[smallest < before]] = math.inf
        chosen = area == smallest
        pair, n, found = pair[chosen], n[chosen].int(), found[chosen]
        before_strain = self.strain[pair]
        self.strain.scatter_reduce_(0, pair, found, "amin")
        least = self.strain[pair]
        self.cells[pair[least < before_strain]] = 256
        chosen = found == least
        self.cells.scatter_reduce_(0, pair[chosen], n[chosen], "amin")

    def rows(self, height: int, width: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float64]]:
        """n, m and strain, each of shape (height, width)."""
        matched = self.product < _NO_PRODUCT
        cells = (torch.where(matched, self.cells, 0), torch.where(matched, self.product // self.cells, 0))
        n, m = (values.to(torch.uint8).cpu().numpy().reshape(height, width) for values in cells)
        strain = torch.where(matched, self.strain, math.nan)
        return n, m, strain.cpu().numpy().reshape(height, width)


def _expand(count: Tensor, total: int | None = None) -> tuple[Tensor, Tensor]:
    """Lay out runs of lengths `count` one after another: the run, and the place in the run, of each element."""
    count = count.clamp(min=0)
    run = torch.repeat_interleave(torch.arange(len(count), device=count.device), count, output_size=total)
    begin = torch.cumsum(count, 0) - count
    return run, torch.arange(len(run), device=count.device) - begin[run]


def _bend(window: float) -> float:
    """2 (cosh w - 1) / w², bounded from above for w up to 0.4."""
    w2 = window * window
    return 1.0 + w2 / 12.0 + w2 * w2 / 300.0


def _reach(window: float) -> float:
    """Farthest Δ Re τ at distance w, in units of √(Im τ₁ Im τ₂)."""
    return window * math.sqrt(_bend(window)) * (1.0 + 1e-9)
