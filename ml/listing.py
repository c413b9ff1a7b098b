"""The models as people look at them: a list, and what the card of each says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from ml import evaluation_store
from ml.registry import UnknownModelError
from ml.report import Report
from schema.features import ModelVersion


@dataclass(frozen=True)
class Entry:
    """One line of the list of models; numbers as text, empty where they do not apply."""

    id: int
    target: str
    domain: str
    unit: str
    family: str
    split: str
    error: str
    baseline_error: str
    baseline: str
    served: bool


def entries(connection: Connection) -> list[Entry]:
    """All model versions, the served ones first."""
    query = select(
        ModelVersion.id, ModelVersion.target, ModelVersion.domain, ModelVersion.family, ModelVersion.card,
        ModelVersion.served,
    )  # fmt: skip
    order = (ModelVersion.served.desc(), ModelVersion.target, ModelVersion.domain, ModelVersion.id.desc())
    rows = connection.execute(query.order_by(*order)).all()
    return [_entry(row, evaluation_store.of_model(connection, row.id)) for row in rows]


def _entry(row: Any, reports: list[Report]) -> Entry:
    split = error = baseline_error = baseline = ""
    strict = [report for report in reports if report.strict and report.baselines]
    if strict:
        split, baseline = strict[-1].split, strict[-1].best_baseline.method
        error, baseline_error = f"{strict[-1].judged.error:.3g}", f"{strict[-1].best_baseline.error:.3g}"
    unit = row.card.get("unit", "")
    return Entry(
        row.id, row.target, row.domain, unit, row.family, split, error, baseline_error, baseline, row.served
    )  # fmt: skip


def card_content(connection: Connection, which: str) -> dict[str, Any]:
    """What `ml.cards.card_markdown` needs, of the served model of a target or of a version by number.

    Args:
        connection: to read with.
        which: number of a version; or a target, "gap" or, of one domain, "gap/heterobilayer".

    Raises:
        UnknownModelError: there is none.
    """
    query = select(
        ModelVersion.id, ModelVersion.target, ModelVersion.domain, ModelVersion.family, ModelVersion.name,
        ModelVersion.split, ModelVersion.metrics, ModelVersion.card,
    )  # fmt: skip
    if which.isdecimal() and len(which) < 10:
        chosen = ModelVersion.id == int(which)
    else:
        target, _, domain = which.partition("/")
        chosen = (ModelVersion.target == target) & ModelVersion.served
        chosen = chosen & (ModelVersion.domain == domain) if domain else chosen
    row = connection.execute(query.where(chosen).order_by(ModelVersion.id)).mappings().first()
    if row is None:
        raise UnknownModelError(f"There is no model {which!r}.", hint="See which there are: stackscreen models list")
    reports = evaluation_store.of_model(connection, row["id"])
    return {**row, "reports": [report.as_json() for report in reports]}
