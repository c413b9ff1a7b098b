"""One block of the pair matrix: match, filter, align, predict, score. Pure computation; nothing is written here."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from ml.descriptors.band_alignment import Alignment, anderson
from schema.vocabulary import AlignmentType, InterfaceKind
from stackscreen.pairs import MatchedRow, RowMatcher, ShapeIndex, ShapeTable, match_row
from stackscreen.pairs.matchers import Matcher
from stackscreen.pairs.solution import principal_strains, von_mises_strain
from stackscreen.screening.binary_copy import TextColumn
from stackscreen.screening.blocks import Block
from stackscreen.screening.members import MemberTable
from stackscreen.screening.score import candidate_score, geometric_score

NO_MATCH: Final = 65535
"""Packed strain of a pair without a coincidence lattice."""
STRAIN_UNIT: Final = 1e-6
PREDICTED: Final = {"binding_energy": "binding_energy", "interlayer_distance": "distance", "gap": "gap"}
"""Targets of the models and the columns of `candidate` that hold them."""

ALIGNMENTS: Final = {
    Alignment.STRADDLING: AlignmentType.STRADDLING,
    Alignment.STAGGERED: AlignmentType.STAGGERED,
    Alignment.BROKEN: AlignmentType.BROKEN,
    Alignment.METAL: AlignmentType.METAL,
}
_KINDS: Final = (InterfaceKind.HOMOBILAYER, InterfaceKind.HETEROBILAYER, InterfaceKind.ON_BULK)


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
        candidates: columns of `candidate` without run, block and since, for binary COPY.
        n_matched, n_candidates: counts.
        digest: SHA-256 over tiles and candidates.
    """

    tiles: list[Tile]
    candidates: dict[str, tuple[str, NDArray[Any]] | TextColumn]
    n_matched: int
    n_candidates: int
    digest: bytes


class Scorer(Protocol):
    """What predicts pairs of layers: see `ml.scorer.PairScorer.score`."""

    def score(
        self,
        material_a: NDArray[np.integer],
        material_b: NDArray[np.integer],
        *,
        strain: NDArray[np.floating] | None = None,
    ) -> dict[str, NDArray[np.float64]]:
        """Predictions with intervals, each shape (pairs,)."""
        ...


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
    make_matcher: Callable[[ShapeIndex], Matcher] = RowMatcher

    @cached_property
    def matcher(self) -> Matcher:
        """Matches rows of the founding run; made when it is first asked for, as few later members do without."""
        return self.make_matcher(ShapeIndex.build(self.shapes, self.members.n_monolayers))


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
    swapped = MatchedRow(
        np.where(partner_below, found.m, found.n), np.where(partner_below, found.n, found.m), found.strain
    )
    return _Row(
        0, row + 1, members.number[partners], np.where(partner_below, partners, own),
        np.where(partner_below, own, partners), swapped,
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
    rows = (
        (_later_row(context, row) for row in range(block.row_from, block.row_to))
        if block.later
        else _rows(context, block)
    )
    for row, pairs in enumerate(rows, block.row_from):
        bottom, top, found = pairs.bottom, pairs.top, pairs.found
        matched = found.n > 0
        n_atoms = found.n.astype(np.int64) * members.n_atoms[bottom] + found.m.astype(np.int64) * members.n_atoms[top]
        geometric = geometric_score(found.strain, n_atoms)
        packed = np.where(matched, np.rint(np.nan_to_num(found.strain) / STRAIN_UNIT), NO_MATCH).astype("<u2")
        tile = Tile(
            row,
            pairs.col_from,
            pairs.laid_out(found.n),
            pairs.laid_out(found.m),
            pairs.laid_out(packed, NO_MATCH),
            pairs.laid_out(np.rint(geometric * 65535).astype("<u2")),
        )
        tiles.append(tile)
        n_matched += int(matched.sum())
        for packed_column in (tile.n, tile.m, tile.strain, tile.score):
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
    candidates = _describe(context, table)
    for side in (0, 1):
        candidates[("bottom", "top")[side]] = ("int4", members.number[table[:, side].astype(np.int64)])
    for name in sorted(candidates):
        column = candidates[name]
        hasher.update(name.encode())
        values = column.codes if isinstance(column, TextColumn) else column[1]
        hasher.update(np.ascontiguousarray(values).tobytes())
    return BlockResult(tiles, candidates, n_matched, len(table), hasher.digest())


def _describe(context: RunContext, table: NDArray[np.float64]) -> dict[str, tuple[str, NDArray[Any]] | TextColumn]:
    """The columns of the candidates: geometry, band alignment on facing faces, predictions, score."""
    members = context.members
    columns = derived_columns(members, table)
    bottom, top = table[:, 0].astype(np.int64), table[:, 1].astype(np.int64)
    strain, geometric, hull = table[:, 4], table[:, 6], table[:, 7]
    predictions = _predict(context, bottom, top, strain, bottom < members.n_monolayers)
    for name, values in predictions.items():
        columns[name] = ("float4", values)
    columns["score"] = ("float4", candidate_score(geometric, hull, predictions["binding_energy"]))
    return columns


def derived_columns(
    members: MemberTable, table: NDArray[np.float64]
) -> dict[str, tuple[str, NDArray[Any]] | TextColumn]:
    """The columns of pairs that follow from their match and their members alone: geometry and band alignment.

    Args:
        members: the run's members.
        table: one row a pair: bottom, top, n, m, strain, atoms, geometric score, larger hull energy.
    """
    bottom, top = table[:, 0].astype(np.int64), table[:, 1].astype(np.int64)
    n, m, strain, n_atoms, hull = table[:, 2], table[:, 3], table[:, 4], table[:, 5], table[:, 7]
    on_bulk = bottom >= members.n_monolayers
    area_bottom, area_top = np.exp(members.ln_area[bottom]) * n, np.exp(members.ln_area[top]) * m
    first, second = principal_strains(members.ln_area[bottom], members.ln_area[top], n, m, strain)
    below, above = facing_edges(members, "top"), facing_edges(members, "bottom")
    with np.errstate(invalid="ignore"):
        aligned = anderson(*(edge[bottom] for edge in below), *(edge[top] for edge in above))
    kind_words = [kind.value for kind in _KINDS]
    alignment_words = [word.value for word in ALIGNMENTS.values()]
    alignment_codes = np.full(len(table), -1)
    for code, known in enumerate(ALIGNMENTS):
        alignment_codes[aligned.kind == known] = code
    work_functions = members.columns["work_function_top"][bottom], members.columns["work_function_bottom"][top]
    return {
        "bottom": ("int4", bottom),
        "top": ("int4", top),
        "kind": TextColumn(np.where(on_bulk, 2, np.where(bottom == top, 0, 1)), kind_words),
        "n": ("int2", n.astype(np.int64)),
        "m": ("int2", m.astype(np.int64)),
        "strain": ("float4", strain),
        "strain_von_mises": ("float4", von_mises_strain(first, second)),
        # On a bulk crystal the film alone gives way, so the substrate's area is the interface's.
        "area": ("float4", np.where(on_bulk, area_bottom, np.sqrt(area_bottom * area_top))),
        "n_atoms": ("int4", n_atoms.astype(np.int64)),
        "alignment": TextColumn(alignment_codes, alignment_words),
        "gap_anderson": ("float4", aligned.gap),
        "valence_offset": ("float4", _finite(aligned.vbo)),
        "conduction_offset": ("float4", _finite(aligned.cbo)),
        "work_function_difference": ("float4", work_functions[1] - work_functions[0]),
        "hull_energy": ("float4", hull),
    }


def _finite(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The values, NaN where an edge that nobody knows took part."""
    return np.where(np.isfinite(values), values, np.nan)


def facing_edges(members: MemberTable, face: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Valence and conduction edge of every member's top or bottom face, eV against that face's vacuum, shape (N,).

    A metal has both at its Fermi level; one whose work function nobody gives is still a metal: any equal pair of edges
    says so, and -inf is told from every known one.
    """
    metal = members.columns["gap"] == 0
    fermi = -members.columns[f"work_function_{face}"]
    fermi = np.where(np.isnan(fermi), -np.inf, fermi)
    valence, conduction = (np.where(metal, fermi, members.columns[f"{key}_{face}"]) for key in ("vbm", "cbm"))
    return valence, conduction


def hull_energies(members: MemberTable) -> NDArray[np.float64]:
    """Energy above the hull that counts for a pair, eV/atom, shape (N,); NaN where unknown.

    A surface has no hull energy, and needs none: only the layers' stability counts.
    """
    layers = np.arange(len(members)) < members.n_monolayers
    return np.where(layers, members.columns["hull_energy"], 0.0)


def _predict(
    context: RunContext,
    bottom: NDArray[np.int64],
    top: NDArray[np.int64],
    strain: NDArray[np.float64],
    layers: NDArray[np.bool_],
) -> dict[str, NDArray[np.float64]]:
    """Model predictions for the layer-on-layer pairs; NaN for the rest, which no served model has learnt."""
    names = [f"{column}{end}" for column in PREDICTED.values() for end in ("", "_lower", "_upper")]
    result = {name: np.full(len(bottom), np.nan) for name in [*names, "domain_distance", "distance_vdw"]}
    if layers.any():
        ids = context.members.material_id
        scored = context.scorer.score(ids[bottom[layers]], ids[top[layers]], strain=strain[layers])
        for target, column in PREDICTED.items():
            for end in ("", "_lower", "_upper"):
                result[f"{column}{end}"][layers] = scored[f"{target}{end}"]
        for name in ("domain_distance", "distance_vdw"):
            result[name][layers] = scored[name]
    return result
