"""Deduplicating, ruling by hand and explaining, as functions: what the command, the tasks and the tests call."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from sqlalchemy import Engine

from etl.dedupe import by_hand
from etl.dedupe import explain as explaining
from etl.dedupe.assign import DedupeReport, deduplicate
from etl.dedupe.by_hand import RulingReport
from etl.dedupe.explain import MaterialExplained, PairExplained
from etl.dedupe.stacks import unite_stacks
from etl.runs import alone

Progress = Callable[[int, int | None], None]
"""Called with the number of formulas done and their total."""


def dedupe(engine: Engine, *, progress: Progress | None = None) -> DedupeReport:
    """Bring materials and their members up to date with the accepted records; doing it again changes nothing.

    Raises:
        ImportBusyError: another process is deduplicating.
        DatabaseDownError: the database does not answer.
    """
    with _deduplicating(engine):
        return deduplicate(engine, progress)


def merge(engine: Engine, uid: str, other_uid: str, *, author: str, note: str | None = None) -> RulingReport:
    """Rule that two materials are one; every later deduplication honours it. See `etl.dedupe.by_hand.merge`.

    Raises:
        UnknownMaterialError, RulingError: see there.
        ImportBusyError: a deduplication is under way.
        DatabaseDownError: the database does not answer.
    """
    with _deduplicating(engine):
        with engine.begin() as connection:
            report = by_hand.merge(connection, uid, other_uid, author=author, note=note)
        unite_stacks(engine)
    return report


def split(
    engine: Engine, uid: str, source: str, external_id: str, *, author: str, note: str | None = None
) -> RulingReport:
    """Rule that a record is not its material; every later deduplication honours it. See `etl.dedupe.by_hand.split`.

    Raises:
        UnknownMaterialError, RulingError: see there.
        ImportBusyError: a deduplication is under way.
        DatabaseDownError: the database does not answer.
    """
    with _deduplicating(engine):
        with engine.begin() as connection:
            report = by_hand.split(connection, uid, source, external_id, author=author, note=note)
        unite_stacks(engine)
    return report


def explain(engine: Engine, uid: str, *, limit: int = 10) -> MaterialExplained:
    """Why a material has the members it has, and no others. See `etl.dedupe.explain.explain`.

    Raises:
        UnknownMaterialError: there never was one of that name.
    """
    with engine.connect() as connection:
        return explaining.explain(connection, uid, limit=limit)


def explain_pair(engine: Engine, uid: str, other_uid: str) -> PairExplained:
    """Why two materials are two. See `etl.dedupe.explain.explain_pair`.

    Raises:
        UnknownMaterialError: there never was one of that name.
    """
    with engine.connect() as connection:
        return explaining.explain_pair(connection, uid, other_uid)


def _deduplicating(engine: Engine) -> AbstractContextManager[None]:
    """Hold the lock of everything that decides which records are one material."""
    return alone(engine, "stackscreen dedupe", "Another deduplication is under way.")
