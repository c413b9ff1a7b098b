"""Small layers that many tests stack."""

from __future__ import annotations

import numpy as np

from ml.descriptors.slab import Slab

HEXAGONAL = np.array([[1.0, 0.0], [-0.5, np.sqrt(3) / 2]])


def dichalcogenide(metal: int, chalcogen: int, a: float, h: float) -> Slab:
    """A 2H layer: chalcogens `h` Å above and below the metal."""
    cell = a * HEXAGONAL
    sites = np.array([[0, 0], [1 / 3, 2 / 3], [1 / 3, 2 / 3]])
    return Slab(np.array([metal, chalcogen, chalcogen]), np.column_stack([sites @ cell, [0.0, h, -h]]), cell)


def honeycomb(numbers: tuple[int, int], a: float) -> Slab:
    """A flat honeycomb of two kinds of atom."""
    cell = a * HEXAGONAL
    sites = np.array([[1 / 3, 2 / 3], [2 / 3, 1 / 3]])
    return Slab(np.array(numbers), np.column_stack([sites @ cell, [0.0, 0.0]]), cell)


def graphene(a: float = 2.46) -> Slab:
    """Graphene."""
    return honeycomb((6, 6), a)


def oblique(scale: float = 1.0) -> Slab:
    """A layer without any mirror: four atoms of four kinds in an oblique cell."""
    cell = scale * np.array([[3.1, 0.0], [0.9, 4.3]])
    sites = np.array([[0.0, 0.0], [0.31, 0.44], [0.62, 0.13], [0.2, 0.75]])
    return Slab(np.array([42, 16, 34, 52]), np.column_stack([sites @ cell, [0.0, 1.4, -1.5, -1.1]]), cell)


def handed() -> Slab:
    """A layer without any mirror on a lattice that has them: turned over it matches as well as upright."""
    positions = np.array([[0.0, 0.0, 0.0], [1.6, 0.2, 1.4], [0.3, 1.9, -1.5], [-1.5, 0.9, -1.1]])
    return Slab(np.array([42, 16, 34, 52]), positions, np.diag([6.0, 7.0]))


MOS2, WSE2 = dichalcogenide(42, 16, 3.18, 1.56), dichalcogenide(74, 34, 3.32, 1.68)
