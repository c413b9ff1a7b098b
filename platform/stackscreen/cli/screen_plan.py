"""`stackscreen screen --plan`: what a screen will take, before it runs."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from stackscreen.cli.console import step
from stackscreen.settings import Settings

if TYPE_CHECKING:
    from stackscreen.screening.plan import Forecast


def show_plan(settings: Settings, layers: int | None, workers: int | None, *, as_json: bool) -> None:
    """Measure for a short time, and print what a screen would take; writes nothing down.

    Args:
        settings: limits and rule.
        layers: number of layers of an imagined space, like today's; None: today's materials.
        workers: worker processes to assume; None: those that answer.
        as_json: print JSON instead.
    """
    # Before numpy is imported: rates are those of one worker process among others.
    threads = str(max(1, (os.cpu_count() or 1) // settings.worker.concurrency))
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ.setdefault(variable, threads)

    from functools import partial

    from stackscreen.cli.screen import open_engine
    from stackscreen.pairs.matchers import make_matcher
    from stackscreen.screening.calibrate import disk_free, measure
    from stackscreen.screening.plan import forecast

    engine = open_engine(settings)
    try:
        if workers is None:
            workers = _serving(settings)
        chosen = partial(make_matcher, matcher=settings.worker.matcher, device=settings.worker.device)
        step("  measuring for some seconds")
        space, rates = measure(engine, settings, chosen)
    finally:
        engine.dispose()
    plan = forecast(
        space if layers is None else space.resized(layers),
        rates,
        pairs_per_block=settings.screen.block_pairs,
        workers=workers,
        disk_free=disk_free(settings),
        max_atoms=settings.screen.candidate_max_atoms,
    )
    if as_json:
        print(json.dumps(plan.as_dict(), ensure_ascii=False))
    else:
        _print(plan, settings)


def _serving(settings: Settings) -> int:
    """Worker processes that answer and serve the queue of the blocks; as many as one worker has where none does."""
    from stackscreen.celery_app import app

    inspect = app.control.inspect(timeout=2.0)
    queues, stats = inspect.active_queues() or {}, inspect.stats() or {}
    serving = [name for name, served in queues.items() if settings.screen.queue in {queue["name"] for queue in served}]
    found = sum(stats[name]["pool"]["max-concurrency"] for name in serving if name in stats)
    if not found:
        step(
            f"  no worker of the queue {settings.screen.queue} answers: one of {settings.worker.concurrency} is assumed"
        )
    return found or settings.worker.concurrency


def _print(plan: Forecast, settings: Settings) -> None:
    limits = settings.screen
    print(f"layers        {plan.n_monolayers:,}, on {plan.n_surfaces:,} faces of crystals")
    print(f"limits        {100 * limits.max_strain:g} % strain, {limits.max_area:g} Å², {limits.max_atoms} atoms")
    kept = sorted(plan.rates.kept.items())
    levels = ", ".join(f"within {100 * level:g} % for {100 * part:.1f} % of the pairs" for level, part in kept)
    print(f"levels        {f'another supercell {levels}' if levels else 'none'}")
    print(f"pairs         {plan.n_pairs:,}; about {plan.matched:,.0f} match, {plan.candidates:,.0f} are candidates")
    print(f"blocks        {plan.n_blocks:,} of about {plan.block_seconds:,.1f} s")
    print(f"tiles         {_size(plan.tile_bytes)} ({plan.rates.tile_bytes_per_pair:.2f} bytes a pair)")
    print(f"candidates    {_size(plan.candidate_bytes)} ({plan.rates.candidate_bytes:,.0f} bytes each, with indexes)")
    print(f"scan cache    {_size(plan.cache_bytes)} on each machine that scans")
    print(f"memory        {_size(plan.worker_bytes)} of superlattices in each worker process, at most")
    print(f"time          {_hours(plan.hours)} with {plan.workers} worker processes")
    for number, hours in plan.hours_by_workers.items():
        if number != plan.workers:
            print(f"              {_hours(hours)} with {number}")
    print(f"computing     from {plan.rates.computing}")
    print(f"writing       from {plan.rates.writing}")
    free = (
        "not known: the database is a server of its own" if plan.disk_free is None else f"{_size(plan.disk_free)} free"
    )
    print(f"disk          {free}")
    for choice in plan.kept:
        fits = {True: "fits", False: "does not fit", None: ""}[choice.fits]
        print(f"  {_size(choice.bytes):>10}  {choice.what:<58}{fits}".rstrip())
    for sentence in plan.advice:
        print(sentence)


def _size(size: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:,.3g} TB"


def _hours(hours: float) -> str:
    if hours < 1 / 60:
        return f"{3600 * hours:.1f} s"
    return f"{60 * hours:.1f} min" if hours < 2 else f"{hours:,.1f} h"
