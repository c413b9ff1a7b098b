"""A kept record judged again, by the readers and rules of today."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Select, select, update

from etl.content import clear_content, write_content
from etl.copying import driver_cursor
from etl.errors import RecordError
from etl.judge import Read, judge
from etl.payload import as_read
from etl.records import RawFailure
from etl.source import Source as Reader
from etl.source import get_source, source_names
from etl.validate import NOTHING_WAIVED, Waived
from schema.provenance import RecordRelease, Source, SourceRecord
from schema.vocabulary import RecordState


@dataclass(frozen=True, slots=True)
class Kept:
    """A record as the database keeps it.

    Attributes:
        reader: name of its source's reader.
        payload: None where only raw text is kept.
    """

    id: int
    source_id: int
    source: str
    reader: str
    external_id: str
    state: RecordState
    rule: str | None
    reason: str | None
    payload: dict[str, Any] | None
    superseded_by: int | None


def kept_records() -> Select[*tuple[Any, ...]]:
    """Records with what `Kept` needs, in its order."""
    return select(
        SourceRecord.id, SourceRecord.source_id, Source.key, Source.reader, SourceRecord.external_id,
        SourceRecord.state, SourceRecord.rule, SourceRecord.reason, SourceRecord.payload,
        SourceRecord.superseded_by_id,
    ).join(Source, Source.id == SourceRecord.source_id)  # fmt: skip


def waivers(connection: Connection, record: int) -> Waived:
    """What has been released of a record."""
    return waivers_of(connection, [record]).get(record, NOTHING_WAIVED)


def waivers_of(connection: Connection, records: Sequence[int]) -> dict[int, Waived]:
    """What has been released of records, for those of which anything has."""
    found: dict[int, Waived] = {}
    statement = select(RecordRelease.source_record_id, RecordRelease.rule, RecordRelease.property_key)
    for record, rule, key in connection.execute(statement.where(RecordRelease.source_record_id.in_(records))):
        so_far = found.get(record, NOTHING_WAIVED)
        if key is None:
            found[record] = replace(so_far, rules=so_far.rules | {rule})
        else:
            found[record] = replace(so_far, properties=so_far.properties | {key})
    return found


def rejudge(kept: Kept, waived: Waived = NOTHING_WAIVED) -> Read:
    """The verdict of today on a kept record; spectra, which came with its file, are not kept in a payload."""
    return judge(_interpreted(kept), waived=waived)


def _interpreted(kept: Kept) -> Any:
    if kept.reader not in source_names():
        reason = f"This Stackscreen has no reader called {kept.reader}."
        return RawFailure(kept.external_id, kept.rule or "unparsable", reason, payload=kept.payload)
    if kept.payload is None:
        reason = kept.reason or "Only its raw text is kept."
        return RawFailure(kept.external_id, kept.rule or "unparsable", reason, raw_text="")
    reader: Reader = get_source(kept.reader)
    payload = as_read(kept.payload)
    try:
        row = reader.kept(kept.external_id, payload)
    except RecordError as error:
        return RawFailure(kept.external_id, error.rule, error.reason, payload=payload)
    return reader.interpret(row)


def living_version(connection: Connection, kept: Kept) -> int | None:
    """The version of the same name that is in use, if any."""
    found: int | None = connection.scalar(
        select(SourceRecord.id).where(
            SourceRecord.source_id == kept.source_id,
            SourceRecord.external_id == kept.external_id,
            SourceRecord.state == RecordState.ACCEPTED,
        )
    )
    return found


def accept(
    connection: Connection, properties: dict[str, int], kept: Kept, read: Read, reason: str | None = None
) -> int | None:
    """Take a quarantined record into use, as an import does, in place of the version that is in use.

    Args:
        connection: in a transaction.
        properties: see `etl.content.property_ids`.
        kept: the record.
        read: its verdict, with accepted content.
        reason: of a rule that was waived, to stay on record.

    Returns:
        The version that it replaced, if any.
    """
    assert read.accepted is not None  # noqa: S101 - the caller has judged it
    replaced = living_version(connection, kept)
    if replaced is not None:
        _set(connection, replaced, state=RecordState.SUPERSEDED, superseded_by_id=kept.id)
    _set(
        connection, kept.id,
        state=RecordState.ACCEPTED, rule=None, reason=reason, subject=read.subject, external_id=kept.external_id,
        superseded_by_id=None,
    )  # fmt: skip
    write_content(driver_cursor(connection), properties, [(kept.id, read.accepted)])
    return replaced


def set_aside(connection: Connection, record: int, rule: str, reason: str) -> int | None:
    """Take a record out of use; the version that it had replaced comes back.

    Returns:
        The version that came back, if any.
    """
    clear_content(driver_cursor(connection), [record])
    _set(connection, record, state=RecordState.QUARANTINED, rule=rule, reason=reason)
    before: int | None = connection.scalar(
        select(SourceRecord.id)
        .where(SourceRecord.superseded_by_id == record, SourceRecord.state == RecordState.SUPERSEDED)
        .order_by(SourceRecord.id.desc())
        .limit(1)
    )
    if before is not None:
        _set(connection, before, state=RecordState.ACCEPTED, superseded_by_id=None)
    return before


def rename_rule(connection: Connection, record: int, rule: str, reason: str) -> None:
    """Note that a quarantined record breaks another rule than it did."""
    _set(connection, record, rule=rule, reason=reason)


def _set(connection: Connection, record: int, **values: Any) -> None:
    connection.execute(update(SourceRecord).where(SourceRecord.id == record).values(values))
