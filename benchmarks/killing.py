"""`kill -9` of the processes of a system at random moments of a screening run."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from math import ceil
from pathlib import Path
from typing import Final

import psutil
from sqlalchemy import Connection, Engine, text

from benchmarks.steps import STACKSCREEN
from stackscreen.outages import outlast
from stackscreen.services import broker_url
from stackscreen.services.layout import layout_of
from stackscreen.services.redis_server import client_of
from stackscreen.services.supervision import Supervisor
from stackscreen.settings import Settings

WORKER: Final = "worker"
CHILD: Final = "process of the worker's pool"
BROKER: Final = "broker"
EMPTIED: Final = "broker, with all it held"
POSTMASTER: Final = "Postgres"
BACKEND: Final = "one backend of Postgres"
GROUPS: Final = ((WORKER, CHILD), (BROKER, EMPTIED), (POSTMASTER, BACKEND))
"""Ways to kill the worker, the broker and the database."""
_SERVICE: Final = {WORKER: "worker", CHILD: "worker", BROKER: "redis", EMPTIED: "redis", POSTMASTER: "postgres"}
_POLL_S: Final = 0.01


@dataclass(frozen=True, slots=True)
class Planned:
    """A kill to come: of what, and at which fraction of the blocks done; then a short wait."""

    victim: str
    fraction: float
    delay_s: float


@dataclass(frozen=True, slots=True)
class Kill:
    """A kill as it happened.

    Attributes:
        at: when the signal was sent, s since 1970.
        done, blocks: how many blocks were done right after it, of how many.
    """

    victim: str
    pid: int
    at: float
    done: int
    blocks: int


def planned(seed: int, kills: int) -> list[Planned]:
    """Kills in random order at random moments of a run.

    With ten, each of the six kinds is there at least once, and each of the three servers at least three times.
    """
    dice = random.Random(seed)
    kinds = [kind for ways in zip(*GROUPS, strict=True) for kind in ways]
    victims = [kinds[number % len(kinds)] for number in range(kills)]
    dice.shuffle(victims)
    # Not in the last tenth: a run that is over cannot be disturbed.
    fractions = sorted(dice.uniform(0.0, 0.9) for _ in victims)
    return [Planned(victim, at, dice.uniform(0.0, 0.1)) for victim, at in zip(victims, fractions, strict=True)]


class Killer:
    """Watches a run's ledger and kills what is planned.

    Args:
        command: that waits for the run.
        give_up_after_s: without progress of the run, or without a process to kill.

    Raises:
        TimeoutError: from `strike`, when it gives up.
        RuntimeError: from `strike`, when the command failed.
    """

    def __init__(
        self,
        settings: Settings,
        engine: Engine,
        run_id: int,
        command: subprocess.Popen[bytes],
        give_up_after_s: float,
    ) -> None:
        self._broker = broker_url(settings)
        self._supervisor = Supervisor(layout_of(settings))
        self._engine = engine
        self._run_id = run_id
        self._command = command
        self._give_up_after_s = give_up_after_s

    def strike(self, kills: list[Planned]) -> Iterator[Kill]:
        """Kill one after the other, each when the run has come so far, and further than at the kill before."""
        least = 0
        _, blocks = self.progress()
        for kill in kills:
            self.wait_for_blocks(max(least, ceil(kill.fraction * blocks)))
            time.sleep(kill.delay_s)
            pid = self._kill(kill.victim)
            at = time.time()
            done, _ = self.progress()
            least = done + 1
            yield Kill(kill.victim, pid, at, done, blocks)

    def progress(self) -> tuple[int, int]:
        """Blocks done, and blocks in all; waits for the database when it is down."""
        query = "SELECT count(*) FILTER (WHERE state = 'done') AS done, count(*) FROM pair_block WHERE run_id = :run"
        row = self._ask(query)[0]
        return row[0], row[1]

    def wait_for_blocks(self, done: int) -> None:
        """Wait until so many blocks are done."""
        deadline = time.monotonic() + self._give_up_after_s
        while (now := self.progress()[0]) < done:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{now} blocks done, and no {done} in {self._give_up_after_s:.0f} s")
            if self._command.poll():
                raise RuntimeError(f"the command that waits for the run ended with {self._command.returncode}")
            time.sleep(_POLL_S)

    def _kill(self, victim: str) -> int:
        deadline = time.monotonic() + self._give_up_after_s
        while (pid := self._find(victim)) is None:
            if time.monotonic() > deadline:
                raise TimeoutError(f"no {victim} to kill in {self._give_up_after_s:.0f} s")
            time.sleep(_POLL_S)
        if victim == EMPTIED:
            client_of(self._broker).flushall()
        os.kill(pid, signal.SIGKILL)
        return pid

    def _find(self, victim: str) -> int | None:
        """A process of that kind; None while it is being brought back."""
        if victim == BACKEND:
            # Of a worker, in a transaction if any is.
            query = """
                SELECT pid FROM pg_stat_activity WHERE application_name = 'stackscreen worker'
                ORDER BY state = 'idle', pid LIMIT 1
            """
            return next((row.pid for row in self._ask(query)), None)
        state = self._supervisor.states().get(_SERVICE[victim])
        if state is None or state.pid is None:
            return None
        try:
            process = psutil.Process(state.pid)
            if victim == CHILD:
                return max((child.pid for child in process.children()), default=None)
            # A zombie is one that was killed before, and that the supervisor has not seen dead yet.
            return None if process.status() == psutil.STATUS_ZOMBIE else process.pid
        except psutil.NoSuchProcess:
            return None

    def _ask(self, query: str) -> list:
        def look() -> list:
            with self._engine.connect() as connection:
                return list(connection.execute(text(query), {"run": self._run_id} if ":run" in query else {}))

        return outlast(look, lambda _: None, give_up_after_s=self._give_up_after_s)


def pauses(connection: Connection, run_id: int, kills: list[Kill]) -> list[float]:
    """Longest time, s, without a block done between each kill and the next one, or the end of the run."""
    query = "SELECT extract(epoch FROM done_at)::float FROM pair_block WHERE run_id = :run ORDER BY done_at"
    done = list(connection.execute(text(query), {"run": run_id}).scalars())
    ends = [*(kill.at for kill in kills[1:]), done[-1]]
    found = []
    for kill, end in zip(kills, ends, strict=True):
        moments = [kill.at, *(at for at in done if kill.at < at < end), end]
        found.append(max(later - earlier for earlier, later in pairwise(moments)))
    return found


@contextmanager
def screening(settings: Settings, engine: Engine, log: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A `stackscreen screen` under way, and the number of its run; it is killed at the end if it still runs."""
    with engine.connect() as connection:
        last = connection.execute(text("SELECT coalesce(max(id), 0) FROM screening_run")).scalar_one()
    environment = {**os.environ, **settings.as_environment()}
    with log.open("wb") as sink:
        command = subprocess.Popen([STACKSCREEN, "screen"], env=environment, stdout=sink, stderr=sink)
    try:
        while True:
            with engine.connect() as connection:
                run = connection.execute(
                    text("SELECT max(id) FROM screening_run WHERE id > :last OR state = 'running'"), {"last": last}
                ).scalar()
            if run is not None:
                break
            if command.poll() is not None:
                raise RuntimeError(f"stackscreen screen ended before it began a run: {log.read_text()}")
            time.sleep(_POLL_S)
        yield command, run
    finally:
        if command.poll() is None:
            command.kill()
        command.wait()
