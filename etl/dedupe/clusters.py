"""Grouping the records of one formula into materials, incrementally and in an order of their own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from etl.dedupe.decide import METHOD_CRYSTAL, METHOD_LAYER, Verdict, compare
from etl.dedupe.layers import Layer
from etl.dedupe.rulings import Key, Rulings, Ties

REPRESENTATIVE = "representative"


@dataclass(slots=True, eq=False)
class Member:
    """A record of a material, and why it is one.

    Attributes:
        material_id: the material that its row names; None while it has none.
        fresh: whether the row has to be written for what it says.
    """

    layer: Layer
    distance: float
    method: str
    evidence: dict[str, Any]
    material_id: int | None = None
    fresh: bool = True

    @property
    def key(self) -> Key:
        """The record, whatever its version."""
        return self.layer.key[1:]

    def restate(self, distance: float, method: str, evidence: dict[str, Any]) -> None:
        """Say why it is a member; its row is written if that is news."""
        if (self.distance, self.method, self.evidence) != (distance, method, evidence):
            self.distance, self.method, self.evidence, self.fresh = distance, method, evidence, True


@dataclass(slots=True, eq=False)
class Cluster:
    """The records of one block that are alike in structure: one material, unless a person rules otherwise.

    Attributes:
        id, uid: of the material's row; None until it is named.
        representative: the structure that members are compared with. While all members are withdrawn it may belong
            to a record that no longer lives: a corrected record thus finds its material again.
        members: the living members.
        live: whether the material's row is not withdrawn.
        structure_id: the structure that the material's row names; None while there is no row.
    """

    id: int | None
    representative: Layer
    members: list[Member] = field(default_factory=list)
    uid: str | None = None
    live: bool = False
    structure_id: int | None = None

    @property
    def keys(self) -> set[Key]:
        """Its records, with the one behind the representative."""
        return {self.representative.key[1:], *(member.key for member in self.members)}

    def join(self, layer: Layer, verdict: Verdict) -> Member:
        """Add a member by its structure."""
        member = Member(layer, *_by_structure(layer, verdict))
        self.members.append(member)
        return member

    def elect(self) -> None:
        """Make the best source's record the representative, if the present one is worse or no longer lives."""
        if not self.members:
            return
        best = min(self.members, key=lambda member: order(member.layer.key))
        current = next((m for m in self.members if m.layer.record_id == self.representative.record_id), None)
        if current is not None and current.layer.key[0] <= best.layer.key[0]:
            return
        self.representative = best.layer
        for member in self.members:
            self.explain(member)

    def explain(self, member: Member) -> None:
        """State anew why a record is a member: because of its structure."""
        if member.layer.record_id == self.representative.record_id:
            member.restate(0.0, REPRESENTATIVE, {})
            return
        verdict = compare(self.representative, member.layer)
        distance, method, evidence = _by_structure(member.layer, verdict)
        if not verdict.same:
            evidence = {**evidence, "kept": "matched an earlier representative"}
        member.restate(distance if distance != float("inf") else member.distance, method, evidence)


def order(key: tuple[int, str, str]) -> tuple[Any, ...]:
    """Sort key: precedence, source, then the external id with its numbers as numbers."""
    precedence, source, external_id = key
    parts = [(int(p), "") if p.isdigit() else (-1, p) for p in re.split(r"(\d{1,15})", external_id)]
    return (precedence, source, parts)


def cluster(clusters: list[Cluster], newcomers: Sequence[Layer], rulings: Rulings | None = None) -> None:
    """Give every newcomer its cluster: the nearest that matches, else a new one. Changes `clusters` in place.

    A newcomer is compared with the representatives only, so that a chain of small differences cannot join what is
    different; of several that match, one with living members wins, then the one with the smallest distance. It is not
    compared with a cluster from which a ruling keeps it apart.
    """
    ties = ties_of(clusters, newcomers, rulings)
    for layer in sorted(newcomers, key=lambda newcomer: order(newcomer.key)):
        allowed = [c for c in clusters if ties is None or not ties.apart(layer.key[1:], c.keys)]
        verdicts = [(compare(c.representative, layer), c) for c in allowed]
        matching = [(not c.members, v.distance, i, v, c) for i, (v, c) in enumerate(verdicts) if v.same]
        if matching:
            *_, verdict, chosen = min(matching, key=lambda found: found[:3])
            chosen.join(layer, verdict)
        else:
            clusters.append(Cluster(None, layer, [Member(layer, 0.0, REPRESENTATIVE, {})]))
    for existing in clusters:
        existing.elect()


def ties_of(clusters: Sequence[Cluster], newcomers: Sequence[Layer], rulings: Rulings | None) -> Ties | None:
    """What rulings say of the records of a block; None where they say nothing."""
    if rulings is None:
        return None
    keys = {layer.key[1:] for layer in newcomers}.union(*(c.keys for c in clusters))
    ruled = rulings.among(keys)
    return Ties(ruled) if ruled else None


def _by_structure(layer: Layer, verdict: Verdict) -> tuple[float, str, dict[str, Any]]:
    return verdict.distance, METHOD_LAYER if layer.periodicity == 2 else METHOD_CRYSTAL, verdict.evidence
