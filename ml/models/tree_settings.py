"""How the members of an ensemble of trees are grown: not all alike, but across a stated grid.

Where members differ in their settings too, none of these is chosen, on no fold, and how far members disagree also tells
how much settings matter (F. Wenzel, J. Snoek, D. Tran and R. Jenatton, Adv. Neural Inf. Process. Syst. 33, 6514
(2020)).
A grid follows from the number of training rows alone, for every target and domain alike.

The values are usual ones: trees of 7, 15 and 31 leaves (31 is LightGBM's own, and about the most that compiled forests
take), a quarter and a half of the features a tree. What few rows teach is learned by Huber's loss, what many teach by
Huber's and the absolute one. Losses, and rounds times rate, were settled on other tables than those that models so
grown are judged on: see `python -m benchmarks grid`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

FIXED: dict[str, Any] = {
    "bagging_freq": 1,
    "lambda_l2": 1.0,
    # One thread and fixed column order: the same rows give the same trees, bit for bit.
    "num_threads": 1,
    "deterministic": True,
    "force_col_wise": True,
    "verbosity": -1,
}
HUBER_SHARE = 0.7
"""Of the mean absolute residual: beyond it Huber's loss is linear, so that a few bonded stacks lead no tree."""
MANY_ROWS = 2000
"""Training rows from which on trees are full-grown and leaves hold as many rows as is LightGBM's default."""


@dataclass(frozen=True)
class Settings:
    """How the trees of one member are grown.

    Attributes:
        loss: "huber" (see `HUBER_SHARE`), or one of LightGBM's; not used for classes.
        rounds, leaves, min_rows, rate: trees (of each class), leaves of a tree, rows of a leaf, learning rate.
        columns, rows: share of features and of rows that a tree is shown.
    """

    loss: str = "huber"
    rounds: int = 120
    leaves: int = 15
    min_rows: int = 5
    rate: float = 0.1
    columns: float = 0.5
    rows: float = 0.7

    def parameters(self, seed: int) -> dict[str, Any]:
        """LightGBM's parameters but for the loss."""
        return {
            **FIXED,
            "learning_rate": self.rate,
            "num_leaves": self.leaves,
            "min_data_in_leaf": self.min_rows,
            "feature_fraction": self.columns,
            "bagging_fraction": self.rows,
            "seed": seed,
        }

    def objective(self, residual: NDArray[np.floating]) -> dict[str, Any]:
        """LightGBM's parameters of the loss for these residuals."""
        if self.loss != "huber":
            return {"objective": self.loss}
        return {"objective": "huber", "alpha": max(HUBER_SHARE * float(np.abs(residual).mean()), 1e-6)}


Grid: TypeAlias = tuple[Settings, ...]
"""Settings of each member."""
GridRule: TypeAlias = Callable[[int], Grid]
"""Settings of the members by number of training rows."""

_QUARTER, _HALF = 0.25, 0.5
# Larger trees are fewer and weigh more, so that all members go equally far.
_FEW: Grid = tuple(
    Settings(rounds=rounds, leaves=leaves, rate=rate, columns=columns)
    for leaves, rounds, rate in ((7, 160, 0.1125), (15, 120, 0.15), (31, 80, 0.225))
    for columns in (_QUARTER, _HALF)
)
_MANY: Grid = tuple(
    Settings(loss, rounds=150, leaves=31, min_rows=20, rate=0.15, columns=columns)
    for loss in ("huber", "l1")
    for columns in (_QUARTER, _HALF)
)
_CLASSES_OF_FEW: Grid = tuple(
    Settings(rounds=rounds, leaves=leaves, min_rows=20, rate=0.06, columns=columns)
    for rounds, shares in ((10, (_QUARTER, _HALF)), (30, (_HALF, _QUARTER)), (90, (_QUARTER, _HALF)))
    for leaves, columns in zip((3, 7), shares, strict=True)
)
_CLASSES_OF_MANY: Grid = tuple(
    Settings(rounds=60, leaves=leaves, min_rows=20, rate=0.1, columns=columns)
    for leaves in (15, 31)
    for columns in (_QUARTER, _HALF)
)


def of_values(rows: int) -> Grid:
    """The grid of what learns a number from that many rows."""
    return _FEW if rows < MANY_ROWS else _MANY


def of_classes(rows: int) -> Grid:
    """The grid of what learns a class from that many rows.

    Of few rows physics knows more than trees can learn: members go from hardly a step away from it to many.
    """
    return _CLASSES_OF_FEW if rows < MANY_ROWS else _CLASSES_OF_MANY


def same(members: int, settings: Settings) -> GridRule:
    """Members that differ by their seeds alone, however many rows there are."""
    return lambda _: (settings,) * members


def as_json(grid: Grid) -> dict[str, Any]:
    """For a card: what each member has, and what all have."""
    return {"members": [asdict(settings) for settings in grid], **FIXED}
