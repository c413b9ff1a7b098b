"""One screening run in full, and what differs between two: inputs by version, limits, models, members, candidates."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, func, select, text

from schema import Candidate, ModelVersion, PairBlock, ScreeningMember, ScreeningRun, ScreeningRunModel
from stackscreen.screening.saved import Reasons
from stackscreen.screening.spaces import RunKey, UnknownRunError, of_run, run_key

EXAMPLES: Final = 10
"""Candidates and members shown of each kind of difference; the counts are always of all."""


@dataclass(frozen=True, slots=True)
class RunReport:
    """Everything about one run, as plain values.

    Attributes:
        run, state, error, created_at, published_at: see `schema.ScreeningRun`.
        inputs: engine version, functional of the band edges, and SHA-256 of all inputs, of the members, and of all
            tiles and candidates if done.
        limits, candidate_rule: what was asked for; strains as fractions, area in Å².
        counts: members, pairs, matched pairs, candidates.
        models: version, target, name, family and digest of each model used.
        blocks: number of blocks by state.
        leases: how often a block was handed to a worker: once each, and once more for every worker that failed at it,
            was killed or went silent.
        slowest: the block that took longest: its rows, pairs, seconds.
        block_seconds: s, sum over blocks: computing time of all workers.
        pairs_per_s: pairs of done blocks a second of computing time of one worker.
        wall_s: s from plan to publication.
    """

    run: int
    state: str
    error: str | None
    created_at: datetime
    published_at: datetime | None
    inputs: dict[str, str | None]
    limits: dict[str, Any]
    candidate_rule: dict[str, Any]
    counts: dict[str, int | None]
    models: list[dict[str, Any]]
    blocks: dict[str, int]
    leases: int
    slowest: dict[str, Any] | None
    block_seconds: float
    pairs_per_s: float | None
    wall_s: float | None

    def as_dict(self) -> dict[str, Any]:
        """For JSON; times in ISO 8601."""
        return asdict(self) | {key: _iso(getattr(self, key)) for key in ("created_at", "published_at")}


@dataclass(frozen=True, slots=True)
class RunDiff:
    """What differs from one run to another, as plain values.

    Attributes:
        before, after: the runs.
        limits: limits, candidate rule and engine version that differ: name to [before, after].
        models: models that differ: target to [before, after], each a list of names with versions.
        members: number of members added, withdrawn and changed.
        member_examples: the first of each by uid, and for changed ones the columns that differ.
        candidates: number of candidates that entered, left and changed their score; None if a run's were dropped.
        candidate_examples: the best of those that entered or left, those that moved farthest, with the reason.
    """

    before: int
    after: int
    limits: dict[str, list[Any]]
    models: dict[str, list[list[str]]]
    members: dict[str, int]
    member_examples: dict[str, list[dict[str, Any]]]
    candidates: dict[str, int] | None
    candidate_examples: dict[str, list[dict[str, Any]]]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def _iso(when: datetime | None) -> str | None:
    return when.isoformat() if when else None


def _run(connection: Connection, run_id: int) -> Any:
    found = connection.execute(select(ScreeningRun.__table__).where(ScreeningRun.id == run_id)).one_or_none()
    if found is None:
        raise UnknownRunError(f"There is no screening run {run_id}.", hint="See them: stackscreen run list")
    return found


def _models(connection: Connection, run_id: int) -> list[dict[str, Any]]:
    rows = connection.execute(
        select(
            ModelVersion.id, ModelVersion.target, ModelVersion.name, ModelVersion.family, ModelVersion.artefact_digest
        )
        .join(ScreeningRunModel, ScreeningRunModel.model_version_id == ModelVersion.id)
        .where(ScreeningRunModel.run_id == run_id)
        .order_by(ModelVersion.target, ModelVersion.id)
    )
    return [
        {"version": row.id, "target": row.target, "name": row.name, "family": row.family,
         "digest": row.artefact_digest.hex()}
        for row in rows
    ]  # fmt: skip


def show(connection: Connection, run_id: int) -> RunReport:
    """Everything about one run.

    Raises:
        UnknownRunError: there is none of that number.
    """
    run = _run(connection, run_id)
    blocks = connection.execute(
        select(
            PairBlock.state,
            func.count(),
            func.sum(PairBlock.seconds),
            func.sum(PairBlock.n_pairs),
            func.sum(PairBlock.attempts),
        )
        .where(PairBlock.run_id == run_id)
        .group_by(PairBlock.state)
        .order_by(PairBlock.state)
    ).all()
    seconds = float(sum(row[2] or 0.0 for row in blocks))
    timed = connection.execute(
        select(func.sum(PairBlock.n_pairs)).where(PairBlock.run_id == run_id, PairBlock.seconds.is_not(None))
    ).scalar()
    slowest = (
        connection.execute(
            select(PairBlock.block, PairBlock.row_from, PairBlock.row_to, PairBlock.n_pairs, PairBlock.seconds)
            .where(PairBlock.run_id == run_id, PairBlock.seconds.is_not(None))
            .order_by(PairBlock.seconds.desc(), PairBlock.block)
            .limit(1)
        )
        .mappings()
        .one_or_none()
    )
    digests = connection.execute(
        text("""
            SELECT encode(sha256(string_agg(s.inputs_digest, ''::bytea
                                            ORDER BY s.surface_id NULLS FIRST, s.material_id)), 'hex') AS members,
                   (SELECT CASE WHEN bool_and(state = 'done')
                                THEN encode(sha256(string_agg(digest, ''::bytea ORDER BY block)), 'hex') END
                    FROM pair_block WHERE run_id = :run) AS results
            FROM screening_run r
            JOIN screening_member s ON s.run_id = r.space_id AND s.since <= r.id AND (s.until IS NULL OR s.until > r.id)
            WHERE r.id = :run
        """),
        {"run": run_id},
    ).one()
    return RunReport(
        run=run.id,
        state=str(run.state),
        error=run.error,
        created_at=run.created_at,
        published_at=run.published_at,
        inputs={"engine_version": run.engine_version, "edges": str(run.edges),
                "inputs_digest": run.inputs_digest.hex(), "members_digest": digests.members,
                "results_digest": digests.results},
        limits={"max_strain": run.max_strain, "max_area": run.max_area, "max_atoms": run.max_atoms,
                "strain_levels": run.strain_levels},
        candidate_rule=run.candidate_rule,
        counts={"monolayers": run.n_monolayers, "surfaces": run.n_surfaces, "pairs": run.n_pairs,
                "matched": run.n_matched, "candidates": run.n_candidates},
        models=_models(connection, run_id),
        blocks={str(row[0]): row[1] for row in blocks},
        leases=sum(row[4] for row in blocks),
        slowest=dict(slowest) if slowest else None,
        block_seconds=round(seconds, 3),
        pairs_per_s=round(int(timed) / seconds) if timed and seconds else None,
        wall_s=round((run.published_at - run.created_at).total_seconds(), 3) if run.published_at else None,
    )  # fmt: skip


def _number(run: int | None) -> str | None:
    return None if run is None else str(run)


def diff(connection: Connection, before: int, after: int, examples: int = EXAMPLES) -> RunDiff:
    """What differs from run `before` to run `after`, and why pairs came, went and moved.

    Args:
        connection: from `reading`, so that everything is of one moment.
        before, after: numbers of runs, of any state.
        examples: members and candidates named of each kind.

    Raises:
        UnknownRunError: there is none of one of the numbers.
    """
    old, new = _run(connection, before), _run(connection, after)
    reasons = Reasons(connection, before, after)
    uids = {
        "added": sorted(reasons.after.keys() - reasons.before.keys()),
        "withdrawn": sorted(reasons.before.keys() - reasons.after.keys()),
        "changed": sorted(
            uid for uid, digest in reasons.after.items() if uid in reasons.before and reasons.before[uid] != digest
        ),
    }
    member_examples: dict[str, list[dict[str, Any]]] = {
        kind: [{"uid": uid} for uid in named[:examples]] for kind, named in uids.items()
    }
    for example in member_examples["changed"]:
        example["columns"] = _changed_columns(connection, before, after, example["uid"])
    dropped = [run.id for run in (old, new) if run.n_candidates and not _has_candidates(connection, run)]
    candidates, candidate_examples = (
        (None, {}) if dropped else _candidates(connection, before, after, reasons, examples)
    )
    return RunDiff(
        before=before,
        after=after,
        limits=_differences(_limits(old), _limits(new)),
        models=_differences(_by_target(_models(connection, before)), _by_target(_models(connection, after)), []),
        members={kind: len(named) for kind, named in uids.items()},
        member_examples=member_examples,
        candidates=candidates,
        candidate_examples=candidate_examples,
    )


def _limits(run: Any) -> dict[str, Any]:
    rule = {f"candidate_rule.{key}": value for key, value in run.candidate_rule.items()}
    asked = ("engine_version", "edges", "max_strain", "max_area", "max_atoms", "strain_levels")
    limits = {key: getattr(run, key) for key in asked}
    return limits | rule


def _by_target(models: list[dict[str, Any]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for model in models:
        found.setdefault(model["target"], []).append(f"{model['name']} (version {model['version']})")
    return found


def _differences(old: dict[str, Any], new: dict[str, Any], missing: Any = None) -> dict[str, list[Any]]:
    both = {key: [old.get(key, missing), new.get(key, missing)] for key in sorted(old.keys() | new.keys())}
    return {key: values for key, values in both.items() if values[0] != values[1]}


def _changed_columns(connection: Connection, before: int, after: int, uid: str) -> dict[str, list[Any]]:
    """Columns of a member that differ; "other inputs" where none does: atoms' positions, or features for the models."""
    skipped = {"run_id", "member", "since", "until", "inputs_digest", "fingerprint"}
    columns = [column for column in ScreeningMember.__table__.c if column.name not in skipped]
    old, new = (
        dict(
            connection.execute(
                select(*columns).where(of_run(ScreeningMember, run_key(connection, run_id)), ScreeningMember.uid == uid)
            ).mappings().one()
        )
        for run_id in (before, after)
    )  # fmt: skip
    return _differences(old, new) or {"other inputs": ["positions or features", "positions or features"]}


def _has_candidates(connection: Connection, run: Any) -> bool:
    """Whether the run's candidates are all there still: those that later runs ended may have been dropped."""
    kept = select(func.count()).select_from(Candidate).where(of_run(Candidate, RunKey(run.id, run.space_id)))
    return connection.execute(kept).scalar_one() == run.n_candidates


# A pair is told by its two uids, numbered for both runs alike, whichever lies below: a run has each pair once.
_COMPARED = """
    WITH name AS (
        SELECT r.id AS run_id, r.space_id, s.member, s.uid, dense_rank() OVER (ORDER BY s.uid)::bigint AS id
        FROM screening_run r
        JOIN screening_member s ON s.run_id = r.space_id AND s.since <= r.id AND (s.until IS NULL OR s.until > r.id)
        WHERE r.id IN (:before, :after)
    ), pair AS (
        SELECT b.run_id, c.bottom, c.top, c.score, (least(b.id, t.id) << 32) + greatest(b.id, t.id) AS key
        FROM candidate c
        JOIN name b ON b.space_id = c.run_id AND b.member = c.bottom
        JOIN name t ON t.run_id = b.run_id AND t.member = c.top
        WHERE c.since <= b.run_id AND (c.until IS NULL OR c.until > b.run_id)
    ), compared AS (
        SELECT CASE WHEN old.key IS NULL THEN 'entered' WHEN new.key IS NULL THEN 'left' ELSE 'moved' END AS kind,
               coalesce(new.run_id, old.run_id) AS run_id,
               coalesce(new.bottom, old.bottom) AS bottom, coalesce(new.top, old.top) AS top,
               old.score AS score_before, new.score AS score_after
        FROM (SELECT * FROM pair WHERE run_id = :before) old
        FULL JOIN (SELECT * FROM pair WHERE run_id = :after) new USING (key)
        WHERE old.score IS DISTINCT FROM new.score
    ), ranked AS (
        SELECT *, count(*) OVER (PARTITION BY kind) AS total,
               row_number() OVER (PARTITION BY kind
                                  ORDER BY abs(coalesce(score_after, 0) - coalesce(score_before, 0)) DESC,
                                           bottom, top) AS place
        FROM compared
    )
    SELECT r.kind, r.total, b.uid AS bottom_uid, t.uid AS top_uid, r.score_before, r.score_after
    FROM ranked r
    JOIN name b ON b.run_id = r.run_id AND b.member = r.bottom
    JOIN name t ON t.run_id = r.run_id AND t.member = r.top
    WHERE r.place <= greatest(:examples, 1)
    ORDER BY r.kind, r.place
"""


def _candidates(
    connection: Connection, before: int, after: int, reasons: Reasons, examples: int
) -> tuple[dict[str, int], dict[str, list[dict[str, Any]]]]:
    counts = {"entered": 0, "left": 0, "moved": 0}
    shown: dict[str, list[dict[str, Any]]] = {kind: [] for kind in counts}
    rows = connection.execute(text(_COMPARED), {"before": before, "after": after, "examples": examples})
    for row in rows.mappings():
        counts[row["kind"]] = row["total"]
        if len(shown[row["kind"]]) < examples:
            names = ("bottom_uid", "top_uid", "score_before", "score_after")
            pair = (row["bottom_uid"], row["top_uid"])
            shown[row["kind"]].append({name: row[name] for name in names} | {"reason": reasons.of(pair)})
    return counts, shown
