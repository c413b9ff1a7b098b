"""One block of the pair matrix: match, filter, describe. Pure computation; nothing is written here."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ml.scorer import PairScorer
from stackscreen.pairs import PairLimits, RowMatcher, ShapeIndex, ShapeTable
from stackscreen.pairs.matchers import Matcher
from stackscreen.screening.binary_copy import TextColumn
from stackscreen.screening.blocks import Block
from stackscreen.screening.describe import describe, hull_energies
from stackscreen.screening.members import MemberTable
from stackscreen.screening.score import geometric_score

NO_MATCH: Final = 65535
"""Packed strain of a pair without a coincidence lattice."""
STRAIN_UNIT: Final = 1e-6


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
class Tile:
    """All pairs of one row of a block, packed as `schema.PairTile` says."""

    row: int
    col_from: int
    n: bytes
    m: bytes
    strain: bytes
    score: bytes


@dataclass(frozen=True, slots=True)
class BlockResult:
    """What a block comes to.

    Attributes:
        tiles: one a row.
        candidates: columns of `candidate` without run and block, for binary COPY.
        n_matched, n_candidates: counts.
        digest: SHA-256 over tiles and candidates.
    """

    tiles: list[Tile]
    candidates: dict[str, tuple[str, NDArray[Any]] | TextColumn]
    n_matched: int
    n_candidates: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class RunContext:
    """What every block of a run needs, loaded once per process."""

    members: MemberTable
    matcher: Matcher
    rule: CandidateRule
    scorer: PairScorer

    @classmethod
    def build(
        cls,
        members: MemberTable,
        limits: PairLimits,
        rule: CandidateRule,
        scorer: PairScorer,
        make_matcher: Callable[[ShapeIndex], Matcher] = RowMatcher,
    ) -> RunContext:
        """Enumerate the superlattices of the run's members; the matcher is the one that is made here."""
        shapes = ShapeTable.build(members.ln_area, members.tau, members.n_atoms, limits)
        matcher = make_matcher(ShapeIndex.build(shapes, members.n_monolayers))
        return cls(members, matcher, rule, scorer)


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
    rows = range(block.row_from, block.row_to)
    matches = context.matcher.match_rows(rows, [block.first_column(row) for row in rows])
    for row, found in zip(rows, matches, strict=True):
        columns = np.arange(block.first_column(row), block.col_to)
        matched = found.n > 0
        n_atoms = found.n.astype(np.int64) * members.n_atoms[row] + found.m.astype(np.int64) * members.n_atoms[columns]
        geometric = geometric_score(found.strain, n_atoms)
        packed = np.where(matched, np.rint(np.nan_to_num(found.strain) / STRAIN_UNIT), NO_MATCH).astype("<u2")
        tile = Tile(
            row,
            int(columns[0]),
            found.n.tobytes(),
            found.m.tobytes(),
            packed.tobytes(),
            np.rint(geometric * 65535).astype("<u2").tobytes(),
        )
        tiles.append(tile)
        n_matched += int(matched.sum())
        for packed_column in (tile.n, tile.m, tile.strain, tile.score):
            hasher.update(packed_column)
        row_hull = hull[row]
        worst = np.maximum(row_hull, hull[columns])  # NaN if either is unknown
        with np.errstate(invalid="ignore"):
            too_unstable = (row_hull > rule.max_hull_energy) | (hull[columns] > rule.max_hull_energy)
        atoms_limit = np.where(np.isnan(worst), rule.max_atoms_unknown, rule.max_atoms)
        passes = matched & (n_atoms <= atoms_limit) & ~too_unstable
        passes[matched] &= found.strain[matched] <= rule.max_strain
        k = np.flatnonzero(passes)
        if k.size:
            chosen.append(
                np.column_stack(
                    [np.full(k.size, row), columns[k], found.n[k], found.m[k], found.strain[k], n_atoms[k],
                     geometric[k], worst[k]]
                )
            )  # fmt: skip
    table = np.concatenate(chosen) if chosen else np.empty((0, 8))
    candidates = describe(members, context.scorer, table)
    for name in sorted(candidates):
        column = candidates[name]
        hasher.update(name.encode())
        values = column.codes if isinstance(column, TextColumn) else column[1]
        hasher.update(np.ascontiguousarray(values).tobytes())
    return BlockResult(tiles, candidates, n_matched, len(table), hasher.digest())
