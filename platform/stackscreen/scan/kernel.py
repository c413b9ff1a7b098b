"""The pass over all pairs: compiled, without the interpreter's lock, a stretch of a row at a time.

A stretch's pairs stay in the first cache while one condition after the other crosses pairs off; a stretch that nothing
is left of is not read any further. Conditions on single-precision columns compare in single precision, as SQL does.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from stackscreen.pairs.common_area import common_area, part_of_bottom
from stackscreen.scan.levels import Kept, narrow_one, narrow_stretch

STRETCH: Final = 2048
"""Pairs looked at together."""


class Quantity(IntEnum):
    """What a pair can be limited by and sorted by."""

    N = 0
    M = 1
    STRAIN = 2
    SCORE = 3
    ATOMS = 4
    AREA = 5
    GAP = 6
    VALENCE = 7
    CONDUCTION = 8
    WORK_FUNCTION = 9


class Tiles(NamedTuple):
    """All pairs, packed as `schema.PairTile` says, in the order of `PairLayout`."""

    n: NDArray[np.uint8]
    m: NDArray[np.uint8]
    strain: NDArray[np.uint16]
    score: NDArray[np.uint16]


class Sides(NamedTuple):
    """One side's members as a pair sees them.

    Attributes:
        atoms: atoms per cell, int32.
        area: Å², float64.
        valence, conduction: band edges of the face that looks at the other side, eV, float64; NaN unknown; equal for a
            metal, -inf where its Fermi level is unknown.
        work_function: eV, of that face, float64; NaN unknown.
        stiffness: N/m, float64; NaN unknown.
    """

    atoms: NDArray[np.int32]
    area: NDArray[np.float64]
    valence: NDArray[np.float64]
    conduction: NDArray[np.float64]
    work_function: NDArray[np.float64]
    stiffness: NDArray[np.float64]

    def take(self, members: NDArray[np.int64]) -> Sides:
        """Some of the members."""
        return Sides(
            self.atoms[members],
            self.area[members],
            self.valence[members],
            self.conduction[members],
            self.work_function[members],
            self.stiffness[members],
        )


class Asked(NamedTuple):
    """The conditions on pairs.

    Attributes:
        active: whether a quantity is limited, shape (10,).
        low, high: its limits, both included, shape (10,), float64; strain and score in their packed units.
        alignments: allowed kinds of alignment, shape (5,) by `ml.descriptors.band_alignment.Alignment`.
        by_alignment: whether alignment is limited.
        order: quantity that the best are chosen by.
        descending: whether the best are the largest.
        best: how many best pairs are wanted.
        narrowed: whether a pair beyond the highest strain is looked at with the supercell that a strain level keeps
            within it.
    """

    active: NDArray[np.bool_]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    alignments: NDArray[np.bool_]
    by_alignment: bool
    order: int
    descending: bool
    best: int
    narrowed: bool


_N, _M, _STRAIN, _SCORE = int(Quantity.N), int(Quantity.M), int(Quantity.STRAIN), int(Quantity.SCORE)
_ATOMS, _AREA, _GAP = int(Quantity.ATOMS), int(Quantity.AREA), int(Quantity.GAP)
_VALENCE, _CONDUCTION = int(Quantity.VALENCE), int(Quantity.CONDUCTION)
_WORK_FUNCTION = int(Quantity.WORK_FUNCTION)


@njit(cache=True, nogil=True)
def _between(mask: np.ndarray, values: np.ndarray, low: np.unsignedinteger, high: np.unsignedinteger) -> None:
    for k in range(mask.size):
        mask[k] &= (values[k] >= low) & (values[k] <= high)


@njit(cache=True, nogil=True)
def _between_atoms(
    mask: np.ndarray, n: np.ndarray, m: np.ndarray, below: np.int32, above: np.ndarray, low: np.int32, high: np.int32
) -> None:
    for k in range(mask.size):
        atoms = np.int32(np.int32(n[k]) * below + np.int32(m[k]) * above[k])
        mask[k] &= (atoms >= low) & (atoms <= high)


@njit(cache=True, nogil=True)
def _between_reals(mask: np.ndarray, values: np.ndarray, low: float, high: float) -> None:
    lowest, highest = np.float32(low), np.float32(high)
    for k in range(mask.size):
        mask[k] &= (values[k] >= lowest) & (values[k] <= highest)


@njit(cache=True, nogil=True, error_model="numpy")
def _areas(
    out: np.ndarray,
    n: np.ndarray,
    m: np.ndarray,
    below: float,
    above: np.ndarray,
    stiffness: float,
    stiffness_above: np.ndarray,
    on_bulk: bool,
) -> None:
    """See `stackscreen.pairs.common_area.parts_and_areas`; anything for a pair without a match."""
    if on_bulk:
        for k in range(out.size):
            out[k] = below * n[k]
    else:
        for k in range(out.size):
            part = part_of_bottom(stiffness, stiffness_above[k], False)
            out[k] = common_area(below * n[k], above[k] * m[k], part)


@njit(cache=True, nogil=True)
def _offsets(out: np.ndarray, below: float, above: np.ndarray) -> None:
    """Top minus bottom; not finite where either is unknown."""
    for k in range(out.size):
        out[k] = above[k] - below


@njit(cache=True, nogil=True)
def _gaps(out: np.ndarray, v_below: float, c_below: float, v_above: np.ndarray, c_above: np.ndarray) -> None:
    """See `ml.descriptors.band_alignment.anderson`."""
    for k in range(out.size):
        gap = min(c_below, c_above[k]) - max(v_below, v_above[k])
        known = abs(v_below + c_below + v_above[k] + c_above[k]) < np.inf
        metal = (c_below <= v_below) | (c_above[k] <= v_above[k])
        out[k] = 0.0 if metal else (max(gap, 0.0) if known else np.nan)


@njit(cache=True, nogil=True)
def _aligned(
    mask: np.ndarray, v_below: float, c_below: float, v_above: np.ndarray, c_above: np.ndarray, allowed: np.ndarray
) -> None:
    """See `ml.descriptors.band_alignment.anderson`; the kinds are those of its `Alignment`."""
    straddling, staggered, broken, metallic = allowed[1], allowed[2], allowed[3], allowed[4]
    for k in range(mask.size):
        v, c = v_above[k], c_above[k]
        known = abs(v_below + c_below + v + c) < np.inf
        metal = (c_below <= v_below) | (c <= v)
        apart = min(c_below, c) > max(v_below, v)
        inside = ((v_below >= v) & (c_below <= c)) | ((v >= v_below) & (c <= c_below))
        open_gap = apart & ((inside & straddling) | (~inside & staggered))
        mask[k] &= (metal & metallic) | (~metal & known & (open_gap | (~apart & broken)))


@njit(cache=True, nogil=True)
def _count(mask: np.ndarray) -> int:
    total = 0
    for k in range(mask.size):
        total += mask[k]
    return total


@njit(cache=True, nogil=True)
def _limit(
    mask: np.ndarray, reals: np.ndarray, tiles: Tiles, row: int, bottom: Sides, top: Sides, on_bulk: bool, asked: Asked
) -> int:
    """Cross off the pairs of a stretch that a condition excludes; how many are left."""
    active, low, high = asked.active, asked.low, asked.high
    if active[_STRAIN]:
        # A pair without a match has a strain above every limit.
        _between(mask, tiles.strain, np.uint16(low[_STRAIN]), np.uint16(high[_STRAIN]))
    else:
        _between(mask, tiles.n, np.uint8(1), np.uint8(255))
    if active[_SCORE]:
        _between(mask, tiles.score, np.uint16(low[_SCORE]), np.uint16(high[_SCORE]))
    if active[_N]:
        _between(mask, tiles.n, np.uint8(low[_N]), np.uint8(high[_N]))
    if active[_M]:
        _between(mask, tiles.m, np.uint8(low[_M]), np.uint8(high[_M]))
    left = _count(mask)
    if left == 0:
        return 0
    if active[_ATOMS]:
        _between_atoms(
            mask, tiles.n, tiles.m, bottom.atoms[row], top.atoms, np.int32(low[_ATOMS]), np.int32(high[_ATOMS])
        )
    if asked.by_alignment:
        _aligned(mask, bottom.valence[row], bottom.conduction[row], top.valence, top.conduction, asked.alignments)
    for quantity in (_AREA, _GAP, _VALENCE, _CONDUCTION, _WORK_FUNCTION):
        if active[quantity]:
            _derive(reals, quantity, tiles, row, bottom, top, on_bulk)
            _between_reals(mask, reals, low[quantity], high[quantity])
    return _count(mask)


@njit(cache=True, nogil=True)
def _copied(out: np.ndarray, values: np.ndarray) -> None:
    for k in range(out.size):
        out[k] = values[k]


@njit(cache=True, nogil=True)
def _derive(out: np.ndarray, quantity: int, tiles: Tiles, row: int, bottom: Sides, top: Sides, on_bulk: bool) -> None:
    """One quantity of each pair of a stretch."""
    if quantity == _AREA:
        _areas(out, tiles.n, tiles.m, bottom.area[row], top.area, bottom.stiffness[row], top.stiffness, on_bulk)
    elif quantity == _GAP:
        _gaps(out, bottom.valence[row], bottom.conduction[row], top.valence, top.conduction)
    elif quantity == _VALENCE:
        _offsets(out, bottom.valence[row], top.valence)
    elif quantity == _CONDUCTION:
        _offsets(out, bottom.conduction[row], top.conduction)
    elif quantity == _WORK_FUNCTION:
        _offsets(out, bottom.work_function[row], top.work_function)
    elif quantity == _ATOMS:
        for k in range(out.size):
            out[k] = tiles.n[k] * bottom.atoms[row] + tiles.m[k] * top.atoms[k]
    elif quantity == _N:
        _copied(out, tiles.n)
    elif quantity == _M:
        _copied(out, tiles.m)
    elif quantity == _STRAIN:
        _copied(out, tiles.strain)
    else:
        _copied(out, tiles.score)


@njit(cache=True, nogil=True)
def _sift(keys: np.ndarray, places: np.ndarray, size: int) -> None:
    """Restore the heap from its root: the worst of the best on top, the later of equals being worse."""
    k = 0
    while True:
        child = 2 * k + 1
        if child >= size:
            return
        other = child + 1
        if other < size and (
            keys[other] < keys[child] or (keys[other] == keys[child] and places[other] > places[child])
        ):
            child = other
        if keys[k] < keys[child] or (keys[k] == keys[child] and places[k] > places[child]):
            return
        keys[k], keys[child] = keys[child], keys[k]
        places[k], places[child] = places[child], places[k]
        k = child


@njit(cache=True, nogil=True)
def _any_above(mask: np.ndarray, values: np.ndarray, floor: np.float32) -> bool:
    found = np.uint8(0)
    for k in range(mask.size):
        found |= mask[k] & (values[k] > floor)
    return found != 0


@njit(cache=True, nogil=True)
def _rank(
    mask: np.ndarray,
    values: np.ndarray,
    base: int,
    columns: np.ndarray,
    descending: bool,
    heap: np.ndarray,
    where: np.ndarray,
) -> None:
    """Put the pairs of a stretch that are better than the worst of the best in its place.

    `values` become keys: larger is better, unknown (not finite) is worst; pair k lies at base + columns[k]. A heap that
    is not full holds -inf at the last place there is.
    """
    sign = np.float32(1.0 if descending else -1.0)
    for k in range(mask.size):
        key = sign * values[k]
        values[k] = key if abs(key) < np.float32(np.inf) else np.float32(-np.inf)
    last = np.iinfo(np.int64).max
    if where[0] != last and not _any_above(mask, values, np.float32(heap[0])):
        return
    for k in range(mask.size):
        # Places come in ascending order, so of equal keys those already there stay.
        if mask[k] and (values[k] > heap[0] or where[0] == last):
            heap[0], where[0] = values[k], base + columns[k]
            _sift(heap, where, heap.size)


@njit(cache=True, nogil=True)
def _look(
    mask: np.ndarray,
    reals: np.ndarray,
    tiles: Tiles,
    row: int,
    bottom: Sides,
    top: Sides,
    on_bulk: bool,
    asked: Asked,
    base: int,
    columns: np.ndarray,
    heap: np.ndarray,
    where: np.ndarray,
) -> int:
    """Count the pairs of a stretch that are selected, and keep the best; pair k lies at base + columns[k]."""
    left = _limit(mask, reals, tiles, row, bottom, top, on_bulk, asked)
    if left and asked.best:
        _derive(reals, asked.order, tiles, row, bottom, top, on_bulk)
        _rank(mask, reals, base, columns, asked.descending, heap, where)
    return left


@njit(cache=True, nogil=True)
def _part(tiles: Tiles, begin: int, end: int) -> Tiles:
    return Tiles(tiles.n[begin:end], tiles.m[begin:end], tiles.strain[begin:end], tiles.score[begin:end])


@njit(cache=True, nogil=True)
def _narrowed(stretch: Tiles, kept: Kept, row: int, first: int, asked: Asked, buffers: Tiles) -> Tiles:
    """A stretch with the supercells within the highest strain asked for, in the buffers."""
    out = _part(buffers, 0, stretch.n.size)
    of_cells = False
    for quantity in (_N, _M, _ATOMS, _AREA):
        of_cells |= asked.active[quantity] | (asked.order == quantity)
    for k in range(out.strain.size):
        out.strain[k] = stretch.strain[k]
    for k in range(out.score.size):
        out.score[k] = stretch.score[k]
    if of_cells:  # otherwise nobody looks at them, and they need not be read
        for k in range(out.n.size):
            out.n[k] = stretch.n[k]
        for k in range(out.m.size):
            out.m[k] = stretch.m[k]
    limit = np.uint16(asked.high[_STRAIN])
    narrow_stretch(kept, row, first, limit, of_cells, out.n, out.m, out.strain, out.score)
    return out


@njit(cache=True, nogil=True)
def _gathered(
    tiles: Tiles, kept: Kept, row: int, base: int, columns: np.ndarray, asked: Asked, buffers: Tiles
) -> Tiles:
    """Some columns of a row, in the buffers, with the supercells within the highest strain asked for."""
    out = _part(buffers, 0, columns.size)
    for k in range(columns.size):
        at = base + columns[k]
        out.n[k], out.m[k] = tiles.n[at], tiles.m[at]
        out.strain[k], out.score[k] = tiles.strain[at], tiles.score[at]
    if asked.narrowed:
        limit = np.uint16(asked.high[_STRAIN])
        for k in range(columns.size):
            narrow_one(kept, row, columns[k], k, limit, out.n, out.m, out.strain, out.score)
    return out


@njit(cache=True, nogil=True)
def scan_rows(
    tiles: Tiles,
    kept: Kept,
    starts: np.ndarray,
    rows: np.ndarray,
    n_monolayers: int,
    homobilayers: bool,
    heterobilayers: bool,
    bottom: Sides,
    top: Sides,
    picked: np.ndarray,
    every_column: bool,
    column_mask: np.ndarray,
    asked: Asked,
    heap: np.ndarray,
    where: np.ndarray,
) -> int:
    """Count the pairs of some rows that a filter selects, and keep the best of them.

    Args:
        tiles: all pairs.
        kept: what strain levels keep; looked at if `asked.narrowed`.
        starts: of `PairLayout`.
        rows: rows to look at, ascending, int64.
        n_monolayers: N; rows from N on are surfaces.
        homobilayers, heterobilayers: which pairs of layers are wanted.
        bottom: all N+S members below.
        top: the members above: all N if `every_column`, otherwise those of `picked`.
        picked: columns to look at, ascending, int64.
        every_column: whether to look at the columns in stretches, under `column_mask`, instead of one by one.
        column_mask: shape (N,), uint8: columns that are wanted; looked at if `every_column`.
        asked: the conditions.
        heap, where: keys (float64) and positions of the best so far, shape (K,), -inf and the largest int64 to begin
            with; left as a heap. Nothing is kept for K = 0.

    Returns:
        How many pairs are selected.
    """
    mask_buffer = np.empty(STRETCH, np.uint8)
    reals_buffer = np.empty(STRETCH, np.float32)
    one_by_one = np.arange(STRETCH)
    buffers = Tiles(
        np.empty(STRETCH, np.uint8), np.empty(STRETCH, np.uint8), np.empty(STRETCH, np.uint16),
        np.empty(STRETCH, np.uint16),
    )  # fmt: skip
    total = 0
    for row in rows:
        on_bulk = row >= n_monolayers
        first, end = 0, n_monolayers
        base = starts[row]
        if not on_bulk:
            first = row if homobilayers else row + 1
            end = n_monolayers if heterobilayers else row + 1
            base -= row
        if every_column:
            stretches = range(first, end, STRETCH)
        else:
            first, end = np.searchsorted(picked, np.array([first, end]))
            stretches = range(first, end, STRETCH)
        for one in stretches:
            size = min(STRETCH, end - one)
            mask, reals = mask_buffer[:size], reals_buffer[:size]
            above = Sides(
                top.atoms[one : one + size],
                top.area[one : one + size],
                top.valence[one : one + size],
                top.conduction[one : one + size],
                top.work_function[one : one + size],
                top.stiffness[one : one + size],
            )
            if every_column:
                at = base + one
                mask[:] = column_mask[one : one + size]
                stretch = _part(tiles, at, at + size)
                if asked.narrowed:
                    narrowed = _narrowed(stretch, kept, row, one, asked, buffers)
                    left = _look(mask, reals, narrowed, row, bottom, above, on_bulk, asked, at, one_by_one, heap, where)
                else:
                    left = _look(mask, reals, stretch, row, bottom, above, on_bulk, asked, at, one_by_one, heap, where)
            else:
                mask[:] = 1
                columns = picked[one : one + size]
                gathered = _gathered(tiles, kept, row, base, columns, asked, buffers)
                left = _look(mask, reals, gathered, row, bottom, above, on_bulk, asked, base, columns, heap, where)
            total += left
    return total
