"""The deduplication run: formula by formula, each group of formulas one transaction."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, Engine

from etl.dedupe.clusters import cluster
from etl.dedupe.link import link_interfaces
from etl.dedupe.names import place_by_name
from etl.dedupe.rulings import Rulings, load_rulings
from etl.dedupe.stacks import unite_stacks
from etl.dedupe.store import Block, count, drop_stale_members, load_blocks, save, touched_formulas
from etl.runs import refresh_statistics

CHUNK = 1000
"""Formulas a transaction: an interrupted run keeps what it has judged, and memory stays flat."""


@dataclass(frozen=True, slots=True)
class Followers:
    """What follows the materials once they stand: records that have only a name, and sides of interfaces."""

    by_name: int
    unplaced: int
    linked: int
    unlinked: int


@dataclass(frozen=True, slots=True)
class DedupeReport:
    """What a deduplication did and what there is now.

    Attributes:
        records: records that were given a material in this run by their structure.
        created: materials made; `joined`: records that joined one that was there or was made before them.
        withdrawn: materials that no living record describes, or that were ruled to be another, in all.
        linked: sides of interfaces whose material was found in this run; `unlinked`: those without one, in all.
        by_name: records without structure whose material was found in this run by a name; `unplaced`: those without
            one, in all.
        stacks: distinct stacks among the interfaces whose sides are known; `same_stacks`: interfaces that are the same
            stack as another, in all.
    """

    records: int
    created: int
    joined: int
    materials: int
    withdrawn: int
    linked: int
    unlinked: int
    by_name: int
    unplaced: int
    stacks: int
    same_stacks: int
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """JSON-like."""
        return asdict(self)


def deduplicate(engine: Engine, progress: Callable[[int, int | None], None] | None = None) -> DedupeReport:
    """Give every living record of a layer or crystal its material, withdraw what is described no more, link stacks.

    Only formulas with something new are looked at. The caller holds the lock.
    """
    started = time.monotonic()
    with engine.connect() as connection:
        formulas = touched_formulas(connection)
        rulings = load_rulings(connection)
    records = created = done = 0
    for chunk in _chunks(formulas):
        with engine.begin() as connection:
            blocks = judge(connection, chunk, rulings)
            records += sum(len(newcomers) for _, newcomers in blocks.values())
            created += save(connection, [clusters for clusters, _ in blocks.values()], rulings)
        done += len(chunk)
        if progress is not None:
            progress(done, len(formulas))
    if formulas:
        refresh_statistics(engine, ("material", "material_member", "monolayer", "bulk_phase"))
    with engine.begin() as connection:
        followers = follow(connection, rulings)
    stacks = unite_stacks(engine)
    with engine.connect() as connection:
        return DedupeReport(
            records=records,
            created=created,
            joined=records - created,
            materials=count(connection, "SELECT count(*) FROM material WHERE withdrawn_at IS NULL"),
            withdrawn=count(connection, "SELECT count(*) FROM material WHERE withdrawn_at IS NOT NULL"),
            **asdict(followers),
            stacks=stacks.stacks,
            same_stacks=stacks.same,
            seconds=time.monotonic() - started,
        )


def judge(connection: Connection, formulas: Sequence[str], rulings: Rulings) -> dict[tuple[str, int], Block]:
    """The clusters of some formulas, up to date with their living records; nothing is saved yet."""
    drop_stale_members(connection, formulas)
    blocks = load_blocks(connection, formulas)
    for clusters, newcomers in blocks.values():
        cluster(clusters, newcomers, rulings)
    return blocks


def follow(connection: Connection, rulings: Rulings) -> Followers:
    """Bring up to date what follows the materials."""
    by_name, unplaced = place_by_name(connection, rulings)
    linked, unlinked = link_interfaces(connection)
    return Followers(by_name=by_name, unplaced=unplaced, linked=linked, unlinked=unlinked)


def _chunks(formulas: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(formulas), CHUNK):
        yield formulas[start : start + CHUNK]
