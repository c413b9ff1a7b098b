"""Clusters that people ruled to be one material: which, under what name, and with what evidence."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from etl.dedupe.clusters import Cluster, Member, order
from etl.dedupe.decide import Verdict, compare, is_flipped
from etl.dedupe.fingerprint import distance
from etl.dedupe.layers import Layer
from etl.dedupe.rulings import Key, Ruled, Rulings, Ties

METHOD_BY_HAND = "by hand"
MERGED_FROM = "merged_from"
"""In a member's evidence: uid of the material that its structure would make it, had nobody ruled."""
ANCHOR = "anchor"
"""In the evidence of one member: its structure is what records of its cluster are compared with, though the material's
row shows a better source's structure from another cluster."""


@dataclass(frozen=True, slots=True)
class Tie:
    """A ruling that ties two clusters."""

    ruled: Ruled
    one: Cluster
    other: Cluster

    @property
    def keys(self) -> tuple[Key, Key]:
        """The two records that were ruled the same."""
        return self.ruled.one, self.ruled.other


@dataclass(slots=True, eq=False)
class Union:
    """One material: a cluster, or several that people ruled to be the same.

    Attributes:
        clusters: those with living members; the first gives the material its name.
        ties: what holds them together, as a tree: one tie fewer than clusters.
    """

    clusters: list[Cluster]
    ties: list[Tie]

    @property
    def leader(self) -> Cluster:
        """The cluster whose material's row stands for all."""
        return self.clusters[0]

    @property
    def face(self) -> Cluster:
        """The cluster whose representative is the material's: the best source's, in doubt the leader's."""
        return min(self.clusters, key=lambda c: (c.representative.key[0], c is not self.leader, _age(c)))

    @property
    def members(self) -> list[Member]:
        """All records."""
        return [member for c in self.clusters for member in c.members]

    def holds(self, key: Key) -> bool:
        """Whether a record is a member."""
        return any(member.key == key for member in self.members)

    def reached(self, start: Cluster, *, without: Sequence[Tie]) -> list[Cluster]:
        """The clusters that hold together with one when some ties are cut."""
        return reachable(start, [tie for tie in self.ties if tie not in without])

    def towards(self, start: Cluster, goal: Cluster) -> Tie:
        """The first tie on the way from one cluster to another."""
        return next(
            tie for tie in self.ties if start in (tie.one, tie.other) and goal not in self.reached(start, without=[tie])
        )


def unite(clusters: Iterable[Cluster], rulings: Rulings) -> list[Union]:
    """The materials of a block: its clusters with living members, joined as people ruled.

    The name is that of a living material; of several, the better source's, of equal sources the older one's.
    """
    living = [c for c in clusters if c.members]
    ruled = rulings.among([member.key for c in living for member in c.members])
    if not ruled:
        return [Union([c], []) for c in living]
    keys = [[member.key for member in c.members] for c in living]
    ties = Ties(ruled, keys)
    groups: dict[Key, list[Cluster]] = {}
    home = {}
    for c, own in zip(living, keys, strict=True):
        groups.setdefault(ties.root(own[0]), []).append(c)
        home.update(dict.fromkeys(own, c))
    edges = [Tie(each, home[each.one], home[each.other]) for each in ties.ties]
    unions = []
    for group in groups.values():
        group.sort(key=rank)
        unions.append(Union(group, _tree([edge for edge in edges if edge.one in group])))
    return unions


def rank(c: Cluster) -> tuple[Any, ...]:
    """Sort key: which of several clusters gives their material its name."""
    return (not c.live, c.representative.key[0], _age(c))


def _age(c: Cluster) -> tuple[float, Any]:
    return (c.id if c.id is not None else math.inf, order(c.representative.key))


def _tree(edges: Sequence[Tie]) -> list[Tie]:
    """The oldest ties that connect what the others only connect again."""
    tree: list[Tie] = []
    for edge in edges:
        if edge.other not in reachable(edge.one, tree):
            tree.append(edge)
    return tree


def reachable(start: Cluster, ties: Sequence[Tie]) -> list[Cluster]:
    """The clusters that ties connect with one."""
    found = [start]
    for at in found:
        for tie in ties:
            if at in (tie.one, tie.other):
                neighbour = tie.other if tie.one is at else tie.one
                if neighbour not in found:
                    found.append(neighbour)
    return found


def state_evidence(union: Union) -> None:
    """Say of every member of a material why it is one: by its structure, or by whose ruling."""
    face = union.face
    for c in union.clusters:
        for member in c.members:
            if c is not face:
                _state_ruling(union, face, c, member)
            elif member.method == METHOD_BY_HAND:
                c.explain(member)
            evidence = {key: value for key, value in member.evidence.items() if key not in (MERGED_FROM, ANCHOR)}
            if c is not union.leader:
                evidence[MERGED_FROM] = c.uid
            elif c is not face and member.layer is c.representative:
                evidence[ANCHOR] = True
            member.restate(member.distance, member.method, evidence)


def _state_ruling(union: Union, face: Cluster, c: Cluster, member: Member) -> None:
    verdict = compare(face.representative, member.layer)
    tie = union.towards(c, face)
    near = tie.ruled.one if c is tie.one else tie.ruled.other
    evidence = {
        **verdict.evidence,
        "ruling": tie.ruled.id,
        "author": tie.ruled.author,
        "note": tie.ruled.note,
        "ruled_same": [":".join(tie.ruled.one), ":".join(tie.ruled.other)],
    }
    if member.key != near:
        evidence["through"] = ":".join(near)
    if "flipped" not in evidence and member.layer.periodicity == 2 and not face.representative.symmetry.swaps_faces:
        # Whether the faces are exchanged matters to every value of a face, whether or not the structures match.
        evidence["flipped"] = is_flipped(face.representative, member.layer)
    member.restate(_distance(face.representative, member.layer, verdict), METHOD_BY_HAND, evidence)


def _distance(one: Layer, other: Layer, verdict: Verdict) -> float:
    """Å; infinite for two crystals whose atoms cannot be mapped."""
    if math.isfinite(verdict.distance) or one.periodicity != 2:
        return verdict.distance
    middle = math.sqrt(one.size_per_atom * other.size_per_atom)
    return distance(one.fingerprint_at(middle), other.fingerprint_at(middle))
