"""`stackscreen worker` and `stackscreen beat`: the foreground processes of containers and the supervisor."""

import os
from typing import Annotated

import typer

from stackscreen.cli.console import step
from stackscreen.settings import get_settings


def worker(
    concurrency: Annotated[
        int | None, typer.Option(min=1, help="tasks at the same time; worker.concurrency when left out")
    ] = None,
    queues: Annotated[str | None, typer.Option(help="cpu, gpu or cpu,gpu; worker.queues when left out")] = None,
) -> None:
    """Run a worker in the foreground until it is told to stop (services start keeps one running by itself).

    SIGQUIT lets tasks finish for worker.shutdown_grace_s and hands the others back; SIGTERM waits for all of them.
    """
    settings = get_settings()
    processes = concurrency or settings.worker.concurrency
    # Before numpy is imported: with a process a core, each must not start a thread a core of its own.
    threads = str(max(1, (os.cpu_count() or 1) // processes))
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ.setdefault(variable, threads)

    from stackscreen.celery_app import app
    from stackscreen.pairs.matchers import choose

    kind, device = choose(settings.worker.matcher, settings.worker.device)
    step(f"lattices are matched by {kind} on {device}")
    arguments = ["worker", "--loglevel", "INFO", "--without-gossip", "--without-mingle"]
    arguments += ["--concurrency", str(processes), "--queues", queues or settings.worker.queues]
    app.worker_main(arguments)


def beat() -> None:
    """Run the scheduler of the nightly rescreening in the foreground. Run one only: two send everything twice."""
    from stackscreen.celery_app import app

    # It sends tasks by name: the code that runs them would only take memory here.
    app.conf.include = ()
    app.start(["beat", "--loglevel", "INFO"])
