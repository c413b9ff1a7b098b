"""Features and embeddings of monolayers as Celery tasks: a chunk of materials is one task.

What is done is known by the tables: a material's row carries the digest of what it was computed from. A task that
runs twice, or on materials that are done, changes nothing.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from sqlalchemy import Engine

from ml import embedding_store, feature_store
from schema.errors import StackscreenError
from stackscreen.celery_app import app, fresh_producer
from stackscreen.outages import outlast, outlasting
from stackscreen.tasks.engine import worker_engine

CHUNK: Final = 250
"""Materials in one task: about a second of work."""
POLL_S: Final = 0.2
RESEND_AFTER_S: Final = 30.0
"""Without any progress for so long, open chunks are sent again: a broker may have lost its memory."""

log = logging.getLogger(__name__)


class NoFeatureProgressError(StackscreenError):
    """Nobody is computing the features."""


@dataclass(frozen=True, slots=True)
class FeaturePlan:
    """What is to be computed.

    Attributes:
        features: monolayers whose features are missing or out of date.
        embeddings: monolayers whose embedding is, under the served encoder.
    """

    features: list[int]
    embeddings: list[int]

    @property
    def total(self) -> int:
        """Rows to compute."""
        return len(self.features) + len(self.embeddings)


@app.task(name="stackscreen.features.compute")
@outlasting
def compute(material_ids: list[int]) -> None:
    """Compute and keep the features of some monolayers; safe to deliver any number of times."""
    with worker_engine().begin() as connection:
        feature_store.compute_and_store(connection, material_ids)


@app.task(name="stackscreen.features.embed")
@outlasting
def embed(material_ids: list[int]) -> None:
    """Embed some monolayers with the served encoder; safe to deliver any number of times."""
    with worker_engine().begin() as connection:
        embedding_store.compute_and_store(connection, material_ids)


def plan(engine: Engine) -> FeaturePlan:
    """What today's monolayers lack."""
    with engine.begin() as connection:
        return FeaturePlan(feature_store.stale(connection), embedding_store.stale(connection))


def dispatch(work: FeaturePlan) -> int:
    """Send a plan to the workers, in chunks; returns how many tasks."""
    sent = 0
    with fresh_producer() as producer:
        for task, ids in ((compute, work.features), (embed, work.embeddings)):
            for start in range(0, len(ids), CHUNK):
                task.apply_async((ids[start : start + CHUNK],), producer=producer)
                sent += 1
    return sent


def wait(engine: Engine, work: FeaturePlan, report: Callable[[int], None], *, give_up_after_s: float = 600.0) -> None:
    """Watch the tables until nothing of a plan is open; a database or a broker that restarts is waited for.

    Args:
        engine: the database.
        work: already dispatched.
        report: called with the number of rows done.
        give_up_after_s: seconds without a new row after which this raises.

    Raises:
        NoFeatureProgressError: no row was added for `give_up_after_s`.
        OutageError: the database or the broker did not come back.
    """
    last_change = last_sent = time.monotonic()
    remaining = work
    while remaining.total:
        time.sleep(POLL_S)
        still = outlast(partial(_still_open, engine, remaining), log.warning)
        clock = time.monotonic()
        if still.total < remaining.total:
            last_change = clock
        remaining = still
        report(work.total - remaining.total)
        if remaining.total and clock - max(last_change, last_sent) > RESEND_AFTER_S:
            outlast(partial(dispatch, remaining), log.warning)
            last_sent = clock
        if clock - last_change > give_up_after_s:
            raise NoFeatureProgressError(
                f"No features were computed for {give_up_after_s:.0f} s; {remaining.total} rows are open.",
                hint="See whether workers are running (stackscreen services status), then `stackscreen features`.",
            )


def _still_open(engine: Engine, work: FeaturePlan) -> FeaturePlan:
    """The part of a plan without a row younger than its inputs."""
    with engine.begin() as connection:
        return FeaturePlan(
            _open(work.features, feature_store.stale(connection, only=work.features)),
            _open(work.embeddings, embedding_store.stale(connection, only=work.embeddings)),
        )


def _open(planned: Sequence[int], found: Sequence[int]) -> list[int]:
    """Planned materials that are still stale; one withdrawn meanwhile is nobody's any more."""
    missing = set(found)
    return [number for number in planned if number in missing]
