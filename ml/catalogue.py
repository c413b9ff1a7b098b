"""Which methods compete for a target of a domain, which baselines they must beat, and how a screen would ask them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ml import baselines, heads
from ml.baselines import Calibrated
from ml.evaluation import AS_THEY_ARE, Views
from ml.method import Fitted, Method
from ml.models.class_physics import CalibratedAnderson, OneFeature, PhysicsAlone
from ml.models.layer_inputs import LayerInputs
from ml.models.stack import Stack
from ml.models.tree_ensemble import Trees
from ml.pair_features import NAMES, REGISTRY, STACKING
from ml.rows import InterfaceRows
from schema.quantities import (
    ALIGNMENT_TYPE,
    BINDING_ENERGY,
    BINDING_ENERGY_PER_ATOM,
    CBM,
    GAP,
    INTERLAYER_DISTANCE,
    METALLIC,
    SLIDE_STABILITY,
    VBM,
)
from schema.vocabulary import InterfaceKind

TARGETS = (
    BINDING_ENERGY.key, INTERLAYER_DISTANCE.key, GAP.key, VBM.key, CBM.key, ALIGNMENT_TYPE.key, SLIDE_STABILITY.key,
    METALLIC.key,
    BINDING_ENERGY_PER_ATOM.key,
)  # fmt: skip
"""What is predicted of an interface, by key; the others of a source's labels are not."""
CLASSES = frozenset({SLIDE_STABILITY.key, ALIGNMENT_TYPE.key, METALLIC.key})
"""Targets whose values name classes."""
CLASS_ESTIMATES = {ALIGNMENT_TYPE.key: ("alignment_type", "nosoc_alignment_type")}
"""Pair features that name the class by themselves: Anderson's rule, with spin-orbit coupling and without."""
CLASS_PHYSICS: dict[str, tuple[PhysicsAlone, ...]] = {
    ALIGNMENT_TYPE.key: (PhysicsAlone(CalibratedAnderson.fit, "nosoc_alignment_type, calibrated"),),
    METALLIC.key: (PhysicsAlone(OneFeature.of("gap_aligned"), "gap_aligned, calibrated"),),
    SLIDE_STABILITY.key: tuple(
        PhysicsAlone(OneFeature.of(name), f"{name}, calibrated")
        for name in ("touching_excess", "dispersion_energy_ratio")
    ),
}
"""Physics that gives each class a probability: baselines of a class."""
REGISTRY_UNKNOWN = "registry unknown"
TREES = "trees"
"""Name of the trees where they are half of a stack; where they stand alone they are "model"."""


@dataclass(frozen=True)
class Lineup:
    """Everything that is judged on one target of one domain.

    Attributes:
        target: quantity key.
        baselines: what is to be beaten.
        methods: what competes.
        judged: name of the method (with its view) that a screen would use.
        views: how test rows are shown.
        classes: whether the target's values name classes.
    """

    target: str
    baselines: tuple[Method, ...]
    methods: tuple[Method, ...]
    judged: str
    views: Views = field(default_factory=lambda: AS_THEY_ARE)
    classes: bool = False

    @property
    def all(self) -> tuple[Method, ...]:
        """Baselines and competitors."""
        return (*self.baselines, *self.methods)


def hide_registry(rows: InterfaceRows) -> InterfaceRows:
    """The same rows as a moiré would show them: no single registry."""
    features = rows.features.copy()
    features[:, [k for k, name in enumerate(rows.names) if name in REGISTRY + STACKING]] = np.nan
    return replace(rows, features=features)


def lineup(rows: InterfaceRows, target: str, inputs: LayerInputs | None = None) -> Lineup:
    """The methods for a target of some rows.

    Args:
        rows: labelled interfaces.
        target: quantity key.
        inputs: their layers, encoded; None leaves graph fusion and stacks out.
    """
    classes = target in CLASSES
    floors: list[Method] = [Constant("most frequent class", _most_frequent) if classes else Constant("mean", _mean)]
    methods: list[Method] = []
    floors += [Estimate(name) for name in CLASS_ESTIMATES.get(target, ()) if name in rows.names]
    floors += CLASS_PHYSICS.get(target, ()) if rows.names == NAMES else ()
    # A screen's pairs have no single registry: of homobilayers, which are known in several, both are asked.
    moire = rows.domain == InterfaceKind.HOMOBILAYER.value
    for name in baselines.CANDIDATES.get(target, ()):
        if name in rows.names and np.isfinite(rows.column(name)).any():
            # An estimate that knows the registry is shown, but is no yardstick for a model that does not.
            (methods if moire and name in REGISTRY else floors).extend([Estimate(name), Line(name)])
    best = floors[-1].name
    # A few moiré cells are small enough to have a single registry: they are asked about as the others are.
    known = bool(np.isfinite(rows.columns(REGISTRY[:1])).mean() > 0.5)
    head = heads.head(rows.domain, target, registry_known=known) if rows.names == NAMES else None
    if head is not None:
        chosen = _stacked(head.method, inputs, rows.domain) if head.stacked and inputs is not None else [head.method]
        methods += chosen
        best = f"{chosen[-1].name}, {REGISTRY_UNKNOWN}" if moire else chosen[-1].name
    classifier = heads.CLASSIFIED.get((rows.domain, target)) if rows.names == NAMES else None
    if classifier is not None:
        methods.append(classifier)
        best = classifier.name
    views: Views = {"": lambda seen: seen, REGISTRY_UNKNOWN: hide_registry} if moire else AS_THEY_ARE
    return Lineup(target, tuple(floors), tuple(methods), best, views, classes)


def _stacked(trees: Trees, inputs: LayerInputs, domain: str) -> list[Method]:
    """Trees, graph fusion, and their stack, which is the one to be judged."""
    from ml.models.fusion import FusionMethod

    trees = replace(trees, name=TREES)
    fusion = FusionMethod(inputs, physics=trees.physics, features=heads.graph_features(domain))
    return [trees, fusion, Stack(trees, fusion)]


def _mean(values: NDArray[np.floating]) -> float:
    return float(values.mean())


def _most_frequent(values: NDArray[np.floating]) -> float:
    found, counts = np.unique(values, return_counts=True)
    return float(found[np.argmax(counts)])


@dataclass(frozen=True)
class _Function:
    """A prediction that is a function of the rows."""

    of: Callable[[InterfaceRows], NDArray[np.floating]]

    def predict(self, rows: InterfaceRows, which: NDArray[np.bool_]) -> NDArray[np.float64]:
        """See `ml.method.Fitted`."""
        return np.asarray(self.of(rows)[which], float)


@dataclass(frozen=True)
class Constant:
    """One number for all: what the training rows say without their features."""

    name: str
    of: Callable[[NDArray[np.floating]], float]

    def fit(self, rows: InterfaceRows, target: str, train: NDArray[np.bool_]) -> Fitted:
        """See `ml.method.Method`."""
        value = self.of(rows.targets[target][train])
        return _Function(lambda seen: np.full(len(seen), value))


@dataclass(frozen=True)
class Estimate:
    """A feature that is an estimate of the target by itself, as it is."""

    feature: str

    @property
    def name(self) -> str:
        """As tables write it."""
        return f"{self.feature}, as it is"

    def fit(self, rows: InterfaceRows, target: str, train: NDArray[np.bool_]) -> Fitted:
        """Nothing is learned."""
        return _Function(lambda seen: seen.column(self.feature))


@dataclass(frozen=True)
class Line:
    """A straight line through such a feature."""

    feature: str

    @property
    def name(self) -> str:
        """As tables write it."""
        return f"{self.feature}, calibrated"

    def fit(self, rows: InterfaceRows, target: str, train: NDArray[np.bool_]) -> Fitted:
        """See `ml.method.Method`."""
        floor = baselines.FLOORS.get(target, -np.inf)
        line = Calibrated.fit(self.feature, rows.column(self.feature)[train], rows.targets[target][train], floor=floor)
        return _Function(lambda seen: line.predict(seen.columns(NAMES)))
