"""Conformal intervals, calibrated on the errors made on unseen materials.

Split conformal prediction with Mondrian categories (V. Vovk et al., Algorithmic Learning in a Random World, 2005): the
half-width of a category is the ⌈(n+1)·level⌉-th smallest absolute error of its calibration rows, each predicted by a
model that saw nothing of the row's material. Categories are the number of partners that training has not seen, and
within it bins of the prediction, as errors grow with either. Where members of an ensemble disagree more they err more:
errors may be divided by that spread first (normalised conformal prediction, H. Papadopoulos et al., ECML 2002).

Ninety per cent of the stackings are not ninety per cent of the layers: stackings of one layer err together, and layers
with few stackings err more. A row therefore counts 1/√(rows of its material), half-way between rows counting alike and
materials counting alike, and the n of (n+1) is the number of materials, which is what is independent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml.splits import Partition

LEVEL = 0.9
N_BINS = 5
MIN_IN_BIN = 200
"""The 90th percentile of 200 errors is good to two per cent of coverage; of 100, to three."""


@dataclass(frozen=True)
class Conformal:
    """Half-widths by bin of the prediction.

    Attributes:
        edges: inner edges of the bins, rising, in the target's unit.
        half_width: of each bin, in the target's unit (times the scale of the spread, if there is one), length
            len(edges) + 1.
        spread_unit: the members' spread that counts as an ordinary one, in the target's unit; None for intervals that
            do not ask for it. The scale is (spread + unit) / (2 unit): never below ½, and 1 for an ordinary spread.
    """

    edges: tuple[float, ...]
    half_width: tuple[float, ...]
    spread_unit: float | None = None

    @classmethod
    def fit(
        cls,
        predicted: NDArray[np.floating],
        true: NDArray[np.floating],
        groups: NDArray[np.int64] | None = None,
        *,
        spread: NDArray[np.floating] | None = None,
        level: float = LEVEL,
        n_bins: int = N_BINS,
    ) -> Conformal:
        """Calibrate on out-of-fold predictions.

        Args:
            predicted, true: shape (n,), in the target's unit; rows with a NaN are ignored.
            groups: number of each row's material (its pair), shape (n,); None if every row is its own.
            spread: standard deviation of an ensemble's members, shape (n,), in the target's unit; None for none.
            level: share that the intervals are to cover, rows counting as `counting_weights` says.
            n_bins: bins by quantile of the prediction; fewer where a bin would hold under `MIN_IN_BIN` rows.
        """
        ok = np.isfinite(predicted) & np.isfinite(true)
        p, error = predicted[ok], np.abs(true[ok] - predicted[ok])
        group = np.arange(len(p)) if groups is None else groups[ok]
        unit = None if spread is None else max(float(np.median(spread[ok])), 1e-9)
        if spread is not None and unit is not None:
            error = error / _scale(spread[ok], unit)
        bins = max(1, min(n_bins, len(p) // MIN_IN_BIN))
        # Metals pile up at one prediction: equal edges would leave an empty bin, so they are merged.
        edges = np.unique(np.quantile(p, np.linspace(0, 1, bins + 1)[1:-1])) if bins > 1 else np.array([])
        which = np.searchsorted(edges, p, side="right")
        weights = counting_weights(group)
        half = []
        for b in range(len(edges) + 1):
            inside = which == b
            chosen = inside if inside.any() else np.ones(len(p), bool)
            half.append(_quantile(error[chosen], weights[chosen], group[chosen], level))
        return cls(tuple(float(e) for e in edges), tuple(half), unit)

    def half_widths(
        self, predicted: NDArray[np.floating], spread: NDArray[np.floating] | None = None
    ) -> NDArray[np.float64]:
        """Half-width of the interval of each prediction, shape as given; NaN for NaN.

        Args:
            predicted: in the target's unit.
            spread: of the ensemble's members, as at calibration; without it an ordinary one is taken.
        """
        widths = np.array(self.half_width)[np.searchsorted(self.edges, predicted, side="right")]
        if self.spread_unit is not None and spread is not None:
            widths = widths * _scale(spread, self.spread_unit)
        return np.where(np.isfinite(predicted), widths, np.nan)

    def as_json(self) -> dict[str, Any]:
        """For an artefact."""
        content: dict[str, Any] = {"edges": list(self.edges), "half_width": list(self.half_width)}
        return content if self.spread_unit is None else content | {"spread_unit": self.spread_unit}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Conformal:
        """The inverse of `as_json`."""
        unit = data.get("spread_unit")
        return cls(
            tuple(map(float, data["edges"])),
            tuple(map(float, data["half_width"])),
            None if unit is None else float(unit),
        )


@dataclass(frozen=True)
class ByUnseen:
    """Intervals by number of partners that training has not seen.

    Attributes:
        categories: by number of unseen partners, 0 to 2; a number that was not calibrated takes the next larger one
            that was, or the largest.
    """

    categories: dict[int, Conformal]

    def half_widths(
        self, predicted: NDArray[np.floating], unseen: NDArray[np.integer], spread: NDArray[np.floating] | None = None
    ) -> NDArray[np.float64]:
        """Half-width of each prediction's interval.

        Args:
            predicted: shape (n,), in the target's unit.
            unseen: how many of the two partners training has not seen, shape (n,).
            spread: see `Conformal.half_widths`.
        """
        out = np.full(len(predicted), np.nan)
        known = sorted(self.categories)
        for number in np.unique(unseen):
            chosen = unseen == number
            category = next((k for k in known if k >= number), known[-1])
            part = None if spread is None else spread[chosen]
            out[chosen] = self.categories[category].half_widths(predicted[chosen], part)
        return out

    def as_json(self) -> dict[str, Any]:
        """For an artefact."""
        return {str(number): one.as_json() for number, one in sorted(self.categories.items())}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ByUnseen:
        """The inverse of `as_json`."""
        return cls({int(number): Conformal.from_json(one) for number, one in data.items()})


def unseen_partners(bottom: Sequence[str], top: Sequence[str], seen: frozenset[str]) -> NDArray[np.int64]:
    """How many of each row's two layers are not in `seen`, shape (rows,), 0 to 2; a layer on itself counts twice."""
    return np.array([(a not in seen) + (b not in seen) for a, b in zip(bottom, top, strict=True)], np.int64)


def counting_weights(groups: NDArray[np.int64]) -> NDArray[np.float64]:
    """How much each row counts, shape (rows,): 1/√(rows of its group)."""
    _, index, counts = np.unique(groups, return_inverse=True, return_counts=True)
    return np.asarray(1.0 / np.sqrt(counts[index]), float)


def honest_half_widths(
    predicted: NDArray[np.floating],
    true: NDArray[np.floating],
    parts: Sequence[Partition],
    groups: NDArray[np.int64] | None = None,
    *,
    spread: NDArray[np.floating] | None = None,
    level: float = LEVEL,
) -> NDArray[np.float64]:
    """Half-widths that no row has helped to calibrate, to see what intervals really cover.

    The rows of a part are given intervals from the out-of-fold errors of the rows that the part learned from: these
    share with them no more than the split allows, be it pair, one layer, or none. Like is compared with like: of these
    rows those count that were themselves predicted with as many folds left out, as a model that learned from more rows
    errs less, and its errors would promise too much.

    Args:
        predicted: out-of-fold predictions, shape (rows,); NaN where there is none.
        true: shape (rows,).
        parts: of the split.
        groups, spread, level: as in `Conformal.fit`.

    Returns:
        Shape (rows,); NaN where nothing could be calibrated.
    """
    known = np.isfinite(predicted) & np.isfinite(true)
    half = np.full(len(true), np.nan)
    left_out = np.zeros(len(true), np.int64)
    for part in parts:
        left_out[part.test] = part.left_out
    for part in parts:
        rows, calibrate = part.test & known, part.train & known
        like = calibrate & (left_out == part.left_out)
        if like.any():
            calibrate = like
        if not rows.any() or not calibrate.any():
            continue
        conformal = Conformal.fit(
            predicted[calibrate],
            true[calibrate],
            None if groups is None else groups[calibrate],
            spread=None if spread is None else spread[calibrate],
            level=level,
        )
        half[rows] = conformal.half_widths(predicted[rows], None if spread is None else spread[rows])
    return half


def _scale(spread: NDArray[np.floating], unit: float) -> NDArray[np.float64]:
    return np.asarray((np.nan_to_num(spread, nan=unit) + unit) / (2.0 * unit), float)


def _quantile(
    error: NDArray[np.floating], weights: NDArray[np.floating], groups: NDArray[np.int64], level: float
) -> float:
    """Smallest error that rows of the share `level` of the weight do not exceed, corrected for few groups."""
    order = np.argsort(error)
    reached = np.cumsum(weights[order])
    # The (n+1) of split conformal: one unseen material more than those calibrated on.
    wanted = level * reached[-1] * (1.0 + 1.0 / len(np.unique(groups)))
    at = min(int(np.searchsorted(reached, wanted)), len(order) - 1)
    return float(error[order[at]])
