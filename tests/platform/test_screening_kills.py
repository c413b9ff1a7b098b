"""Runs that replace each other, and workers that are killed: nothing is lost, doubled or mixed."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from ase import Atoms
from ase.db import connect
from platform_helpers import wait_for
from redis import Redis
from sqlalchemy import Engine, insert, select, text

from etl.api import import_file
from schema import PairBlock, PairTile, SavedScreen
from schema.engine import make_engine
from schema.vocabulary import RunState
from stackscreen.celery_app import NIGHTLY_RESCREENING, app, configuration, fresh_producer
from stackscreen.query.candidates import published_run
from stackscreen.query.criteria import Criteria
from stackscreen.screening.runs import collect_garbage, plan_run
from stackscreen.screening.saved import update_saved_screens
from stackscreen.screening.work import run_block
from stackscreen.services import broker_url, database_url
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
    tiles += _rows(
        engine, "SELECT row, col_from, max_strain, kept, n, m, strain, score FROM pair_tile_level WHERE run_id = :r "
        "ORDER BY 1, 2, 3", r=run_id,
    )  # fmt: skip
    candidates = _rows(engine, "SELECT * FROM candidate WHERE run_id = :r ORDER BY bottom, top", r=run_id)
    own = ("run_id", "since")
    return [tuple(t) for t in tiles], [
        tuple(value for key, value in row._mapping.items() if key not in own) for row in candidates
    ]


def test_the_night_takes_in_what_came_and_says_what_changed_and_why(
    disposable_system: Settings, engine: Engine, tmp_path: Path
) -> None:
    app.conf.update(configuration(disposable_system))
    criteria = Criteria.from_query("kind.in=heterobilayer")
    with engine.begin() as connection:
        connection.execute(insert(SavedScreen).values(name="hetero", owner="us", criteria=criteria.to_json(), top=5000))
    with engine.connect() as connection:
        run = published_run(connection)
    assert update_saved_screens(engine, run) == 1
    before = _run_id(engine)
    # The same layer as the starter set's, a little wider and with a lower conduction edge: another source's new record.
    layer = Atoms("MoTeS", cell=[[3.2, 0, 0], [-1.6, 3.2 * 3**0.5 / 2, 0], [0, 0, 20]], pbc=True)
    layer.set_scaled_positions([[1 / 3, 2 / 3, 0.5], [2 / 3, 1 / 3, 0.588], [2 / 3, 1 / 3, 0.425]])
    path = tmp_path / "new.db"
    with connect(path) as database:
        database.write(layer, uid="1MoSTe-9", gap=1.0, vbm=-1.0, cbm=0.0, evac=4.0, evacdiff=0.0, ehull=0.0)
    import_file(engine, "c2db", path, label="tonight")

    _send(NIGHTLY_RESCREENING)

    wait_for(lambda: _rows(engine, "SELECT count(*) AS n FROM screen_change")[0].n, "the night's changes", 120)
    assert _run_id(engine) > before
    changes = _rows(engine, "SELECT * FROM screen_change ORDER BY rank_after")
    entered = [row for row in changes if row.kind == "entered"]
    assert entered
    assert all("MoTeS-" in row.bottom_uid + row.top_uid and "is new" in row.reason for row in entered)
    assert all(row.reason == "other pairs entered or left" for row in changes if row.kind != "entered")
    # A second night without news: the same run, nothing recomputed.
    run, newest = _run_id(engine), _rows(engine, "SELECT max(id) AS id FROM screening_run")[0].id
    _send(NIGHTLY_RESCREENING)
    _send("stackscreen.rescreen.report")
    wait_for(lambda: _queued(disposable_system) == 0, "the second night", 60)
    assert (_run_id(engine), _rows(engine, "SELECT max(id) AS id FROM screening_run")[0].id) == (run, newest)


def _send(task: str) -> None:
    # Pooled connections may be another system's, of the tests before.
    with fresh_producer() as producer:
        app.send_task(task, producer=producer)


def _queued(settings: Settings) -> int:
    """Tasks that wait or are being done."""
    with Redis.from_url(broker_url(settings).replace("redis+socket://", "unix://")) as redis:
        return redis.llen("cpu") + redis.hlen("unacked")


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
    # A limit of its own makes a run of its own, and another engine's lattices are not taken over.
    with engine.begin() as connection:
        connection.execute(text("UPDATE screening_run SET engine_version = 'earlier'"))
    # First undisturbed, in this process ...
    quiet = plan_run(engine, ScreenSettings(block_pairs=300, max_atoms=190))
    for number in range(_rows(engine, "SELECT count(*) AS n FROM pair_block WHERE run_id = :r", r=quiet.run_id)[0].n):
        assert run_block(engine, quiet.run_id, number, "here", 60)
    expected = _contents(engine, quiet.run_id)
    with engine.begin() as connection:
        connection.execute(
            # Of another engine, so that nothing of it is taken over.
            text("UPDATE screening_run SET inputs_digest = sha256('quiet'), engine_version = 'quiet' WHERE id = :r"),
            {"r": quiet.run_id},
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
