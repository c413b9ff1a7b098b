"""The nightly rescreening as Celery tasks, none of which waits for another: each hands on to the next."""

from __future__ import annotations

import logging

from sqlalchemy import Engine, select

from etl.dedupe.api import dedupe
from schema import ScreeningRun
from schema.vocabulary import RunState
from stackscreen.celery_app import app
from stackscreen.outages import outlasting
from stackscreen.query.candidates import published_run
from stackscreen.screening.runs import NothingToScreenError, collect_garbage, plan_run
from stackscreen.screening.saved import update_saved_screens
from stackscreen.screening.surfaces import ensure_surfaces
from stackscreen.settings import get_settings
from stackscreen.tasks import features
from stackscreen.tasks.engine import worker_engine
from stackscreen.tasks.screening import dispatch, send_report

log = logging.getLogger(__name__)


@app.task(name="stackscreen.rescreen.nightly")
@outlasting
def nightly() -> None:
    """Bring materials, features and pairs up to date with what was imported; nothing changed, nothing is done."""
    engine = worker_engine()
    dedupe(engine)
    ensure_surfaces(engine)
    _describe(engine)
    try:
        plan = plan_run(engine, get_settings().screen)
    except NothingToScreenError as error:
        log.info("%s", error.message)
        return
    if plan.state is RunState.PUBLISHED:
        send_report()
    else:
        dispatch(engine, plan.run_id)


def _describe(engine: Engine) -> None:
    """Features and embeddings of what came in since: a night's worth, computed here rather than waited for."""
    missing = features.plan(engine)
    for task, ids in ((features.compute, missing.features), (features.embed, missing.embeddings)):
        for start in range(0, len(ids), features.CHUNK):
            task(ids[start : start + features.CHUNK])


@app.task(name="stackscreen.rescreen.report")
@outlasting
def report() -> None:
    """Rank the saved screens in the published run, note what changed, and drop what no reader can reach any more."""
    engine = worker_engine()
    with engine.connect() as connection:
        run = published_run(connection)
    update_saved_screens(engine, run)
    collect_garbage(engine)


@app.task(name="stackscreen.rescreen.sweep")
@outlasting
def sweep() -> None:
    """Send the open blocks of running runs again: a broker may have lost them, a worker gone silent.

    Sending a block twice costs a look at the ledger. A run whose last worker died between its block and the
    publication is published.
    """
    engine = worker_engine()
    with engine.connect() as connection:
        running = (
            connection.execute(select(ScreeningRun.id).where(ScreeningRun.state == RunState.RUNNING)).scalars().all()
        )
    for run_id in running:
        dispatch(engine, run_id)
