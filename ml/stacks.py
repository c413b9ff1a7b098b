"""What a screen may know of a stack: which faces of its layers meet, and in which registry.

A stack is divided into its layers once, here, for training and for prediction alike. The distance between the layers is
taken away before anything else is looked at, down to the last bit: it is a target.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ml.descriptors import stacking
from ml.descriptors.slab import Slab

RIGID_TOLERANCE = 0.05
"""Å: a layer whose heights deviate more from the isolated layer's has relaxed: its registry is not used."""
_STEP = 1e-6
"""Å, to which coordinates are rounded: far below what anything depends on, far above what arithmetic leaves behind."""


@dataclass(frozen=True)
class Seen:
    """How two isolated layers lie on each other.

    Attributes:
        top_a: whether the lower layer turns its top face to the upper one.
        top_b: whether the upper layer turns its top face to the lower one.
        registry: `ml.descriptors.stacking.registry_descriptors`, shape (8,); NaN where the stack is not made of one
            cell of either isolated layer, moved rigidly.
    """

    top_a: bool
    top_b: bool
    registry: NDArray[np.float64]

    @property
    def registry_known(self) -> bool:
        """Whether the registry is a single, known one."""
        return not bool(np.isnan(self.registry).all())


def seen(lower: Slab, upper: Slab, bottom: Slab, top: Slab) -> Seen:
    """What a stack tells of the way its layers are put together, but for the distance between them.

    Args:
        lower, upper: the layers as they lie in the stack, in one cell; their heights against each other do not matter.
        bottom, top: the isolated layers that they are.
    """
    below, above = settled(lower), settled(upper)
    up_lower, deviation_lower = orientation(below, bottom)
    up_upper, deviation_upper = orientation(above, top)
    single = len(below) == len(bottom) and len(above) == len(top)
    rigid = single and max(deviation_lower, deviation_upper) <= RIGID_TOLERANCE
    numbers = stacking.registry_descriptors(below, above) if rigid else np.full(len(stacking.NAMES), np.nan)
    # The lower layer turns its top face to the partner if it stands upright, the upper one its bottom face.
    return Seen(up_lower, not up_upper, numbers)


def settled(layer: Slab) -> Slab:
    """The layer put down at height 0, its coordinates rounded to 1e-6 Å: the same wherever the stack held it."""
    positions = layer.positions - np.array([0.0, 0.0, layer.positions[:, 2].min()])
    # Adding zero turns -0.0 into 0.0.
    return Slab(layer.numbers, np.rint(positions / _STEP) * _STEP + 0.0, np.rint(layer.cell / _STEP) * _STEP + 0.0)


def split_layers(stack: Slab) -> tuple[Slab, Slab]:
    """Lower and upper half of a homobilayer, by height.

    Raises:
        ValueError: the halves are not of one composition.
    """
    order = np.argsort(stack.positions[:, 2], kind="stable")
    half = len(order) // 2
    lower, upper = order[:half], order[half:]
    if not np.array_equal(np.sort(stack.numbers[lower]), np.sort(stack.numbers[upper])):
        raise ValueError("the two halves of the stack differ in composition")
    return part(stack, lower), part(stack, upper)


def part(stack: Slab, atoms: NDArray[np.integer]) -> Slab:
    """Some of the atoms of a stack, in its cell."""
    return Slab(stack.numbers[atoms], stack.positions[atoms], stack.cell)


def orientation(layer: Slab, reference: Slab) -> tuple[bool, float]:
    """Whether a layer stands as the reference does or upside down.

    Args:
        layer: one cell of the reference or several.
        reference: the isolated layer.

    Returns:
        True if upright, and the largest deviation of its sorted heights from the reference's, Å (infinite if the two
        have different atoms).
    """
    cells, rest = divmod(len(layer), len(reference))
    if rest or not np.array_equal(np.sort(layer.numbers), np.sort(np.repeat(reference.numbers, cells))):
        return True, np.inf
    up = _profile_deviation(layer, reference, cells)
    down = _profile_deviation(layer.flipped(), reference, cells)
    return up <= down + 1e-6, min(up, down)


def _profile_deviation(layer: Slab, reference: Slab, cells: int) -> float:
    """Largest difference of heights, element by element, the two layers centred."""
    worst = 0.0
    for number in np.unique(layer.numbers):
        mine, wanted = (
            np.sort(s.positions[s.numbers == number, 2] - 0.5 * (s.positions[:, 2].max() + s.positions[:, 2].min()))
            for s in (layer, reference)
        )
        worst = max(worst, float(np.abs(mine - np.repeat(wanted, cells)).max()))
    return worst
