"""Predictions with intervals for structures and pairs, many at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import astuple, dataclass, replace
from itertools import islice

import numpy as np
from sqlalchemy import Connection

from ml import pair_features
from ml.class_artefact import ClassModel, ClassPrediction
from ml.features import compute
from ml.interfaces import LayerTable, assemble
from ml.rows import InterfaceRows
from ml.uncertainty import unseen_partners
from schema.errors import StackscreenError
from schema.vocabulary import InterfaceKind
from stackscreen.predict.describe import Described, Side, describe
from stackscreen.predict.encoded import Encoded
from stackscreen.predict.errors import NotPredictedError, Reason
from stackscreen.predict.inputs import Given, Unread
from stackscreen.predict.recognise import KnownLayers
from stackscreen.predict.served import Served, served_models

BATCH = 256
"""Structures at a time."""
PROBABILITY = "_probability"
"""Ending of the target that says how probable a named class is."""
_REGISTRY = pair_features.COLUMN[pair_features.REGISTRY[0]]


@dataclass(frozen=True, slots=True)
class Prediction:
    """One target of one structure or pair.

    Attributes:
        id: what the file calls it.
        target: key of the quantity; of the probability of a class the key with `PROBABILITY` behind it.
        value, lower, upper: prediction and its 90 % interval, in `unit`. Classes go by number: the most probable one,
            and the smallest and largest of the set that holds the right one nine times in ten.
        unit: of the three; empty for a class.
        model: name and version of what predicted; of a stack without the graph it says so.
        domain_distance: of the farther layer from what the model learned from; 1 is the edge, beyond it extrapolates.
    """

    id: str
    target: str
    value: float
    lower: float
    upper: float
    unit: str
    model: str
    domain_distance: float


@dataclass(frozen=True, slots=True)
class NotPredicted:
    """A structure or pair without predictions.

    Attributes:
        id: what the file calls it.
        error: why.
    """

    id: str
    error: NotPredictedError


class Predictor:
    """Predicts with the models and the materials of a database, or without any.

    Attributes:
        known: the materials.
        models: what predicts, by kind of pair and target.
        recognised, unrecognised: layers of the structures so far that are known materials, and that are not.

    Args:
        connection: to read with; None for the models that ship, and layers of which only the atoms are known.
        targets: keys of the quantities that are predicted; all if empty.

    Raises:
        PredictInputError: no model predicts one of the targets.
        ArtefactError: a model's bytes are not what its digest says.
    """

    def __init__(self, connection: Connection | None = None, targets: tuple[str, ...] = ()) -> None:
        self.known = KnownLayers(connection)
        self.recognised = self.unrecognised = 0
        self.models = served_models(connection, targets)
        self._encoded = Encoded(connection)

    def structures(self, given: Iterable[Given | Unread]) -> Iterator[list[Prediction] | NotPredicted]:
        """Predict stacked structures, in their order.

        Args:
            given: from `stackscreen.predict.inputs.given_structures`.

        Yields:
            For each of them its predictions, or why there are none.
        """
        items = iter(given)
        while batch := list(islice(items, BATCH)):
            self.known.look_up(name for one in batch if isinstance(one, Given) for name in one.layers or ())
            yield from self.predict([self._described(one) for one in batch])

    def predict(self, batch: list[Described | NotPredicted]) -> list[list[Prediction] | NotPredicted]:
        """Predict what has been described, all at once; what could not be stays as it is."""
        out: list[list[Prediction] | NotPredicted] = [
            one if isinstance(one, NotPredicted) else NotPredicted(one.id, _no_model(one.kind)) for one in batch
        ]
        for kind, models in self.models.items():
            rows = [(k, one) for k, one in enumerate(batch) if isinstance(one, Described) and one.kind is kind]
            if rows and models:
                for (k, _), found in zip(rows, self._safely(kind, [one for _, one in rows], models), strict=True):
                    out[k] = found
        return out

    def _described(self, one: Given | Unread) -> Described | NotPredicted:
        if isinstance(one, Unread):
            return NotPredicted(one.id, one.error)
        try:
            found = describe(one, self.known)
        except NotPredictedError as error:
            return NotPredicted(one.id, error)
        except Exception as error:
            # One strange structure must not stop the others, whatever it provokes in the geometry.
            said = f"{type(error).__name__}: {error}"
            return NotPredicted(one.id, NotPredictedError(Reason.NOT_A_STACK, f"It cannot be described: {said}"))
        layers = [found.top] if found.kind is InterfaceKind.ON_BULK else [found.bottom, found.top]
        known = sum(bool(side.features is not None or side.layer.properties) for side in layers)
        self.recognised += known
        self.unrecognised += len(layers) - known
        return found

    def _safely(
        self, kind: InterfaceKind, described: list[Described], models: Mapping[str, Served]
    ) -> list[list[Prediction] | NotPredicted]:
        """All at once; where one of them provokes an error in its descriptors, one by one, and that one is reported."""
        try:
            return self._kind(kind, described, models)
        except StackscreenError:
            raise
        except Exception as error:
            if len(described) == 1:
                said = f"Its layers cannot be described: {type(error).__name__}: {error}"
                return [NotPredicted(described[0].id, NotPredictedError(Reason.UNKNOWN_INPUTS, said))]
            return [found for one in described for found in self._safely(kind, [one], models)]

    def _kind(
        self, kind: InterfaceKind, described: list[Described], models: Mapping[str, Served]
    ) -> list[list[Prediction] | NotPredicted]:
        rows, table, names = rows_of(kind, described)
        found: list[list[Prediction]] = [[] for _ in described]
        registry_known = np.isfinite(rows.features[:, _REGISTRY])
        for target, served in models.items():
            model = served.model
            domain = model.domain.distance(table.features)
            unseen = unseen_partners(rows.bottom, rows.top, frozenset(model.trained_on))
            far = [max(float(domain[table.row[name]]) for name in both) for both in names]
            if isinstance(model, ClassModel):
                for k, made in enumerate(_classes(described, model.predict(rows, unseen), target, served.name, far)):
                    found[k] += made
                continue
            for told in (True, False):
                which = np.flatnonzero(registry_known == told)
                if not len(which):
                    continue
                layers = None
                if model.state(told).graph is not None and model.encoder is not None and model.domain_name == kind:
                    layers = self._encoded.layers_of(rows, table, model.encoder).take(which)
                predicted = model.predict(
                    rows.features[which], registry_known=told, unseen=unseen[which], layers=layers
                )
                for k, value, lower, upper, stacked in zip(
                    which.tolist(), predicted.value, predicted.lower, predicted.upper, predicted.stacked, strict=True
                ):
                    if not np.isfinite(value):
                        continue
                    alone = model.state(told).graph is not None and not stacked
                    said_by = f"{served.name}, its trees alone" if alone else served.name
                    found[k].append(
                        Prediction(
                            described[k].id,
                            target,
                            float(value),
                            float(lower),
                            float(upper),
                            model.unit,
                            said_by,
                            far[k],
                        )
                    )
        return [
            predictions or NotPredicted(one.id, NotPredictedError(Reason.UNKNOWN_INPUTS, _WITHOUT))
            for one, predictions in zip(described, found, strict=True)
        ]


def _no_model(kind: InterfaceKind) -> NotPredictedError:
    return NotPredictedError(Reason.NO_MODEL, f"It is a {kind.value}, and no model is served for that.")


def rows_of(kind: InterfaceKind, described: list[Described]) -> tuple[InterfaceRows, LayerTable, list[tuple[str, str]]]:
    """The rows that the models read, in the order of `described`, as training makes them.

    Returns:
        The rows, the table of the isolated layers, and the names in it of either row's bottom and top.
    """
    sides: dict[str, Side] = {}
    names: list[tuple[str, str]] = []
    for k, one in enumerate(described):
        own = []
        for side in (one.bottom, one.top):
            # Unknown layers are known by their pair only.
            name = side.name if side.features is not None else f"{k:06d} {side.name}"
            sides.setdefault(name, side)
            own.append(name)
        names.append((own[0], own[1]))
    new = [name for name in sorted(sides) if sides[name].features is None]
    computed = dict(zip(new, compute([sides[name].layer for name in new]), strict=True))
    order = sorted(sides)
    table = LayerTable(
        {name: sides[name].layer for name in order},
        {name: sides[name].family for name in order},
        {name: row for row, name in enumerate(order)},
        np.array([computed[name] if name in computed else sides[name].features for name in order], np.float32),
    )
    interfaces = [
        replace(one.interface, id=f"{k:06d}", bottom=bottom, top=top)
        for k, (one, (bottom, top)) in enumerate(zip(described, names, strict=True))
    ]
    return assemble(kind.value, "", interfaces, table), table, names


def _classes(
    described: list[Described], predicted: ClassPrediction, target: str, model: str, far: list[float]
) -> Iterator[list[Prediction]]:
    """Of each pair its class, by number, and the probability of that class."""
    rows = zip(described, *(end.tolist() for end in astuple(predicted)), far, strict=True)
    for one, value, lower, upper, probability, distance in rows:
        made = []
        if np.isfinite(value):
            made.append(Prediction(one.id, target, value, lower, upper, "", model, distance))
        if np.isfinite(probability):
            name, unknown = f"{target}{PROBABILITY}", float("nan")
            made.append(Prediction(one.id, name, probability, unknown, unknown, "1", model, distance))
        yield made


_WITHOUT = "The models need a property of its layers, or its registry, that is not known."
