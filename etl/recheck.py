"""Looking again at what the database holds, with the readers and rules of today: after an upgrade, nothing is imported.

Quarantined records that pass now are taken into use. Records in use get the values, doubts and names that today's
reader finds in their kept payload. Doing it again changes nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from sqlalchemy import Connection, Engine, exists, func, select
from sqlalchemy.orm import aliased

from etl.batch import DUPLICATE
from etl.content import property_ids, rewrite_facts
from etl.copying import driver_cursor
from etl.payload import clean_text
from etl.rejudge import Kept, accept, kept_records, living_version, rejudge, rename_rule, waivers_of
from etl.runs import exclusive
from etl.source import get_source, source_names
from etl.validate import NOTHING_WAIVED, Accepted, Waived
from schema.properties import Property, PropertyValue
from schema.provenance import RecordFlag, RecordName, Source, SourceRecord
from schema.structures import Structure
from schema.vocabulary import RecordState

BATCH = 500
"""Records a transaction."""

Progress = Callable[[int, int | None], None]


@dataclass(slots=True)
class Recheck:
    """What became of quarantined records that were looked at again.

    Attributes:
        looked_at: how many; duplicates of a name are not: their rule does not look at their content.
        accepted: taken into use.
        overtaken: would pass, but a newer version is in use.
        other_rule: break another rule than they did.
        refused: still refused, by rule.
    """

    looked_at: int = 0
    accepted: int = 0
    overtaken: int = 0
    other_rule: int = 0
    refused: Counter[str] = field(default_factory=Counter)

    def as_dict(self) -> dict[str, Any]:
        """JSON-like."""
        return _plain(self)


@dataclass(slots=True)
class Rederivation:
    """What became of records in use that were read again.

    Attributes:
        looked_at: how many.
        changed: got other values, doubts or names.
        incomplete: left as they were: part of what was read is not kept, only their file has it.
        restructured: left as they were: today's reader sees another structure in them.
        refused: left as they were, although today's rules refuse them, by rule.
    """

    looked_at: int = 0
    changed: int = 0
    incomplete: int = 0
    restructured: int = 0
    refused: Counter[str] = field(default_factory=Counter)

    def as_dict(self) -> dict[str, Any]:
        """JSON-like."""
        return _plain(self)


def _plain(report: Recheck | Rederivation) -> dict[str, Any]:
    # `dataclasses.asdict` cannot copy a Counter.
    counts = {entry.name: getattr(report, entry.name) for entry in fields(report)}
    return {**counts, "refused": dict(sorted(report.refused.items()))}


def recheck(
    engine: Engine, *, rule: str | None = None, source: str | None = None, progress: Progress | None = None
) -> Recheck:
    """Judge quarantined records again and take those that pass now into use.

    Args:
        engine: the database.
        rule, source: restrict to one.
        progress: called after every batch.

    Raises:
        ImportBusyError: a source is being imported.
    """
    done = Recheck()

    def judge_again(connection: Connection, batch: Sequence[Kept]) -> None:
        properties, waived = property_ids(connection), waivers_of(connection, [kept.id for kept in batch])
        for kept in batch:
            done.looked_at += 1
            _recheck(connection, properties, kept, waived.get(kept.id, NOTHING_WAIVED), done)

    where = [SourceRecord.state == RecordState.QUARANTINED, SourceRecord.rule != DUPLICATE]
    if rule is not None:
        where.append(SourceRecord.rule == rule)
    _walk(engine, where, source, judge_again, progress)
    return done


def rederive(engine: Engine, *, source: str | None = None, progress: Progress | None = None) -> Rederivation:
    """Read records in use again, and bring their values, doubts and names up to date.

    A structure is never changed under a material: a record in which today's reader sees another one is counted and
    left. So is one that today's rules refuse, and one that came with an attachment, which is not kept.

    Raises:
        ImportBusyError: a source is being imported.
    """
    done = Rederivation()

    def read_again(connection: Connection, batch: Sequence[Kept]) -> None:
        done.looked_at += len(batch)
        _rederive(connection, batch, done)

    _walk(engine, [SourceRecord.state == RecordState.ACCEPTED], source, read_again, progress)
    return done


Work = Callable[[Connection, Sequence[Kept]], None]
"""What is done to one batch of records, within its transaction."""


def _walk(engine: Engine, where: list[Any], source: str | None, work: Work, progress: Progress | None) -> None:
    """Do the work on all records that match, each batch one transaction, under their source's lock."""
    with engine.connect() as connection:
        counted = (
            select(Source.key, func.count())
            .join(SourceRecord, SourceRecord.source_id == Source.id)
            .where(*where)
            .group_by(Source.key)
            .order_by(Source.key)
        )
        counts = {key: n for key, n in connection.execute(counted) if source in (None, key)}
    total, done = sum(counts.values()), 0
    for key in counts:
        with exclusive(engine, f"stackscreen import {key}", f"An import of {key} is under way."):
            for n in _batches(engine, [*where, Source.key == key], work):
                done += n
                if progress is not None:
                    progress(done, max(total, done))


def _batches(engine: Engine, where: list[Any], work: Work) -> Iterator[int]:
    last = 0
    while True:
        with engine.begin() as connection:
            statement = kept_records().where(*where, SourceRecord.id > last).order_by(SourceRecord.id).limit(BATCH)
            batch = [Kept(*row) for row in connection.execute(statement)]
            if batch:
                work(connection, batch)
        if not batch:
            return
        last = batch[-1].id
        yield len(batch)


def _recheck(connection: Connection, properties: dict[str, int], kept: Kept, waived: Waived, done: Recheck) -> None:
    read = rejudge(kept, waived)
    if read.accepted is None:
        rule, reason = str(read.rule), str(read.reason)
        done.refused[rule] += 1
        if _is_readable(kept) and (rule, reason) != (kept.rule, kept.reason):
            done.other_rule += rule != kept.rule
            rename_rule(connection, kept.id, rule, reason)
        return
    # A reader that understands the record now may know its name, where only its place in the file was known.
    named = replace(kept, external_id=read.external_id)
    newer = living_version(connection, named)
    if (newer is not None and newer > kept.id) or _is_held(connection, named):
        done.overtaken += 1
        return
    accept(connection, properties, named, read)
    done.accepted += 1


def _is_readable(kept: Kept) -> bool:
    return kept.payload is not None and kept.reader in source_names()


def _is_held(connection: Connection, kept: Kept) -> bool:
    """Whether another record has this name and content."""
    other = aliased(SourceRecord)
    same = exists().where(
        other.id != kept.id,
        other.source_id == kept.source_id,
        other.external_id == kept.external_id,
        other.payload_hash == SourceRecord.payload_hash,
    )
    return bool(connection.scalar(select(same).where(SourceRecord.id == kept.id)))


def _rederive(connection: Connection, batch: Sequence[Kept], done: Rederivation) -> None:
    ids = [kept.id for kept in batch]
    properties, waived = property_ids(connection), waivers_of(connection, ids)
    digests, stored = _stored_digests(connection, ids), _stored(connection, ids)
    for kept in batch:
        read = rejudge(kept, waived.get(kept.id, NOTHING_WAIVED))
        accepted = read.accepted
        if accepted is None:
            done.refused[str(read.rule)] += 1
        elif kept.payload is None or not get_source(kept.reader).is_whole(kept.payload):
            done.incomplete += 1
        elif (accepted.structure.digest if accepted.structure is not None else None) != digests.get(kept.id):
            done.restructured += 1
        elif _derived(accepted) != stored[kept.id]:
            rewrite_facts(driver_cursor(connection), properties, kept.id, accepted)
            done.changed += 1


def _stored_digests(connection: Connection, ids: Sequence[int]) -> dict[int, bytes]:
    statement = select(Structure.source_record_id, Structure.digest).where(Structure.source_record_id.in_(ids))
    return {record: bytes(digest) for record, digest in connection.execute(statement)}


Derived = tuple[set[tuple[Any, ...]], set[tuple[Any, ...]], set[str]]
"""Values, doubts and names of a record."""


def _derived(accepted: Accepted) -> Derived:
    values = {(fact.quantity.key, fact.method, fact.face, fact.value) for fact in accepted.facts}
    doubts = {(doubt.rule, doubt.property_key): doubt.detail for doubt in accepted.doubts}
    names = {clean_text(name) for name in accepted.names}
    return values, {(*key, detail) for key, detail in doubts.items()}, names


def _stored(connection: Connection, ids: Sequence[int]) -> dict[int, Derived]:
    found: dict[int, Derived] = {record: (set(), set(), set()) for record in ids}
    values = select(
        PropertyValue.source_record_id, Property.key, PropertyValue.method, PropertyValue.face, PropertyValue.value,
        PropertyValue.label,
    ).join(Property, Property.id == PropertyValue.property_id)  # fmt: skip
    for record, key, method, face, number, label in connection.execute(
        values.where(PropertyValue.source_record_id.in_(ids))
    ):
        assert record is not None  # noqa: S101 - one of `ids`
        found[record][0].add((key, method, face, label if number is None else number))
    doubts = select(RecordFlag.source_record_id, RecordFlag.rule, RecordFlag.property_key, RecordFlag.detail)
    for record, *doubt in connection.execute(doubts.where(RecordFlag.source_record_id.in_(ids))):
        found[record][1].add(tuple(doubt))
    names = select(RecordName.source_record_id, RecordName.name).where(RecordName.source_record_id.in_(ids))
    for record, name in connection.execute(names):
        found[record][2].add(name)
    return found
