"""What every way of predicting has in common, from the mean of the training rows to a graph network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ml.rows import InterfaceRows


class Fitted(Protocol):
    """A method that has learned."""

    def predict(self, rows: InterfaceRows, which: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Values of the rows in `which`, shape (number of them,), in the target's unit; NaN where it has none."""
        ...


class Method(Protocol):
    """A way of predicting, ready to learn.

    Attributes:
        name: as tables and cards write it.
    """

    @property
    def name(self) -> str:
        """As tables and cards write it."""
        ...

    def fit(self, rows: InterfaceRows, target: str, train: NDArray[np.bool_]) -> Fitted:
        """Learn a target from the rows in `train`, shape (rows,), and from nothing else of `rows`.

        Choices within (rounds, weights, which of several) are made on inner folds of these rows.
        """
        ...


@runtime_checkable
class Combined(Protocol):
    """A method that is made of others, which may have been fitted already."""

    @property
    def parts(self) -> tuple[Method, ...]:
        """What it is made of."""
        ...

    def of(self, fitted: Sequence[Fitted]) -> Fitted:
        """The same as fitting it, from its parts fitted on the same rows, in the order of `parts`."""
        ...


@runtime_checkable
class Seeded(Protocol):
    """A method with chance in it, which another seed would give other numbers."""

    def with_seed(self, seed: int) -> Method:
        """The same method with another seed."""
        ...


@runtime_checkable
class Spreading(Protocol):
    """What has learned and knows how far its members disagree."""

    def spread(self, rows: InterfaceRows, which: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Standard deviation of the members' predictions of the rows in `which`, in the target's unit."""
        ...
