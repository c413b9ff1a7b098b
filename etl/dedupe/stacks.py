"""Which computed interfaces are one stack: same sides, same registry. Pair of materials by pair of materials.

A block (one kind, one pair of materials) with anything new is judged as a whole, in an order of its own: whatever
came first, the same interfaces represent the same stacks, and where a representative's record no longer lives, the
next takes its place. Values stay with their records.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Engine, text

from etl.dedupe.clusters import REPRESENTATIVE, order
from etl.dedupe.registry import StackVerdict, compare_stacks
from etl.dedupe.stack_store import (
    MATERIALS,
    BlockKey,
    Membership,
    Stacked,
    load_stacks,
    save_members,
    touched_blocks,
)
from etl.runs import refresh_statistics

CHUNK = 200
"""Blocks a transaction: an interrupted run keeps what it has judged, and memory stays flat."""
METHOD_STRUCTURE = "fingerprint+matcher"
METHOD_STATED = "stated registry"


@dataclass(frozen=True, slots=True)
class StackCounts:
    """Distinct stacks among the interfaces whose sides are known, and interfaces that are the same as another."""

    stacks: int
    same: int


def unite_stacks(engine: Engine) -> StackCounts:
    """Bring `interface_member` up to date with the living interfaces; doing it again changes nothing.

    The caller holds the lock.
    """
    with engine.connect() as connection:
        touched = touched_blocks(connection)
    blocks = list(touched)
    for start in range(0, len(blocks), CHUNK):
        keys = blocks[start : start + CHUNK]
        with engine.begin() as connection:
            members = [m for key, stacks in load_stacks(connection, keys).items() for m in judge_block(key, stacks)]
            save_members(connection, members, [i for key in keys for i in touched[key]])
    if touched:
        refresh_statistics(engine, ("interface_member",))
    with engine.connect() as connection:
        stacks, same = connection.execute(_COUNTS).one()
    return StackCounts(stacks, same)


_COUNTS = text("""
    SELECT count(*) FILTER (WHERE interface_id = representative_id),
           count(*) FILTER (WHERE interface_id <> representative_id)
    FROM interface_member
""")


def judge_block(block: BlockKey, stacks: Iterable[Stacked]) -> list[Membership]:
    """Give every interface of a block its representative: the nearest that matches, else itself.

    An interface is compared with representatives only, so that a chain of small shifts cannot join what is different.
    """
    materials = [block.low, block.high]
    representatives: list[Stacked] = []
    members = []
    for stack in sorted(stacks, key=lambda s: order(s.key)):
        verdicts = [(compare(r, stack), r) for r in representatives]
        matching = [(_misfit(v), i, v, r) for i, (v, r) in enumerate(verdicts) if v.same]
        if matching:
            _, _, verdict, chosen = min(matching, key=lambda found: found[:2])
            method = METHOD_STRUCTURE if stack.geometry is not None else METHOD_STATED
            evidence = {**verdict.evidence, MATERIALS: materials}
            members.append(
                Membership(stack.interface_id, chosen.interface_id, round(verdict.distance, 4), method, evidence)
            )
        else:
            representatives.append(stack)
            own = {MATERIALS: materials}
            members.append(Membership(stack.interface_id, stack.interface_id, 0.0, REPRESENTATIVE, own))
    return members


def compare(one: Stacked, other: Stacked) -> StackVerdict:
    """Judge two interfaces of one block: by their structures, or by what both sources state where they give none."""
    if one.surface != other.surface:
        return StackVerdict(False, float("inf"), {"reason": "Miller planes"})
    if one.geometry is not None and other.geometry is not None:
        return compare_stacks(one.geometry, other.geometry)
    if one.geometry is None and other.geometry is None and one.stated is not None and one.stated == other.stated:
        return StackVerdict(True, 0.0, {})
    return StackVerdict(False, float("inf"), {"reason": "registry not stated"})


def _misfit(verdict: StackVerdict) -> float:
    return float(verdict.evidence.get("registry", 0.0) + verdict.evidence.get("rms", 0.0))
