"""Methods simple enough to know what they should do."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ml.rows import InterfaceRows


@dataclass(frozen=True)
class Mean:
    """The mean of the training rows."""

    name: str = "mean"

    def fit(self, rows: InterfaceRows, target: str, train: NDArray[np.bool_]) -> FittedLine:
        return FittedLine((), np.array([rows.targets[target][train].mean()]))


@dataclass(frozen=True)
class Line:
    """Least squares on some features; records which rows it learned from."""

    features: tuple[str, ...]
    name: str = "line"
    jitter: float = 0.0
    seed: int = 0
    learned_from: list[NDArray[np.bool_]] = field(default_factory=list, compare=False)

    def with_seed(self, seed: int) -> Line:
        return Line(self.features, self.name, self.jitter, seed, self.learned_from)

    def fit(self, rows: InterfaceRows, target: str, train: NDArray[np.bool_]) -> FittedLine:
        self.learned_from.append(train.copy())
        x = np.nan_to_num(rows.columns(self.features)[train])
        design = np.column_stack([np.ones(len(x)), x])
        solution = np.linalg.lstsq(design, rows.targets[target][train], rcond=None)[0]
        noise = self.jitter * np.random.default_rng(self.seed).normal(size=solution.shape)
        return FittedLine(self.features, solution + noise)


@dataclass(frozen=True)
class FittedLine:
    features: tuple[str, ...]
    solution: NDArray[np.float64]

    def predict(self, rows: InterfaceRows, which: NDArray[np.bool_]) -> NDArray[np.float64]:
        x = np.nan_to_num(rows.columns(self.features)[which])
        return self.solution[0] + x @ self.solution[1:]
