"""Workers on other machines: two addresses are all they need, and each computes the blocks of its own queue only."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.db import connect
from platform_helpers import wait_for
from sqlalchemy import Engine, select

from etl.api import import_file
from etl.dedupe.api import dedupe
from schema import PairBlock, PairTile, PairTileLevel, ScreeningRun
from schema.engine import make_engine
from schema.migrate import upgrade
from schema.vocabulary import BlockState, RunState
from stackscreen.celery_app import app, configuration
from stackscreen.screening import work
from stackscreen.screening.blocks import Block, Rows
from stackscreen.screening.compute import compute_block
from stackscreen.screening.runs import plan_run
from stackscreen.services import broker_url, database_url, lifecycle
from stackscreen.services.redis_server import client_of
from stackscreen.settings import ScreenSettings, Settings, get_settings
from stackscreen.tasks import features
from stackscreen.tasks.screening import dispatch

pytestmark = pytest.mark.services

LAYERS = 14


@pytest.fixture(scope="module")
def system(make_system: Callable[..., Settings], tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A database of a few layers and a broker; no worker."""
    settings = make_system()
    lifecycle.start(settings)
    path = tmp_path_factory.mktemp("layers") / "layers.db"
    with connect(path) as database:
        for k in range(LAYERS):
            a, turn = 2.5 + 0.13 * k, (np.pi / 2, np.deg2rad(120))[k % 2]
            layer = Atoms(
                "BN", cell=[[a, 0, 0], [1.1 * a * np.cos(turn), 1.1 * a * np.sin(turn), 0], [0, 0, 20]], pbc=True
            )
            layer.set_scaled_positions([[0, 0, 0.5], [1 / 3, 2 / 3, 0.5]])
            database.write(layer, uid=f"1BN-{k}", gap=1.0, ehull=0.0)
    engine = make_engine(database_url(settings))
    upgrade(engine)
    import_file(engine, "c2db", path, label="layers")
    dedupe(engine)
    engine.dispose()
    return settings


@pytest.fixture
def engine(system: Settings) -> Iterator[Engine]:
    engine = make_engine(database_url(system))
    yield engine
    engine.dispose()


@pytest.fixture
def sender(system: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Makes this process send blocks to a queue."""

    def send_to(queue: str) -> None:
        monkeypatch.setenv("STACKSCREEN_SCREEN__QUEUE", queue)
        get_settings.cache_clear()

    app.conf.update(configuration(system))
    yield send_to
    get_settings.cache_clear()


@pytest.fixture
def start_worker(system: Settings, tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Starts workers that know the two addresses and nothing else of the system; their log."""
    started: list[subprocess.Popen] = []
    ours = {name: value for name, value in os.environ.items() if not name.startswith("STACKSCREEN_")}

    def start(queue: str, **more: str) -> Path:
        log = tmp_path / f"{queue}.log"
        environment = {
            **ours,
            "STACKSCREEN_DATABASE_URL": database_url(system),
            "STACKSCREEN_BROKER_URL": broker_url(system),
            "STACKSCREEN_DATA_DIR": str(tmp_path / "nowhere"),
            **more,
        }
        command = [sys.executable, "-m", "stackscreen", "worker", "--concurrency", "1", "--queues", queue]
        with log.open("wb") as sink:
            started.append(
                subprocess.Popen(
                    command, env=environment, stdout=sink, stderr=sink, cwd=tmp_path, start_new_session=True
                )
            )
        wait_for(lambda: " ready." in log.read_text(), f"the worker of {queue}", 120)
        return log

    yield start
    for process in started:
        process.terminate()
    for process in started:
        process.wait(30)


def _states(engine: Engine, run_id: int) -> set[BlockState]:
    with engine.connect() as connection:
        return set(connection.execute(select(PairBlock.state).where(PairBlock.run_id == run_id)).scalars())


def _published(engine: Engine, run_id: int) -> bool:
    with engine.connect() as connection:
        state = connection.execute(select(ScreeningRun.state).where(ScreeningRun.id == run_id)).scalar_one()
    return state == RunState.PUBLISHED


def _tiles(engine: Engine, run_id: int) -> list[tuple]:
    with engine.connect() as connection:
        rows = connection.execute(
            select(PairTile.row, PairTile.n, PairTile.m, PairTile.strain, PairTile.score)
            .where(PairTile.run_id == run_id)
            .order_by(PairTile.row)
        )
        kept = connection.execute(
            select(PairTileLevel.row, PairTileLevel.max_strain, PairTileLevel.kept, PairTileLevel.n, PairTileLevel.m,
                   PairTileLevel.strain, PairTileLevel.score)
            .where(PairTileLevel.run_id == run_id)
            .order_by(PairTileLevel.row, PairTileLevel.max_strain)
        )  # fmt: skip
        return [tuple(row) for row in rows] + [tuple(row) for row in kept]


def _expected(engine: Engine, run_id: int) -> list[tuple]:
    """The tiles as numba finds them, here."""
    context = work._context(engine, run_id)
    found = compute_block(context, Block(0, LAYERS, 0, LAYERS, Rows.LAYERS))
    return [(tile.row, tile.n, tile.m, tile.strain, tile.score) for tile in found.tiles] + [
        (tile.row, level.max_strain, level.kept, level.n, level.m, level.strain, level.score)
        for tile in found.tiles
        for level in tile.levels
    ]


def test_blocks_are_computed_by_the_workers_of_their_queue_alone(
    system: Settings, engine: Engine, sender: Callable, start_worker: Callable, tmp_path: Path
) -> None:
    plan = plan_run(engine, ScreenSettings(block_pairs=20))
    sender("gpu")
    sent = dispatch(engine, plan.run_id)
    assert sent > 3
    with client_of(broker_url(system)) as broker:
        assert (broker.llen("gpu"), broker.llen("cpu")) == (sent, 0)
        log = start_worker("cpu")
        # It serves its queue, and leaves the blocks to others.
        features.compute.apply_async(([],))
        wait_for(lambda: "features.compute" in log.read_text() and "succeeded" in log.read_text(), "the cpu worker")
        assert broker.llen("gpu") == sent
    assert _states(engine, plan.run_id) == {BlockState.PENDING}
    log = start_worker("gpu", STACKSCREEN_WORKER__MATCHER="torch")
    wait_for(lambda: _published(engine, plan.run_id), "the gpu queue's worker", 60)
    assert "lattices are matched by torch on cpu" in log.read_text()
    assert _tiles(engine, plan.run_id) == _expected(engine, plan.run_id)
    assert sum(map(sum, (tile[1] for tile in _tiles(engine, plan.run_id)[:LAYERS]))) > 3 * LAYERS


def test_a_worker_needs_two_addresses_and_keeps_nothing_on_its_disk(
    engine: Engine, sender: Callable, start_worker: Callable, tmp_path: Path
) -> None:
    plan = plan_run(engine, ScreenSettings(block_pairs=20, max_atoms=150))
    sender("cpu")
    dispatch(engine, plan.run_id)
    log = start_worker("cpu")
    wait_for(lambda: _published(engine, plan.run_id), "a worker with two addresses", 60)
    assert "lattices are matched by numba on cpu" in log.read_text()
    assert _tiles(engine, plan.run_id) == _expected(engine, plan.run_id)
    assert not (tmp_path / "nowhere").exists()
