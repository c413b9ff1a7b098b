"""The stack: trees and graph fusion, each counting one half.

The weights are stated and not chosen: two heads of different kinds err differently, and their plain mean needs no fold
to be weighed on. Where a layer has not been encoded, the trees answer alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from ml.method import Fitted, Method
from ml.models.tree_ensemble import TreeEnsemble, Trees
from ml.rows import InterfaceRows

if TYPE_CHECKING:
    from ml.models.fusion import FittedFusion, FusionMethod

NAME = "stack"


@dataclass(frozen=True)
class Stack:
    """The method; see `ml.method.Combined`.

    Attributes:
        trees, fusion: its halves, on the same physics.
        name: as tables write it.
    """

    trees: Trees
    fusion: FusionMethod
    name: str = NAME

    @property
    def parts(self) -> tuple[Method, ...]:
        """The halves."""
        return self.trees, self.fusion

    def with_seed(self, seed: int) -> Stack:
        """See `ml.method.Seeded`."""
        return replace(self, trees=self.trees.with_seed(seed), fusion=self.fusion.with_seed(seed))

    def fit(self, rows: InterfaceRows, target: str, train: NDArray[np.bool_]) -> FittedStack:
        """See `ml.method.Method`."""
        return self.of([part.fit(rows, target, train) for part in self.parts])

    def of(self, fitted: Sequence[Fitted]) -> FittedStack:
        """See `ml.method.Combined`."""
        trees, fusion = fitted
        return FittedStack(cast("TreeEnsemble", trees), cast("FittedFusion", fusion))


@dataclass(frozen=True)
class FittedStack:
    """Its fitted halves; see `ml.method.Fitted`."""

    trees: TreeEnsemble
    fusion: FittedFusion

    def predict(self, rows: InterfaceRows, which: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Mean of the halves, shape (rows in `which`,), in the target's unit; the trees' where the other has none."""
        return half_and_half(self.trees.predict(rows, which), self.fusion.predict(rows, which))

    def spread(self, rows: InterfaceRows, which: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Standard deviation of the members of both; see `ml.method.Spreading`."""
        values = self.trees.predict(rows, which), self.fusion.predict(rows, which)
        return spread_of(*values, self.trees.spread(rows, which), self.fusion.spread(rows, which))


def half_and_half(trees: NDArray[np.floating], fusion: NDArray[np.floating]) -> NDArray[np.float64]:
    """Mean of two predictions, shape as given; the first where the second is NaN."""
    return np.asarray(np.where(np.isfinite(fusion), 0.5 * (trees + fusion), trees), float)


def spread_of(
    trees: NDArray[np.floating],
    fusion: NDArray[np.floating],
    trees_spread: NDArray[np.floating],
    fusion_spread: NDArray[np.floating],
) -> NDArray[np.float64]:
    """Standard deviation of a mixture, in equal shares, of two ensembles' members; the first's where the other is NaN.

    Args:
        trees, fusion: means of their members, shape as given, in the target's unit.
        trees_spread, fusion_spread: standard deviations of their members.
    """
    within = 0.5 * (trees_spread**2 + fusion_spread**2)
    both = np.sqrt(within + 0.25 * (trees - fusion) ** 2)
    return np.asarray(np.where(np.isfinite(both), both, trees_spread), float)
