"""What people have ruled about pairs of records, and what follows from it for the others."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, insert, select
from sqlalchemy.orm import aliased

from schema.materials import DedupeRuling
from schema.provenance import Source
from schema.vocabulary import Ruling

Key = tuple[str, str]
"""A record whatever its version: key of its source, external id."""


@dataclass(frozen=True, slots=True)
class Ruled:
    """One ruling; a higher id is newer."""

    id: int
    one: Key
    other: Key
    ruling: Ruling
    author: str
    note: str | None
    ruled_at: datetime


class Rulings:
    """The rulings that stand: the newest on each pair of records.

    Args:
        ruled: rulings, in any order.
    """

    def __init__(self, ruled: Iterable[Ruled] = ()) -> None:
        self._standing: dict[frozenset[Key], Ruled] = {}
        self._of: dict[Key, dict[frozenset[Key], Ruled]] = {}
        self._all = sorted(ruled, key=lambda each: each.id)
        for each in self._all:
            pair = frozenset((each.one, each.other))
            self._standing[pair] = each
            for key in pair:
                self._of.setdefault(key, {})[pair] = each

    def among(self, keys: Collection[Key]) -> list[Ruled]:
        """Standing rulings on pairs of these records, oldest first."""
        if not self._standing:
            return []
        inside = set(keys)
        found = {
            each.id: each
            for key in inside & self._of.keys()
            for pair, each in self._of[key].items()
            if pair <= inside
        }  # fmt: skip
        return [found[i] for i in sorted(found)]

    def of(self, key: Key) -> list[Ruled]:
        """Standing rulings on one record, oldest first."""
        return sorted(self._of.get(key, {}).values(), key=lambda each: each.id)

    def replaced(self, one: Key, other: Key) -> Ruled | None:
        """The newest contrary ruling that the standing one on a pair replaced."""
        standing = self.between(one, other)
        if standing is None:
            return None
        earlier = [r for r in self._all if {r.one, r.other} == {one, other} and r.ruling is not standing.ruling]
        return earlier[-1] if earlier else None

    def ever(self, keys: Collection[Key]) -> list[Ruled]:
        """All rulings on any of these records, with those that newer ones replaced, oldest first."""
        return [each for each in self._all if each.one in keys or each.other in keys]

    def between(self, one: Key, other: Key) -> Ruled | None:
        """The standing ruling on a pair."""
        return self._standing.get(frozenset((one, other)))


class Ties:
    """Which records rulings tie together and which they keep apart; where two contradict each other, the newer wins.

    Args:
        ruled: standing rulings, oldest first.
        together: sets of records that are together for another reason.
    """

    def __init__(self, ruled: Sequence[Ruled], together: Iterable[Collection[Key]] = ()) -> None:
        self._parent: dict[Key, Key] = {}
        self.ties: list[Ruled] = []
        """The rulings that tie, oldest first."""
        kept_apart: list[Ruled] = []
        for keys in together:
            first, *rest = keys
            for key in rest:
                self._parent[self.root(key)] = self.root(first)
        for each in reversed(ruled):
            one, other = self.root(each.one), self.root(each.other)
            if each.ruling is Ruling.DIFFERENT:
                if one != other:
                    kept_apart.append(each)
            elif one == other:
                self.ties.insert(0, each)
            elif frozenset((one, other)) not in self._pairs(kept_apart):
                self.ties.insert(0, each)
                self._parent[other] = one
        self._apart = self._pairs(kept_apart)

    def _pairs(self, ruled: Iterable[Ruled]) -> set[frozenset[Key]]:
        return {frozenset((self.root(each.one), self.root(each.other))) for each in ruled}

    def root(self, key: Key) -> Key:
        """The record that stands for all that are tied to this one."""
        while (parent := self._parent.get(key, key)) != key:
            key = parent
        return key

    def apart(self, key: Key, others: Iterable[Key]) -> bool:
        """Whether a record is kept apart from any of some others."""
        if not self._apart:
            return False
        own = self.root(key)
        return any(frozenset((own, self.root(other))) in self._apart for other in others)


def load_rulings(connection: Connection) -> Rulings:
    """All rulings of the database: they are made by hand, so they are few."""
    one, other = aliased(Source), aliased(Source)
    statement = (
        select(
            DedupeRuling.id, one.key, DedupeRuling.external_id_a, other.key, DedupeRuling.external_id_b,
            DedupeRuling.ruling, DedupeRuling.author, DedupeRuling.note, DedupeRuling.ruled_at,
        )
        .join(one, one.id == DedupeRuling.source_a_id)
        .join(other, other.id == DedupeRuling.source_b_id)
    )  # fmt: skip
    return Rulings(
        Ruled(number, (source_a, id_a), (source_b, id_b), ruling, author, note, ruled_at)
        for number, source_a, id_a, source_b, id_b, ruling, author, note, ruled_at in connection.execute(statement)
    )


def write_rulings(
    connection: Connection, pairs: Sequence[tuple[Key, Key]], ruling: Ruling, author: str, note: str | None
) -> list[int]:
    """Enter one ruling a pair, in their order; gives back their numbers."""
    sources = {row.key: row.id for row in connection.execute(select(Source.key, Source.id))}
    numbers = []
    for (source_a, id_a), (source_b, id_b) in pairs:
        statement = (
            insert(DedupeRuling)
            .values(
                source_a_id=sources[source_a], external_id_a=id_a, source_b_id=sources[source_b], external_id_b=id_b,
                ruling=ruling, author=author, note=note,
            )
            .returning(DedupeRuling.id)
        )  # fmt: skip
        numbers.append(connection.scalars(statement).one())
    return numbers
