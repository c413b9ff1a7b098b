"""The density of states of a layer as a fixed row of numbers, for the few layers of which it is known."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

WINDOW = 5.0
"""eV on either side of the Fermi level."""
BINS = 20
NAMES = tuple(f"states_{k}" for k in range(BINS))
"""Share of the states within the window that lies in each bin, lowest energies first; dimensionless."""


def states_descriptor(energies: ArrayLike, density: ArrayLike, fermi: float) -> NDArray[np.float32]:
    """Shares of the states near the Fermi level by bins of energy, shape (BINS,), summing to 1.

    Shares and not numbers, so that the size of the cell does not matter.

    Args:
        energies: eV, rising, shape (points,).
        density: states/eV, shape (points,) or (spins, points); spins are added.
        fermi: Fermi level on the same scale, eV.

    Returns:
        NaN throughout where the energies do not reach over the window or it holds no states.
    """
    grid = np.asarray(energies, float) - fermi
    total = np.atleast_2d(np.asarray(density, float)).sum(axis=0)
    edges = np.linspace(-WINDOW, WINDOW, BINS + 1)
    if grid[0] > edges[0] or grid[-1] < edges[-1]:
        return np.full(BINS, np.nan, np.float32)
    # The integral up to each edge: no point of the grid is lost between two bins.
    below = np.concatenate([[0.0], np.cumsum(0.5 * (total[1:] + total[:-1]) * np.diff(grid))])
    states = np.diff(np.interp(edges, grid, below))
    within = states.sum()
    return (states / within if within > 0 else np.full(BINS, np.nan)).astype(np.float32)
