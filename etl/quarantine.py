"""Looking at what was set aside and why, and at what was released."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Engine, exists, func, select

from etl.explanations import EXPLANATIONS
from etl.validate import RULES
from schema.errors import StackscreenError
from schema.provenance import RecordFlag, RecordRelease, Source, SourceRecord
from schema.vocabulary import RecordState

_RAW_SHOWN = 2000
"""Characters of raw text that are shown of one record."""


class UnknownRecordError(StackscreenError):
    """There is no record of that number or name."""


class UnknownRuleError(StackscreenError):
    """No rule has that name."""


@dataclass(frozen=True, slots=True)
class SetAside:
    """One quarantined record, or with `property_key` one doubted property of an accepted record.

    Attributes:
        released: whether a person has released that value, so that it is used in spite of the doubt.
    """

    record: int
    source: str
    external_id: str
    rule: str
    detail: str
    property_key: str | None = None
    released: bool = False

    def as_dict(self) -> dict[str, Any]:
        """JSON-like."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class RuleCount:
    """How often a rule spoke, for one source, and how often a person has waived it.

    Attributes:
        quarantined: records set aside.
        flagged: doubted properties of records in use, released ones included.
        released: records and values used in spite of the rule.
    """

    source: str
    rule: str
    meaning: str
    quarantined: int
    flagged: int
    released: int

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
    released = (
        select(Source.key, RecordRelease.rule, func.count())
        .join(SourceRecord, SourceRecord.id == RecordRelease.source_record_id)
        .join(Source, Source.id == SourceRecord.source_id)
        .where(SourceRecord.state == RecordState.ACCEPTED)
        .group_by(Source.key, RecordRelease.rule)
    )
    counts: dict[tuple[str, str], list[int]] = {}
    with engine.connect() as connection:
        for column, statement in enumerate((aside, doubted, released)):
            for source, rule, n in connection.execute(statement):
                counts.setdefault((source, str(rule)), [0, 0, 0])[column] = n
    return [
        RuleCount(source, rule, RULES[rule].meaning if rule in RULES else "", *n)
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
            RecordFlag.property_key, _is_released(),
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
    """Everything about one record: state, rule, reason, flags, releases, the next step, and the raw content as read.

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
            select(RecordFlag.rule, RecordFlag.property_key, RecordFlag.detail, _is_released().label("released")).where(
                RecordFlag.source_record_id == record
            )
        )
        doubts = [dict(flag._mapping) for flag in flags]
        releases = connection.execute(
            select(
                RecordRelease.rule, RecordRelease.property_key, RecordRelease.author, RecordRelease.note,
                RecordRelease.released_at,
            ).where(RecordRelease.source_record_id == record)
        )  # fmt: skip
        released = [{**entry._mapping, "released_at": str(entry.released_at)} for entry in releases]
    rule = row["rule"]
    return {
        **{key: str(value) if key == "created_at" else value for key, value in row.items()},
        "meaning": RULES[rule].meaning if rule in RULES else None,
        "flags": doubts,
        "releases": released,
        "next_step": _next_step(record, row["state"], rule, doubts, released),
    }


def require_rule(rule: str) -> None:
    """Raise `UnknownRuleError` unless there is a rule of that name."""
    if rule not in RULES:
        raise UnknownRuleError(f"There is no rule called {rule!r}.", hint=f"The rules are {', '.join(sorted(RULES))}.")


def explain_rule(engine: Engine, rule: str) -> dict[str, Any]:
    """A rule in words, with an example from the database where there is one.

    Raises:
        UnknownRuleError: there is none of that name.
    """
    require_rule(rule)
    example = list_set_aside(engine, rule=rule, limit=1)
    return {
        "rule": rule,
        "meaning": RULES[rule].meaning,
        **EXPLANATIONS[rule].as_dict(),
        "example": example[0].as_dict() if example else None,
    }


def _is_released() -> Any:
    return exists().where(
        RecordRelease.source_record_id == RecordFlag.source_record_id,
        RecordRelease.property_key == RecordFlag.property_key,
    )


def _next_step(
    record: int, state: RecordState, rule: str | None, doubts: list[dict[str, Any]], released: list[dict[str, Any]]
) -> str | None:
    command = f"stackscreen quarantine release {record}"
    if state is RecordState.QUARANTINED:
        explained = f"`stackscreen quarantine explain {rule}`"
        if rule in EXPLANATIONS and not EXPLANATIONS[rule].releasable:
            return f"{EXPLANATIONS[rule].fix} More: {explained}."
        return f"Repair its file and import it again, or use it as it is: `{command} --note '...'`. More: {explained}."
    open_doubts = [doubt["property_key"] for doubt in doubts if not doubt["released"]]
    if state is RecordState.ACCEPTED and open_doubts:
        return f"To use a doubted value: `{command} --property {open_doubts[0]} --note '...'`."
    if released:
        return f"To take the release back: `stackscreen quarantine withdraw-release {record}`."
    return None
