"""Saved screens after a run: what entered, what left, what moved, and why."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Connection, Engine, delete, insert, select

from schema import SavedScreen, ScreenChange, ScreeningMember, ScreeningRun, ScreeningRunModel, ScreenResult
from schema.vocabulary import ChangeKind
from stackscreen.query.candidates import Order, Run, listing
from stackscreen.query.criteria import Criteria
from stackscreen.screening.spaces import of_run, run_key

Pair = tuple[str, str]
BEST_FIRST: Final = "-score"


def update_saved_screens(engine: Engine, run: Run) -> int:
    """Rank every nightly saved screen in the published run and write down its changes; safe to repeat.

    Args:
        engine: the database.
        run: the published run.

    Returns:
        Number of screens ranked.
    """
    with engine.begin() as connection:
        screens = connection.execute(
            select(SavedScreen.__table__).where(SavedScreen.schedule == "nightly").order_by(SavedScreen.id)
        ).all()
        for screen in screens:
            _rank(connection, screen, run)
    return len(screens)


def _rank(connection: Connection, screen: Any, run: Run) -> None:
    for table in (ScreenChange, ScreenResult):
        connection.execute(delete(table).where(table.screen_id == screen.id, table.run_id == run.id))
    criteria = Criteria.from_json(screen.criteria)
    rows = connection.execute(listing(run, criteria, Order.parse(BEST_FIRST)).limit(screen.top)).mappings()
    now: dict[Pair, tuple[int, float]] = {
        (row["bottom_uid"], row["top_uid"]): (rank, row["score"]) for rank, row in enumerate(rows, 1)
    }
    if now:
        connection.execute(
            insert(ScreenResult),
            [
                {"screen_id": screen.id, "run_id": run.id, "bottom_uid": b, "top_uid": t, "rank": rank, "score": score}
                for (b, t), (rank, score) in now.items()
            ],
        )
    previous = connection.execute(
        select(ScreenResult.run_id)
        .where(ScreenResult.screen_id == screen.id, ScreenResult.run_id < run.id)
        .order_by(ScreenResult.run_id.desc())
        .limit(1)
    ).scalar()
    if previous is None:
        return
    before: dict[Pair, int] = {
        (row.bottom_uid, row.top_uid): row.rank
        for row in connection.execute(
            select(ScreenResult.bottom_uid, ScreenResult.top_uid, ScreenResult.rank).where(
                ScreenResult.screen_id == screen.id, ScreenResult.run_id == previous
            )
        )
    }
    reasons = Reasons(connection, previous, run.id)
    changes = []
    for pair in sorted(before.keys() | now.keys()):
        old, new = before.get(pair), now.get(pair, (None, None))[0]
        if old == new:
            continue
        kind = ChangeKind.ENTERED if old is None else ChangeKind.LEFT if new is None else ChangeKind.MOVED
        changes.append(
            {
                "screen_id": screen.id, "run_id": run.id, "bottom_uid": pair[0], "top_uid": pair[1], "kind": kind,
                "rank_before": old, "rank_after": new, "reason": reasons.of(pair),
            }
        )  # fmt: skip
    if changes:
        connection.execute(insert(ScreenChange), changes)


class Reasons:
    """Why a pair's rank differs between two runs, by comparing what went into them.

    Attributes:
        before, after: digest of everything that a run knew of a member, by uid.
    """

    def __init__(self, connection: Connection, before: int, after: int) -> None:
        self.before = self._members(connection, before)
        self.after = self._members(connection, after)
        self._models_changed = self._models(connection, before) != self._models(connection, after)
        self._limits_changed = self._limits(connection, before) != self._limits(connection, after)

    @staticmethod
    def _members(connection: Connection, run_id: int) -> dict[str, bytes]:
        rows = connection.execute(
            select(ScreeningMember.uid, ScreeningMember.inputs_digest).where(
                of_run(ScreeningMember, run_key(connection, run_id))
            )
        )
        return {row.uid: row.inputs_digest for row in rows}

    @staticmethod
    def _models(connection: Connection, run_id: int) -> set[int]:
        return set(
            connection.execute(
                select(ScreeningRunModel.model_version_id).where(ScreeningRunModel.run_id == run_id)
            ).scalars()
        )

    @staticmethod
    def _limits(connection: Connection, run_id: int) -> Any:
        run = ScreeningRun
        return connection.execute(
            select(
                run.max_strain, run.max_area, run.max_atoms, run.candidate_rule, run.edges, run.engine_version
            ).where(run.id == run_id)
        ).one()

    def of(self, pair: Pair) -> str:
        """The reasons, in words; the first that apply to the pair's own layers."""
        found = []
        for uid in dict.fromkeys(pair):
            old, new = self.before.get(uid), self.after.get(uid)
            if old is None and new is not None:
                found.append(f"{uid} is new")
            elif old is not None and new is None:
                found.append(f"{uid} was withdrawn")
            elif old != new:
                found.append(f"the data of {uid} changed")
        if self._limits_changed:
            found.append("the limits or the engine changed")
        if self._models_changed:
            found.append("a model changed")
        # Nothing of its own changed: others came or went around it.
        return "; ".join(found) or "other pairs entered or left"
