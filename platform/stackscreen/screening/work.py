"""A block from lease to commit: what the Celery task does."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Engine, select

from ml.scorer import PairScorer
from schema import ScreeningRun
from schema.vocabulary import RunState
from stackscreen.outages import missing_server
from stackscreen.pairs import PairLimits, ShapeIndex, ShapeTable
from stackscreen.pairs.matchers import Matcher, make_matcher
from stackscreen.screening import ledger
from stackscreen.screening.binary_copy import copy_columns
from stackscreen.screening.compute import BlockResult, CandidateRule, RunContext, compute_block
from stackscreen.screening.known import KnownMatcher
from stackscreen.screening.members import load_lattices, load_members
from stackscreen.screening.runs import limits_of_run, publish_if_done
from stackscreen.screening.spaces import RunKey
from stackscreen.settings import get_settings


class LeaseLostError(Exception):
    """Another worker took the block while this one was computing it; its result will be the one that counts."""


@dataclass(frozen=True, slots=True)
class _FewPairs:
    """Predicts pairs with the run's models, and reads the features of their layers alone."""

    engine: Engine
    run_id: int

    def score(
        self,
        material_a: NDArray[np.integer],
        material_b: NDArray[np.integer],
        *,
        strain: NDArray[np.floating] | None = None,
    ) -> dict[str, NDArray[np.float64]]:
        """See `ml.scorer.PairScorer.score`."""
        with self.engine.connect() as connection:
            asked = np.unique(np.concatenate([material_a, material_b]))
            alike = np.unique(material_a[material_a == material_b])
            scorer = PairScorer.load(connection, run_id=self.run_id, only=asked.tolist(), alike=alike.tolist())
        return scorer.score(material_a, material_b, strain=strain)


@lru_cache(maxsize=1)
def _founding_shapes(engine: Engine, space_id: int, limits: PairLimits) -> ShapeTable:
    """The superlattices of a space's first members; kept for the runs that continue it."""
    with engine.connect() as connection:
        lattices = load_lattices(connection, space_id, founding=True)
    return ShapeTable.build(lattices.ln_area, lattices.tau, lattices.n_atoms, limits)


@lru_cache(maxsize=2)
def _context(engine: Engine, run_id: int) -> RunContext:
    """The run's members, shapes and models; kept for the run's other blocks in this process."""
    with engine.connect() as connection:
        run = connection.execute(select(ScreeningRun.__table__).where(ScreeningRun.id == run_id)).one()
        members = load_members(connection, run_id)
        limits = limits_of_run(run)
        rule = CandidateRule(**run.candidate_rule)
        founding = _founding_shapes(engine, run.space_id, limits)
        if run.base_run_id is None:
            scorer = PairScorer.load(connection, run_id=run_id)
            if run.matched_run_id is not None:
                earlier = connection.execute(
                    select(ScreeningRun.__table__).where(ScreeningRun.id == run.matched_run_id)
                ).one()
                taken_over = KnownMatcher(engine, earlier.id, limits_of_run(earlier), members, founding)
                return RunContext(members, founding, rule, scorer, lambda _: taken_over)
            return RunContext(members, founding, rule, scorer, partial(_searching, columns=members.n_monolayers))
        later = load_lattices(connection, run.space_id, founding=False)
    shapes = founding.joined(ShapeTable.build(later.ln_area, later.tau, later.n_atoms, limits))
    return RunContext(members, shapes, rule, _FewPairs(engine, run_id), partial(_searching, columns=0))


def _searching(shapes: ShapeTable, columns: int) -> Matcher:
    """The matcher that this worker's settings ask for."""
    worker = get_settings().worker
    return make_matcher(ShapeIndex.build(shapes, columns), matcher=worker.matcher, device=worker.device)


def run_block(engine: Engine, run_id: int, block: int, owner: str, lease_s: int) -> bool:
    """Compute one block and write it, unless someone else has it or has done it.

    Args:
        owner: see `ledger.lease`.
        lease_s: seconds after which another may take the block over.

    Returns:
        Whether this call did the block.

    Raises:
        Exception: what the computation raised, noted in the ledger; or that the database is gone, which is not: call
            again when it is back.
    """
    with engine.begin() as connection:
        run = connection.execute(
            select(ScreeningRun.state, ScreeningRun.n_monolayers, ScreeningRun.base_run_id).where(
                ScreeningRun.id == run_id
            )
        ).one_or_none()
        if run is None or run.state != RunState.RUNNING:
            return False
        continues = run.base_run_id is not None
        held = ledger.lease(connection, run_id, block, owner, lease_s, run.n_monolayers, continues=continues)
    if held is None:
        publish_if_done(engine, run_id)
        return False
    started = time.perf_counter()
    try:
        with _heartbeat(engine, held, lease_s):
            result = compute_block(_context(engine, run_id), held.area)
        with engine.begin() as connection:
            _write(connection, held, result, time.perf_counter() - started)
    except LeaseLostError:
        return False
    except Exception as error:
        if missing_server(error) is not None:
            raise  # no fault of the block's: it stays leased to this owner, who takes it again
        with engine.begin() as connection:
            ledger.give_up(connection, held, f"{type(error).__name__}: {error}")
        publish_if_done(engine, run_id)
        raise
    publish_if_done(engine, run_id)
    return True


@contextmanager
def _heartbeat(engine: Engine, held: ledger.Lease, lease_s: int) -> Iterator[None]:
    """Renew the lease while the block is computed, so that it can be short: a dead worker is then soon replaced."""
    finished = threading.Event()

    def beat() -> None:
        while not finished.wait(lease_s / 3):
            try:
                with engine.begin() as connection:
                    if not ledger.renew(connection, held, lease_s):
                        return
            except Exception as error:
                if missing_server(error) is None:
                    raise

    # A daemon: a beat that waits for the database must not keep a dying worker alive.
    thread = threading.Thread(target=beat, name=f"lease of block {held.block}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        finished.set()
        thread.join()


def _write(connection: Connection, held: ledger.Lease, result: BlockResult, seconds: float) -> None:
    """Ledger row, tiles and candidates in the caller's one transaction.

    Raises:
        LeaseLostError: the block belongs to another by now, or its run was given up; nothing may be written.
    """
    run = connection.execute(
        select(ScreeningRun.state, ScreeningRun.space_id)
        .where(ScreeningRun.id == held.run_id)
        .with_for_update(read=True)
    ).one()
    if run.state != RunState.RUNNING:
        raise LeaseLostError
    kept = ledger.complete(
        connection,
        held,
        n_matched=result.n_matched,
        n_candidates=result.n_candidates,
        seconds=seconds,
        digest=result.digest,
    )
    if not kept:
        raise LeaseLostError
    copy_result(connection, RunKey(held.run_id, run.space_id), held.block, result)


def copy_result(connection: Connection, run: RunKey, block: int, result: BlockResult) -> None:
    """Tiles and candidates of a block, by binary COPY, in the caller's transaction."""
    cursor: Any = connection.connection.cursor()
    with cursor.copy(
        "COPY pair_tile (run_id, row, col_from, block, n_pairs, n, m, strain, score) FROM STDIN (FORMAT binary)"
    ) as copy:
        copy.set_types(["int4", "int4", "int4", "int4", "int4", "bytea", "bytea", "bytea", "bytea"])
        for t in result.tiles:
            copy.write_row((run.id, t.row, t.col_from, block, len(t.n), t.n, t.m, t.strain, t.score))
    with cursor.copy(
        "COPY pair_tile_level (run_id, row, col_from, max_strain, n_kept, kept, n, m, strain, score) "
        "FROM STDIN (FORMAT binary)"
    ) as copy:
        copy.set_types(["int4", "int4", "int4", "float8", "int4", "bytea", "bytea", "bytea", "bytea", "bytea"])
        for t in result.tiles:
            for one in t.levels:
                kept = (one.max_strain, len(one.n), one.kept, one.n, one.m, one.strain, one.score)
                copy.write_row((run.id, t.row, t.col_from, *kept))
    if result.n_candidates:
        count = result.n_candidates
        copy_columns(
            cursor,
            "candidate",
            {
                "run_id": ("int4", np.full(count, run.space_id)),
                "since": ("int4", np.full(count, run.id)),
                "block": ("int4", np.full(count, block)),
                **result.candidates,
            },
        )
