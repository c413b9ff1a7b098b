"""Runs that replace each other, and workers that are killed: nothing is lost, doubled or mixed."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
from platform_helpers import wait_for
from sqlalchemy import Engine, select, text

from schema import PairBlock, PairTile
from schema.engine import make_engine
from schema.vocabulary import RunState
from stackscreen.celery_app import app, configuration
from stackscreen.screening.runs import collect_garbage, plan_run
from stackscreen.screening.work import run_block
from stackscreen.services import database_url
from stackscreen.services.lifecycle import status
from stackscreen.settings import ScreenSettings, Settings
from stackscreen.tasks.screening import dispatch, wait

pytestmark = pytest.mark.services


@pytest.fixture
def engine(disposable_system: Settings) -> Iterator[Engine]:
    """An engine on the disposable system's database."""
    engine = make_engine(database_url(disposable_system))
    yield engine
    engine.dispose()


def _rows(engine: Engine, query: str, **values: object) -> list:
    with engine.connect() as connection:
        return list(connection.execute(text(query), values).all())


def _run_id(engine: Engine) -> int:
    return _rows(engine, "SELECT id FROM screening_run WHERE state = 'published'")[0].id


def _contents(engine: Engine, run_id: int) -> tuple[list, list]:
    tiles = _rows(
        engine, "SELECT row, col_from, n, m, strain, score FROM pair_tile WHERE run_id = :r ORDER BY 1, 2", r=run_id
    )
    candidates = _rows(engine, "SELECT * FROM candidate WHERE run_id = :r ORDER BY bottom, top", r=run_id)
    return [tuple(t) for t in tiles], [tuple(c)[1:] for c in candidates]


def test_superseded_runs_are_emptied_but_not_forgotten(engine: Engine) -> None:
    first = _run_id(engine)
    for atoms in (150, 160):
        plan = plan_run(engine, ScreenSettings(block_pairs=5000, max_atoms=atoms))
        for block in _rows(engine, "SELECT block FROM pair_block WHERE run_id = :r", r=plan.run_id):
            run_block(engine, plan.run_id, block.block, "here", 60)
    assert _run_id(engine) == plan.run_id
    assert collect_garbage(engine, keep=5) == 0
    with engine.connect() as connection:
        kept = connection.execute(select(PairTile.run_id).distinct()).scalars().all()
        ledgers = connection.execute(select(PairBlock.run_id).distinct()).scalars().all()
    assert {first, plan.run_id} <= set(kept)
    assert set(ledgers) >= set(kept)


def test_a_killed_worker_loses_and_doubles_nothing(disposable_system: Settings, engine: Engine) -> None:
    # A limit of its own makes a run of its own; first undisturbed, in this process ...
    quiet = plan_run(engine, ScreenSettings(block_pairs=300, max_atoms=190))
    for number in range(_rows(engine, "SELECT count(*) AS n FROM pair_block WHERE run_id = :r", r=quiet.run_id)[0].n):
        assert run_block(engine, quiet.run_id, number, "here", 60)
    expected = _contents(engine, quiet.run_id)
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE screening_run SET inputs_digest = sha256('quiet') WHERE id = :r"), {"r": quiet.run_id}
        )
    # ... then by the workers, whose processes are killed while they compute.
    noisy = plan_run(engine, ScreenSettings(block_pairs=300, max_atoms=190))
    assert noisy.fresh
    app.conf.update(configuration(disposable_system))
    dispatch(engine, noisy.run_id)

    def done() -> int:
        return _rows(
            engine, "SELECT count(*) AS n FROM pair_block WHERE run_id = :r AND state = 'done'", r=noisy.run_id
        )[0].n

    for threshold in (1, 4):
        wait_for(lambda threshold=threshold: done() >= threshold, "blocks to be computed")
        pid = next(service.pid for service in status(disposable_system) if service.name == "worker")
        os.kill(pid, signal.SIGKILL)
        wait_for(
            lambda pid=pid: any(s.name == "worker" and s.pid not in (None, pid) for s in status(disposable_system)),
            "the supervisor to start the worker again",
        )
    assert wait(engine, noisy.run_id, lambda _: None, give_up_after_s=120) is RunState.PUBLISHED
    assert _contents(engine, noisy.run_id) == expected
