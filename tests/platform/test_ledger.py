"""The ledger decides: a block is computed by whom it may concern, and counted once."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import Engine, func, insert, select, update

from schema import PairBlock, ScreeningRun
from schema.vocabulary import BlockState, RunState
from stackscreen.screening import ledger
from stackscreen.screening.runs import collect_garbage, publish_if_done

pytestmark = pytest.mark.services

DIGEST = bytes(32)


def _run(engine: Engine, blocks: int = 2, digest: bytes = DIGEST) -> int:
    with engine.begin() as connection:
        run_id = connection.execute(
            insert(ScreeningRun)
            .values(
                state=RunState.RUNNING, inputs_digest=digest, engine_version="1", n_monolayers=blocks, n_surfaces=0,
                n_pairs=blocks, max_strain=0.02, max_area=400, max_atoms=200, candidate_rule={},
            )
            .returning(ScreeningRun.id)
        ).scalar_one()  # fmt: skip
        connection.execute(
            insert(PairBlock),
            [
                {
                    "run_id": run_id,
                    "block": k,
                    "row_from": k,
                    "row_to": k + 1,
                    "col_from": k,
                    "col_to": blocks,
                    "n_pairs": 1,
                }
                for k in range(blocks)
            ],
        )
    return run_id


def _lease(engine: Engine, run_id: int, owner: str, block: int = 0, seconds: int = 600) -> ledger.Lease | None:
    with engine.begin() as connection:
        return ledger.lease(connection, run_id, block, owner, seconds, n_monolayers=2)


def _complete(engine: Engine, held: ledger.Lease, candidates: int = 3) -> bool:
    with engine.begin() as connection:
        return ledger.complete(connection, held, n_matched=5, n_candidates=candidates, seconds=0.1, digest=DIGEST)


def test_a_held_block_is_not_given_to_another(engine: Engine) -> None:
    run_id = _run(engine)
    assert _lease(engine, run_id, "one") is not None
    assert _lease(engine, run_id, "two") is None


def test_of_many_who_ask_at_once_one_gets_the_block(engine: Engine) -> None:
    run_id = _run(engine)
    got: list[ledger.Lease | None] = []
    threads = [threading.Thread(target=lambda k=k: got.append(_lease(engine, run_id, f"worker {k}"))) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(lease is not None for lease in got) == 1


def test_a_redelivered_task_need_not_wait_for_its_own_lease(engine: Engine) -> None:
    run_id = _run(engine)
    first = _lease(engine, run_id, "task-1")
    again = _lease(engine, run_id, "task-1")
    assert again is not None
    assert again.attempt == first.attempt + 1


def test_a_block_of_a_silent_worker_is_given_on_and_the_late_result_is_refused(engine: Engine) -> None:
    run_id = _run(engine)
    late = _lease(engine, run_id, "silent")
    with engine.begin() as connection:
        connection.execute(
            update(PairBlock)
            .values(lease_until=func.now() - func.make_interval(0, 0, 0, 0, 0, 1))
            .where(PairBlock.block == 0)
        )
        assert ledger.open_blocks(connection, run_id) == [0, 1]
    newer = _lease(engine, run_id, "quick")
    assert newer is not None
    assert not _complete(engine, late, candidates=99)
    assert _complete(engine, newer, candidates=3)
    assert not _complete(engine, newer, candidates=3)
    with engine.connect() as connection:
        now = ledger.progress(connection, run_id)
    assert (now.done, now.candidates) == (1, 3)


def test_a_worker_that_still_works_keeps_its_block(engine: Engine) -> None:
    run_id = _run(engine)
    held = _lease(engine, run_id, "slow", seconds=1)
    with engine.begin() as connection:
        assert ledger.renew(connection, held, 600)
        left = connection.execute(select(PairBlock.lease_until - func.now()).where(PairBlock.block == 0)).scalar_one()
    assert left.total_seconds() > 500
    newer = _lease(engine, run_id, "slow")
    with engine.begin() as connection:
        assert not ledger.renew(connection, held, 600)
        assert ledger.renew(connection, newer, 600)


def test_a_done_block_is_never_leased_again(engine: Engine) -> None:
    run_id = _run(engine)
    _complete(engine, _lease(engine, run_id, "one"))
    assert _lease(engine, run_id, "one") is None
    with engine.connect() as connection:
        assert ledger.open_blocks(connection, run_id) == [1]


def test_a_run_is_published_when_its_last_block_is_done_and_replaces_the_former(engine: Engine) -> None:
    former = _run(engine, 1, b"a" * 32)
    _complete(engine, _lease(engine, former, "w"))
    assert publish_if_done(engine, former) is RunState.PUBLISHED
    run_id = _run(engine, 2, b"b" * 32)
    _complete(engine, _lease(engine, run_id, "w", 0))
    assert publish_if_done(engine, run_id) is RunState.RUNNING
    _complete(engine, _lease(engine, run_id, "w", 1))
    assert publish_if_done(engine, run_id) is RunState.PUBLISHED
    with engine.connect() as connection:
        states = dict(connection.execute(select(ScreeningRun.id, ScreeningRun.state)).tuples().all())
        totals = connection.execute(
            select(ScreeningRun.n_matched, ScreeningRun.n_candidates).where(ScreeningRun.id == run_id)
        ).one()
    assert states == {former: RunState.SUPERSEDED, run_id: RunState.PUBLISHED}
    assert tuple(totals) == (10, 6)


def test_a_block_that_always_fails_fails_the_run_with_its_error(engine: Engine) -> None:
    run_id = _run(engine, 1)
    for attempt in range(ledger.MAX_ATTEMPTS):
        held = _lease(engine, run_id, f"worker {attempt}")
        assert held is not None
        with engine.begin() as connection:
            ledger.give_up(connection, held, "ValueError: no such lattice")
    assert _lease(engine, run_id, "one more") is None
    assert publish_if_done(engine, run_id) is RunState.FAILED
    with engine.connect() as connection:
        state, error = connection.execute(select(ScreeningRun.state, ScreeningRun.error)).one()
    assert (state, error) == (RunState.FAILED, "ValueError: no such lattice")
    assert collect_garbage(engine) == 0


def test_a_failed_block_can_be_tried_again(engine: Engine) -> None:
    run_id = _run(engine, 1)
    with engine.begin() as connection:
        ledger.give_up(connection, ledger.lease(connection, run_id, 0, "w", 60, 1), "connection lost")
        assert ledger.open_blocks(connection, run_id) == ledger.abandoned_blocks(connection, run_id) == [0]
    held = _lease(engine, run_id, "w2")
    assert _complete(engine, held)
    with engine.connect() as connection:
        assert connection.execute(select(PairBlock.state)).scalar() == BlockState.DONE
