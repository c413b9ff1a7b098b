"""The models that predict, by what they speak of: those that the database serves, or those that ship."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, select

from ml import registry
from ml.artefact import PairModel
from ml.class_artefact import ClassModel, model_of
from schema.features import ModelVersion
from schema.vocabulary import InterfaceKind
from stackscreen.predict.errors import PredictInputError

_STANDS_IN = {InterfaceKind.HETEROBILAYER: InterfaceKind.HOMOBILAYER}
"""Whose models are asked where a kind of pair has none of its own for a target."""


@dataclass(frozen=True, slots=True)
class Served:
    """A model and its name.

    Attributes:
        name: name and version, as the predictions carry it.
        model: the model.
    """

    name: str
    model: PairModel | ClassModel


ServedModels = Mapping[InterfaceKind, Mapping[str, Served]]
"""By kind of pair, then by target."""


def served_models(connection: Connection | None, targets: tuple[str, ...] = ()) -> ServedModels:
    """The models that are asked about each kind of pair.

    Args:
        connection: to read with; None takes the models that come with the project, as does a database without models.
        targets: only of these; all if empty.

    Raises:
        ArtefactError: a model's bytes are not what its digest says.
        PredictInputError: no model predicts one of the targets.
    """
    found = _of_database(connection) if connection is not None else {}
    found = found or _shipped()
    for kind, other in _STANDS_IN.items():
        # A class is validated on its own kind of pair alone.
        others = {key: one for key, one in found.get(other, {}).items() if isinstance(one.model, PairModel)}
        found[kind] = {**others, **found.get(kind, {})}
    known = sorted({target for models in found.values() for target in models})
    unknown = sorted(set(targets) - set(known))
    if unknown:
        raise PredictInputError(f"No model predicts {', '.join(unknown)}.", hint=f"Choose from {', '.join(known)}.")
    return {
        kind: {target: models[target] for target in sorted(models) if not targets or target in targets}
        for kind, models in found.items()
    }


def _of_database(connection: Connection) -> dict[InterfaceKind, dict[str, Served]]:
    query = (
        select(ModelVersion.id, ModelVersion.name, ModelVersion.domain, ModelVersion.target)
        .where(ModelVersion.served, ModelVersion.domain.in_([kind.value for kind in InterfaceKind]))
        .order_by(ModelVersion.id)
    )
    found: dict[InterfaceKind, dict[str, Served]] = {}
    for row in connection.execute(query):
        model = model_of(row.target, registry.load_artefact(connection, row.id))
        found.setdefault(InterfaceKind(row.domain), {})[row.target] = Served(f"{row.name} (version {row.id})", model)
    return found


def _shipped() -> dict[InterfaceKind, dict[str, Served]]:
    found: dict[InterfaceKind, dict[str, Served]] = {}
    for one in registry.shipped():
        if one.domain in set(InterfaceKind):
            name = f"{one.name} (shipped, {one.card['digest'][:8]})"
            model = model_of(one.target, one.artefact)
            found.setdefault(InterfaceKind(one.domain), {})[one.target] = Served(name, model)
    return found
