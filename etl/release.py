"""A person's decision to use a record, or one doubted value of it, in spite of a rule; and taking it back.

A release is one transaction: it reads the kept record again, waives the rule, writes what an import would have written
and notes who decided and why. It lasts as long as the record's content: imported again, the record stays as it is; a
changed record is another one, and judged anew.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from sqlalchemy import Connection, Engine, delete, exists, func, not_, select
from sqlalchemy.dialects.postgresql import insert

from etl.batch import DUPLICATE
from etl.content import property_ids, write_values
from etl.copying import driver_cursor
from etl.judge import Read
from etl.payload import clean_text
from etl.rejudge import Kept, accept, kept_records, living_version, rejudge, set_aside, waivers
from etl.runs import exclusive
from etl.validate import Waived
from schema.errors import StackscreenError
from schema.properties import Property, PropertyValue
from schema.provenance import RecordFlag, RecordRelease, Source, SourceRecord
from schema.vocabulary import RecordState

BATCH = 200
"""Records a transaction, where many are released at once."""

Progress = Callable[[int, int | None], None]


class NotReleasableError(StackscreenError):
    """The record, or value, cannot be used, or a release would change nothing.

    Attributes:
        cause: the kind of refusal in few words, to be counted by.
    """

    def __init__(self, message: str, *, hint: str = "", cause: str) -> None:
        super().__init__(message, hint=hint)
        self.cause = cause


@dataclass(frozen=True, slots=True)
class Release:
    """What was released, or withdrawn.

    Attributes:
        rules: names of the rules.
        property_key: the one value; None for a whole record.
        values: values of the record that are in use now because of it; after a withdrawal, that are not any more.
        replaced: the version that it replaced; after a withdrawal, the one that came back.
        in_use: whether the record is in use now.
    """

    record: int
    source: str
    external_id: str
    rules: tuple[str, ...]
    property_key: str | None
    values: int
    replaced: int | None
    in_use: bool = True

    def as_dict(self) -> dict[str, Any]:
        """JSON-like."""
        return asdict(self)


@dataclass(slots=True)
class BulkRelease:
    """What became of many: released records and values, and the reasons of those that could not be."""

    records: int = 0
    values: int = 0
    refused: Counter[str] = field(default_factory=Counter)

    def as_dict(self) -> dict[str, Any]:
        """JSON-like."""
        return {"records": self.records, "values": self.values, "refused": dict(sorted(self.refused.items()))}


@dataclass(frozen=True, slots=True)
class Decided:
    """Who decided, and why."""

    author: str
    note: str


def release(
    engine: Engine, record: int, decided: Decided, *, property_key: str | None = None, also: Iterable[str] = ()
) -> Release:
    """Use a quarantined record, or one doubted value of an accepted one.

    Args:
        engine: the database.
        record: its number.
        decided: who released it, and why.
        property_key: the doubted property; None for a quarantined record as a whole.
        also: further rules to be waived, where the record breaks several.

    Raises:
        NotReleasableError: there is nothing to use, or nothing to release; the hint tells the next step.
        ImportBusyError: its source is being imported.
    """
    with _locked(engine, record), engine.begin() as connection:
        kept = _fetch(connection, record)
        return _release(connection, property_ids(connection), kept, decided, property_key, also)


def withdraw(engine: Engine, record: int, *, property_key: str | None = None) -> Release:
    """Take back the release of a record, or of one of its values: it is judged by today's rules again.

    A record that breaks a rule goes back into quarantine, and the version that it had replaced comes back.

    Raises:
        NotReleasableError: it was not released.
        ImportBusyError: its source is being imported.
    """
    with _locked(engine, record), engine.begin() as connection:
        return _withdraw(connection, property_ids(connection), _fetch(connection, record), property_key)


def count_releasable(engine: Engine, *, rule: str, source: str) -> tuple[int, int]:
    """How many quarantined records, and doubted values not yet released, a rule holds back in a source."""
    with engine.connect() as connection:
        records, values = (
            connection.scalar(select(func.count()).select_from(found.subquery()))
            for found in (_held_back(rule, source), _doubted(rule, source))
        )
    return int(records or 0), int(values or 0)


def release_many(
    engine: Engine, decided: Decided, *, rule: str, source: str, progress: Progress | None = None
) -> BulkRelease:
    """Release everything that one rule holds back in one source; what cannot be released is counted by its reason.

    Raises:
        ImportBusyError: the source is being imported.
    """
    done = BulkRelease()
    with _exclusive(engine, source), engine.connect() as connection:
        records = [(row.id, None) for row in connection.execute(_held_back(rule, source))]
        values = [(row.id, row.property_key) for row in connection.execute(_doubted(rule, source))]
        work: list[tuple[int, str | None]] = [*records, *values]
        connection.rollback()
        for start in range(0, len(work), BATCH):
            with connection.begin():
                properties = property_ids(connection)
                for record, key in work[start : start + BATCH]:
                    _one_of_many(connection, properties, (record, key), decided, done)
            if progress is not None:
                progress(min(start + BATCH, len(work)), len(work))
    return done


def _one_of_many(
    connection: Connection, properties: dict[str, int], what: tuple[int, str | None], decided: Decided,
    done: BulkRelease,
) -> None:  # fmt: skip
    record, key = what
    try:
        _release(connection, properties, _fetch(connection, record), decided, key, ())
    except NotReleasableError as error:
        done.refused[error.cause] += 1
        return
    done.records += key is None
    done.values += key is not None


def _held_back(rule: str, source: str) -> Any:
    return (
        select(SourceRecord.id)
        .join(Source, Source.id == SourceRecord.source_id)
        .where(Source.key == source, SourceRecord.state == RecordState.QUARANTINED, SourceRecord.rule == rule)
        .order_by(SourceRecord.id)
    )


def _doubted(rule: str, source: str) -> Any:
    released = exists().where(
        RecordRelease.source_record_id == RecordFlag.source_record_id,
        RecordRelease.property_key == RecordFlag.property_key,
    )
    return (
        select(SourceRecord.id, RecordFlag.property_key)
        .join(RecordFlag, RecordFlag.source_record_id == SourceRecord.id)
        .join(Source, Source.id == SourceRecord.source_id)
        .where(Source.key == source, SourceRecord.state == RecordState.ACCEPTED, RecordFlag.rule == rule)
        .where(not_(released))
        .order_by(SourceRecord.id, RecordFlag.id)
    )


def _exclusive(engine: Engine, source: str) -> Any:
    return exclusive(engine, f"stackscreen import {source}", f"An import of {source} is under way.")


def _locked(engine: Engine, record: int) -> Any:
    with engine.connect() as connection:
        source = connection.scalar(
            select(Source.key).join(SourceRecord, SourceRecord.source_id == Source.id).where(SourceRecord.id == record)
        )
    if source is None:
        raise _unknown(record)
    return _exclusive(engine, source)


def _unknown(record: int) -> NotReleasableError:
    return NotReleasableError(
        f"There is no record number {record}.",
        hint="`stackscreen quarantine list` shows the numbers.",
        cause="unknown record",
    )


def _fetch(connection: Connection, record: int) -> Kept:
    row = connection.execute(kept_records().where(SourceRecord.id == record).with_for_update(of=SourceRecord)).first()
    if row is None:
        raise _unknown(record)
    return Kept(*row)


def _release(
    connection: Connection,
    properties: dict[str, int],
    kept: Kept,
    decided: Decided,
    property_key: str | None,
    also: Iterable[str],
) -> Release:
    if kept.state is RecordState.SUPERSEDED:
        raise NotReleasableError(
            f"{kept.external_id} (record {kept.id}) was replaced by a newer version, record {kept.superseded_by}.",
            hint=f"Look at that one: `stackscreen quarantine show {kept.superseded_by}`.",
            cause="replaced by a newer version",
        )
    if property_key is not None:
        return _release_value(connection, properties, kept, decided, property_key)
    return _release_record(connection, properties, kept, decided, frozenset(also))


def _release_record(
    connection: Connection, properties: dict[str, int], kept: Kept, decided: Decided, also: frozenset[str]
) -> Release:
    if kept.state is RecordState.ACCEPTED:
        raise NotReleasableError(
            f"{kept.external_id} (record {kept.id}) is in use already; it is not quarantined.",
            hint=f"For a doubted value of it add --property; `stackscreen quarantine show {kept.id}` lists them.",
            cause="in use already",
        )
    newer = living_version(connection, kept)
    if newer is not None and newer > kept.id:
        raise NotReleasableError(
            f"{kept.external_id} (record {kept.id}) was replaced meanwhile: record {newer}, which is newer, is in use.",
            hint=f"Look at that one: `stackscreen quarantine show {newer}`.",
            cause="replaced by a newer version",
        )
    held = waivers(connection, kept.id)
    waived = Waived(held.rules | also | {str(kept.rule)}, held.properties)
    read = rejudge(kept, waived)
    if read.accepted is None:
        raise _refusal(kept, read, waived)
    replaced = accept(connection, properties, kept, read, kept.reason)
    rules = tuple(sorted({str(kept.rule), *also}))
    _note(connection, kept.id, rules, None, decided)
    return Release(kept.id, kept.source, kept.external_id, rules, None, len(read.accepted.facts), replaced)


def _refusal(kept: Kept, read: Read, waived: Waived) -> NotReleasableError:
    """Why a record cannot be used although its rule is waived, and what to do."""
    needed: list[str] = []
    while read.accepted is None and read.rule is not None and read.rule not in waived.rules:
        needed.append(read.rule)
        waived = replace(waived, rules=waived.rules | {read.rule})
        read = rejudge(kept, waived)
    name = f"{kept.external_id} (record {kept.id})"
    if read.accepted is not None:
        more = " ".join(f"--also {rule}" for rule in needed)
        return NotReleasableError(
            f"{name} breaks {', '.join(needed)} as well.",
            hint=f"To use it in spite of that, too, add {more}.",
            cause=f"breaks {', '.join(needed)} as well",
        )
    if kept.payload is None:
        return NotReleasableError(
            f"{name} could not be decoded, and only its raw text is kept: there is nothing to use.",
            hint="Repair its file and import it again.",
            cause="only its raw text is kept",
        )
    return NotReleasableError(
        f"{name} cannot be released, as there is nothing in it to use: {read.reason}",
        hint="Repair its file and import it again; after an upgrade try `stackscreen quarantine recheck`.",
        cause="nothing in it to use",
    )


def _release_value(
    connection: Connection, properties: dict[str, int], kept: Kept, decided: Decided, key: str
) -> Release:
    name = f"{kept.external_id} (record {kept.id})"
    if kept.state is RecordState.QUARANTINED:
        raise NotReleasableError(
            f"{name} is quarantined as a whole, by {kept.rule}.",
            hint="Release it first, without --property.",
            cause="quarantined as a whole",
        )
    flags = connection.execute(
        select(RecordFlag.rule, RecordFlag.property_key, RecordFlag.detail).where(
            RecordFlag.source_record_id == kept.id
        )
    ).all()
    rules = tuple(sorted(flag.rule for flag in flags if flag.property_key == key))
    if not rules:
        others = ", ".join(sorted({flag.property_key for flag in flags})) or "none"
        raise NotReleasableError(
            f"{name} has no doubt about {key}.", hint=f"Doubted properties of this record: {others}.", cause="no doubt"
        )
    held = waivers(connection, kept.id)
    if key in held.properties:
        raise NotReleasableError(
            f"The {key} of {name} is released already.",
            hint=f"`stackscreen quarantine show {kept.id}` tells by whom and why.",
            cause="released already",
        )
    # A record that is in use is not judged again by the release of one of its values.
    read = rejudge(kept, replace(held, properties=held.properties | {key}))
    facts = [fact for fact in read.accepted.facts if fact.quantity.key == key] if read.accepted else []
    stored = _stored(connection, kept.id, key)
    fresh = [fact for fact in facts if (fact.method.value, fact.face) not in stored]
    if not fresh:
        detail = next(flag.detail for flag in flags if flag.property_key == key)
        raise NotReleasableError(
            f"The {key} of {name} cannot be released, as there is no value to use: {detail}",
            hint="Repair its file and import it again.",
            cause="no value to use",
        )
    write_values(driver_cursor(connection), properties, [(kept.id, fact) for fact in fresh])
    _note(connection, kept.id, rules, key, decided)
    return Release(kept.id, kept.source, kept.external_id, rules, key, len(fresh), None)


def _stored(connection: Connection, record: int, key: str) -> set[tuple[str, str | None]]:
    rows = connection.execute(
        select(PropertyValue.method, PropertyValue.face)
        .join(Property, Property.id == PropertyValue.property_id)
        .where(PropertyValue.source_record_id == record, Property.key == key)
    )
    return {(row.method.value, row.face) for row in rows}


def _note(connection: Connection, record: int, rules: Iterable[str], key: str | None, decided: Decided) -> None:
    rows = [
        {
            "source_record_id": record,
            "rule": rule,
            "property_key": key,
            "author": clean_text(decided.author),
            "note": clean_text(decided.note),
        }
        for rule in rules
    ]
    connection.execute(insert(RecordRelease).values(rows).on_conflict_do_nothing())


def _withdraw(connection: Connection, properties: dict[str, int], kept: Kept, key: str | None) -> Release:
    held = waivers(connection, kept.id)
    name = f"{kept.external_id} (record {kept.id})"
    if (not held.rules and not held.properties) or (key is not None and key not in held.properties):
        raise NotReleasableError(
            f"{name} was not released{'' if key is None else f' for its {key}'}.",
            hint=f"`stackscreen quarantine show {kept.id}` shows what is.",
            cause="not released",
        )
    keys = held.properties if key is None else frozenset({key})
    rules = _forget(connection, kept.id, key)
    left = waivers(connection, kept.id)
    read = rejudge(kept, left)
    back = None
    dropped = 0
    in_use = kept.state is RecordState.ACCEPTED
    if key is None and in_use and held.rules and (read.accepted is None or DUPLICATE in held.rules):
        duplicate = DUPLICATE in held.rules
        rule = DUPLICATE if duplicate else str(read.rule)
        reason = kept.reason if duplicate or read.reason is None else read.reason
        dropped = _count_values(connection, kept.id)
        back = set_aside(connection, kept.id, rule, reason or rule)
        in_use = False
    else:
        for one in sorted(keys):
            dropped += _drop_values(connection, properties, kept.id, one, read)
    return Release(kept.id, kept.source, kept.external_id, rules, key, dropped, back, in_use)


def _forget(connection: Connection, record: int, key: str | None) -> tuple[str, ...]:
    statement = delete(RecordRelease).where(RecordRelease.source_record_id == record).returning(RecordRelease.rule)
    if key is not None:
        statement = statement.where(RecordRelease.property_key == key)
    return tuple(sorted(set(connection.scalars(statement))))


def _count_values(connection: Connection, record: int) -> int:
    statement = select(func.count()).select_from(PropertyValue).where(PropertyValue.source_record_id == record)
    return int(connection.scalar(statement) or 0)


def _drop_values(connection: Connection, properties: dict[str, int], record: int, key: str, read: Read) -> int:
    """Remove the values of a property that are not to be used without a release; gives back how many."""
    facts = read.accepted.facts if read.accepted is not None else []
    stays = {(fact.method.value, fact.face) for fact in facts if fact.quantity.key == key}
    dropped = _stored(connection, record, key) - stays
    for method, face in dropped:
        connection.execute(
            delete(PropertyValue).where(
                PropertyValue.source_record_id == record,
                PropertyValue.property_id == properties[key],
                PropertyValue.method == method,
                PropertyValue.face.is_not_distinct_from(face),
            )
        )
    return len(dropped)
