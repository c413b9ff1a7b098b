"""A screening run from plan to publication."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import orjson
from sqlalchemy import Connection, Engine, delete, func, insert, select, text, update

from ml.scorer import served_versions
from schema import Candidate, PairBlock, PairTile, ScreeningMember, ScreeningRun, ScreeningRunModel
from schema.errors import StackscreenError
from schema.vocabulary import EdgeMethod, RunState
from stackscreen.pairs import PairLimits, ShapeTable
from stackscreen.screening.blocks import cut, row_costs
from stackscreen.screening.compute import CandidateRule
from stackscreen.screening.ledger import progress
from stackscreen.screening.members import snapshot
from stackscreen.settings import ScreenSettings

ENGINE_VERSION: Final = "2"
"""Raised whenever the same inputs would give other pairs, columns or scores."""

_LOCK: Final = text("SELECT pg_advisory_xact_lock(hashtext('stackscreen_screening_run'))")


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
    return PairLimits(settings.max_strain, settings.max_area, settings.max_atoms)


def rule_of(settings: ScreenSettings) -> CandidateRule:
    """The candidate rule that the settings ask for."""
    return CandidateRule(
        max_strain=settings.candidate_max_strain,
        max_atoms=settings.candidate_max_atoms,
        max_atoms_unknown=settings.candidate_max_atoms_unknown,
        max_hull_energy=settings.candidate_max_hull_energy,
    )


def plan_run(engine: Engine, settings: ScreenSettings) -> Plan:
    """Write down a run of the whole pair space, or find the living one with the same inputs.

    Members, blocks and the run itself appear in one transaction.

    Raises:
        NothingToScreenError: the database holds no monolayer.
    """
    limits, rule = limits_of(settings), rule_of(settings)
    with engine.begin() as connection:
        connection.execute(_LOCK)
        members = snapshot(connection, EdgeMethod(settings.edges))
        layers = [row for row in members if row["surface_id"] is None]
        if not layers:
            raise NothingToScreenError(
                "There is no monolayer to screen.", hint="Import some first: stackscreen import c2db PATH"
            )
        models = served_versions(connection)
        inputs = orjson.dumps(
            {
                "engine": ENGINE_VERSION,
                "members": [row["inputs_digest"].hex() for row in members],
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
        costs = row_costs(_shapes(members, limits).n_shapes, len(layers))
        blocks = cut(len(layers), len(members) - len(layers), settings.block_pairs, costs)
        run_id = connection.execute(
            insert(ScreeningRun)
            .values(
                state=RunState.RUNNING,
                inputs_digest=digest,
                engine_version=ENGINE_VERSION,
                n_monolayers=len(layers),
                n_surfaces=len(members) - len(layers),
                n_pairs=sum(block.n_pairs for block in blocks),
                candidate_rule=asdict(rule),
                edges=settings.edges,
                **asdict(limits),
            )
            .returning(ScreeningRun.id)
        ).scalar_one()
        connection.execute(insert(ScreeningMember), [{**row, "run_id": run_id} for row in members])
        if models:
            connection.execute(
                insert(ScreeningRunModel), [{"run_id": run_id, "model_version_id": number} for number in models]
            )
        connection.execute(
            insert(PairBlock),
            [
                {
                    "run_id": run_id, "block": number, "row_from": block.row_from, "row_to": block.row_to,
                    "col_from": block.col_from, "col_to": block.col_to, "n_pairs": block.n_pairs,
                }
                for number, block in enumerate(blocks)
            ],
        )  # fmt: skip
    return Plan(run_id, True, RunState.RUNNING)


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
        if now.failed:
            _set(connection, run_id, state=RunState.FAILED, error=now.error)
            return RunState.FAILED
        connection.execute(
            update(ScreeningRun).where(ScreeningRun.state == RunState.PUBLISHED).values(state=RunState.SUPERSEDED)
        )
        _set(
            connection,
            run_id,
            state=RunState.PUBLISHED,
            published_at=func.now(),
            n_matched=now.matched,
            n_candidates=now.candidates,
        )
        return RunState.PUBLISHED


def _set(connection: Connection, run_id: int, **values: object) -> None:
    connection.execute(update(ScreeningRun).where(ScreeningRun.id == run_id).values(**values))


def collect_garbage(engine: Engine, keep: int = 1) -> int:
    """Drop the tiles and candidates of superseded and failed runs, except the newest `keep` superseded ones.

    The runs themselves, their inputs and their ledgers stay: what was screened when is not forgotten.

    Returns:
        Number of runs emptied.
    """
    with engine.begin() as connection:
        connection.execute(_LOCK)
        superseded = connection.execute(
            select(ScreeningRun.id)
            .where(ScreeningRun.state == RunState.SUPERSEDED)
            .order_by(ScreeningRun.published_at.desc())
            .offset(keep)
        ).scalars()
        failed = connection.execute(select(ScreeningRun.id).where(ScreeningRun.state == RunState.FAILED)).scalars()
        emptied = 0
        for run_id in [*superseded, *failed]:
            tiles = connection.execute(delete(PairTile).where(PairTile.run_id == run_id)).rowcount
            candidates = connection.execute(delete(Candidate).where(Candidate.run_id == run_id)).rowcount
            emptied += bool(tiles or candidates)
        return emptied
