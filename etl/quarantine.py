"""Looking at what was set aside, and why."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Engine, func, select

from etl.validate import RULES
from schema.errors import StackscreenError
from schema.provenance import RecordFlag, Source, SourceRecord
from schema.vocabulary import RecordState

_RAW_SHOWN = 2000
"""Characters of raw text that are shown of one record."""


class UnknownRecordError(StackscreenError):
    """There is no record of that number or name."""


@dataclass(frozen=True, slots=True)
class SetAside:
    """One quarantined record, or with `property_key` one doubted property of an accepted record."""

    record: int
    source: str
    external_id: str
    rule: str
    detail: str
    property_key: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """JSON-like."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class RuleCount:
    """How often a rule spoke, for one source."""

    source: str
    rule: str
    meaning: str
    quarantined: int
    flagged: int

    def as_dict(self) -> dict[str, Any]:
        """JSON-like."""
        return asdict(self)


def count_by_rule(engine: Engine) -> list[RuleCount]:
    """Quarantined records and doubted properties by source and rule."""
    aside = (
        select(Source.key, SourceRecord.rule, func.count())
        .join(Source, Source.id == SourceRecord.source_id)
        .where(SourceRecord.state == RecordState.QUARANTINED)
        .group_by(Source.key, SourceRecord.rule)
    )
    doubted = (
        select(Source.key, RecordFlag.rule, func.count())
        .join(SourceRecord, SourceRecord.id == RecordFlag.source_record_id)
        .join(Source, Source.id == SourceRecord.source_id)
        .where(SourceRecord.state == RecordState.ACCEPTED)
        .group_by(Source.key, RecordFlag.rule)
    )
    counts: dict[tuple[str, str], list[int]] = {}
    with engine.connect() as connection:
        for column, statement in enumerate((aside, doubted)):
            for source, rule, n in connection.execute(statement):
                counts.setdefault((source, str(rule)), [0, 0])[column] = n
    return [
        RuleCount(source, rule, RULES[rule].meaning if rule in RULES else "", n[0], n[1])
        for (source, rule), n in sorted(counts.items())
    ]


def list_set_aside(
    engine: Engine, *, source: str | None = None, rule: str | None = None, limit: int = 100
) -> list[SetAside]:
    """Quarantined records, and doubted properties after them, in the order of their ids.

    Args:
        source, rule: restrict to one.
        limit: most entries given back.
    """
    aside = (
        select(SourceRecord.id, Source.key, SourceRecord.external_id, SourceRecord.rule, SourceRecord.reason)
        .join(Source, Source.id == SourceRecord.source_id)
        .where(SourceRecord.state == RecordState.QUARANTINED)
        .order_by(SourceRecord.id)
        .limit(limit)
    )
    doubted = (
        select(
            SourceRecord.id, Source.key, SourceRecord.external_id, RecordFlag.rule, RecordFlag.detail,
            RecordFlag.property_key,
        )
        .join(SourceRecord, SourceRecord.id == RecordFlag.source_record_id)
        .join(Source, Source.id == SourceRecord.source_id)
        .where(SourceRecord.state == RecordState.ACCEPTED)
        .order_by(SourceRecord.id, RecordFlag.id)
        .limit(limit)
    )  # fmt: skip
    if source is not None:
        aside, doubted = aside.where(Source.key == source), doubted.where(Source.key == source)
    if rule is not None:
        aside, doubted = aside.where(SourceRecord.rule == rule), doubted.where(RecordFlag.rule == rule)
    with engine.connect() as connection:
        found = [SetAside(*row[:3], str(row.rule), str(row.reason)) for row in connection.execute(aside)]
        found += [SetAside(*row) for row in connection.execute(doubted)]
    return found[:limit]


def show_record(engine: Engine, record: int) -> dict[str, Any]:
    """Everything about one record: state, rule, reason, flags, and the raw content as it was read.

    Raises:
        UnknownRecordError: there is no such record.
    """
    with engine.connect() as connection:
        row = connection.execute(
            select(SourceRecord, Source.key)
            .join(Source, Source.id == SourceRecord.source_id)
            .where(SourceRecord.id == record)
            .with_only_columns(
                SourceRecord.id, Source.key.label("source"), SourceRecord.external_id, SourceRecord.subject,
                SourceRecord.state, SourceRecord.rule, SourceRecord.reason, SourceRecord.payload,
                func.left(SourceRecord.raw_text, _RAW_SHOWN).label("raw_text"), SourceRecord.created_at,
            )
        ).mappings().first()  # fmt: skip
        if row is None:
            raise UnknownRecordError(
                f"There is no record number {record}.", hint="`stackscreen quarantine list` shows the numbers."
            )
        flags = connection.execute(
            select(RecordFlag.rule, RecordFlag.property_key, RecordFlag.detail).where(
                RecordFlag.source_record_id == record
            )
        )
        doubts = [dict(flag._mapping) for flag in flags]
    rule = row["rule"]
    return {
        **{key: str(value) if key == "created_at" else value for key, value in row.items()},
        "meaning": RULES[rule].meaning if rule in RULES else None,
        "flags": doubts,
    }
