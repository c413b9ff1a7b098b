"""Why a pair is named to be of a class: probabilities, physics, features, and the computed interfaces nearest to it."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, select

from ml.class_artefact import ClassModel
from ml.class_explain import ClassExplanation, explain_class
from ml.interface_store import load_rows
from ml.neighbours import ClassNeighbour, nearest_classes
from ml.registry import load_artefact
from ml.uncertainty import unseen_partners
from schema import ModelVersion
from stackscreen.predict.pairs import PairRow, described_pair
from stackscreen.predict.predictor import rows_of
from stackscreen.predict.recognise import KnownLayers


@dataclass(frozen=True, slots=True)
class ExplainedClass:
    """One named class of one pair, explained.

    Attributes:
        model: name of the model.
        domain: what it learned from.
        version: its number.
        explanation: probabilities, physics and contributions.
        domain_distance: of the lower and the upper layer from the training layers, 1 = the edge.
        neighbours: the nearest computed interfaces, with their classes.
    """

    model: str
    domain: str
    version: int
    explanation: ClassExplanation
    domain_distance: tuple[float, float]
    neighbours: list[ClassNeighbour]


def explain_pair_class(
    connection: Connection, bottom: str, top: str, *, target: str, registry: str = ""
) -> ExplainedClass | None:
    """Explain the class that the served model names of two monolayers.

    Args:
        connection: to read with.
        bottom, top: uids of the layers.
        target: quantity key of a class.
        registry: name of a high-symmetry registry of one cell on one; empty for none in particular.

    Returns:
        None where no model of the target is served for such a pair.

    Raises:
        NotPredictedError: the layers are not known, or do not lie on each other so.
        NoClassError: the model names none: for want of a registry, or of a property of the layers.
    """
    row = PairRow("", {"bottom": bottom, "top": top, "registry": registry})
    asked = described_pair(KnownLayers(connection), row)
    version = connection.execute(
        select(ModelVersion.id, ModelVersion.name).where(
            ModelVersion.served, ModelVersion.target == target, ModelVersion.domain == asked.kind
        )
    ).one_or_none()
    if version is None:
        return None
    model = ClassModel.from_bytes(load_artefact(connection, version.id))
    rows, table, (names,) = rows_of(asked.kind, [asked])
    strangers = unseen_partners(rows.bottom, rows.top, frozenset(model.trained_on))
    sides = table.features[[table.row[name] for name in names]]
    explanation = explain_class(model, rows, unseen=int(strangers[0]))
    below, above = model.domain.distance(sides).tolist()
    computed = load_rows(connection, model.domain_name, sources=(model.source,))
    near = nearest_classes(computed, model.domain, target, sides)
    return ExplainedClass(version.name, model.domain_name, version.id, explanation, (below, above), near)
