"""Screening as Celery tasks: one block is one task."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import Engine, select

from schema import ScreeningRun
from schema.errors import StackscreenError
from schema.vocabulary import RunState
from stackscreen.celery_app import app
from stackscreen.screening.ledger import Progress, abandoned_blocks, open_blocks, progress
from stackscreen.screening.runs import publish_if_done
from stackscreen.screening.work import run_block
from stackscreen.settings import get_settings
from stackscreen.tasks.engine import worker_engine

RESEND_AFTER_S: Final = 30.0
"""Without any progress for so long, open blocks are sent again: a broker may have lost its memory."""
RETRY_AFTER_S: Final = 2.0
"""How often failed blocks, and those whose worker went silent, are sent again."""
POLL_S: Final = 0.25
REPORT: Final = "stackscreen.rescreen.report"
"""The task that ranks the saved screens in the published run."""


class ScreenFailedError(StackscreenError):
    """A run ended without being published."""


class NoProgressError(StackscreenError):
    """Nobody is working on the run."""


@app.task(bind=True, name="stackscreen.screening.block")
def block(self: Any, run_id: int, number: int) -> None:
    """Compute block `number` of run `run_id`; safe to deliver any number of times."""
    run_block(worker_engine(), run_id, number, owner=self.request.id, lease_s=get_settings().screen.lease_s)
    with worker_engine().connect() as connection:
        published = connection.execute(select(ScreeningRun.state).where(ScreeningRun.id == run_id)).scalar()
    if published == RunState.PUBLISHED:
        # Whoever finished the run tells the saved screens; told twice, they come out the same.
        app.send_task(REPORT)


def dispatch(engine: Engine, run_id: int) -> int:
    """Send every open block of a run to the queue `screen.queue`; returns how many.

    A run without an open block may be done, and is then published.
    """
    with engine.connect() as connection:
        sent = _send(run_id, open_blocks(connection, run_id))
    if not sent and publish_if_done(engine, run_id) is RunState.PUBLISHED:
        app.send_task(REPORT)
    return sent


def _send(run_id: int, numbers: list[int]) -> int:
    queue = get_settings().screen.queue
    for number in numbers:
        block.apply_async((run_id, number), queue=queue)
    return len(numbers)


def wait(
    engine: Engine, run_id: int, report: Callable[[Progress], None], *, give_up_after_s: float = 900.0
) -> RunState:
    """Watch the ledger until the run is published.

    The ledger is judged, not the workers: blocks that nobody finishes are sent again, to whoever is there.

    Args:
        engine: the database.
        run_id: the run, already dispatched.
        report: called with the progress, several times a second.
        give_up_after_s: seconds without any block finished after which this raises.

    Raises:
        ScreenFailedError: a block failed at every attempt.
        NoProgressError: no block was finished for `give_up_after_s`.
    """
    last_change = last_sent = last_retry = time.monotonic()
    before = -1
    while True:
        with engine.connect() as connection:
            now = progress(connection, run_id)
        report(now)
        state = publish_if_done(engine, run_id) if now.finished else RunState.RUNNING
        if state is RunState.PUBLISHED or state is RunState.SUPERSEDED:
            return state
        if state is RunState.FAILED:
            raise ScreenFailedError(
                f"Screening run {run_id} failed: {now.error}",
                hint="The worker's log has the details: stackscreen services logs",
            )
        clock = time.monotonic()
        if now.done != before:
            before, last_change = now.done, clock
        if clock - last_retry > RETRY_AFTER_S:
            with engine.connect() as connection:
                _send(run_id, abandoned_blocks(connection, run_id))
            last_retry = clock
        if clock - max(last_change, last_sent) > RESEND_AFTER_S:
            dispatch(engine, run_id)
            last_sent = clock
        if clock - last_change > give_up_after_s:
            raise NoProgressError(
                f"No block of screening run {run_id} was finished for {give_up_after_s:.0f} s.",
                hint=f"See whether workers that serve the queue {get_settings().screen.queue} are running: "
                "stackscreen services status. "
                "The run is kept; `stackscreen screen` goes on with it.",
            )
        time.sleep(POLL_S)
