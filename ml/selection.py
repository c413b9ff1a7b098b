"""One method out of several: the best, or a blend of them, chosen on inner folds of what it may learn from.

So the choice is part of the method, and its out-of-fold errors include what choosing costs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

from ml.evaluation import out_of_fold
from ml.method import Fitted, Method, Seeded
from ml.rows import InterfaceRows
from ml.splits import Partition, Split, SplitError, partitions

INNER = "inner"
"""Draw of the inner folds: other folds than the outer ones, which would empty their blocks."""
STEPS = 10
"""Weights of a blend are multiples of 1/STEPS."""
MIN_INNER = 20
"""With fewer inner predictions the first candidate is taken unseen."""


@dataclass(frozen=True)
class Chosen:
    """Candidates, of which inner folds choose one or weigh several.

    Attributes:
        name: as tables write it.
        candidates: the first is taken where nothing can be chosen; a tie goes to the earlier.
        split: rule of the inner folds.
        blend: whether several may be averaged; not for classes.
        splits_if_not: rules tried in turn where `split` cannot be made of the training rows.
        steps: weights of a blend are multiples of 1/steps; with 1 a single candidate is taken.
    """

    name: str
    candidates: tuple[Method, ...]
    split: Split
    blend: bool = True
    splits_if_not: tuple[Split, ...] = (Split.PAIR, Split.RANDOM)
    steps: int = STEPS

    def with_seed(self, seed: int) -> Chosen:
        """The same choice among candidates with another seed."""
        seeded = tuple(one.with_seed(seed) if isinstance(one, Seeded) else one for one in self.candidates)
        return replace(self, candidates=seeded)

    def fit(self, rows: InterfaceRows, target: str, train: NDArray[np.bool_]) -> Blend:
        """Choose on inner folds of the training rows, then fit what was chosen on all of them."""
        weights = self.weights(rows, target, train)
        used = [(method, weight) for method, weight in zip(self.candidates, weights, strict=True) if weight > 0]
        return Blend(
            tuple(method.fit(rows, target, train) for method, _ in used),
            tuple(weight for _, weight in used),
            tuple(method.name for method, _ in used),
        )

    def weights(self, rows: InterfaceRows, target: str, train: NDArray[np.bool_]) -> tuple[float, ...]:
        """Weight of each candidate, adding up to 1."""
        first = (1.0, *([0.0] * (len(self.candidates) - 1)))
        if len(self.candidates) == 1:
            return first
        known = rows.take(train & rows.labelled(target))
        out, _ = out_of_fold(known, target, self.candidates, self._inner(known))
        if any(method.name not in out for method in self.candidates):
            return first
        predicted = np.stack([out[method.name] for method in self.candidates])
        ok = np.isfinite(predicted).all(axis=0)
        if ok.sum() < MIN_INNER:
            return first
        return best_weights(predicted[:, ok], known.targets[target][ok], blend=self.blend, steps=self.steps)

    def _inner(self, known: InterfaceRows) -> list[Partition]:
        for split in (self.split, *self.splits_if_not):
            try:
                return partitions(known, split, draw=INNER)
            except SplitError:
                continue
        return []


@dataclass(frozen=True)
class Blend:
    """What was chosen, fitted.

    Attributes:
        members: fitted methods.
        weights: of each, adding up to 1.
        names: of each.
    """

    members: tuple[Fitted, ...]
    weights: tuple[float, ...]
    names: tuple[str, ...] = field(default=())

    def predict(self, rows: InterfaceRows, which: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Weighted mean of the members that have a value, shape (rows in `which`,); NaN where none has."""
        values = np.stack([member.predict(rows, which) for member in self.members])
        weights = np.where(np.isfinite(values), np.array(self.weights)[:, None], 0.0)
        total = weights.sum(axis=0)
        mean = (np.nan_to_num(values) * weights).sum(axis=0) / np.where(total > 0, total, 1.0)
        return np.where(total > 0, mean, np.nan)


def best_weights(
    predicted: NDArray[np.floating], true: NDArray[np.floating], *, blend: bool = True, steps: int = STEPS
) -> tuple[float, ...]:
    """Weights that make the mean absolute error smallest, on a grid.

    Args:
        predicted: shape (methods, rows), in the target's unit.
        true: shape (rows,).
        blend: False to allow a single method only, judged by the share of rows it gets exactly.
        steps: weights are multiples of 1/steps.

    Returns:
        One weight a method, adding up to 1; among equals those that lean on earlier methods.
    """
    if not blend:
        wrong = (np.rint(predicted) != np.rint(true)).mean(axis=1)
        return tuple(float(k == int(np.argmin(wrong))) for k in range(len(predicted)))
    grid = _simplex(len(predicted), steps)
    errors = [float(np.abs(np.array(weights) @ predicted - true).mean()) for weights in grid]
    return grid[int(np.argmin(errors))]


@cache
def _simplex(methods: int, steps: int) -> list[tuple[float, ...]]:
    """All weights in multiples of 1/steps that add up to 1, those that lean on the first method first."""
    found = [some for some in product(range(steps, -1, -1), repeat=methods) if sum(some) == steps]
    return [tuple(part / steps for part in some) for some in found]


def described(weights: Sequence[float], names: Sequence[str]) -> str:
    """Weights in words: "0.7 trees + 0.3 kernel"."""
    return " + ".join(f"{weight:g} {name}" for weight, name in zip(weights, names, strict=True) if weight > 0)
