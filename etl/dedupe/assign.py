"""The deduplication run: formula by formula, each group of formulas one transaction."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Engine

from etl.dedupe.clusters import cluster
from etl.dedupe.link import link_interfaces
from etl.dedupe.store import count, drop_stale_members, load_blocks, save, touched_formulas
from etl.runs import refresh_statistics

CHUNK = 1000
"""Formulas a transaction: an interrupted run keeps what it has judged, and memory stays flat."""


@dataclass(frozen=True, slots=True)
class DedupeReport:
    """What a deduplication did and what there is now.

    Attributes:
        records: records that were given a material in this run.
        created: materials made; `joined`: records that joined one that was there or was made before them.
        withdrawn: materials that no living record describes, in all.
        linked: sides of interfaces whose material was found in this run.
    """

    records: int
    created: int
    joined: int
    materials: int
    withdrawn: int
    linked: int
    unlinked: int
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
    records = created = done = 0
    for chunk in _chunks(formulas):
        with engine.begin() as connection:
            drop_stale_members(connection, chunk)
            blocks = load_blocks(connection, chunk)
            clusters = []
            for existing, newcomers in blocks.values():
                records += len(newcomers)
                cluster(existing, newcomers)
                clusters.extend(existing)
            created += sum(c.id is None for c in clusters)
            save(connection, clusters)
        done += len(chunk)
        if progress is not None:
            progress(done, len(formulas))
    if formulas:
        refresh_statistics(engine, ("material", "material_member", "monolayer", "bulk_phase"))
    with engine.begin() as connection:
        linked, unlinked = link_interfaces(connection)
        return DedupeReport(
            records=records,
            created=created,
            joined=records - created,
            materials=count(connection, "SELECT count(*) FROM material WHERE withdrawn_at IS NULL"),
            withdrawn=count(connection, "SELECT count(*) FROM material WHERE withdrawn_at IS NOT NULL"),
            linked=linked,
            unlinked=unlinked,
            seconds=time.monotonic() - started,
        )


def _chunks(formulas: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(formulas), CHUNK):
        yield formulas[start : start + CHUNK]
