"""Screening as Celery tasks: one block is one task."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Engine, select

from schema import ScreeningRun
from schema.errors import StackscreenError
from schema.vocabulary import RunState
from stackscreen.celery_app import app, fresh_producer
from stackscreen.outages import outlast, outlasting
from stackscreen.screening.ledger import Progress, abandoned_blocks, open_blocks, progress
from stackscreen.screening.runs import publish_if_done
from stackscreen.screening.work import run_block
from stackscreen.settings import get_settings
from stackscreen.tasks.engine import worker_engine

RESEND_AFTER_S: Final = 30.0
"""Without any progress for so long, open blocks are sent again, however many tasks of others the queue holds."""
RETRY_AFTER_S: Final = 2.0
"""How often failed blocks, those whose worker went silent, and those that the broker lost, are sent again."""
POLL_S: Final = 0.25
REPORT: Final = "stackscreen.rescreen.report"
"""The task that ranks the saved screens in the published run."""

log = logging.getLogger(__name__)


class ScreenFailedError(StackscreenError):
    """A run ended without being published."""


class NoProgressError(StackscreenError):
    """Nobody is working on the run."""


@app.task(bind=True, name="stackscreen.screening.block")
@outlasting
def block(self: Any, run_id: int, number: int) -> None:
    """Compute block `number` of run `run_id`; safe to deliver any number of times."""
    run_block(worker_engine(), run_id, number, owner=self.request.id, lease_s=get_settings().screen.lease_s)
    with worker_engine().connect() as connection:
        published = connection.execute(select(ScreeningRun.state).where(ScreeningRun.id == run_id)).scalar()
    if published == RunState.PUBLISHED:
        # Whoever finished the run tells the saved screens; told twice, they come out the same.
        send_report()


def send_report() -> None:
    """Have the saved screens ranked in the published run."""
    with fresh_producer() as producer:
        app.send_task(REPORT, producer=producer)


def dispatch(engine: Engine, run_id: int) -> int:
    """Send every open block of a run to the queue `screen.queue`; returns how many.

    A run without an open block may be done, and is then published.
    """
    with engine.connect() as connection:
        sent = _send(run_id, open_blocks(connection, run_id))
    if not sent and publish_if_done(engine, run_id) is RunState.PUBLISHED:
        send_report()
    return sent


def _send(run_id: int, numbers: list[int]) -> int:
    queue = get_settings().screen.queue
    with fresh_producer() as producer:
        for number in numbers:
            block.apply_async((run_id, number), queue=queue, producer=producer)
    return len(numbers)


def _queue_is_empty() -> bool:
    """Whether no task waits in the queue of blocks."""
    name = get_settings().screen.queue
    with app.connection_for_write() as connection, connection.channel() as channel:
        return bool(channel.queue_declare(queue=name, durable=True).message_count == 0)


def wait(
    engine: Engine,
    run_id: int,
    report: Callable[[Progress], None],
    *,
    say: Callable[[str], None] = log.warning,
    give_up_after_s: float = 900.0,
) -> RunState:
    """Watch the ledger until the run is published.

    The ledger is judged, not the workers: blocks that nobody finishes are sent again, to whoever is there. A database
    or a broker that restarts is waited for.

    Args:
        engine: the database.
        run_id: the run, already dispatched.
        report: called with the progress, several times a second.
        say: told in a sentence when a server goes.
        give_up_after_s: seconds without any block finished, or without a server, after which this raises.

    Raises:
        ScreenFailedError: a block failed at every attempt.
        NoProgressError: no block was finished for `give_up_after_s`.
        OutageError: the database or the broker did not come back.
    """
    watch = _Watch(engine, run_id, report, give_up_after_s)
    while (state := outlast(watch.look, say, give_up_after_s=give_up_after_s)) is RunState.RUNNING:
        time.sleep(POLL_S)
    return state


@dataclass
class _Watch:
    """A run that somebody waits for: what was seen last, and when (monotonic, s)."""

    engine: Engine
    run_id: int
    report: Callable[[Progress], None]
    give_up_after_s: float
    done: int = -1
    changed: float = field(default_factory=time.monotonic)
    sent: float = field(default_factory=time.monotonic)
    retried: float = field(default_factory=time.monotonic)

    def look(self) -> RunState:
        """Report where the run stands, publish it if it is done, and send again what is not on its way."""
        with self.engine.connect() as connection:
            now = progress(connection, self.run_id)
        self.report(now)
        state = publish_if_done(self.engine, self.run_id) if now.finished else RunState.RUNNING
        if state is RunState.FAILED:
            raise ScreenFailedError(
                f"Screening run {self.run_id} failed: {now.error}",
                hint="The worker's log has the details: stackscreen services logs",
            )
        if state is RunState.RUNNING:
            self._send_again(now.done, time.monotonic())
        return state

    def _send_again(self, done: int, clock: float) -> None:
        if done != self.done:
            self.done, self.changed = done, clock
        if clock - self.changed > self.give_up_after_s:
            raise NoProgressError(
                f"No block of screening run {self.run_id} was finished for {self.give_up_after_s:.0f} s.",
                hint=f"See whether workers that serve the queue {get_settings().screen.queue} are running: "
                "stackscreen services status. "
                "The run is kept; `stackscreen screen` goes on with it.",
            )
        if clock - self.retried > RETRY_AFTER_S:
            # Pending, and in no queue: the broker lost the task. (A worker holds no task that it does not run.)
            find = open_blocks if _queue_is_empty() else abandoned_blocks
            with self.engine.connect() as connection:
                lost = find(connection, self.run_id)
            if lost:
                _send(self.run_id, lost)
            self.retried = clock
        if clock - max(self.changed, self.sent) > RESEND_AFTER_S:
            dispatch(self.engine, self.run_id)
            self.sent = clock
