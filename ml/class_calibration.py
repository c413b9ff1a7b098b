"""Probabilities of classes that mean what they say, and the sets of classes that hold the right one nine times in ten.

Both are fitted on out-of-fold probabilities. A temperature T takes every probability p to p^(1/T), normalised
(C. Guo et al., ICML 2017). A set holds the classes whose probability is at least 1 − q, q being the ⌈(n+1)·level⌉-th
smallest of what the right classes lacked of 1 (split conformal prediction, V. Vovk et al., 2005), and always the most
probable class.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml.method import Method
from ml.models.class_physics import LEAST, MostProbable, PhysicsAlone
from ml.models.tree_classes import ClassTrees, FittedClasses
from ml.rows import InterfaceRows
from ml.splits import Partition
from ml.uncertainty import LEVEL

TEMPERATURES = tuple(float(t) for t in np.round(np.geomspace(0.5, 3.0, 37), 4))
"""That are tried: what lies beyond has no probabilities worth the name."""
MOST_FREQUENT = "most frequent class"
"""The baseline, as tables write it."""
RELIABILITY_BINS = 5
MIN_IN_BIN = 20


@dataclass(frozen=True)
class ClassCalibration:
    """Temperature and threshold of one category.

    Attributes:
        temperature: above 1 where raw probabilities are too sure.
        least: smallest probability of a class that a 90 % set holds.
    """

    temperature: float
    least: float

    @classmethod
    def fit(
        cls, probabilities: NDArray[np.floating], true: NDArray[np.integer], *, level: float = LEVEL
    ) -> ClassCalibration:
        """Calibrate on out-of-fold probabilities.

        Args:
            probabilities: shape (n, classes); rows with a NaN are ignored.
            true: number of the right class, shape (n,).
            level: share of rows whose set is to hold the right class.
        """
        known = np.isfinite(probabilities).all(axis=1)
        p, t = probabilities[known], true[known]
        losses = [log_loss(_tempered(p, temperature), t) for temperature in TEMPERATURES]
        temperature = TEMPERATURES[int(np.argmin(losses))]
        lacked = np.sort(1.0 - _tempered(p, temperature)[np.arange(len(t)), t])
        at = min(int(np.ceil((len(t) + 1) * level)) - 1, len(t) - 1)
        return cls(temperature, float(1.0 - lacked[at]))

    def probabilities(self, raw: NDArray[np.floating]) -> NDArray[np.float64]:
        """Calibrated probabilities, shape as given."""
        return _tempered(raw, self.temperature)

    def sets(self, calibrated: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Which classes the set of each row holds, shape as given."""
        held = calibrated >= self.least
        held[np.arange(len(held)), np.nan_to_num(calibrated).argmax(axis=1)] = True
        return held

    def as_json(self) -> dict[str, Any]:
        """For an artefact."""
        return {"temperature": self.temperature, "least": self.least}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ClassCalibration:
        """The inverse of `as_json`."""
        return cls(float(data["temperature"]), float(data["least"]))


@dataclass(frozen=True)
class Scores:
    """How good probabilities are on rows that helped neither to fit nor to calibrate them.

    Attributes:
        n: rows.
        brier: mean squared distance from the right answer, summed over the classes: 0 to 2.
        log_loss: mean of −ln of the right class's probability.
        coverage: share of rows whose 90 % set holds the right class.
        set_size: mean number of classes in a set.
        reliability: mean probability of the named class, share named rightly, and rows, bin by bin.
    """

    n: int
    brier: float
    log_loss: float
    coverage: float
    set_size: float
    reliability: tuple[tuple[float, float, int], ...]

    def as_json(self) -> dict[str, Any]:
        """Rounded to what the numbers of rows allow."""
        return {
            "n": self.n,
            "brier": round(self.brier, 4),
            "log_loss": round(self.log_loss, 4),
            "coverage": round(self.coverage, 4),
            "set_size": round(self.set_size, 3),
            "reliability": [[round(x, 4), round(y, 4), n] for x, y, n in self.reliability],
        }


def probabilities_out_of_fold(
    rows: InterfaceRows, target: str, method: Method, parts: Sequence[Partition], classes: tuple[float, ...]
) -> NDArray[np.float64]:
    """Raw probabilities of every row by what was fitted without its fold, shape (rows, classes); NaN where by none.

    Args:
        rows: labelled interfaces.
        target: whose classes.
        method: makes `FittedClasses` or `MostProbable`.
        parts: of the split.
        classes: value of each column; a class that a fold's training rows lack has probability 0 there.
    """
    out = np.full((len(rows), len(classes)), np.nan)
    for part in parts:
        fitted = method.fit(rows, target, part.train)
        if not isinstance(fitted, FittedClasses | MostProbable):
            raise TypeError(f"{method.name} gives no probabilities")
        found = fitted.probabilities(rows, part.test)
        known = fitted.classes if isinstance(fitted, FittedClasses) else fitted.physics.classes
        full = np.zeros((int(part.test.sum()), len(classes)))
        full[:, np.searchsorted(classes, known)] = found
        out[part.test] = full
    return out


def honest_scores(raw: NDArray[np.floating], true: NDArray[np.integer], parts: Sequence[Partition]) -> Scores:
    """Scores of calibrated probabilities, each row's calibrated on the rows that its part learned from.

    Args:
        raw: out-of-fold, shape (rows, classes).
        true: number of the right class, shape (rows,).
        parts: of the split.
    """
    known = np.isfinite(raw).all(axis=1)
    calibrated, held = np.full(raw.shape, np.nan), np.zeros(raw.shape, bool)
    for part in parts:
        test, fit = part.test & known, part.train & known
        if test.any() and fit.any():
            calibration = ClassCalibration.fit(raw[fit], true[fit])
            calibrated[test] = calibration.probabilities(raw[test])
            held[test] = calibration.sets(calibrated[test])
    ok = np.isfinite(calibrated).all(axis=1)
    p, t, sets = calibrated[ok], true[ok], held[ok]
    right = np.eye(p.shape[1])[t]
    return Scores(
        len(t),
        float(((p - right) ** 2).sum(axis=1).mean()),
        log_loss(p, t),
        float(sets[np.arange(len(t)), t].mean()),
        float(sets.sum(axis=1).mean()),
        _reliability(p, t),
    )


def scores_by_method(
    rows: InterfaceRows, target: str, methods: Sequence[Method], parts: Sequence[Partition]
) -> dict[str, Scores]:
    """Honest scores of the methods that give probabilities, behind those of the classes' frequencies.

    Args:
        rows: labelled interfaces.
        target: whose classes.
        methods: any; those that only name a class are left out.
        parts: of the split.
    """
    classes = np.unique(rows.targets[target])
    true = np.searchsorted(classes, rows.targets[target])
    found = {MOST_FREQUENT: frequency_scores(true, len(classes), parts)}
    for method in methods:
        if isinstance(method, ClassTrees | PhysicsAlone):
            raw = probabilities_out_of_fold(rows, target, method, parts, tuple(map(float, classes)))
            found[method.name] = honest_scores(raw, true, parts)
    return found


def frequency_scores(true: NDArray[np.integer], classes: int, parts: Sequence[Partition]) -> Scores:
    """Scores of saying of every row how frequent each class is: what probabilities are to be better than.

    Args:
        true: number of the right class, shape (rows,).
        classes: how many there are.
        parts: of the split.
    """
    shares = np.tile(np.bincount(true, minlength=classes) / len(true), (len(true), 1))
    return honest_scores(shares, true, parts)


def rival(scores: Mapping[str, Mapping[str, Any]], answers: str) -> str:
    """Name of the method whose probabilities those of what answers are held against: the best of the others.

    Args:
        scores: `Scores.as_json` by method.
        answers: name of the method that answers.
    """
    return min((name for name in scores if name != answers), key=lambda name: scores[name]["log_loss"])


def log_loss(probabilities: NDArray[np.floating], true: NDArray[np.integer]) -> float:
    """Mean of −ln of the right class's probability."""
    return float(-np.log(np.maximum(probabilities[np.arange(len(true)), true], LEAST)).mean())


def _tempered(probabilities: NDArray[np.floating], temperature: float) -> NDArray[np.float64]:
    raised = np.maximum(probabilities, LEAST) ** (1.0 / temperature)
    return np.asarray(raised / raised.sum(axis=1, keepdims=True), float)


def _reliability(p: NDArray[np.floating], true: NDArray[np.integer]) -> tuple[tuple[float, float, int], ...]:
    sure, right = p.max(axis=1), p.argmax(axis=1) == true
    bins = max(1, min(RELIABILITY_BINS, len(p) // MIN_IN_BIN))
    parts = np.array_split(np.argsort(sure, kind="stable"), bins)
    return tuple((float(sure[part].mean()), float(right[part].mean()), len(part)) for part in parts)
