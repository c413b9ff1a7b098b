"""Worker, broker and database are killed at random while a run is under way: it ends as if nobody had touched it."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from platform_helpers import wait_for
from sqlalchemy import Engine, text

from benchmarks.killing import GROUPS, Killer, planned, screening
from benchmarks.steps import STACKSCREEN
from benchmarks.undisturbed import account, differences, keep_as_undisturbed, published_run, set_aside
from schema.engine import make_engine
from stackscreen.celery_app import SWEEP, app, configuration, fresh_producer
from stackscreen.services import broker_url, database_url
from stackscreen.services.layout import layout_of
from stackscreen.services.lifecycle import status
from stackscreen.services.redis_server import client_of
from stackscreen.services.supervision import Supervisor
from stackscreen.settings import Settings, load_settings

pytestmark = pytest.mark.services
SEED = int(os.environ.get("STACKSCREEN_TEST_KILLS_SEED", "20"))
"""Another one gives other moments and another order; the seed of a failure is in its output."""
KILLS = 10


@pytest.fixture(scope="module")
def settings(disposable_system: Settings) -> Settings:
    """Blocks so small that there are many moments to be killed at."""
    return load_settings(**{**disposable_system.model_dump(), "screen": {"block_pairs": 40, "lease_s": 2}})


@pytest.fixture(scope="module")
def engine(settings: Settings) -> Iterator[Engine]:
    """The database, with copies of what an undisturbed run of these settings left."""
    engine = make_engine(database_url(settings))
    set_aside(engine)
    subprocess.run([STACKSCREEN, "screen"], env={**os.environ, **settings.as_environment()}, check=True)
    keep_as_undisturbed(engine, published_run(engine))
    yield engine
    engine.dispose()


def _assert_whole(engine: Engine, run_id: int) -> None:
    with engine.connect() as connection:
        books, unlike = account(connection, run_id), differences(connection, run_id)
    assert books.pairs == books.expected == 72 * 73 // 2 + 61 * 72
    assert (books.misfit_rows, books.not_done, books.uncounted) == (0, 0, 0)
    assert (books.published, books.is_published) == (1, True)
    assert unlike == {"blocks": 0, "tiles": 0, "levels": 0, "candidates": 0}


def _orphans(settings: Settings) -> list[psutil.Process]:
    """Workers and beats of this system that its supervisor does not know."""
    supervisor = psutil.Process(Supervisor(layout_of(settings)).pid())
    known = {process.pid for process in supervisor.children(recursive=True)}
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if process.pid not in known and {"worker", "beat"} & set(process.info["cmdline"] or []):
            with suppress(psutil.Error):
                if process.environ().get("STACKSCREEN_DATA_DIR") == str(settings.data_dir):
                    found.append(process)
    return found


def test_ten_kills_at_random_change_no_byte_of_a_run(settings: Settings, engine: Engine, tmp_path: Path) -> None:
    set_aside(engine)
    kills = planned(SEED, KILLS)
    print(f"seed {SEED}: {kills}")
    with screening(settings, engine, tmp_path / "log") as (command, run_id):
        delivered = []
        for kill in Killer(settings, engine, run_id, command, give_up_after_s=120).strike(kills):
            print(kill)
            delivered.append(kill)
        assert command.wait(120) == 0, (tmp_path / "log").read_text()
    # The signals came while blocks were open, each at another moment, and every server was hit more than once.
    moments = [kill.done for kill in delivered]
    assert len(moments) == KILLS
    assert moments == sorted(set(moments))
    assert all(kill.done < kill.blocks for kill in delivered)
    assert all(sum(kill.victim in ways for kill in delivered) >= 2 for ways in GROUPS)
    _assert_whole(engine, run_id)
    # A task that fails is acknowledged, so an outage would empty the queue: tasks wait instead.
    assert "raised unexpected" not in (layout_of(settings).logs / "worker.log").read_text()
    # All that was killed is back, and nothing is left of what it was.
    wait_for(lambda: all(s.state == "running" and s.answers for s in status(settings)), "all services")
    wait_for(lambda: not _orphans(settings), "orphans to end")


def test_a_killed_screen_command_goes_on_where_it_was(settings: Settings, engine: Engine, tmp_path: Path) -> None:
    set_aside(engine)
    dice = random.Random(SEED)
    for _ in range(2):
        with screening(settings, engine, tmp_path / "log") as (command, run_id):
            killer = Killer(settings, engine, run_id, command, give_up_after_s=120)
            done, blocks = killer.progress()
            killer.wait_for_blocks(dice.randrange(done + 1, done + blocks // 3))
            # With the tasks that it sent: workers need no command to go on.
            client_of(broker_url(settings)).flushall()
            command.send_signal(signal.SIGKILL)
            assert command.wait() == -signal.SIGKILL
    with screening(settings, engine, tmp_path / "log") as (command, last):
        assert command.wait(120) == 0, (tmp_path / "log").read_text()
    assert last == run_id
    _assert_whole(engine, run_id)


@pytest.mark.skipif(sys.platform != "linux", reason="other kernels do not signal orphans")
def test_a_waiting_screen_starts_again_what_died_with_the_supervisor(
    settings: Settings, engine: Engine, tmp_path: Path
) -> None:
    set_aside(engine)
    with screening(settings, engine, tmp_path / "log") as (command, run_id):
        Killer(settings, engine, run_id, command, give_up_after_s=120).wait_for_blocks(10)
        os.kill(Supervisor(layout_of(settings)).pid(), signal.SIGKILL)
        assert command.wait(120) == 0, (tmp_path / "log").read_text()
    assert "waiting for it" in (tmp_path / "log").read_text()
    _assert_whole(engine, run_id)
    wait_for(lambda: not _orphans(settings), "orphans to end")


def test_a_run_whose_last_worker_died_before_it_could_publish_is_published_by_the_sweep(
    settings: Settings, engine: Engine
) -> None:
    run_id = published_run(engine)
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE screening_run SET state = 'running', published_at = NULL WHERE id = :r"), {"r": run_id}
        )
    app.conf.update(configuration(settings))
    with fresh_producer() as producer:  # pooled connections may be another system's, of the tests before
        app.send_task(SWEEP, producer=producer)

    def state() -> str:
        with engine.connect() as connection:
            return connection.execute(text("SELECT state FROM screening_run WHERE id = :r"), {"r": run_id}).scalar_one()

    wait_for(lambda: state() == "published", "the run to be published", 60)


def test_a_single_changed_byte_or_missing_tile_is_seen(engine: Engine) -> None:
    run_id = published_run(engine)
    with engine.connect() as connection:
        levels = connection.execute(
            text("SELECT count(*) FROM pair_tile_level WHERE run_id = :r AND row = 5"), {"r": run_id}
        ).scalar_one()
        assert levels > 0
        for statement, seen in (
            ("UPDATE pair_tile SET score = set_byte(score, 0, 255 - get_byte(score, 0)) WHERE run_id = :r AND row = 5",
             {"blocks": 0, "tiles": 1, "levels": 0, "candidates": 0}),
            ("UPDATE pair_tile_level SET n = set_byte(n, 0, 255 - get_byte(n, 0)) WHERE run_id = :r AND row = 5",
             {"blocks": 0, "tiles": 0, "levels": levels, "candidates": 0}),
            ("UPDATE candidate SET strain = '-0' WHERE run_id = :r AND bottom = 0 AND top = 0",
             {"blocks": 0, "tiles": 0, "levels": 0, "candidates": 1}),
            ("DELETE FROM candidate WHERE run_id = :r AND bottom = 0 AND top = 0",
             {"blocks": 0, "tiles": 0, "levels": 0, "candidates": 1}),
            ("WITH gone AS (DELETE FROM pair_tile_level WHERE run_id = :r AND row = 5) "
             "UPDATE pair_tile SET col_from = col_from + 1 WHERE run_id = :r AND row = 5",
             {"blocks": 0, "tiles": 2, "levels": levels, "candidates": 0}),
        ):  # fmt: skip
            connection.execute(text(statement), {"r": run_id})
            assert differences(connection, run_id) == seen
            whole = account(connection, run_id)
            assert whole.misfit_rows == int("col_from =" in statement)
            assert whole.uncounted == int(statement.startswith("DELETE"))
            connection.rollback()
