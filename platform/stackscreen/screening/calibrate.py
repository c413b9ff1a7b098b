"""The rates that a plan is made of: measured on today's lattices, here and now, and taken from past runs."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Final

import numpy as np
from sqlalchemy import Connection, Engine, select, text

from ml.scorer import PairScorer
from schema import PairBlock, ScreeningRun
from schema.vocabulary import BlockState, EdgeMethod, RunState
from stackscreen.pairs import PairLimits, RowMatcher, ShapeIndex, ShapeTable
from stackscreen.pairs.matchers import Matcher
from stackscreen.screening.blocks import Block, Rows
from stackscreen.screening.compute import BlockResult, CandidateRule, RunContext, compute_block
from stackscreen.screening.members import snapshot, table_of
from stackscreen.screening.packing import COLUMN_KIND, COLUMNS
from stackscreen.screening.plan import Rates, Space
from stackscreen.screening.runs import ENGINE_VERSION, NothingToScreenError, limits_of, rule_of
from stackscreen.screening.spaces import RunKey
from stackscreen.screening.work import copy_result
from stackscreen.services.layout import layout_of
from stackscreen.settings import Settings

SECONDS: Final = 2.0
"""How long is measured, after everything is loaded."""
_ROWS: Final = 4
"""Rows measured at a time: few, so that many kinds of lattice are among them."""
_BANDS: Final = 60
"""Bands measured at least, however slow: shares of fewer say little of the whole."""
_ATOMS: Final = (20, 40, 60, 80)
"""Sizes of supercell at which candidates are counted, beside the limit."""
_LONG_ENOUGH: Final = 5.0
"""s: a past run of less computing says less than measuring anew."""


@dataclass(frozen=True, slots=True)
class _Past:
    """What the ledger of a past run of the same limits says."""

    run_id: int
    seconds_per_pair: float
    matched: float
    candidates: float


def measure(
    engine: Engine, settings: Settings, make_matcher: Callable[[ShapeIndex], Matcher], seconds: float = SECONDS
) -> tuple[Space, Rates]:
    """Today's pair space, and what it costs: computes pairs for a short time and keeps none of them.

    Pairs are written to temporary tables, which the database does not log: its disk may be slower than this says.

    Args:
        engine: the database.
        settings: limits and rule of the run that is planned.
        make_matcher: as a worker makes its own.
        seconds: how long to measure.

    Raises:
        NothingToScreenError: the database holds no monolayer.
    """
    limits, rule = limits_of(settings.screen), rule_of(settings.screen)
    with engine.connect() as connection:
        rows = snapshot(connection, EdgeMethod(settings.screen.edges))
        members = table_of(rows)
        if members.n_monolayers == 0:
            raise NothingToScreenError(
                "There is no monolayer to screen.", hint="Import some first: stackscreen import c2db PATH"
            )
        table = ShapeTable.build(members.ln_area, members.tau, members.n_atoms, limits)
        space = Space(members.n_monolayers, table.n_shapes)
        matcher = make_matcher(ShapeIndex.build(table, members.n_monolayers))
        context = RunContext(members, table, rule, PairScorer.load(connection), lambda _: matcher)
        sample = _Sample(connection, context, space, seconds)
        connection.rollback()
        past = _past(connection, limits, rule)
    per_pair = 1.0 / sample.pairs
    rates = Rates(
        seconds_per_cost=sample.computing / sample.cost,
        write_seconds_per_pair=sample.writing * per_pair,
        matched=sample.matched * per_pair,
        candidates=sample.candidates * per_pair,
        candidates_by_atoms={atoms: count * per_pair for atoms, count in sample.by_atoms.items()},
        tile_bytes_per_pair=sample.tile_bytes * per_pair,
        candidate_bytes=sample.candidate_bytes / max(sample.candidates, 1),
        kept={level: count * per_pair for level, count in sample.kept.items()},
        cache_bytes_per_pair=_cache_bytes(sum(sample.kept.values()) * per_pair),
        shapes_per_layer=float(table.n_shapes[: members.n_monolayers].mean()),
        computing=f"{sample.pairs:,} pairs of {sample.rows:,} random rows, computed now",
        writing=(
            f"{sample.pairs:,} pairs and {sample.candidates:,} candidates, written now to temporary tables{_load()}"
        ),
    )
    return space, rates if past is None else _by_ledger(rates, past, space)


def _cache_bytes(kept: float) -> float:
    """Bytes a pair of the copy that scans read, of which a part is kept by strain levels."""
    element = sum(np.dtype(kind).itemsize for kind in COLUMNS.values())
    return element + kept * (element + np.dtype(COLUMN_KIND).itemsize)


def _load() -> str:
    """What else the machine is doing, where that is more than nothing: times measured meanwhile are too long."""
    load, processors = os.getloadavg()[0], os.cpu_count() or 1
    return f" (other work on this machine: load {load:.1f} on {processors} processors)" if load > processors else ""


def _by_ledger(rates: Rates, past: _Past, space: Space) -> Rates:
    """The rates with those of computing from a past run, which is a longer measurement than ours."""
    known = asdict(rates) | {
        "seconds_per_cost": past.seconds_per_pair * space.n_pairs / float(space.costs.sum()),
        "matched": past.matched,
        "candidates": past.candidates,
        "computing": f"the ledger of run {past.run_id}",
    }
    return Rates(**known)


def _past(connection: Connection, limits: PairLimits, rule: CandidateRule) -> _Past | None:
    """The newest run that was computed with these limits by this version, if it took long enough to say something."""
    runs = connection.execute(
        select(ScreeningRun.id)
        .where(
            ScreeningRun.state.in_([RunState.PUBLISHED, RunState.SUPERSEDED]),
            ScreeningRun.engine_version == ENGINE_VERSION,
            # Such as searched everything: others took over what was there.
            ScreeningRun.base_run_id.is_(None),
            ScreeningRun.matched_run_id.is_(None),
            ScreeningRun.max_strain == limits.max_strain,
            ScreeningRun.max_area == limits.max_area,
            ScreeningRun.max_atoms == limits.max_atoms,
            ScreeningRun.strain_levels == list(limits.strain_levels),
            ScreeningRun.candidate_rule == asdict(rule),
        )
        .order_by(ScreeningRun.id.desc())
        .limit(10)
    ).scalars()
    for run_id in runs.all():
        done = connection.execute(
            select(PairBlock.n_pairs, PairBlock.seconds, PairBlock.n_matched, PairBlock.n_candidates).where(
                PairBlock.run_id == run_id, PairBlock.state == BlockState.DONE, PairBlock.seconds > 0
            )
        ).all()
        pairs, seconds, matched, candidates = (
            (float(sum(column)) for column in zip(*done, strict=True)) if done else 4 * (0.0,)
        )
        if seconds >= _LONG_ENOUGH:
            return _Past(run_id, seconds / pairs, matched / pairs, candidates / pairs)
    return None


class _Sample:
    """Random rows, computed and written for some seconds."""

    def __init__(self, connection: Connection, context: RunContext, space: Space, seconds: float) -> None:
        self.rows = self.pairs = self.matched = self.candidates = 0
        self.cost = self.computing = self.writing = 0.0
        self.by_atoms = dict.fromkeys(_ATOMS, 0)
        self.kept = dict.fromkeys(context.shapes.limits.strain_levels, 0)
        # They take the place of the real ones for this connection, and are gone when it rolls back.
        for name in ("pair_tile", "pair_tile_level", "candidate"):
            connection.execute(text(f"CREATE TEMPORARY TABLE {name} (LIKE {name} INCLUDING ALL) ON COMMIT DROP"))
        bands = self._bands(space)
        # Loads compiled code and models.
        compute_block(context, bands[0])
        # Processor time is the same whatever else the machine does; what waits for a GPU has to be timed by the wall.
        clock = time.thread_time if isinstance(context.matcher, RowMatcher) else time.perf_counter
        deadline = time.perf_counter() + seconds
        for number, band in enumerate(bands):
            began = clock()
            result = compute_block(context, band)
            self.computing += clock() - began
            computed = time.perf_counter()
            copy_result(connection, RunKey(0, 0), number, result)
            written = time.perf_counter()
            self.writing += written - computed
            self._count(band, result, space)
            if number + 1 >= _BANDS and written > deadline:
                break
        tile_bytes, level_bytes, self.candidate_bytes = (
            int(
                connection.execute(
                    text("SELECT pg_total_relation_size(to_regclass(:name))"), {"name": name}
                ).scalar_one()
            )
            for name in ("pg_temp.pair_tile", "pg_temp.pair_tile_level", "pg_temp.candidate")
        )
        self.tile_bytes = tile_bytes + level_bytes

    @staticmethod
    def _bands(space: Space) -> list[Block]:
        """The whole matrix in narrow bands, in rounds of random ones, always the same."""
        n, total = space.n_monolayers, len(space.n_shapes)
        bands = [Block(row, min(row + _ROWS, n), row, n, Rows.LAYERS) for row in range(0, n, _ROWS)]
        bands += [Block(row, min(row + _ROWS, total), 0, n, Rows.SURFACES) for row in range(n, total, _ROWS)]
        order = np.random.default_rng(0).permutation(len(bands))
        # A matcher is made for rows that ascend, as those of a block do: so do those of a round.
        rounds = [np.sort(order[start : start + _BANDS]) for start in range(0, len(order), _BANDS)]
        return [bands[k] for k in np.concatenate(rounds)]

    def _count(self, band: Block, result: BlockResult, space: Space) -> None:
        self.rows += band.row_to - band.row_from
        self.pairs += band.n_pairs
        self.cost += float(space.costs[band.row_from : band.row_to].sum())
        self.matched += result.n_matched
        self.candidates += result.n_candidates
        for level in (level for tile in result.tiles for level in tile.levels):
            self.kept[level.max_strain] += len(level.n)
        column = result.candidates["n_atoms"]
        if isinstance(column, tuple):
            for atoms in _ATOMS:
                self.by_atoms[atoms] += int((column[1] <= atoms).sum())


def disk_free(settings: Settings) -> int | None:
    """Bytes free where the embedded database is; None for a configured server, whose disk is not ours to see."""
    return None if settings.database_url is not None else shutil.disk_usage(layout_of(settings).data_dir).free
