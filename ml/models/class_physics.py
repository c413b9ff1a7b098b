"""What is known of a class before any tree is grown: how frequent it is, or Anderson's rule with its doubts calibrated.

Anderson's rule errs where levels move on contact. Its worst error is a broken gap: where bands overlap, charge flows
until they hardly do, so that many a pair that the rule calls broken keeps a small staggered gap. How much overlap that
takes is one number, and so is how often an offset of a given size is turned round: two logistic lines, five
coefficients, on the rule's own quantities.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ml.descriptors.band_alignment import Alignment
from ml.method import Fitted
from ml.rows import InterfaceRows

RIDGE = 0.1
"""Of the logistic lines' slopes, per standard deviation of what they read: a few dozen rows must not send them away."""
LEAST = 1e-4
"""Probability below which no class is put by physics alone."""


_ANDERSON = (
    "nosoc_alignment_type", "nosoc_gap_overlap", "nosoc_valence_offset", "nosoc_conduction_offset",
    "nosoc_straddling_margin",
)  # fmt: skip
"""What Anderson's rule and its doubts read."""


class ClassPhysics(Protocol):
    """Probabilities without trees."""

    @property
    def classes(self) -> tuple[float, ...]:
        """Value of each class, rising."""
        ...

    @property
    def says(self) -> str:
        """What it goes by, in words."""
        ...

    @property
    def reads(self) -> tuple[str, ...]:
        """Pair features that it reads."""
        ...

    def probabilities(self, rows: InterfaceRows) -> NDArray[np.float64]:
        """Of each class, shape (rows, classes); NaN where what it needs is not known."""
        ...

    def as_json(self) -> dict[str, Any]:
        """For an artefact."""
        ...


FitPhysics = Callable[[InterfaceRows, NDArray[np.floating]], ClassPhysics]
"""Calibrates physics on rows with the class of each, shape (rows,)."""


@dataclass(frozen=True)
class Logistic:
    """A logistic line: probability 1 / (1 + exp(−intercept − slopes · x)).

    Attributes:
        intercept: dimensionless.
        slopes: per unit of each x.
    """

    intercept: float
    slopes: tuple[float, ...]

    @classmethod
    def fit(cls, x: NDArray[np.floating], true: NDArray[np.bool_]) -> Logistic:
        """Most probable line under a ridge.

        Args:
            x: shape (n, k).
            true: shape (n,).
        """
        from sklearn.linear_model import LogisticRegression

        if true.all() or not true.any():
            share = (true.sum() + 0.5) / (len(true) + 1.0)
            return cls(float(np.log(share / (1.0 - share))), (0.0,) * x.shape[1])
        mean, scale = x.mean(axis=0), np.maximum(x.std(axis=0), 1e-9)
        line = LogisticRegression(C=1.0 / RIDGE).fit((x - mean) / scale, true)
        slopes = line.coef_[0] / scale
        return cls(float(line.intercept_[0] - slopes @ mean), tuple(float(slope) for slope in slopes))

    def __call__(self, x: NDArray[np.floating]) -> NDArray[np.float64]:
        """Probabilities, shape (n,); NaN for NaN."""
        return np.asarray(1.0 / (1.0 + np.exp(-(self.intercept + x @ np.array(self.slopes)))), float)

    def as_json(self) -> dict[str, Any]:
        """For an artefact."""
        return {"intercept": self.intercept, "slopes": list(self.slopes)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Logistic:
        """The inverse of `as_json`."""
        return cls(float(data["intercept"]), tuple(map(float, data["slopes"])))


@dataclass(frozen=True)
class Frequencies:
    """Each class as often as in training."""

    classes: tuple[float, ...]
    shares: tuple[float, ...]

    @property
    def says(self) -> str:
        """See `ClassPhysics`."""
        return "how frequent each class is in training"

    @property
    def reads(self) -> tuple[str, ...]:
        """See `ClassPhysics`."""
        return ()

    @classmethod
    def fit(cls, _: InterfaceRows, values: NDArray[np.floating]) -> Frequencies:
        """Count.

        Args:
            values: class of each row, shape (rows,).
        """
        classes, counts = np.unique(values, return_counts=True)
        return cls(tuple(map(float, classes)), tuple(float(count / counts.sum()) for count in counts))

    def probabilities(self, rows: InterfaceRows) -> NDArray[np.float64]:
        """See `ClassPhysics`."""
        return np.tile(np.array(self.shares), (len(rows), 1))

    def as_json(self) -> dict[str, Any]:
        """For an artefact."""
        return {"kind": "frequencies", "classes": list(self.classes), "shares": list(self.shares)}


@dataclass(frozen=True)
class OneFeature:
    """The second of two classes by a logistic line in one pair feature."""

    feature: str
    line: Logistic
    classes: tuple[float, ...]

    @property
    def says(self) -> str:
        """See `ClassPhysics`."""
        return f"a logistic line in {self.feature}"

    @property
    def reads(self) -> tuple[str, ...]:
        """See `ClassPhysics`."""
        return (self.feature,)

    @classmethod
    def of(cls, feature: str) -> FitPhysics:
        """What calibrates such a line."""

        def fit(rows: InterfaceRows, values: NDArray[np.floating]) -> OneFeature:
            x, classes = rows.columns((feature,)).astype(float), np.unique(values)
            known = np.isfinite(x[:, 0])
            return cls(feature, Logistic.fit(x[known], values[known] == classes[-1]), tuple(map(float, classes)))

        return fit

    def probabilities(self, rows: InterfaceRows) -> NDArray[np.float64]:
        """See `ClassPhysics`."""
        second = self.line(rows.columns((self.feature,)).astype(float))
        return np.column_stack([1.0 - second, second])

    def as_json(self) -> dict[str, Any]:
        """For an artefact."""
        return {
            "kind": "line", "feature": self.feature, "classes": list(self.classes), "line": self.line.as_json(),
        }  # fmt: skip


@dataclass(frozen=True)
class CalibratedAnderson:
    """Types of alignment: Anderson's rule, and how probably it errs.

    It reads the layers' levels without spin-orbit coupling: the stacks that it is calibrated on are calculated so.

    Attributes:
        broken: of a stack without a gap, by the overlap of the layers' gaps in eV.
        turned: that straddling and staggered are exchanged, by the sizes of the valence and conduction offset in eV.
    """

    broken: Logistic
    turned: Logistic

    @property
    def classes(self) -> tuple[float, ...]:
        """See `ClassPhysics`."""
        return tuple(float(kind) for kind in (Alignment.STRADDLING, Alignment.STAGGERED, Alignment.BROKEN))

    @property
    def says(self) -> str:
        """See `ClassPhysics`."""
        return "Anderson's rule, calibrated"

    @property
    def reads(self) -> tuple[str, ...]:
        """See `ClassPhysics`."""
        return _ANDERSON

    @classmethod
    def fit(cls, rows: InterfaceRows, values: NDArray[np.floating]) -> CalibratedAnderson:
        """Calibrate on rows of two semiconductors with known edges.

        Args:
            rows: with pair features.
            values: class of each row, shape (rows,).
        """
        overlap, offsets, inside = _anderson(rows)
        known = np.isfinite(overlap)
        gapped = known & (values != Alignment.BROKEN)
        turned = (values == Alignment.STRADDLING) != inside
        return cls(
            Logistic.fit(overlap[known, None], (values == Alignment.BROKEN)[known]),
            Logistic.fit(offsets[gapped], turned[gapped]),
        )

    def probabilities(self, rows: InterfaceRows) -> NDArray[np.float64]:
        """See `ClassPhysics`."""
        overlap, offsets, inside = _anderson(rows)
        broken, turned = self.broken(overlap[:, None]), self.turned(offsets)
        straddling = np.where(inside, 1.0 - turned, turned)
        return np.column_stack([(1.0 - broken) * straddling, (1.0 - broken) * (1.0 - straddling), broken])

    def as_json(self) -> dict[str, Any]:
        """For an artefact."""
        return {"kind": "anderson", "broken": self.broken.as_json(), "turned": self.turned.as_json()}


def physics_from_json(data: Mapping[str, Any]) -> ClassPhysics:
    """The inverse of `as_json` of any.

    Raises:
        KeyError: it is of no known kind.
    """
    if data["kind"] == "frequencies":
        return Frequencies(tuple(map(float, data["classes"])), tuple(map(float, data["shares"])))
    if data["kind"] == "line":
        return OneFeature(data["feature"], Logistic.from_json(data["line"]), tuple(map(float, data["classes"])))
    if data["kind"] == "anderson":
        return CalibratedAnderson(Logistic.from_json(data["broken"]), Logistic.from_json(data["turned"]))
    raise KeyError("kind")


@dataclass(frozen=True)
class PhysicsAlone:
    """The method: such probabilities without trees. It is what trees must beat.

    Attributes:
        physics: calibrates it.
        name: as tables write it.
    """

    physics: FitPhysics
    name: str

    def fit(self, rows: InterfaceRows, target: str, train: NDArray[np.bool_]) -> Fitted:
        """See `ml.method.Method`."""
        return MostProbable(self.physics(rows.take(train), rows.targets[target][train]))


@dataclass(frozen=True)
class MostProbable:
    """Names the class that physics finds most probable."""

    physics: ClassPhysics

    def probabilities(self, rows: InterfaceRows, which: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Of each class, shape (rows in `which`, classes)."""
        return self.physics.probabilities(rows.take(which))

    def predict(self, rows: InterfaceRows, which: NDArray[np.bool_]) -> NDArray[np.float64]:
        """See `ml.method.Fitted`."""
        return most_probable(self.probabilities(rows, which), self.physics.classes)


def most_probable(probabilities: NDArray[np.floating], classes: tuple[float, ...]) -> NDArray[np.float64]:
    """The class of the largest probability, shape (rows,); NaN where they are not known."""
    known = np.isfinite(probabilities).all(axis=1)
    named = np.array(classes)[np.nan_to_num(probabilities).argmax(axis=1)]
    return np.where(known, named, np.nan)


def _anderson(rows: InterfaceRows) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Overlap of the gaps in eV, sizes of both offsets in eV, and whether one gap holds the other.

    Shapes (rows,), (rows, 2) and (rows,); the overlap is NaN where edges are not known or a layer is a metal.
    """
    kind, overlap, valence, conduction, margin = rows.columns(_ANDERSON).astype(float).T
    semiconductors = np.where(kind == Alignment.METAL, np.nan, overlap)
    return semiconductors, np.abs(np.column_stack([valence, conduction])), margin >= 0
