"""A run that continues a space: new numbers for what changed, and what of the earlier run is no more.

Nothing of the earlier run is touched but the `until` of what it loses, which its own readers do not look at.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, text, update

from schema import Candidate, PairBlock, PairTile, ScreeningMember, ScreeningRun
from schema.vocabulary import RunState
from stackscreen.screening.changes import Today

# The gone members' pairs with a coincidence lattice in the run before; a pair of two gone ones once. Of a tile that is
# stored out of line, `substring` reads the wanted byte alone, and `||` brings the whole into memory once.
_MATCHED_BEFORE = text("""
    WITH here AS MATERIALIZED (
        SELECT member, since, until IS NOT DISTINCT FROM :run AS gone FROM screening_member
        WHERE run_id = :space AND since <= :before AND (until IS NULL OR until > :before)
    ), own AS MATERIALIZED (
        SELECT h.member, t.col_from, t.n_pairs, t.n || ''::bytea AS n
        FROM here h JOIN pair_tile t ON t.run_id = h.since AND t.row = h.member
        WHERE h.gone
    ), matched AS (
        SELECT o.member, o.col_from + k AS partner FROM own o CROSS JOIN generate_series(0, o.n_pairs - 1) AS k
        WHERE get_byte(o.n, k) > 0
        UNION ALL
        SELECT h.member, t.row FROM here h
        JOIN screening_run r ON r.space_id = :space AND r.id <= :before
        JOIN pair_tile t ON t.run_id = r.id AND t.row <> h.member
         AND h.member >= t.col_from AND h.member < t.col_from + t.n_pairs
        WHERE h.gone AND get_byte(substring(t.n FROM h.member - t.col_from + 1 FOR 1), 0) > 0
    )
    SELECT count(*) FROM matched m JOIN here p ON p.member = m.partner WHERE NOT p.gone OR p.member <= m.member
""")


@dataclass(frozen=True, slots=True)
class Counts:
    """Pairs with a coincidence lattice, and candidates."""

    matched: int
    candidates: int


def continue_space(
    connection: Connection, before: Row[Any], today: Today, run: dict[str, Any], block_pairs: int
) -> int:
    """Write down a run that continues the published one's space.

    Another run of the space that is still at work would number its members alike: it is given up, as today's inputs
    are newer than its own.

    Args:
        connection: in the planning transaction.
        before: the published run.
        today: from `changes.compare`.
        run: columns of `screening_run`.
        block_pairs: pairs aimed at in a block.

    Returns:
        The run's number.
    """
    space = before.space_id
    others = connection.execute(
        select(ScreeningRun.id, ScreeningRun.base_run_id, ScreeningRun.space_id).where(
            ScreeningRun.base_run_id == space, ScreeningRun.state.in_([RunState.PLANNED, RunState.RUNNING])
        )
    ).all()
    for other in others:
        give_up(connection, other, "given up: its materials changed before it was done")
    run_id = connection.execute(
        insert(ScreeningRun).values({**run, "base_run_id": space}).returning(ScreeningRun.id)
    ).scalar_one()
    member = ScreeningMember
    connection.execute(update(member).where(member.run_id == space, member.member.in_(today.gone)).values(until=run_id))
    first = connection.execute(select(func.max(member.member) + 1).where(member.run_id == space)).scalar_one()
    rows = [{**row, "run_id": space, "member": first + place, "since": run_id} for place, row in enumerate(today.fresh)]
    if rows:
        connection.execute(insert(member), rows)
        connection.execute(
            insert(PairBlock), _blocks(run_id, rows, run["n_monolayers"], run["n_surfaces"], block_pairs)
        )
    return int(run_id)


def _blocks(
    run_id: int, rows: list[dict[str, Any]], n_monolayers: int, n_surfaces: int, block_pairs: int
) -> list[dict[str, Any]]:
    """Bands of later members, each of which meets every member before it that it can be stacked with."""
    layers = n_monolayers - sum(row["surface_id"] is None for row in rows)
    surfaces = n_surfaces - sum(row["surface_id"] is not None for row in rows)
    blocks: list[dict[str, Any]] = []
    pairs, start = 0, rows[0]["member"]
    for row in rows:
        if row["surface_id"] is None:
            layers += 1
            pairs += layers + surfaces
        else:
            surfaces += 1
            pairs += layers
        if pairs >= block_pairs or row is rows[-1]:
            end = row["member"] + 1
            blocks.append(
                {"run_id": run_id, "block": len(blocks), "row_from": start, "row_to": end, "col_from": 0,
                 "col_to": end, "n_pairs": pairs}
            )  # fmt: skip
            pairs, start = 0, end
    return blocks


def take_away(connection: Connection, run: Row[*tuple[Any, ...]], brought: Counts) -> Counts:
    """End the candidates of the members that are gone; in the transaction that publishes the run.

    Returns:
        What the run holds in all: what the run before held, less what is gone, and what was brought.
    """
    before = connection.execute(
        select(ScreeningRun.id, ScreeningRun.n_matched, ScreeningRun.n_candidates)
        .where(ScreeningRun.space_id == run.space_id, ScreeningRun.id < run.id, ScreeningRun.published_at.is_not(None))
        .order_by(ScreeningRun.id.desc())
        .limit(1)
    ).one()
    asked = {"before": before.id, "space": run.space_id, "run": run.id}
    unmatched = connection.execute(_MATCHED_BEFORE, asked).scalar_one()
    gone = select(ScreeningMember.member).where(ScreeningMember.run_id == run.space_id, ScreeningMember.until == run.id)
    ended = 0
    for side in (Candidate.bottom, Candidate.top):
        ended += connection.execute(
            update(Candidate)
            .where(Candidate.run_id == run.space_id, Candidate.until.is_(None), side.in_(gone))
            .values(until=run.id)
        ).rowcount
    return Counts(before.n_matched - unmatched + brought.matched, before.n_candidates - ended + brought.candidates)


def give_up(connection: Connection, run: Row[*tuple[Any, ...]], reason: str) -> None:
    """Mark a run failed, and take back what it wrote into the space that it continues."""
    connection.execute(
        update(ScreeningRun).where(ScreeningRun.id == run.id).values(state=RunState.FAILED, error=reason)
    )
    if run.base_run_id is None:
        return
    connection.execute(delete(PairTile).where(PairTile.run_id == run.id))
    connection.execute(delete(Candidate).where(Candidate.run_id == run.space_id, Candidate.since == run.id))
    member = ScreeningMember
    connection.execute(delete(member).where(member.run_id == run.space_id, member.since == run.id))
    connection.execute(update(member).where(member.run_id == run.space_id, member.until == run.id).values(until=None))
