"""One block of the pair matrix: match, filter, describe. Pure computation; nothing is written here."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stackscreen.pairs import MatchedLevel, MatchedRow, PairLimits, ShapeTable, match_row
from stackscreen.pairs.matchers import Matcher
from stackscreen.screening.binary_copy import TextColumn
from stackscreen.screening.blocks import Block, Rows
from stackscreen.screening.describe import Scorer, describe, hull_energies
from stackscreen.screening.members import MemberTable
from stackscreen.screening.packing import NO_MATCH, pack_strain
from stackscreen.screening.score import geometric_score


@dataclass(frozen=True, slots=True)
class CandidateRule:
    """The physical filter that makes a matched pair a candidate.

    Attributes:
        max_strain: largest principal Hencky strain of the misfit, dimensionless.
        max_atoms: atoms in the supercell.
        max_atoms_unknown: the same, where the stability of a layer is unknown.
        max_hull_energy: eV/atom; a layer known to be less stable than this is in no candidate.
    """

    max_strain: float
    max_atoms: int
    max_atoms_unknown: int
    max_hull_energy: float


@dataclass(frozen=True, slots=True)
class TileLevel:
    """The pairs of a tile that have another supercell within a level, packed as `schema.PairTileLevel` says."""

    max_strain: float
    kept: bytes
    n: bytes
    m: bytes
    strain: bytes
    score: bytes


@dataclass(frozen=True, slots=True)
class Tile:
    """All pairs of one row of a block, packed as `schema.PairTile` says."""

    row: int
    col_from: int
    n: bytes
    m: bytes
    strain: bytes
    score: bytes
    levels: tuple[TileLevel, ...]


@dataclass(frozen=True, slots=True)
class BlockResult:
    """What a block comes to.

    Attributes:
        tiles: one a row.
        candidates: columns of `candidate` without run, block and since, for binary COPY.
        n_matched, n_candidates: counts.
        digest: SHA-256 over tiles and candidates.
    """

    tiles: list[Tile]
    candidates: dict[str, tuple[str, NDArray[Any]] | TextColumn]
    n_matched: int
    n_candidates: int
    digest: bytes


@dataclass(frozen=True)
class RunContext:
    """What every block of a run needs, loaded once per process.

    Attributes:
        members: of the run, by place.
        shapes: superlattices of every member of the space, by number.
        rule: what makes a candidate.
        scorer: predicts layer pairs.
        make_matcher: what makes the matcher of the space's founding run.
    """

    members: MemberTable
    shapes: ShapeTable
    rule: CandidateRule
    scorer: Scorer
    make_matcher: Callable[[ShapeTable], Matcher]

    @cached_property
    def matcher(self) -> Matcher:
        """Matches rows of the founding run; made when it is first asked for, as few later members do without."""
        return self.make_matcher(self.shapes)


@dataclass(frozen=True, slots=True)
class _Row:
    """The pairs of one row of a block.

    Attributes:
        col_from: number of the first member of its tile.
        size: length of its tile.
        at: where each pair lies in the tile, shape (pairs,); None where they fill it in order.
        bottom, top: places of the lower and the upper side, shape (pairs,).
        found: cells and strain, of bottom and top.
    """

    col_from: int
    size: int
    at: NDArray[np.int64] | None
    bottom: NDArray[np.int64]
    top: NDArray[np.int64]
    found: MatchedRow

    def laid_out(self, values: NDArray[Any], missing: int = 0) -> bytes:
        """Values of the pairs as a column of the tile."""
        if self.at is None:
            return values.tobytes()
        column = np.full(self.size, missing, values.dtype)
        column[self.at] = values
        return column.tobytes()

    def level(self, kept: MatchedLevel, own: int, limits: PairLimits, members: MemberTable) -> TileLevel:
        """What a tile keeps of the pairs within the limits' strain level of number `own`."""
        pair, n, m, strain, at = kept.at, kept.n, kept.m, kept.strain, kept.at
        if self.at is not None:
            order = np.argsort(self.at[pair])
            pair, n, m, strain = pair[order], n[order], m[order], strain[order]
            at = self.at[pair]
        score = geometric_score(strain, _atoms(members, self.bottom[pair], self.top[pair], n, m))
        bits = np.zeros(self.size, bool)
        bits[at] = True
        return TileLevel(
            limits.strain_levels[own],
            np.packbits(bits, bitorder="little").tobytes(),
            n.tobytes(),
            m.tobytes(),
            pack_strain(strain, limits.strain_levels[:own]).tobytes(),
            _packed_score(score),
        )


def _atoms(
    members: MemberTable,
    bottom: NDArray[np.int64],
    top: NDArray[np.int64],
    n: NDArray[np.uint8],
    m: NDArray[np.uint8],
) -> NDArray[np.int64]:
    """Atoms of supercells."""
    return n.astype(np.int64) * members.n_atoms[bottom] + m.astype(np.int64) * members.n_atoms[top]


def _packed_score(score: NDArray[np.float64]) -> bytes:
    return np.rint(score * 65535).astype("<u2").tobytes()


def _rows(context: RunContext, block: Block) -> Iterator[_Row]:
    """The rows of a block of the founding run, in which numbers are places: the row below, the columns above."""
    rows = range(block.row_from, block.row_to)
    firsts = [block.first_column(row) for row in rows]
    for row, first, found in zip(rows, firsts, context.matcher.match_rows(rows, firsts), strict=True):
        columns = np.arange(first, block.col_to)
        yield _Row(first, len(columns), None, np.full(len(columns), row), columns, found)


def _later_rows(context: RunContext, block: Block) -> Iterator[_Row]:
    """The rows of a block of members that came later."""
    return (_later_row(context, row) for row in range(block.row_from, block.row_to))


def _later_row(context: RunContext, row: int) -> _Row:
    """The pairs of a member that came later with every member of the run up to its own number."""
    members = context.members
    own = int(np.flatnonzero(members.number == row)[0])
    layers = np.arange(len(members)) < members.n_monolayers
    partners = np.flatnonzero((members.number <= row) & (layers | layers[own]))
    found = match_row(context.shapes, row, members.number[partners])
    # A surface lies below any layer, and of two layers the older material.
    partner_below = np.where(layers[partners] == layers[own], partners < own, layers[own])
    return _Row(
        0, row + 1, members.number[partners], np.where(partner_below, partners, own),
        np.where(partner_below, own, partners), found.turned(partner_below),
    )  # fmt: skip


def compute_block(context: RunContext, block: Block) -> BlockResult:
    """Everything about the pairs of one block.

    Args:
        context: the run.
        block: rows and columns, by member number.
    """
    members, rule = context.members, context.rule
    hull = hull_energies(members)
    tiles: list[Tile] = []
    chosen: list[NDArray[np.float64]] = []
    n_matched = 0
    hasher = hashlib.sha256()
    rows = _later_rows(context, block) if block.rows is Rows.LATER else _rows(context, block)
    limits = context.shapes.limits
    for row, pairs in enumerate(rows, block.row_from):
        bottom, top, found = pairs.bottom, pairs.top, pairs.found
        matched = found.n > 0
        n_atoms = _atoms(members, bottom, top, found.n, found.m)
        geometric = geometric_score(found.strain, n_atoms)
        packed = pack_strain(found.strain, limits.strain_levels)
        tile = Tile(
            row,
            pairs.col_from,
            pairs.laid_out(found.n),
            pairs.laid_out(found.m),
            pairs.laid_out(packed, NO_MATCH),
            pairs.laid_out(np.rint(geometric * 65535).astype("<u2")),
            tuple(pairs.level(kept, own, limits, members) for own, kept in enumerate(found.levels) if kept.at.size),
        )
        tiles.append(tile)
        n_matched += int(matched.sum())
        for packed_column in (tile.n, tile.m, tile.strain, tile.score):
            hasher.update(packed_column)
        for level in tile.levels:
            hasher.update(struct.pack("<d", level.max_strain))
            for packed_column in (level.kept, level.n, level.m, level.strain, level.score):
                hasher.update(packed_column)
        worst = np.maximum(hull[bottom], hull[top])  # NaN if either is unknown
        with np.errstate(invalid="ignore"):
            too_unstable = (hull[bottom] > rule.max_hull_energy) | (hull[top] > rule.max_hull_energy)
        atoms_limit = np.where(np.isnan(worst), rule.max_atoms_unknown, rule.max_atoms)
        passes = matched & (n_atoms <= atoms_limit) & ~too_unstable
        passes[matched] &= found.strain[matched] <= rule.max_strain
        k = np.flatnonzero(passes)
        if k.size:
            chosen.append(
                np.column_stack(
                    [bottom[k], top[k], found.n[k], found.m[k], found.strain[k], n_atoms[k], geometric[k], worst[k]]
                )
            )
    table = np.concatenate(chosen) if chosen else np.empty((0, 8))
    candidates = describe(members, context.scorer, table)
    for side in (0, 1):
        candidates[("bottom", "top")[side]] = ("int4", members.number[table[:, side].astype(np.int64)])
    for name in sorted(candidates):
        column = candidates[name]
        hasher.update(name.encode())
        values = column.codes if isinstance(column, TextColumn) else column[1]
        hasher.update(np.ascontiguousarray(values).tobytes())
    return BlockResult(tiles, candidates, n_matched, len(table), hasher.digest())
