"""Deciding by hand: two materials are ruled to be one, or a record is ruled not to belong to its material.

What is ruled is written down about pairs of records, so that every later deduplication comes to the same result.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, select

from etl.dedupe.assign import follow, judge
from etl.dedupe.clusters import Cluster, Member, order
from etl.dedupe.decide import compare
from etl.dedupe.link import unlink
from etl.dedupe.rulings import Key, Rulings, Ties, load_rulings, write_rulings
from etl.dedupe.store import Block, save
from etl.dedupe.unions import MERGED_FROM, Union, rank, unite
from schema.errors import StackscreenError
from schema.materials import Material, MaterialMember
from schema.provenance import Source, SourceRecord
from schema.vocabulary import MaterialKind, RecordState, Ruling

_SUGGESTED = 5
"""Names that are suggested for one that is not known."""


class UnknownMaterialError(StackscreenError):
    """There is no material of that name, or no longer."""


class RulingError(StackscreenError):
    """What was asked for makes no sense."""


@dataclass(frozen=True, slots=True)
class RuledMaterial:
    """A material that a ruling touched, as it is now.

    Attributes:
        state: kept, withdrawn, returned (it had been withdrawn before) or new.
        records: its members, as source:external id.
    """

    uid: str
    state: str
    records: list[str]


@dataclass(frozen=True, slots=True)
class RulingReport:
    """What a person has ruled, and what became of it.

    Attributes:
        rulings: numbers of the rulings that were entered, one a pair of records.
        author: who ruled; `note`: why.
    """

    ruling: Ruling
    rulings: list[int]
    author: str
    note: str | None
    materials: list[RuledMaterial]

    def as_dict(self) -> dict[str, Any]:
        """JSON-like."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class MaterialRow:
    """The row of one material."""

    id: int
    uid: str
    kind: MaterialKind
    formula: str
    withdrawn: bool


def find_material(connection: Connection, uid: str) -> MaterialRow:
    """The material of a name, living or not.

    Raises:
        UnknownMaterialError: there is none; the hint has names that are near.
    """
    columns = (Material.id, Material.uid, Material.kind, Material.formula, Material.withdrawn_at.is_not(None))
    row = connection.execute(select(*columns).where(Material.uid == uid)).first()
    if row is None:
        raise UnknownMaterialError(f"There is no material {uid!r}.", hint=_near(connection, uid))
    return MaterialRow(*row)


def _near(connection: Connection, uid: str) -> str:
    """A hint with the living materials of the same formula, else with names that look alike."""
    names = select(Material.uid).where(Material.withdrawn_at.is_(None)).order_by(Material.uid)
    formula = uid.rpartition("-")[0]
    same = list(connection.scalars(names.where(Material.formula == formula)))
    near = difflib.get_close_matches(uid, same, n=_SUGGESTED, cutoff=0)
    near = near or difflib.get_close_matches(uid, connection.scalars(names), n=_SUGGESTED, cutoff=0.5)
    return f"Near names: {', '.join(near)}." if near else "`SELECT uid FROM analyst.monolayers` lists them."


def merged_into(connection: Connection, material: MaterialRow) -> str | None:
    """The material that took this one in by a ruling; None if none did."""
    found: str | None = connection.scalar(
        select(Material.uid)
        .join(MaterialMember, MaterialMember.material_id == Material.id)
        .where(Material.formula == material.formula, MaterialMember.evidence[MERGED_FROM].astext == material.uid)
        .limit(1)
    )
    return found


def living(connection: Connection, uid: str) -> MaterialRow:
    """The material of a name, which must not be withdrawn.

    Raises:
        UnknownMaterialError: there is none, or it was withdrawn; the hint says what it became.
    """
    material = find_material(connection, uid)
    if not material.withdrawn:
        return material
    into = merged_into(connection, material)
    if into is not None:
        raise UnknownMaterialError(f"{uid} was merged into {into}.", hint=f"Use {into}.")
    raise UnknownMaterialError(
        f"{uid} is withdrawn: no living record describes it.", hint=f"See its history: stackscreen dedupe explain {uid}"
    )


def merge(connection: Connection, uid: str, other_uid: str, *, author: str, note: str | None = None) -> RulingReport:
    """Rule that two materials are one: the better source's keeps its name, the other is withdrawn.

    The caller holds the lock of deduplication.

    Raises:
        UnknownMaterialError: a name is not known, or its material is withdrawn.
        RulingError: the two are one already, or of different formulas or kinds.
    """
    one, other = living(connection, uid), living(connection, other_uid)
    if one.id == other.id:
        raise RulingError(f"{uid} cannot be merged with itself.")
    if one.kind is not other.kind:
        raise RulingError(f"{uid} is a {one.kind} and {other_uid} a {other.kind}: they cannot be one material.")
    if one.formula != other.formula:
        raise RulingError(f"{uid} is {one.formula} and {other_uid} is {other.formula}: they cannot be one material.")
    bench = _Bench(connection, one.formula)
    kept, taken = sorted((bench.union(one), bench.union(other)), key=lambda union: rank(union.leader))
    pairs = bench.overruled(kept, taken)
    first = _tie_again(bench.rulings, pairs, kept, taken)
    pairs = [first, *(pair for pair in pairs if pair != first)]
    numbers = bench.rule(pairs, Ruling.SAME, author, note)
    # Several members that join one cluster of several could not be split off again by naming one of them.
    if len(taken.clusters) == 1 and (len(kept.clusters) == 1 or len(taken.members) == 1):
        near = next(c for c in kept.clusters if first[0] in c.keys)
        bench.absorb(near, taken.leader)
    return bench.close(Ruling.SAME, numbers, author, note)


def _tie_again(rulings: Rulings, pairs: Sequence[tuple[Key, Key]], kept: Union, taken: Union) -> tuple[Key, Key]:
    """The two records to tie: those that had held both together before a split, else the two representatives.

    Args:
        pairs: records of either side that stand ruled different.
    """
    replaced = {pair: before.id for pair in pairs if (before := rulings.replaced(*pair)) is not None}
    yours = taken.leader
    for mine in kept.clusters if len(taken.clusters) == 1 else []:
        by_structure = any((a, b) not in replaced for a, b in pairs if a in mine.keys)
        if by_structure and compare(mine.representative, yours.representative).same:
            return mine.representative.key[1:], yours.representative.key[1:]
    if replaced:
        return min(replaced, key=lambda pair: replaced[pair])
    return kept.leader.representative.key[1:], taken.leader.representative.key[1:]


def split(
    connection: Connection, uid: str, source: str, external_id: str, *, author: str, note: str | None = None
) -> RulingReport:
    """Rule that a record is not its material: it leaves, and gets a material of its own.

    A record that came by a merge takes with it what came with it, so that the merge is undone exactly. A name stays
    with the structure it stands for: if the record is the material's representative, it is the others that leave.

    The caller holds the lock of deduplication.

    Raises:
        UnknownMaterialError: the name is not known, or its material is withdrawn.
        RulingError: the record is not a member, or the only one.
    """
    material = living(connection, uid)
    key = (source, external_id)
    bench = _Bench(connection, material.formula)
    union = bench.union(material)
    if not union.holds(key):
        return _split_nameless(bench, union, material, key, author, note)
    if len(union.members) == 1:
        raise RulingError(f"{source}:{external_id} is the only member of {uid}: there is nothing to split.")
    home = next(c for c in union.clusters if any(member.key == key for member in c.members))
    leaving = _leaving(union, home, key)
    staying = [member for member in union.members if member not in leaving]
    pairs = [(gone.key, stays.key) for gone in leaving for stays in staying]
    parting = [member for member in home.members if member in leaving]
    if len(parting) < len(home.members):
        alone = _detach(home, parting, bench.clusters_of(material))
        # Its own material means its own: neither is it one of those that it would have joined next.
        others = [c for c in bench.clusters_of(material) if c.members and c not in (*union.clusters, alone)]
        alike = [c for c in others if compare(c.representative, alone.representative).same]
        pairs += [(mine.key, yours.key) for c in alike for mine in alone.members for yours in c.members]
    numbers = bench.rule(pairs, Ruling.DIFFERENT, author, note)
    return bench.close(Ruling.DIFFERENT, numbers, author, note)


def _leaving(union: Union, home: Cluster, key: Key) -> list[Member]:
    """The members that part from the others when a record is split off."""
    if len(union.clusters) == 1:
        is_face = home.representative.key[1:] == key
        return [member for member in home.members if (member.key == key) != is_face]
    is_face = home.representative.key[1:] == key
    if home is union.leader and is_face:
        return list(home.members)
    upwards = None if home is union.leader else union.towards(home, union.leader)
    if upwards is not None and (is_face or key in upwards.keys):
        return [member for c in union.reached(home, without=[upwards]) for member in c.members]
    # What hangs on this record alone goes with it.
    hanging = [tie for tie in union.ties if home in (tie.one, tie.other) and key in tie.keys]
    near = union.reached(home, without=hanging)
    return [m for c in union.clusters for m in c.members if m.key == key or c not in near]


def _detach(home: Cluster, leaving: Sequence[Member], clusters: list[Cluster]) -> Cluster:
    """Give some members of a cluster one of their own: the withdrawn one of their structure, if there is one."""
    home.members = [member for member in home.members if member not in leaving]
    ranked = sorted(leaving, key=lambda member: order(member.layer.key))
    empty = {c.representative.record_id: c for c in reversed(clusters) if not c.members}
    own = next((empty[m.layer.record_id] for m in ranked if m.layer.record_id in empty), None)
    if own is None:
        own = Cluster(None, ranked[0].layer)
        clusters.append(own)
    own.members = list(leaving)
    own.elect()
    for member in own.members:
        own.explain(member)
    home.elect()
    return own


def _split_nameless(
    bench: _Bench, union: Union, material: MaterialRow, key: Key, author: str, note: str | None
) -> RulingReport:
    """Rule that a record without structure was named wrongly: it stays without a material."""
    name = ":".join(key)
    statement = (
        select(MaterialMember.method)
        .join(SourceRecord, SourceRecord.id == MaterialMember.source_record_id)
        .join(Source, Source.id == SourceRecord.source_id)
        .where(MaterialMember.material_id == material.id, Source.key == key[0], SourceRecord.external_id == key[1])
        .where(SourceRecord.state == RecordState.ACCEPTED)
    )
    if bench.connection.scalar(statement) is None:
        members = ", ".join(":".join(member.key) for member in union.members)
        raise RulingError(f"{name} is not a member of {material.uid}.", hint=f"Its members are {members}.")
    pairs = [(key, member.key) for member in union.members]
    numbers = bench.rule(pairs, Ruling.DIFFERENT, author, note)
    return bench.close(Ruling.DIFFERENT, numbers, author, note)


class _Bench:
    """The materials of one formula, brought up to date and taken apart for a ruling.

    Args:
        connection: in the transaction of the ruling.
        formula: reduced formula.
    """

    def __init__(self, connection: Connection, formula: str) -> None:
        self.connection = connection
        self.rulings: Rulings = load_rulings(connection)
        self._formula = formula
        self._blocks: dict[tuple[str, int], Block] = judge(connection, [formula], self.rulings)
        self._save()
        self._before = self._state()

    def clusters_of(self, material: MaterialRow) -> list[Cluster]:
        """All clusters of its kind."""
        return self._blocks[self._formula, 2 if material.kind is MaterialKind.MONOLAYER else 3][0]

    def union(self, material: MaterialRow) -> Union:
        """One material with its members.

        Raises:
            UnknownMaterialError: its last record has gone since.
        """
        for union in unite(self.clusters_of(material), self.rulings):
            if union.leader.id == material.id:
                return union
        raise UnknownMaterialError(f"{material.uid} is withdrawn: no living record describes it any more.")

    def overruled(self, one: Union, other: Union) -> list[tuple[Key, Key]]:
        """Pairs of records of two materials that stand ruled different."""
        pairs = [(mine.key, yours.key) for mine in one.members for yours in other.members]
        standing = [(pair, self.rulings.between(*pair)) for pair in pairs]
        return [pair for pair, ruled in standing if ruled is not None and ruled.ruling is Ruling.DIFFERENT]

    def rule(self, pairs: Sequence[tuple[Key, Key]], ruling: Ruling, author: str, note: str | None) -> list[int]:
        """Enter rulings."""
        numbers = write_rulings(self.connection, pairs, ruling, author, note)
        self.rulings = load_rulings(self.connection)
        return numbers

    def close(self, ruling: Ruling, numbers: list[int], author: str, note: str | None) -> RulingReport:
        """Write what the ruling made of the materials, and all that follows them."""
        self._save()
        after = self._state()
        touched = [uid for uid in after if after[uid] != self._before.get(uid)]
        ids = self.connection.scalars(select(Material.id).where(Material.uid.in_(touched)))
        unlink(self.connection, list(ids))
        follow(self.connection, self.rulings)
        materials = [
            RuledMaterial(uid, _became(self._before.get(uid), records), records)
            for uid in touched
            if (records := after[uid]) or self._before.get(uid)
        ]
        return RulingReport(ruling, numbers, author, note, materials)

    def absorb(self, strong: Cluster, weak: Cluster) -> None:
        """Join a cluster to a better one if only an earlier ruling kept its members out of it."""
        if rank(weak)[1:] < rank(strong)[1:] or not compare(strong.representative, weak.representative).same:
            return
        block = next(clusters for clusters, _ in self._blocks.values() if strong in clusters)
        ties = Ties(self.rulings.among(set().union(*(c.keys for c in block))))
        verdicts = [compare(strong.representative, member.layer) for member in weak.members]
        if not all(v.same for v in verdicts) or any(ties.apart(m.key, strong.keys) for m in weak.members):
            return
        for member, verdict in zip(weak.members, verdicts, strict=True):
            strong.join(member.layer, verdict).material_id = member.material_id
        weak.members = []
        strong.elect()

    def _save(self) -> None:
        save(self.connection, [clusters for clusters, _ in self._blocks.values()], self.rulings)

    def _state(self) -> dict[str, list[str]]:
        """Records of every material of the formula by its uid; none where it is withdrawn."""
        state: dict[str, list[str]] = {str(c.uid): [] for clusters, _ in self._blocks.values() for c in clusters}
        for clusters, _ in self._blocks.values():
            for union in unite(clusters, self.rulings):
                state[str(union.leader.uid)] = sorted(":".join(member.key) for member in union.members)
        return state


def _became(before: Iterable[str] | None, after: Iterable[str]) -> str:
    if before is None:
        return "new"
    if not after:
        return "withdrawn"
    return "kept" if before else "returned"
