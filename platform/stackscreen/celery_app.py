"""The Celery application: at-least-once delivery of small JSON messages; what was done is known by the database.

A task may run twice (a worker dies between finishing and acknowledging, or runs longer than the visibility
timeout), so every task must be idempotent. There is no result backend: ledgers in Postgres hold the results.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final

from celery import Celery
from celery.schedules import crontab
from kombu import Exchange, Producer, Queue

from stackscreen.services.addresses import broker_url
from stackscreen.settings import Settings, get_settings

CPU: Final = "cpu"
GPU: Final = "gpu"
NIGHTLY_RESCREENING: Final = "stackscreen.rescreen.nightly"
SWEEP: Final = "stackscreen.rescreen.sweep"
TASK_MODULES: Final = ("stackscreen.tasks.features", "stackscreen.tasks.screening", "stackscreen.tasks.rescreen")


def configuration(settings: Settings) -> dict[str, Any]:
    """Celery's configuration under these settings."""
    worker = settings.worker
    # The broker's transport and a result backend each read their own copy: they must agree.
    visibility = {"visibility_timeout": worker.visibility_timeout_s}
    return {
        "broker_url": broker_url(settings),
        "broker_transport_options": {
            **visibility,
            # kombu sweeps every interval * throttle seconds, 100 by default: a task would wait that much longer.
            "unacked_restore_interval": worker.restore_interval_s,
            "unacked_restore_throttle": 1,
        },
        "result_backend_transport_options": dict(visibility),
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "task_serializer": "json",
        "result_serializer": "json",
        "event_serializer": "json",
        "accept_content": ["json"],
        "result_accept_content": ["json"],
        "task_ignore_result": True,
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "worker_prefetch_multiplier": 1,
        "worker_concurrency": worker.concurrency,
        "worker_soft_shutdown_timeout": worker.shutdown_grace_s,
        # A broker that restarts is no reason to throw away a block that is nearly computed.
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "task_queues": [Queue(name, Exchange(name), routing_key=name) for name in (CPU, GPU)],
        "task_default_queue": CPU,
        "task_create_missing_queues": False,
        "timezone": "UTC",
        "enable_utc": True,
        "beat_schedule": _schedule(settings),
        "beat_scheduler": "stackscreen.beat:JsonScheduler",
        "beat_schedule_filename": str(settings.data_dir / "state" / "beat.json"),
    }


def _schedule(settings: Settings) -> dict[str, Any]:
    # Blocks of a run whose tasks a broker lost or a silent worker kept: sending one twice costs a look at its row.
    entries: dict[str, Any] = {"sweep-open-blocks": {"task": SWEEP, "schedule": timedelta(minutes=10)}}
    if settings.rescreen.enabled:
        when = crontab(hour=str(settings.rescreen.hour), minute=str(settings.rescreen.minute))
        entries["rescreen-nightly"] = {"task": NIGHTLY_RESCREENING, "schedule": when}
    return entries


app = Celery("stackscreen", include=TASK_MODULES)
# Read when first needed, not at import: importing a task must not depend on a settings file.
app.add_defaults(lambda: configuration(get_settings()))


@contextmanager
def fresh_producer() -> Iterator[Producer]:
    """What sends tasks over a connection of its own, and declares their queues anew.

    Celery's pooled connections outlive the broker's: one that died under a channel may stay closed for good, and to a
    broker that came back with nothing they would send tasks without a queue.
    """
    with app.connection_for_write() as connection, app.amqp.Producer(connection) as producer:
        yield producer
