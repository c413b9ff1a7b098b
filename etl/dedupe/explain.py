"""Why a material is what it is: its members and near misses with numbers, the rulings, and its history."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select, text

from etl.dedupe.by_hand import MaterialRow, find_material, merged_into
from etl.dedupe.checks import Check, Comparison, comparison
from etl.dedupe.layers import Layer
from etl.dedupe.names import METHOD_NAME
from etl.dedupe.rulings import Key, Ruled, Rulings, load_rulings
from etl.dedupe.store import layer_of_material, layers_of_materials
from etl.dedupe.unions import METHOD_BY_HAND
from schema.materials import Material
from schema.vocabulary import Ruling

_MEMBERS = text("""
    SELECT s.key AS source, r.external_id, mm.distance, mm.method, mm.version, mm.evidence, mm.decided_at
    FROM material_member mm
    JOIN source_record r ON r.id = mm.source_record_id
    JOIN source s ON s.id = r.source_id
    WHERE mm.material_id = :id OR mm.evidence ->> 'merged_from' = :uid AND mm.material_id = :merged_into
    ORDER BY (mm.method <> 'representative'), s.precedence, r.id
""")

_VERSIONS = text("""
    SELECT s.key AS source, r.external_id, r.state, r.created_at, i.file_name, n.created_at AS superseded_at
    FROM source_record r
    JOIN source s ON s.id = r.source_id
    JOIN import_run i ON i.id = r.import_run_id
    LEFT JOIN source_record n ON n.id = r.superseded_by_id
    WHERE (s.key, r.external_id) IN (SELECT * FROM unnest(CAST(:sources AS text[]), CAST(:names AS text[])))
    ORDER BY r.id
""")


@dataclass(frozen=True, slots=True)
class MemberExplained:
    """A record of a material, and why it is one.

    Attributes:
        distance: Å to the representative; None if never compared.
        because: the evidence in words; `evidence` has it as it is kept.
    """

    record: str
    distance: float | None
    method: str
    version: str
    because: str
    evidence: dict[str, Any]


@dataclass(frozen=True, slots=True)
class NearMiss:
    """Another material of the same formula and kind, and why it is another; `because` is it in words."""

    uid: str
    comparison: Comparison
    because: str


@dataclass(frozen=True, slots=True)
class RulingExplained:
    """One standing ruling by hand on two records."""

    id: int
    one: str
    other: str
    ruling: Ruling
    author: str
    note: str | None
    ruled_at: str


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a material."""

    at: str
    what: str


@dataclass(frozen=True, slots=True)
class MaterialExplained:
    """Everything about one material's identity.

    Attributes:
        state: living, withdrawn or merged.
        merged_into: uid of the material that took it in.
        near: the nearest first; `n_others` counts all other materials of the formula and kind.
    """

    uid: str
    kind: str
    formula: str
    state: str
    merged_into: str | None
    members: list[MemberExplained]
    near: list[NearMiss]
    n_others: int
    rulings: list[RulingExplained]
    history: list[Event]

    def as_dict(self) -> dict[str, Any]:
        """JSON-like."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class PairExplained:
    """Two materials compared afresh."""

    one: str
    other: str
    comparison: Comparison
    because: str
    rulings: list[RulingExplained]

    def as_dict(self) -> dict[str, Any]:
        """JSON-like."""
        return asdict(self)


def explain(connection: Connection, uid: str, *, limit: int = 10) -> MaterialExplained:
    """Why a material has the members it has, and no others.

    Args:
        limit: most near misses.

    Raises:
        UnknownMaterialError: there never was one of that name.
    """
    material = find_material(connection, uid)
    into = merged_into(connection, material) if material.withdrawn else None
    target = find_material(connection, into) if into is not None else None
    rows = connection.execute(
        _MEMBERS, {"id": material.id, "uid": uid, "merged_into": target.id if target else None}
    ).all()
    keys = [(row.source, row.external_id) for row in rows]
    rulings = load_rulings(connection)
    own = layer_of_material(connection, material.id)
    keys = keys or [own.key[1:]]
    near = _near(connection, material, target, own, rulings, keys)
    return MaterialExplained(
        uid=uid,
        kind=material.kind,
        formula=material.formula,
        state="merged" if into is not None else "withdrawn" if material.withdrawn else "living",
        merged_into=into,
        members=[
            MemberExplained(
                record=f"{row.source}:{row.external_id}",
                distance=row.distance if math.isfinite(row.distance) else None,
                method=row.method,
                version=row.version,
                because=in_words(row.method, row.evidence),
                evidence=row.evidence,
            )
            for row in rows
        ],
        near=near[:limit],
        n_others=len(near),
        rulings=[
            _ruling(each) for each in sorted({r.id: r for k in keys for r in rulings.of(k)}.values(), key=_number)
        ],
        history=_history(connection, material, into, keys, rows, rulings),
    )


def explain_pair(connection: Connection, uid: str, other_uid: str) -> PairExplained:
    """Why two materials are two, by each check of the comparison; either may be withdrawn.

    Raises:
        UnknownMaterialError: there never was one of that name.
    """
    one, other = find_material(connection, uid), find_material(connection, other_uid)
    first, second = layer_of_material(connection, one.id), layer_of_material(connection, other.id)
    checks = [
        Check("kind", f"{one.kind} and {other.kind}", "equal", one.kind is other.kind),
        Check("reduced formula", f"{one.formula} and {other.formula}", "equal", one.formula == other.formula),
    ]
    if all(check.passed for check in checks):
        found = comparison(first, second)
        found = Comparison(found.same, found.distance, found.reason, checks + found.checks)
    else:
        failed = next(check for check in checks if not check.passed)
        found = Comparison(False, None, f"different {failed.name}", checks)
    rulings = load_rulings(connection)
    keys = (_keys(connection, one, first), _keys(connection, other, second))
    between = [each for a in keys[0] for b in keys[1] if (each := rulings.between(a, b)) is not None]
    return PairExplained(
        uid, other_uid, found, _because(found, between), [_ruling(each) for each in sorted(between, key=_number)]
    )


def in_words(method: str, evidence: dict[str, Any]) -> str:
    """The evidence of a member as a sentence."""
    if method == METHOD_NAME:
        return f"has no structure of its own; {evidence['name']} names {evidence['record']}"
    parts = []
    if method == METHOD_BY_HAND:
        note = f" ({evidence['note']})" if evidence.get("note") else ""
        parts.append(f"{' and '.join(evidence['ruled_same'])} ruled the same by {evidence['author']}{note}")
        if "through" in evidence:
            parts.append(f"is like {evidence['through']}")
    parts += [words.format(evidence[key]) for key, words in _WORDS.items() if evidence.get(key) is not None]
    if evidence.get("flipped"):
        parts.append("drawn upside down")
    return "; ".join(parts) or "is the representative"


_WORDS = {
    "fingerprint": "fingerprints {:.3f} Å apart",
    "rms": "atoms displaced by {:.3f} Å (rms)",
    "strain": "cells strained by {:.3f}",
    "ln_area_ratio": "ln of the area ratio {:+.3f}",
    "ln_volume_ratio": "ln of the volume ratio {:+.3f}",
    "kept": "kept: {}",
    "reason": "alone they would be kept apart: {}",
    "merged_from": "on its own it is {}",
}


def _near(
    connection: Connection,
    material: MaterialRow,
    target: MaterialRow | None,
    own: Layer,
    rulings: Rulings,
    keys: Sequence[Key],
) -> list[NearMiss]:
    found: dict[int, tuple[Layer, Comparison]] = {}
    mine = {material.id, target.id if target is not None else material.id}
    for identity, layer in layers_of_materials(connection, material.formula, material.kind):
        if identity in mine:
            continue
        compared = comparison(own, layer)
        if identity not in found or compared.nearness < found[identity][1].nearness:
            found[identity] = (layer, compared)
    statement = select(Material.id, Material.uid).where(Material.id.in_(list(found)))
    uids: dict[int, str] = {row.id: row.uid for row in connection.execute(statement)}
    near = []
    for identity, (layer, compared) in found.items():
        between = [each for key in keys if (each := rulings.between(key, layer.key[1:])) is not None]
        near.append(NearMiss(uids[identity], compared, _because(compared, between)))
    return sorted(near, key=lambda miss: (miss.comparison.nearness, miss.uid))


def _because(found: Comparison, between: Sequence[Ruled]) -> str:
    """Why two materials are two, in words."""
    apart = [each for each in between if each.ruling is Ruling.DIFFERENT]
    ruled = f"ruled different by {max(apart, key=_number).author}" if apart else ""
    if found.same:
        return ruled or "alike now: each was judged before the other's representative was there"
    failed = [check for check in found.checks if check.passed is False]
    words = "; ".join(f"{check.name}: {check.found}, allowed {check.limit}".strip(", ") for check in failed)
    return f"{words}; {ruled}" if ruled else words


def _number(ruled: Ruled) -> int:
    return ruled.id


def _keys(connection: Connection, material: MaterialRow, own: Layer) -> list[Key]:
    rows = connection.execute(_MEMBERS, {"id": material.id, "uid": material.uid, "merged_into": None})
    return list({own.key[1:], *((row.source, row.external_id) for row in rows)})


def _ruling(each: Ruled) -> RulingExplained:
    one, other = ":".join(each.one), ":".join(each.other)
    return RulingExplained(each.id, one, other, each.ruling, each.author, each.note, _stamp(each.ruled_at))


def _history(
    connection: Connection,
    material: MaterialRow,
    into: str | None,
    keys: Sequence[Key],
    members: Sequence[Any],
    rulings: Rulings,
) -> list[Event]:
    created_at, withdrawn_at = connection.execute(
        select(Material.created_at, Material.withdrawn_at).where(Material.id == material.id)
    ).one()
    events: list[tuple[datetime, str]] = [(created_at, f"{material.uid} was made")]
    if withdrawn_at is not None:
        events.append((withdrawn_at, f"merged into {into}" if into else "withdrawn: no living record describes it"))
    versions = connection.execute(_VERSIONS, {"sources": [k[0] for k in keys], "names": [k[1] for k in keys]})
    for row in versions:
        record = f"{row.source}:{row.external_id}"
        events.append((row.created_at, f"{record} was read from {row.file_name}"))
        if row.superseded_at is not None:
            events.append((row.superseded_at, f"{record} was replaced by a corrected version"))
    for row in members:
        events.append((row.decided_at, f"{row.source}:{row.external_id} was judged ({row.method})"))
    for each in rulings.ever(keys):
        words = f"{':'.join(each.one)} and {':'.join(each.other)} were ruled {each.ruling} by {each.author}"
        events.append((each.ruled_at, words))
    return [Event(_stamp(at), what) for at, what in sorted(events)]


def _stamp(at: datetime) -> str:
    return at.isoformat(timespec="seconds")
