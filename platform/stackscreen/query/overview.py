"""What the database holds: sources, imports, quarantine, runs and models, for the page that says where things stand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, select

from schema import (
    ImportRun,
    Interface,
    Material,
    ModelVersion,
    RecordFlag,
    RecordRelease,
    ScreeningRun,
    Source,
    SourceRecord,
)
from schema.vocabulary import MaterialKind, RecordState


@dataclass(frozen=True, slots=True)
class Overview:
    """Counts and states of everything; each list holds one mapping a row."""

    counts: dict[str, int]
    sources: list[dict[str, Any]]
    imports: list[dict[str, Any]]
    quarantine: list[dict[str, Any]]
    flags: list[dict[str, Any]]
    runs: list[dict[str, Any]]
    models: list[dict[str, Any]]


def overview(connection: Connection) -> Overview:
    """Read where things stand."""
    return Overview(
        _counts(connection),
        _sources(connection),
        _imports(connection),
        _quarantine(connection),
        _flags(connection),
        _runs(connection),
        _models(connection),
    )


def holds_starter_data(connection: Connection) -> bool:
    """Whether any source is the built-in starter set, whose values are approximate."""
    return connection.execute(select(Source.id).where(Source.release == "starter").limit(1)).first() is not None


def _rows(connection: Connection, statement: Any) -> list[dict[str, Any]]:
    return [
        {key: getattr(value, "value", value) for key, value in row.items()}
        for row in connection.execute(statement).mappings()
    ]


def _by(connection: Connection, statement: Any) -> dict[Any, int]:
    return {row[0]: row[1] for row in connection.execute(statement)}


def _counts(connection: Connection) -> dict[str, int]:
    living = Material.withdrawn_at.is_(None)
    kinds = _by(connection, select(Material.kind, func.count()).where(living).group_by(Material.kind))
    states = _by(connection, select(SourceRecord.state, func.count()).group_by(SourceRecord.state))
    return {
        "monolayers": kinds.get(MaterialKind.MONOLAYER, 0),
        "bulk phases": kinds.get(MaterialKind.BULK, 0),
        "computed interfaces": connection.execute(select(func.count()).select_from(Interface)).scalar_one(),
        "accepted records": states.get(RecordState.ACCEPTED, 0),
        "quarantined records": states.get(RecordState.QUARANTINED, 0),
        "releases": connection.execute(select(func.count()).select_from(RecordRelease)).scalar_one(),
    }


def _sources(connection: Connection) -> list[dict[str, Any]]:
    living = (
        select(SourceRecord.source_id, func.count().label("records"))
        .where(SourceRecord.state == RecordState.ACCEPTED)
        .group_by(SourceRecord.source_id)
        .subquery()
    )
    return _rows(
        connection,
        select(
            Source.key, Source.database, Source.release, Source.method, Source.licence, Source.citation,
            func.coalesce(living.c.records, 0).label("records"),
        )
        .outerjoin(living, living.c.source_id == Source.id)
        .order_by(Source.key),
    )  # fmt: skip


def _imports(connection: Connection) -> list[dict[str, Any]]:
    return _rows(
        connection,
        select(
            Source.key.label("source"), ImportRun.file_name, ImportRun.state, ImportRun.finished_at, ImportRun.n_read,
            ImportRun.n_accepted, ImportRun.n_flagged, ImportRun.n_quarantined, ImportRun.n_unchanged, ImportRun.error,
        )
        .join(Source, Source.id == ImportRun.source_id)
        .order_by(ImportRun.id.desc())
        .limit(20),
    )  # fmt: skip


def _quarantine(connection: Connection) -> list[dict[str, Any]]:
    return _rows(
        connection,
        select(
            Source.key.label("source"), SourceRecord.rule, func.count().label("records"),
            func.min(SourceRecord.reason).label("example"),
        )
        .join(Source, Source.id == SourceRecord.source_id)
        .where(SourceRecord.state == RecordState.QUARANTINED)
        .group_by(Source.key, SourceRecord.rule)
        .order_by(func.count().desc()),
    )  # fmt: skip


def _flags(connection: Connection) -> list[dict[str, Any]]:
    return _rows(
        connection,
        select(
            RecordFlag.rule, RecordFlag.property_key.label("property"), func.count().label("values"),
            func.min(RecordFlag.detail).label("example"),
        )
        .group_by(RecordFlag.rule, RecordFlag.property_key)
        .order_by(func.count().desc())
        .limit(50),
    )  # fmt: skip


def _runs(connection: Connection) -> list[dict[str, Any]]:
    return _rows(
        connection,
        select(
            ScreeningRun.id, ScreeningRun.state, ScreeningRun.n_monolayers, ScreeningRun.n_surfaces,
            ScreeningRun.n_pairs, ScreeningRun.n_matched, ScreeningRun.n_candidates, ScreeningRun.max_strain,
            ScreeningRun.max_area, ScreeningRun.max_atoms, ScreeningRun.published_at, ScreeningRun.error,
        )
        .order_by(ScreeningRun.id.desc())
        .limit(10),
    )  # fmt: skip


def _models(connection: Connection) -> list[dict[str, Any]]:
    return _rows(
        connection,
        select(
            ModelVersion.target, ModelVersion.domain, ModelVersion.family, ModelVersion.name, ModelVersion.split,
            ModelVersion.metrics, ModelVersion.served, ModelVersion.trained_at,
        ).order_by(ModelVersion.target, ModelVersion.id.desc()),
    )  # fmt: skip
