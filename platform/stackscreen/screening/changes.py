"""What has changed since the published run: the members that are new, and the numbers of those that are gone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, bindparam, select, update

from schema import ScreeningMember, ScreeningRun
from schema.vocabulary import EdgeMethod, RunState
from stackscreen.screening.members import fingerprints, snapshot
from stackscreen.screening.spaces import RunKey, of_run

Key = tuple[int, int | None]
"""A member of any run: its material and, if it is a surface, the surface."""


@dataclass(frozen=True, slots=True)
class Known:
    """A member as the published run knows it."""

    number: int
    inputs_digest: bytes
    fingerprint: int


@dataclass(frozen=True, slots=True)
class Today:
    """The members that a run of today would have.

    Attributes:
        digests: digest of each member's inputs, in the order of their places.
        n_monolayers: how many are monolayers; the others are surfaces.
        fresh: rows of `screening_member`, without run and number, of those that the published run does not have so.
        gone: numbers of the published run's members that are none today, or are no longer what they were.
    """

    digests: list[bytes]
    n_monolayers: int
    fresh: list[dict[str, Any]]
    gone: list[int]

    @property
    def n_surfaces(self) -> int:
        """How many are surfaces."""
        return len(self.digests) - self.n_monolayers


def published(connection: Connection) -> Row[Any] | None:
    """The published run's row of `screening_run`, or None."""
    return connection.execute(
        select(ScreeningRun.__table__).where(ScreeningRun.state == RunState.PUBLISHED)
    ).one_or_none()


def compare(connection: Connection, run: Row[Any] | None, edges: EdgeMethod) -> Today:
    """Today's members beside those of the published run; with no run, all are fresh.

    Only materials with another fingerprint are looked at closely. Where nothing that matters differs, the new
    fingerprint is written down, so that the next comparison passes over them.

    Args:
        connection: in the transaction that will plan the run.
        run: from `published`; with edges of the same functional.
        edges: functional of the band edges, gaps and work functions.
    """
    now = fingerprints(connection)
    if run is None:
        rows = _with_fingerprints(snapshot(connection, edges), now)
        return Today([row["inputs_digest"] for row in rows], _count_layers(rows), rows, [])
    known = _known(connection, run)
    materials = {material for material, _ in known}
    before = {material: one.fingerprint for (material, _), one in known.items()}
    touched = {material for material, hashed in now.items() if before.get(material) != hashed}
    rows = _with_fingerprints(snapshot(connection, edges, only=touched), now) if touched else []
    looked_at = {_key(row): row for row in rows}
    same = {key for key, row in looked_at.items() if key in known and known[key].inputs_digest == row["inputs_digest"]}
    _renew(connection, run.space_id, ((known[key].number, looked_at[key]["fingerprint"]) for key in same))
    withdrawn = materials - now.keys()
    standing = {
        key: one.inputs_digest
        for key, one in known.items()
        if key in same or (key[0] not in touched and key[0] not in withdrawn)
    }
    fresh = {key: row for key, row in looked_at.items() if key not in same}
    digests = standing | {key: row["inputs_digest"] for key, row in fresh.items()}
    places = sorted(digests, key=lambda key: (key[1] is not None, key[0], key[1] or 0))
    return Today(
        [digests[key] for key in places],
        sum(surface is None for _, surface in places),
        [fresh[key] for key in places if key in fresh],
        sorted(one.number for key, one in known.items() if key not in standing),
    )


def _known(connection: Connection, run: Row[Any]) -> dict[Key, Known]:
    member = ScreeningMember
    rows = connection.execute(
        select(member.material_id, member.surface_id, member.member, member.inputs_digest, member.fingerprint).where(
            of_run(member, RunKey(run.id, run.space_id))
        )
    )
    return {(material, surface): Known(number, digest, hashed) for material, surface, number, digest, hashed in rows}


def _key(row: dict[str, Any]) -> Key:
    return row["material_id"], row["surface_id"]


def _count_layers(rows: list[dict[str, Any]]) -> int:
    return sum(row["surface_id"] is None for row in rows)


def _with_fingerprints(rows: list[dict[str, Any]], now: dict[int, int]) -> list[dict[str, Any]]:
    for row in rows:
        row["fingerprint"] = now[row["material_id"]]
    return rows


def _renew(connection: Connection, space_id: int, numbers: Iterable[tuple[int, int]]) -> None:
    """New fingerprints of members whose inputs are the same."""
    member = ScreeningMember
    values = [{"its_number": number, "its_fingerprint": hashed} for number, hashed in numbers]
    if values:
        connection.execute(
            update(member.__table__)  # type: ignore[arg-type]
            .where(member.run_id == space_id, member.member == bindparam("its_number"))
            .values(fingerprint=bindparam("its_fingerprint")),
            values,
        )
