"""Which members and candidates a run holds: those of its space that came no later and have not gone.

See `schema.ScreeningRun` for what a space is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, or_, select
from sqlalchemy.orm.util import AliasedClass

from schema import Candidate, ScreeningMember, ScreeningRun
from schema.errors import StackscreenError


class UnknownRunError(StackscreenError):
    """There is no screening run of that number."""


@dataclass(frozen=True, slots=True)
class RunKey:
    """A run and the space that it belongs to, by their numbers."""

    id: int
    space_id: int


def run_key(connection: Connection, run_id: int) -> RunKey:
    """The run and its space.

    Raises:
        UnknownRunError: there is no such run.
    """
    row = connection.execute(
        select(ScreeningRun.id, ScreeningRun.space_id).where(ScreeningRun.id == run_id)
    ).one_or_none()
    if row is None:
        raise UnknownRunError(f"There is no screening run {run_id}.", hint="See them: stackscreen run list")
    return RunKey(row.id, row.space_id)


def of_run(table: type[ScreeningMember] | type[Candidate] | AliasedClass[Any], run: RunKey) -> ColumnElement[bool]:
    """The condition that a row of `screening_member` or `candidate` belongs to a run."""
    return and_(table.run_id == run.space_id, table.since <= run.id, or_(table.until.is_(None), table.until > run.id))
