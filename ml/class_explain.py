"""Why a class: how probable each is, what physics says of it, and what each feature adds to the odds.

Trees of several classes give a score each, and only differences of scores mean anything: what is taken apart is the
logarithm of the odds of the named class against the next most probable one. Of one ensemble member it is a difference
of two scores, and therefore a sum over features, exact by TreeSHAP as LightGBM computes it; a temperature divides all
of it. Members' probabilities are averaged, and the logarithm of a mean is not the mean of logarithms; and none is put
below a least probability. What these two make is said as a part of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import lightgbm
import numpy as np
from numpy.typing import NDArray

from ml import pair_features
from ml.class_artefact import WORDS, ClassModel, beside_metal
from ml.descriptors.band_alignment import Alignment
from ml.explain import MAX_ROWS, SEED, Contribution, contribution
from ml.models.class_physics import LEAST
from ml.models.tree_classes import FittedClasses
from ml.rows import InterfaceRows
from schema.errors import StackscreenError
from schema.quantities import ALIGNMENT_TYPE


class NoClassError(StackscreenError):
    """A model names no class of a pair, so that there is nothing to explain."""


@dataclass(frozen=True)
class ClassShare:
    """One class of a pair.

    Attributes:
        word: what it is called.
        probability: calibrated.
        physics: its probability by physics alone, as physics was fitted.
        held: whether the set holds it that holds the right class nine times in ten.
    """

    word: str
    probability: float
    physics: float
    held: bool


@dataclass(frozen=True)
class ClassExplanation:
    """One named class taken apart.

    odds = physics + typical + all contributions + rest, logarithms of the odds of `named` against `against`.

    Attributes:
        target: quantity key.
        named: word of the most probable class.
        against: word of the next one; empty where `named` follows from a definition.
        classes: all of them, the most probable first; none where `named` follows from a definition.
        odds: ln of the calibrated odds, dimensionless, and so are the following.
        physics: what physics says of them.
        physics_name: which physics that is.
        inputs: name, value (None if unknown) and unit of what it reads.
        typical: mean of what the trees add, over training.
        contributions: the largest first; none where the trees are not used.
        rest: what the mean over the members' probabilities makes, and that no probability is put below
            `ml.models.class_physics.LEAST`.
        note: why the trees are not used, if they are not, or what definition decides.
    """

    target: str
    named: str
    against: str = ""
    classes: tuple[ClassShare, ...] = ()
    odds: float = 0.0
    physics: float = 0.0
    physics_name: str = ""
    inputs: tuple[tuple[str, float | None, str], ...] = ()
    typical: float = 0.0
    contributions: tuple[Contribution, ...] = ()
    rest: float = 0.0
    note: str = ""


def explain_class(model: ClassModel, row: InterfaceRows, *, unseen: int = 2) -> ClassExplanation:
    """Take one named class apart.

    Args:
        model: what named it.
        row: the pair, one row.
        unseen: how many of the two partners training has not seen.

    Raises:
        NoClassError: the model speaks of one registry and there is none, or physics needs what is not known.
    """
    words = WORDS[model.target]
    if model.target == ALIGNMENT_TYPE.key and beside_metal(row)[0]:
        note = (
            "One of the layers is a metal, and beside a metal there is no other type: a definition, not a prediction."
        )
        return ClassExplanation(model.target, words[int(Alignment.METAL)], note=note)
    if not np.isfinite(model.predict(row, np.array([unseen])).value[0]):
        raise _no_class(model, row)
    learned, category = model.answering(unseen)
    physics = learned.physics.probabilities(row)[0]
    calibrated = category.calibration.probabilities(learned.probabilities(row, np.ones(1, bool)))
    held = category.calibration.sets(calibrated)[0]
    found, temperature = calibrated[0], category.calibration.temperature
    order = np.argsort(-found, kind="stable")
    first, second = int(order[0]), int(order[1])
    odds = float(np.log(found[first] / found[second]))
    start = np.log(np.maximum(physics, LEAST))
    by_physics = float(start[first] - start[second]) / temperature
    typical, parts = 0.0, []
    if learned.members:
        each = _contributions(learned, row.columns(learned.features))[0]
        shares = (each[first] - each[second]) / temperature
        typical = float(shares[-1])
        order_of_features = np.argsort(-np.abs(shares[:-1]), kind="stable")
        parts = [
            contribution(learned.features[k], row.features[0], float(shares[k]))
            for k in order_of_features
            if shares[k] != 0
        ]
    named = [words[int(number)] for number in learned.classes]
    return ClassExplanation(
        model.target,
        named[first],
        named[second],
        tuple(ClassShare(named[k], float(found[k]), float(physics[k]), bool(held[k])) for k in order),
        odds,
        by_physics,
        learned.physics.says,
        tuple(_input(name, row) for name in learned.physics.reads),
        typical,
        tuple(parts),
        odds - by_physics - typical - sum(part.shap for part in parts),
        "" if learned.members else "Trees are not ahead of this estimate on such pairs, so physics answers alone.",
    )


def class_importance(learned: FittedClasses, rows: InterfaceRows) -> list[tuple[str, float]]:
    """Mean absolute SHAP value of each feature over rows and classes, in logarithms of odds, the largest first.

    Args:
        learned: physics and trees.
        rows: the training rows; of many, `MAX_ROWS` are drawn.
    """
    read = rows.columns(learned.features)
    if len(read) > MAX_ROWS:
        read = read[np.sort(np.random.default_rng(SEED).choice(len(read), MAX_ROWS, replace=False))]
    mean = np.abs(_contributions(learned, read)[:, :, :-1]).mean(axis=(0, 1))
    return [(learned.features[k], float(mean[k])) for k in np.argsort(-mean, kind="stable") if mean[k] > 0]


def _contributions(learned: FittedClasses, read: NDArray[np.floating]) -> NDArray[np.float64]:
    """SHAP values of each class's score, mean over the members, shape (rows, classes, features + 1); means last."""
    shape = (len(read), len(learned.classes), len(learned.features) + 1)
    each = [
        np.reshape(lightgbm.Booster(model_str=text).predict(read, pred_contrib=True, num_threads=1), shape)
        for text in learned.members
    ]
    return np.asarray(np.mean(each, axis=0), float)


def _input(name: str, row: InterfaceRows) -> tuple[str, float | None, str]:
    value = float(row.column(name)[0])
    return name, value if np.isfinite(value) else None, pair_features.UNITS[pair_features.COLUMN[name]]


def _no_class(model: ClassModel, row: InterfaceRows) -> NoClassError:
    if model.needs_registry and not np.isfinite(row.columns(pair_features.REGISTRY[:1])[0, 0]):
        return NoClassError(
            f"{model.target} is a property of one registry, and none is given.", hint="Give one, such as --registry AB."
        )
    return NoClassError(
        f"{model.target} cannot be told: {model.learned.physics.says}, needs "
        f"{', '.join(model.learned.physics.reads)}, and not all of it is known of these layers.",
        hint="Import a source that has these properties of the layers.",
    )
