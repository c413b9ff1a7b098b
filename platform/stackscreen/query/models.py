"""The models as the dashboard shows them: what each predicts, and how far to trust it beside its baseline."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from ml import evaluation_store
from ml.report import Report, shown
from schema import ModelVersion
from schema.errors import StackscreenError
from schema.quantities import QUANTITIES


class UnknownModelVersionError(StackscreenError):
    """No model goes by that number."""


@dataclass(frozen=True, slots=True)
class ModelPage:
    """One version of a model.

    Attributes:
        version: its number.
        target, domain, family, name: as in `model_version`.
        symbol, unit, meaning: of the target.
        served: whether predictions are made with it.
        trained_at: when it was trained or registered.
        artefact_sha256, data_sha256: hexadecimal.
        about: what the card says of data and inputs, and of a class model, what its probabilities are worth.
        reports: its evaluations, the strict split's first.
    """

    version: int
    target: str
    domain: str
    family: str
    name: str
    symbol: str
    unit: str
    meaning: str
    served: bool
    trained_at: datetime
    artefact_sha256: str
    data_sha256: str
    about: dict[str, Any]
    reports: list[Report]

    @property
    def strict(self) -> Report | None:
        """The evaluation that decided whether it is served in what a screen asks; None if none is kept."""
        return shown(self.reports)


_COLUMNS = (
    ModelVersion.id, ModelVersion.target, ModelVersion.domain, ModelVersion.family, ModelVersion.name,
    ModelVersion.served, ModelVersion.trained_at, ModelVersion.artefact_digest, ModelVersion.data_digest,
    ModelVersion.card,
)  # fmt: skip


def served_models(connection: Connection) -> list[ModelPage]:
    """The models that predictions are made with, by target and domain; encoders, which predict nothing, are not."""
    query = select(*_COLUMNS).where(ModelVersion.served, ModelVersion.target.in_(list(QUANTITIES)))
    rows = connection.execute(query.order_by(ModelVersion.target, ModelVersion.domain)).all()
    return [_page(connection, row) for row in rows]


def model_page(connection: Connection, version: int) -> ModelPage:
    """One version.

    Raises:
        UnknownModelVersionError: there is none, or it predicts no property.
    """
    row = connection.execute(select(*_COLUMNS).where(ModelVersion.id == version)).one_or_none()
    if row is None or row.target not in QUANTITIES:
        raise UnknownModelVersionError(
            f"There is no model {version} that predicts a property.", hint="The models that are served are at /models."
        )
    return _page(connection, row)


def _page(connection: Connection, row: Any) -> ModelPage:
    quantity = QUANTITIES[row.target]
    reports = evaluation_store.of_model(connection, row.id)
    return ModelPage(
        row.id,
        row.target,
        row.domain,
        row.family,
        row.name,
        quantity.symbol,
        quantity.unit,
        quantity.meaning,
        row.served,
        row.trained_at,
        bytes(row.artefact_digest).hex(),
        bytes(row.data_digest).hex(),
        {key: row.card[key] for key in ("data", "physics", "what_it_does", "answers") if key in row.card},
        sorted(reports, key=lambda report: not report.strict),
    )
