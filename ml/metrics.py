"""Errors of predictions, with what is needed to judge them: how many rows, how much of the variance, what coverage."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Metrics:
    """Errors of one method on one target under one split, in the target's unit.

    Attributes:
        n: rows.
        mae, rmse: mean absolute and root mean square error.
        r2: share of variance explained, dimensionless.
        coverage: share of rows inside the 90 % interval; None for methods without one.
        coverage_by_material: the same, every material (every pair) counting alike.
        width: mean half-width of the interval.
    """

    n: int
    mae: float
    rmse: float
    r2: float
    coverage: float | None = None
    coverage_by_material: float | None = None
    width: float | None = None

    @classmethod
    def of(cls, true: NDArray[np.floating], predicted: NDArray[np.floating]) -> Metrics:
        """Errors over the rows where both are known."""
        ok = np.isfinite(true) & np.isfinite(predicted)
        if not ok.any():
            return cls(0, float("nan"), float("nan"), float("nan"))
        t, p = true[ok], predicted[ok]
        residual = p - t
        variance = float(((t - t.mean()) ** 2).sum())
        return cls(
            int(ok.sum()),
            float(np.abs(residual).mean()),
            float(np.sqrt((residual**2).mean())),
            float(1.0 - (residual**2).sum() / variance) if variance > 0 else float("nan"),
        )

    @property
    def error(self) -> float:
        """What is to be small."""
        return self.mae

    def as_json(self) -> dict[str, Any]:
        """Rounded to what the numbers of rows allow."""
        return {k: v if v is None or k == "n" else round(v, 4) for k, v in asdict(self).items()}


@dataclass(frozen=True)
class ClassMetrics:
    """How often one method names the right class.

    Attributes:
        n: rows.
        accuracy: share of rows named rightly.
        recall: of each class that occurs, by its number: share of its rows named rightly.
    """

    n: int
    accuracy: float
    recall: dict[int, float]

    @classmethod
    def of(cls, true: NDArray[np.floating], predicted: NDArray[np.floating]) -> ClassMetrics:
        """Over the rows where both are known; a prediction between two classes is rounded."""
        ok = np.isfinite(true) & np.isfinite(predicted)
        if not ok.any():
            return cls(0, float("nan"), {})
        t, p = np.rint(true[ok]).astype(int), np.rint(predicted[ok]).astype(int)
        return cls(len(t), float((t == p).mean()), {int(c): float((p[t == c] == c).mean()) for c in np.unique(t)})

    @property
    def error(self) -> float:
        """What is to be small: the share named wrongly."""
        return 1.0 - self.accuracy

    @property
    def balanced_accuracy(self) -> float:
        """Mean recall of the classes."""
        return float(np.mean(list(self.recall.values()))) if self.recall else float("nan")

    def as_json(self) -> dict[str, Any]:
        """Rounded to what the numbers of rows allow."""
        return {
            "n": self.n,
            "accuracy": round(self.accuracy, 4),
            "balanced_accuracy": round(self.balanced_accuracy, 4),
            "recall": {str(name): round(value, 4) for name, value in self.recall.items()},
        }


def group_numbers(groups: list[str]) -> NDArray[np.int64]:
    """Number of each row's group, shape (rows,)."""
    return np.unique(np.array(groups), return_inverse=True)[1].astype(np.int64)
