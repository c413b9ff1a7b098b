"""A screening run from plan to publication."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

import numpy as np
import orjson
from sqlalchemy import Connection, Engine, Row, delete, func, insert, select, text, update

from ml.scorer import served_versions
from schema import Candidate, PairBlock, PairTile, ScreeningMember, ScreeningRun, ScreeningRunModel
from schema.errors import StackscreenError
from schema.vocabulary import EdgeMethod, RunState
from stackscreen.pairs import PairLimits, ShapeTable
from stackscreen.screening.blocks import cut, row_costs
from stackscreen.screening.changes import Today, compare, published
from stackscreen.screening.compute import CandidateRule
from stackscreen.screening.continuing import Counts, continue_space, give_up, take_away
from stackscreen.screening.ledger import progress
from stackscreen.settings import ScreenSettings

ENGINE_VERSION: Final = "2"
"""Raised whenever the same inputs would give other pairs, columns or scores."""
LATER_SHARE: Final = 0.05
"""Of a space's first members: where more have come or gone since its founding, all pairs are screened anew."""

_LOCK: Final = text("SELECT pg_advisory_xact_lock(hashtext('stackscreen_screening_run'))")
_GARBAGE_LOCK: Final = text("SELECT pg_advisory_xact_lock(hashtext('stackscreen_garbage'))")


class NothingToScreenError(StackscreenError):
    """There is no monolayer in the database."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A planned run.

    Attributes:
        run_id: the run.
        fresh: False if a run with the same inputs already exists: there is nothing to compute anew.
        state: where it stands.
    """

    run_id: int
    fresh: bool
    state: RunState


def limits_of(settings: ScreenSettings) -> PairLimits:
    """The search limits that the settings ask for."""
    tighter = tuple(level for level in settings.strain_levels if level < settings.max_strain)
    return PairLimits(settings.max_strain, settings.max_area, settings.max_atoms, tighter)


def limits_of_run(run: Row[Any]) -> PairLimits:
    """The search limits of a row of `screening_run`."""
    return PairLimits(run.max_strain, run.max_area, run.max_atoms, tuple(run.strain_levels))


def rule_of(settings: ScreenSettings) -> CandidateRule:
    """The candidate rule that the settings ask for."""
    return CandidateRule(
        max_strain=settings.candidate_max_strain,
        max_atoms=settings.candidate_max_atoms,
        max_atoms_unknown=settings.candidate_max_atoms_unknown,
        max_hull_energy=settings.candidate_max_hull_energy,
    )


def plan_run(engine: Engine, settings: ScreenSettings) -> Plan:
    """Write down a run over today's pair space, or find the living one with the same inputs.

    Where little has changed since the published run, the new run continues its space, and only the pairs of what
    changed are computed; otherwise it founds its own. Members, blocks and the run itself appear in one transaction.

    Raises:
        NothingToScreenError: the database holds no monolayer.
    """
    limits, rule = limits_of(settings), rule_of(settings)
    with engine.begin() as connection:
        connection.execute(_LOCK)
        edges = EdgeMethod(settings.edges)
        before = published(connection)
        # With other edges than the published run's every member may have changed.
        today = compare(connection, before if before is not None and before.edges == edges else None, edges)
        if not today.n_monolayers:
            raise NothingToScreenError(
                "There is no monolayer to screen.", hint="Import some first: stackscreen import c2db PATH"
            )
        models = served_versions(connection)
        inputs = orjson.dumps(
            {
                "engine": ENGINE_VERSION,
                "members": [digest.hex() for digest in today.digests],
                "models": sorted(digest.hex() for digest in models.values()),
                "limits": asdict(limits),
                "rule": asdict(rule),
                "edges": settings.edges,
            },
            option=orjson.OPT_SORT_KEYS,
        )
        digest = hashlib.sha256(inputs).digest()
        living = connection.execute(
            select(ScreeningRun.id, ScreeningRun.state).where(
                ScreeningRun.inputs_digest == digest,
                ScreeningRun.state.in_([RunState.PLANNED, RunState.RUNNING, RunState.PUBLISHED]),
            )
        ).one_or_none()
        if living is not None:
            return Plan(living.id, False, RunState(living.state))
        n, surfaces = today.n_monolayers, today.n_surfaces
        run = {
            "state": RunState.RUNNING,
            "inputs_digest": digest,
            "engine_version": ENGINE_VERSION,
            "n_monolayers": n,
            "n_surfaces": surfaces,
            "n_pairs": n * (n + 1) // 2 + surfaces * n,
            "candidate_rule": asdict(rule),
            "edges": edges,
            **asdict(limits),
            "strain_levels": list(limits.strain_levels),
        }
        if before is not None and _may_continue(connection, before, today, run, models):
            run_id = continue_space(connection, before, today, run, settings.block_pairs)
        else:
            matched = before.id if before is not None and _matches_hold(before, limits) else None
            run_id = _found_space(connection, {**run, "matched_run_id": matched}, limits, settings.block_pairs)
        if models:
            connection.execute(
                insert(ScreeningRunModel), [{"run_id": run_id, "model_version_id": number} for number in models]
            )
    return Plan(run_id, True, RunState.RUNNING)


def _may_continue(
    connection: Connection, before: Row[Any], today: Today, run: dict[str, Any], models: dict[int, bytes]
) -> bool:
    """Whether all that differs from the published run are a few members."""
    asked = ("engine_version", "candidate_rule", "edges", *(field.name for field in fields(PairLimits)))
    if any(getattr(before, name) != run[name] for name in asked):
        return False
    used = connection.execute(
        select(ScreeningRunModel.model_version_id).where(ScreeningRunModel.run_id == before.id)
    ).scalars()
    if set(used) != set(models):
        return False
    founding, all_numbers = connection.execute(
        select(func.count().filter(ScreeningMember.since == before.space_id), func.count()).where(
            ScreeningMember.run_id == before.space_id
        )
    ).one()
    return all_numbers - founding + len(today.fresh) + len(today.gone) <= max(1, LATER_SHARE * founding)


def _matches_hold(before: Row[Any], limits: PairLimits) -> bool:
    """Whether the coincidence lattices that one run has found are within other limits, on each of their levels."""
    earlier = limits_of_run(before)
    known = (*earlier.strain_levels, earlier.max_strain)
    return (
        before.engine_version == ENGINE_VERSION
        and earlier.max_strain <= limits.max_strain
        and earlier.max_area <= limits.max_area
        and earlier.max_atoms <= limits.max_atoms
        and all(level in known for level in limits.strain_levels if level <= earlier.max_strain)
    )


def _found_space(connection: Connection, run: dict[str, Any], limits: PairLimits, block_pairs: int) -> int:
    """Write down a run that numbers all members anew, and returns its number."""
    members = compare(connection, None, run["edges"]).fresh
    costs = row_costs(_shapes(members, limits).n_shapes, run["n_monolayers"])
    run_id = connection.execute(insert(ScreeningRun).values(run).returning(ScreeningRun.id)).scalar_one()
    connection.execute(
        insert(ScreeningMember),
        [{**row, "run_id": run_id, "member": number, "since": run_id} for number, row in enumerate(members)],
    )
    connection.execute(
        insert(PairBlock),
        [
            {
                "run_id": run_id, "block": number, "row_from": block.row_from, "row_to": block.row_to,
                "col_from": block.col_from, "col_to": block.col_to, "n_pairs": block.n_pairs,
            }
            for number, block in enumerate(cut(run["n_monolayers"], run["n_surfaces"], block_pairs, costs))
        ],
    )  # fmt: skip
    return int(run_id)


def _shapes(members: list[dict[str, Any]], limits: PairLimits) -> ShapeTable:
    """The superlattices of the rows of a snapshot."""
    numbers = np.array([[row["ln_area"], row["tau_re"], row["tau_im"], row["n_atoms"]] for row in members], float)
    return ShapeTable.build(numbers[:, 0], numbers[:, 1] + 1j * numbers[:, 2], numbers[:, 3].astype(np.int64), limits)


def publish_if_done(engine: Engine, run_id: int) -> RunState:
    """Publish a run whose every block is done, in one transaction; fail it if a block was given up.

    Whoever finishes last calls this; calling it again changes nothing. Readers see the old run until the commit and
    the new one after it, never a mixture.

    Returns:
        The run's state afterwards.
    """
    with engine.begin() as connection:
        connection.execute(_LOCK)
        state = RunState(connection.execute(select(ScreeningRun.state).where(ScreeningRun.id == run_id)).scalar_one())
        if state is not RunState.RUNNING:
            return state
        now = progress(connection, run_id)
        if not now.finished:
            return state
        run = connection.execute(
            select(ScreeningRun.id, ScreeningRun.base_run_id, ScreeningRun.space_id).where(ScreeningRun.id == run_id)
        ).one()
        if now.failed:
            give_up(connection, run, str(now.error))
            return RunState.FAILED
        counts = Counts(now.matched, now.candidates)
        if run.base_run_id is not None:
            counts = take_away(connection, run, counts)
        newest = connection.execute(
            select(func.max(ScreeningRun.id)).where(
                ScreeningRun.state.in_([RunState.PUBLISHED, RunState.SUPERSEDED]),
                ScreeningRun.published_at.is_not(None),
            )
        ).scalar()
        # A run that was overtaken by one of newer inputs is never shown.
        state = RunState.PUBLISHED if newest is None or newest < run_id else RunState.SUPERSEDED
        if state is RunState.PUBLISHED:
            connection.execute(
                update(ScreeningRun).where(ScreeningRun.state == RunState.PUBLISHED).values(state=RunState.SUPERSEDED)
            )
        connection.execute(
            update(ScreeningRun)
            .where(ScreeningRun.id == run_id)
            .values(state=state, published_at=func.now(), n_matched=counts.matched, n_candidates=counts.candidates)
        )
        return state


def collect_garbage(engine: Engine, keep: int = 1) -> int:
    """Drop the tiles and candidates of superseded and failed runs, except the newest `keep` superseded ones.

    A space keeps its tiles as long as one of its runs is kept; what went before the oldest of these is dropped. The
    runs themselves, their inputs and their ledgers stay: what was screened when is not forgotten.

    Returns:
        Number of runs emptied.
    """
    with engine.begin() as connection:
        # Not the lock of planning and publishing: millions of rows take a while, and what is dropped is no reader's and
        # no later run's.
        connection.execute(_GARBAGE_LOCK)
        runs = connection.execute(
            select(ScreeningRun.id, ScreeningRun.space_id, ScreeningRun.state, ScreeningRun.matched_run_id).order_by(
                ScreeningRun.published_at.desc(), ScreeningRun.id.desc()
            )
        ).all()
        superseded = [run.id for run in runs if run.state == RunState.SUPERSEDED]
        unfinished = (RunState.PLANNED, RunState.RUNNING)
        kept = {run.id for run in runs if run.state in (RunState.PUBLISHED, *unfinished)} | set(superseded[:keep])
        kept |= {run.matched_run_id for run in runs if run.state in unfinished and run.matched_run_id is not None}
        oldest: dict[int, int] = {}
        for run in runs:
            if run.id in kept:
                oldest[run.space_id] = min(run.id, oldest.get(run.space_id, run.id))
        emptied = 0
        for run in runs:
            if run.id in kept:
                continue
            own = delete(Candidate).where(Candidate.run_id == run.space_id, Candidate.since == run.id)
            dropped = 0
            if run.space_id in oldest:
                own = own.where(Candidate.until <= oldest[run.space_id])
            else:
                dropped += connection.execute(delete(PairTile).where(PairTile.run_id == run.id)).rowcount
            dropped += connection.execute(own).rowcount
            emptied += bool(dropped)
        return emptied
