"""A fingerprint of a layer that no choice of cell, origin, orientation, order or vacuum changes.

The average minimum distances (AMD) of Widdowson et al., MATCH Commun. Math. Comput. Chem. 87, 529 (2022), resolved by
element: for every ordered pair of elements (A, B), the distances from an atom A to its k nearest atoms B, averaged over
the atoms A. Neighbours are counted in the two periodic directions only, so vacuum does not enter. Two layers' distance
is the largest difference of any component, in Å: small displacements of the atoms by δ move it by at most 2 δ.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

NEIGHBOURS = 12
"""Nearest neighbours of each element that are averaged: the third shell of a dichalcogenide is reached."""


def fingerprint(
    numbers: NDArray[np.int64], positions: NDArray[np.float64], cell: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Element-resolved average minimum distances of a slab.

    Args:
        numbers: atomic numbers, shape (n,).
        positions: Cartesian, Å, shape (n, 3).
        cell: Å, shape (3, 3) or (2, 2): the first two rows, in the xy plane, are the periods.

    Returns:
        Å, shape (e, e, `NEIGHBOURS`) for e elements in the order of their atomic numbers, non-decreasing along the
        last axis.
    """
    elements, species = np.unique(numbers, return_inverse=True)
    return _distances(
        np.ascontiguousarray(species, np.int64),
        len(elements),
        np.ascontiguousarray(positions, np.float64),
        np.ascontiguousarray(cell[:2, :2], np.float64),
        NEIGHBOURS,
    )


def distance(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Largest difference of two fingerprints, Å; infinite if their elements differ in number."""
    if one.shape != other.shape:
        return math.inf
    return float(np.abs(one - other).max())


@njit(cache=True)
def _distances(species, n_species, positions, plane, k):  # type: ignore[no-untyped-def]  # noqa: PLR0912
    n = len(species)
    area = abs(plane[0, 0] * plane[1, 1] - plane[0, 1] * plane[1, 0])
    # Distances between the lattice lines along each vector: how far one more image reaches.
    rise_a = area / math.sqrt(plane[1, 0] ** 2 + plane[1, 1] ** 2)
    rise_b = area / math.sqrt(plane[0, 0] ** 2 + plane[0, 1] ** 2)
    spread = 0.0
    for i in range(n):
        for j in range(n):
            dx = positions[i, 0] - positions[j, 0]
            dy = positions[i, 1] - positions[j, 1]
            spread = max(spread, math.sqrt(dx * dx + dy * dy))
    result = np.zeros((n_species, n_species, k))
    count = np.zeros(n_species, np.int64)
    for i in range(n):
        count[species[i]] += 1
    nearest = np.empty(k)
    for target in range(n_species):
        # In this radius there are about three times as many atoms of the element as are needed.
        start = math.sqrt(3.0 * k * area / (count[target] * math.pi))
        for i in range(n):
            radius = start
            while True:
                images_a = math.ceil((radius + spread) / rise_a)
                images_b = math.ceil((radius + spread) / rise_b)
                found = 0
                for j in range(n):
                    if species[j] != target:
                        continue
                    dz2 = (positions[j, 2] - positions[i, 2]) ** 2
                    for p in range(-images_a, images_a + 1):
                        for q in range(-images_b, images_b + 1):
                            if j == i and p == 0 and q == 0:
                                continue
                            dx = positions[j, 0] - positions[i, 0] + p * plane[0, 0] + q * plane[1, 0]
                            dy = positions[j, 1] - positions[i, 1] + p * plane[0, 1] + q * plane[1, 1]
                            r2 = dx * dx + dy * dy
                            if r2 > radius * radius:
                                continue
                            r = math.sqrt(r2 + dz2)
                            # Insertion into the sorted list of the k nearest.
                            if found < k:
                                at = found
                                found += 1
                            elif r < nearest[k - 1]:
                                at = k - 1
                            else:
                                continue
                            while at > 0 and nearest[at - 1] > r:
                                nearest[at] = nearest[at - 1]
                                at -= 1
                            nearest[at] = r
                # Everything within the in-plane radius was seen, so distances up to the radius are complete.
                if found == k and nearest[k - 1] <= radius:
                    break
                radius *= 1.4
            for m in range(k):
                result[species[i], target, m] += nearest[m] / count[species[i]]
    return result
