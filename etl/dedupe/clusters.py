"""Grouping the records of one formula into materials, incrementally and in an order of their own."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from etl.dedupe.decide import METHOD_CRYSTAL, METHOD_LAYER, Verdict, compare
from etl.dedupe.layers import Layer

REPRESENTATIVE = "representative"


@dataclass(slots=True, eq=False)
class Member:
    """A record of a material, and why it is one."""

    layer: Layer
    distance: float
    method: str
    evidence: dict[str, Any]


@dataclass(slots=True, eq=False)
class Cluster:
    """One material while a block is being judged.

    Attributes:
        id: of the material's row; None while it is new.
        representative: the structure that members are compared with. While all members are withdrawn it may belong
            to a record that no longer lives: a corrected record thus finds its material again.
        members: the living members.
        changed: whether the material's row has to be written.
        fresh: members whose rows have to be written.
    """

    id: int | None
    representative: Layer
    members: list[Member] = field(default_factory=list)
    changed: bool = False
    fresh: list[Member] = field(default_factory=list)


def order(key: tuple[int, str, str]) -> tuple[Any, ...]:
    """Sort key: precedence, source, then the external id with its numbers as numbers."""
    precedence, source, external_id = key
    parts = [(int(p), "") if p.isdigit() else (-1, p) for p in re.split(r"(\d{1,15})", external_id)]
    return (precedence, source, parts)


def cluster(clusters: list[Cluster], newcomers: list[Layer]) -> None:
    """Give every newcomer its material: the nearest that matches, else a new one. Changes `clusters` in place.

    A newcomer is compared with the representatives only, so that a chain of small differences cannot join what is
    different; of several that match, the one with the smallest distance wins.
    """
    for layer in sorted(newcomers, key=lambda newcomer: order(newcomer.key)):
        verdicts = [(compare(c.representative, layer), c) for c in clusters]
        matching = [(v.distance, i, v, c) for i, (v, c) in enumerate(verdicts) if v.same]
        if matching:
            _, _, verdict, chosen = min(matching, key=lambda found: found[:2])
            _join(chosen, layer, verdict)
        else:
            own = Member(layer, 0.0, REPRESENTATIVE, {})
            clusters.append(Cluster(None, layer, [own], changed=True, fresh=[own]))
    for existing in clusters:
        _elect(existing)


def _join(chosen: Cluster, layer: Layer, verdict: Verdict) -> None:
    method = METHOD_LAYER if layer.periodicity == 2 else METHOD_CRYSTAL
    member = Member(layer, verdict.distance, method, verdict.evidence)
    if not chosen.members:
        chosen.changed = True
    chosen.members.append(member)
    chosen.fresh.append(member)


def _elect(chosen: Cluster) -> None:
    """Make the best source's record the representative, if the present one is worse or no longer lives."""
    if not chosen.members:
        return
    best = min(chosen.members, key=lambda member: order(member.layer.key))
    current = next((m for m in chosen.members if m.layer.record_id == chosen.representative.record_id), None)
    if current is not None and current.layer.key[0] <= best.layer.key[0]:
        return
    chosen.representative, chosen.changed = best.layer, True
    for member in chosen.members:
        if member is best:
            member.distance, member.method, member.evidence = 0.0, REPRESENTATIVE, {}
        else:
            verdict = compare(best.layer, member.layer)
            reason = {"kept": "matched an earlier representative"} if not verdict.same else {}
            method = METHOD_LAYER if best.layer.periodicity == 2 else METHOD_CRYSTAL
            distance = verdict.distance if verdict.distance != float("inf") else member.distance
            member.distance, member.method, member.evidence = distance, method, {**verdict.evidence, **reason}
    chosen.fresh = list(chosen.members)
