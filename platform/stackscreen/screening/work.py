"""A block from lease to commit: what the Celery task does."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from typing import Any

import numpy as np
from sqlalchemy import Connection, Engine, select

from ml.scorer import PairScorer
from schema import ScreeningRun
from schema.vocabulary import RunState
from stackscreen.outages import missing_server
from stackscreen.pairs import PairLimits
from stackscreen.pairs.matchers import make_matcher
from stackscreen.screening import ledger
from stackscreen.screening.binary_copy import copy_columns
from stackscreen.screening.compute import BlockResult, CandidateRule, RunContext, compute_block
from stackscreen.screening.members import load_members
from stackscreen.screening.runs import publish_if_done
from stackscreen.settings import get_settings


class LeaseLostError(Exception):
    """Another worker took the block while this one was computing it; its result will be the one that counts."""


@lru_cache(maxsize=2)
def _context(engine: Engine, run_id: int) -> RunContext:
    """The run's members, shapes and models; kept for the run's other blocks in this process."""
    with engine.connect() as connection:
        run = connection.execute(select(ScreeningRun.__table__).where(ScreeningRun.id == run_id)).one()
        members = load_members(connection, run_id)
        scorer = PairScorer.load(connection, run_id=run_id)
    limits = PairLimits(run.max_strain, run.max_area, run.max_atoms)
    worker = get_settings().worker
    chosen = partial(make_matcher, matcher=worker.matcher, device=worker.device)
    return RunContext.build(members, limits, CandidateRule(**run.candidate_rule), scorer, chosen)


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
            select(ScreeningRun.state, ScreeningRun.n_monolayers).where(ScreeningRun.id == run_id)
        ).one_or_none()
        if run is None or run.state != RunState.RUNNING:
            return False
        held = ledger.lease(connection, run_id, block, owner, lease_s, run.n_monolayers)
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
        LeaseLostError: the block belongs to another by now; nothing may be written.
    """
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
    copy_result(connection, held.run_id, held.block, result)


def copy_result(connection: Connection, run_id: int, block: int, result: BlockResult) -> None:
    """Tiles and candidates of a block, by binary COPY, in the caller's transaction."""
    cursor: Any = connection.connection.cursor()
    with cursor.copy(
        "COPY pair_tile (run_id, row, col_from, block, n_pairs, n, m, strain, score) FROM STDIN (FORMAT binary)"
    ) as copy:
        copy.set_types(["int4", "int4", "int4", "int4", "int4", "bytea", "bytea", "bytea", "bytea"])
        for t in result.tiles:
            copy.write_row((run_id, t.row, t.col_from, block, len(t.n), t.n, t.m, t.strain, t.score))
    if result.n_candidates:
        count = result.n_candidates
        copy_columns(
            cursor,
            "candidate",
            {
                "run_id": ("int4", np.full(count, run_id)),
                "block": ("int4", np.full(count, block)),
                **result.candidates,
            },
        )
