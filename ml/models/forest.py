"""LightGBM trees evaluated by compiled code: LightGBM's own numbers, several times sooner on dense rows.

QuickScorer (C. Lucchese et al., SIGIR 2015): instead of walking each tree, whose branches a processor cannot foresee,
go through each feature's thresholds in rising order and strike out the leaves that a false condition makes unreachable;
the leftmost leaf that is left is the tree's exit. Trees have at most 32 leaves, one bit each.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import lightgbm
import numba
import numpy as np
from numpy.typing import NDArray

MAX_LEAVES = 32
LANES = 64
"""Rows that go through the trees side by side; at 64 the compiler unrolls fully (6 times faster than at 32)."""

_LARGEST = float(np.finfo(np.float32).max)

# For v with one bit set, v mod 37 names the bit: 37 is the smallest such modulus for 32 bits.
_BIT_OF = np.zeros(37, np.int64)
for _bit in range(32):
    _BIT_OF[(1 << _bit) % 37] = _bit


class Forest(NamedTuple):
    """Trees as conditions sorted by feature and threshold.

    Attributes:
        offset: where each feature's conditions begin, shape (features + 1,).
        threshold: of each condition `x <= threshold`, rounded down to float32, which decides alike for float32 rows.
        tree: which tree a condition belongs to.
        keep: bits of the leaves that stay reachable when the condition is false.
        nan_is_false: whether a missing value makes the condition false.
        nan_as_zero: per feature, whether a missing value is read as 0 (training saw none missing).
        value: leaf values, shape (trees, MAX_LEAVES), leaves from left to right.
    """

    offset: NDArray[np.int64]
    threshold: NDArray[np.float32]
    tree: NDArray[np.uint16]
    keep: NDArray[np.uint32]
    nan_is_false: NDArray[np.bool_]
    nan_as_zero: NDArray[np.bool_]
    value: NDArray[np.float64]

    @classmethod
    def from_lightgbm(cls, booster: lightgbm.Booster) -> Forest:
        """Rearrange a booster of numerical splits.

        Raises:
            ValueError: a tree has more than 32 leaves, or a split is categorical or treats zero as missing.
        """
        conditions: list[tuple[int, float, int, int, bool, bool]] = []
        values: list[list[float]] = []
        for number, tree in enumerate(booster.dump_model()["tree_info"]):
            leaves: list[float] = []
            _collect(tree["tree_structure"], number, leaves, conditions)
            if len(leaves) > MAX_LEAVES:
                raise ValueError(f"tree {number} has {len(leaves)} leaves, more than {MAX_LEAVES}")
            values.append(leaves + [0.0] * (MAX_LEAVES - len(leaves)))
        conditions.sort(key=lambda c: (c[0], c[1]))
        feature = np.array([c[0] for c in conditions], np.int64)
        as_zero = np.zeros(booster.num_feature(), np.bool_)
        for condition in conditions:
            as_zero[condition[0]] |= condition[5]
        return cls(
            np.searchsorted(feature, np.arange(booster.num_feature() + 1)).astype(np.int64),
            _rounded_down(np.array([c[1] for c in conditions], np.float64)),
            np.array([c[2] for c in conditions], np.uint16),
            np.array([c[3] for c in conditions], np.uint32),
            np.array([c[4] for c in conditions], np.bool_),
            as_zero,
            np.array(values, np.float64).reshape(-1, MAX_LEAVES),
        )

    def predict(self, rows: NDArray[np.floating]) -> NDArray[np.float64]:
        """Sum of the trees for each row.

        Args:
            rows: shape (n, features), columns as the booster was trained with; NaN = missing.
        """
        return _predict(np.ascontiguousarray(rows, np.float32), _BIT_OF, *self)


def _rounded_down(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """Largest float32 not above each value."""
    # LightGBM separates missing from present by a threshold of 1e300, which becomes the largest float32.
    nearest = np.clip(values, -_LARGEST, _LARGEST).astype(np.float32)
    return np.where(nearest > values, np.nextafter(nearest, np.float32(-np.inf)), nearest).astype(np.float32)


def _collect(
    node: dict[str, Any],
    tree: int,
    leaves: list[float],
    conditions: list[tuple[int, float, int, int, bool, bool]],
) -> None:
    """Walk a tree from left to right, adding leaves and conditions."""
    if "leaf_value" in node:
        leaves.append(node["leaf_value"])
        return
    if node["decision_type"] != "<=" or node["missing_type"] == "Zero":
        raise ValueError(f"unsupported split {node['decision_type']}, missing {node['missing_type']}")
    first = len(leaves)
    _collect(node["left_child"], tree, leaves, conditions)
    struck = ((1 << (len(leaves) - first)) - 1) << first
    keep = ~struck & 0xFFFFFFFF
    as_zero = node["missing_type"] == "None"
    conditions.append((node["split_feature"], node["threshold"], tree, keep, not node["default_left"], as_zero))
    _collect(node["right_child"], tree, leaves, conditions)


@numba.njit(cache=True, nogil=True)
def _predict(
    rows: NDArray[np.float32],
    bit_of: NDArray[np.int64],
    offset: NDArray[np.int64],
    threshold: NDArray[np.float32],
    tree: NDArray[np.uint16],
    keep: NDArray[np.uint32],
    nan_is_false: NDArray[np.bool_],
    nan_as_zero: NDArray[np.bool_],
    value: NDArray[np.float64],
) -> NDArray[np.float64]:  # pragma: no cover - compiled
    n, trees, features = rows.shape[0], value.shape[0], len(offset) - 1
    out = np.zeros(n)
    lanes = np.empty(LANES, np.float32)
    reachable = np.empty((trees, LANES), np.uint32)
    for start in range(0, n, LANES):
        filled = min(LANES, n - start)
        reachable[:] = np.uint32(0xFFFFFFFF)
        for f in range(features):
            if offset[f] == offset[f + 1]:
                continue
            for k in range(LANES):
                x = rows[start + min(k, filled - 1), f]
                lanes[k] = np.float32(0.0) if nan_as_zero[f] and np.isnan(x) else x
            # The inner loops are written so that the compiler turns them into vector instructions. The two
            # comparisons differ only in what a NaN makes of them.
            for c in range(offset[f], offset[f + 1]):
                bound, bits, at = threshold[c], keep[c], tree[c]
                if nan_is_false[c]:
                    for k in range(LANES):
                        reachable[at, k] &= np.uint32(0xFFFFFFFF) if lanes[k] <= bound else bits
                else:
                    for k in range(LANES):
                        reachable[at, k] &= bits if lanes[k] > bound else np.uint32(0xFFFFFFFF)
        for t in range(trees):
            for k in range(filled):
                left = np.int64(reachable[t, k])
                out[start + k] += value[t, bit_of[(left & -left) % 37]]
    return out
