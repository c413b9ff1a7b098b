"""Passes over the columns of all candidates: compiled, without the interpreter's lock."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def either(members: np.ndarray, bottom: np.ndarray, top: np.ndarray) -> np.ndarray:
    """Whether at least one side is among some members.

    Args:
        members: shape (N+S,), bool.
        bottom, top: the sides, shape (K,).

    Returns:
        Shape (K,), bool.
    """
    out = np.empty(bottom.size, np.bool_)
    for k in range(out.size):
        out[k] = members[bottom[k]] | members[top[k]]
    return out


@njit(cache=True, nogil=True)
def both(members: np.ndarray, bottom: np.ndarray, top: np.ndarray) -> np.ndarray:
    """Whether both sides are among some members; see `either`."""
    out = np.empty(bottom.size, np.bool_)
    for k in range(out.size):
        out[k] = members[bottom[k]] & members[top[k]]
    return out


@njit(cache=True, nogil=True)
def extent(selected: np.ndarray, values: np.ndarray) -> tuple[int, int, float, float]:
    """How many are selected, of how many of these the value is known, and its least and largest; K values, K bools."""
    every, known = 0, 0
    low, high = np.float32(np.inf), np.float32(-np.inf)
    for k in range(values.size):
        if selected[k]:
            every += 1
            value = values[k]
            if value == value:  # noqa: PLR0124 - NaN is unknown
                known += 1
                low, high = min(low, value), max(high, value)
    return every, known, float(low), float(high)


@njit(cache=True, nogil=True)
def binned(selected: np.ndarray, values: np.ndarray, low: float, high: float, bins: int) -> np.ndarray:
    """Counts of the selected known values in equal bins from the least to the largest, shape (bins,), int64."""
    counts = np.zeros(bins, np.int64)
    for k in range(values.size):
        if selected[k]:
            value = values[k]
            if value == value:  # noqa: PLR0124 - NaN is unknown
                # As Postgres' width_bucket puts it, with the largest value in the last bin.
                place = int(bins * ((value - low) / (high - low)))
                counts[min(place, bins - 1)] += 1
    return counts
