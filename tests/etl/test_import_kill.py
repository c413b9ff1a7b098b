"""An import that is killed anywhere, and repeated, leaves what an undisturbed one leaves."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from imported import content, counts, scalar
from small_files import many_layers
from sqlalchemy import Engine

from etl.api import import_file
from etl.dedupe.api import dedupe
from schema.engine import make_engine
from schema.migrate import upgrade

pytestmark = pytest.mark.services

RECORDS = 400
BATCH = 20

# Says where it stands, so that a kill can be aimed at any part of its work.
IMPORTER = f"""
import sys
from pathlib import Path
import etl.api
from etl.parsing import ParserLimits
from schema.engine import make_engine
etl.api.BATCH = {BATCH}
engine = make_engine(sys.argv[1])
print(0, flush=True)
etl.api.import_file(engine, "c2db", Path(sys.argv[2]), limits=ParserLimits(chunk={BATCH}),
                    progress=lambda done, total: print(done, flush=True))
"""


@pytest.fixture(scope="module")
def layers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return many_layers(tmp_path_factory.mktemp("layers") / "c.db", RECORDS)


@pytest.fixture
def undisturbed(empty_database_url: str, layers: Path) -> Iterator[Engine]:
    engine = make_engine(empty_database_url)
    upgrade(engine)
    import_file(engine, "c2db", layers)
    yield engine
    engine.dispose()


def wait_until(condition: Callable[[], bool], deadline_s: float = 30.0) -> None:
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def kill_at(url: str, path: Path, after: int, delay_s: float) -> None:
    """Kill an import with SIGKILL, `delay_s` after it has reported `after` records."""
    process = subprocess.Popen([sys.executable, "-c", IMPORTER, url, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) >= after:
            time.sleep(delay_s)
            process.send_signal(signal.SIGKILL)
            break
    process.wait()
    process.stdout.close()


@pytest.mark.parametrize("seed", range(10))
def test_a_killed_import_is_completed_by_the_next_one(
    engine: Engine, database_url: str, undisturbed: Engine, layers: Path, seed: int
) -> None:
    chance = random.Random(seed)
    # From before the first record to after the last batch; the delay lands within a batch's transaction or its parsing.
    after = chance.randrange(0, RECORDS, BATCH)
    kill_at(database_url, layers, after, chance.uniform(0, 0.03))
    # The server notices the dead client and frees the lock in its own time.
    wait_until(lambda: not scalar(engine, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"))
    committed = counts(engine)["source_record"]
    assert after <= committed <= RECORDS
    assert committed % BATCH == 0
    assert (scalar(engine, "SELECT n_read FROM import_run") or 0) == committed
    report = import_file(engine, "c2db", layers)
    assert (report.accepted, report.unchanged) == (RECORDS - committed, committed)
    states = scalar(engine, "SELECT array_agg(state ORDER BY id) FROM import_run")
    assert states in (["failed", "finished"], ["finished"], ["finished", "finished"])
    assert content(engine) == content(undisturbed)


def test_an_import_killed_again_and_again_ends_as_an_undisturbed_one(
    engine: Engine, database_url: str, undisturbed: Engine, layers: Path
) -> None:
    for after in (0, 60, 200, 300):
        kill_at(database_url, layers, after, 0.01)
        wait_until(lambda: not scalar(engine, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"))
    import_file(engine, "c2db", layers)
    assert content(engine) == content(undisturbed)
    dedupe(engine)
    dedupe(undisturbed)
    assert counts(engine) == {**counts(undisturbed), "source": 1}
