"""Why a number: what physics says of it, and what each feature added.

For the trees these are SHAP values, exact by TreeSHAP as LightGBM computes it (S. M. Lundberg et al., Nat. Mach.
Intell. 2, 56 (2020)): they add up to the prediction. Of a stack they are one half; the other is followed back to the
atoms by integrated gradients (`ml.models.attribution`), and both are said as parts of one value.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import lightgbm
import numpy as np
from ase.data import chemical_symbols
from numpy.typing import NDArray

from ml import pair_features
from ml.artefact import PairModel
from ml.descriptors.slab import Slab
from ml.graph_half import GraphHalf, asked
from ml.models.layer_inputs import PairLayers
from ml.models.tree_ensemble import TreeEnsemble

if TYPE_CHECKING:
    from ml.models.slab_encoder import SlabEncoder

MAX_ROWS = 2000
"""Rows that a global importance is averaged over: the means no longer move beyond."""
SEED = 20240


@dataclass(frozen=True)
class Contribution:
    """What one feature added to a prediction.

    Attributes:
        feature: name.
        value: of the feature, in its unit; None if unknown.
        unit: of the feature.
        shap: what it added, in the target's unit.
    """

    feature: str
    value: float | None
    unit: str
    shap: float


@dataclass(frozen=True)
class AtomContribution:
    """What one kind of atom of a layer added to a prediction.

    Attributes:
        layer: "lower" or "upper".
        element: symbol.
        atoms: of it in the layer's cell.
        added: by all of them, in the target's unit.
    """

    layer: str
    element: str
    atoms: int
    added: float


@dataclass(frozen=True)
class GraphShare:
    """What the graph half of a stack makes of a prediction.

    Attributes:
        value: its own prediction, in the target's unit, of which one half counts.
        added: what that half adds beyond physics: without_elements + all contributions, up to the rounding of the
            integral.
        without_elements: its part that no atom is answerable for: of two layers of this shape, composition and
            properties, whose atoms are of no element in the graph.
        contributions: by layer and element, the largest first.
    """

    value: float
    added: float
    without_elements: float
    contributions: tuple[AtomContribution, ...]


@dataclass(frozen=True)
class Layers:
    """What the graph half of a stack is explained with.

    Attributes:
        encoder: the one that the model needs.
        pair: the two layers, one pair.
        lower, upper: the isolated layers.
    """

    encoder: SlabEncoder
    pair: PairLayers
    lower: Slab
    upper: Slab


@dataclass(frozen=True)
class Explanation:
    """One prediction taken apart, then kept above the target's floor.

    value = physics + typical + all contributions (+ `graph.added`). In a stack `typical` and contributions are the
    trees' times one half.

    Attributes:
        target: quantity key.
        unit: of the target.
        value: the prediction.
        lower, upper: ends of its 90 % interval.
        physics: calibrated physics estimate of the pair.
        physics_name: which estimate that is.
        typical: mean of what the trees add, over training.
        contributions: the largest first; none where the trees are not used.
        note: why the trees are not used, if they are not; or that they answer for a stack alone.
        graph: the other half of a stack.
    """

    target: str
    unit: str
    value: float
    lower: float
    upper: float
    physics: float
    physics_name: str
    typical: float
    contributions: tuple[Contribution, ...]
    note: str = ""
    graph: GraphShare | None = None


def shap_values(ensemble: TreeEnsemble, rows: NDArray[np.floating]) -> NDArray[np.float64]:
    """What each feature that the trees read adds to each prediction, and what they add on average.

    Args:
        ensemble: with members; the mean of theirs is given.
        rows: pair features, shape (n, len(pair_features.NAMES)).

    Returns:
        Shape (n, len(ensemble.features) + 1), in the target's unit; the last column is the mean over training.

    Raises:
        ValueError: the ensemble has no trees.
    """
    if not ensemble.members:
        raise ValueError("an ensemble without members has no trees")
    seen = rows[:, [pair_features.COLUMN[name] for name in ensemble.features]]
    each = [lightgbm.Booster(model_str=text).predict(seen, pred_contrib=True) for text in ensemble.members]
    return np.asarray(np.mean(each, axis=0), float)


def explain(
    model: PairModel,
    row: NDArray[np.floating],
    *,
    registry_known: bool = False,
    unseen: int = 2,
    layers: Layers | None = None,
) -> Explanation:
    """Take one prediction apart.

    Args:
        model: what predicted.
        row: pair features, shape (len(pair_features.NAMES),).
        registry_known: whether their registry block is filled.
        unseen: how many of the two partners training has not seen.
        layers: for the graph half of a stack; without them its trees answer, and are explained, alone.
    """
    rows = np.asarray(row, np.float32)[None, :]
    strangers, pair = np.array([unseen]), None if layers is None else layers.pair
    predicted = model.predict(rows, registry_known=registry_known, unseen=strangers, layers=pair)
    value, lower, upper = (float(end[0]) for end in (predicted.value, predicted.lower, predicted.upper))
    state = model.state(registry_known)
    ensemble = state.ensemble
    physics = float(ensemble.baseline.predict(rows)[0])
    name = f"{ensemble.baseline.feature}, calibrated" if ensemble.baseline.feature else "mean of the training rows"
    if not ensemble.members:
        note = "No model beats this estimate on unseen materials, so it is given."
        return Explanation(model.target, model.unit, value, lower, upper, physics, name, 0.0, (), note)
    graph, note = None, ""
    if state.graph is not None and layers is not None and predicted.stacked[0]:
        graph = _graph_share(state.graph, rows, layers, physics)
    elif state.graph is not None:
        note = "The layers have not been encoded, so that the trees of this stack answer alone."
    shares = shap_values(ensemble, rows)[0] * (1.0 if graph is None else 0.5)
    order = np.argsort(-np.abs(shares[:-1]), kind="stable")
    parts = tuple(contribution(ensemble.features[k], rows[0], float(shares[k])) for k in order if shares[k] != 0)
    typical = float(shares[-1])
    return Explanation(model.target, model.unit, value, lower, upper, physics, name, typical, parts, note, graph)


def _graph_share(half: GraphHalf, rows: NDArray[np.floating], layers: Layers, physics: float) -> GraphShare:
    """Follow the graph half of one prediction back to the atoms."""
    from ml.models.attribution import atom_contributions

    fitted = half.fitted(layers.pair)
    features, estimate = asked(fitted, rows)
    found = atom_contributions(
        layers.encoder, fitted, (layers.lower, int(layers.pair.lower[0])), (layers.upper, int(layers.pair.upper[0])),
        features[0], float(estimate[0]),
    )  # fmt: skip
    parts = []
    for layer, slab, added in (("lower", layers.lower, found.lower), ("upper", layers.upper, found.upper)):
        for number in np.unique(slab.numbers):
            its = slab.numbers == number
            parts.append(
                AtomContribution(layer, chemical_symbols[number], int(its.sum()), 0.5 * float(added[its].sum()))
            )
    value = max(found.end, fitted.head.baseline.floor)
    parts.sort(key=lambda one: -abs(one.added))
    return GraphShare(value, 0.5 * (value - physics), 0.5 * (found.begin - physics), tuple(parts))


def importance(ensemble: TreeEnsemble, rows: NDArray[np.floating]) -> list[tuple[str, float]]:
    """Mean absolute SHAP value of each feature, in the target's unit, the largest first; none without trees.

    Args:
        ensemble: any.
        rows: pair features of the training rows, shape (n, len(pair_features.NAMES)); of many, `MAX_ROWS` are drawn.
    """
    if not ensemble.members or not len(rows):
        return []
    if len(rows) > MAX_ROWS:
        rows = rows[np.sort(np.random.default_rng(SEED).choice(len(rows), MAX_ROWS, replace=False))]
    mean = np.abs(shap_values(ensemble, rows)[:, :-1]).mean(axis=0)
    return [(ensemble.features[k], float(mean[k])) for k in np.argsort(-mean, kind="stable") if mean[k] > 0]


def contribution(feature: str, row: NDArray[np.floating], shap: float) -> Contribution:
    """What a feature of a row of pair features, shape (len(pair_features.NAMES),), added."""
    at = pair_features.COLUMN[feature]
    value = float(row[at])
    return Contribution(feature, value if np.isfinite(value) else None, pair_features.UNITS[at], shap)
