"""A slab as a graph: atoms and their neighbours, periodic in the plane only."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pymatgen.optimization.neighbors import find_points_in_spheres

from ml.descriptors.slab import Slab

CUTOFF = 4.5
"""Å: neighbours farther away are not connected. Edge features fade to zero here, so that none appears abruptly."""
N_RADIAL = 16


class SlabGraph(NamedTuple):
    """Nodes and directed edges of one slab.

    Attributes:
        numbers: atomic numbers, shape (nodes,).
        source, target: node indices of each edge, shape (edges,).
        features: shape (edges, N_RADIAL + 1), float32: faded Gaussians of the distance and the squared cosine of the
            angle to the normal, both unchanged when the layer is turned over.
    """

    numbers: NDArray[np.int64]
    source: NDArray[np.int64]
    target: NDArray[np.int64]
    features: NDArray[np.float32]


def slab_graph(slab: Slab) -> SlabGraph:
    """Connect all atoms within `CUTOFF` of each other, images in the plane included.

    Args:
        slab: the layer.
    """
    lattice = np.zeros((3, 3))
    lattice[:2, :2] = slab.cell
    # Never crossed, as the third direction is not periodic; it only has to hold the layer.
    lattice[2, 2] = slab.thickness + 4 * CUTOFF
    xyz = np.ascontiguousarray(slab.positions - slab.positions.min(axis=0) * np.array([0, 0, 1]), float)
    pbc = np.array([1, 1, 0], np.int64)
    target, source, images, distance = find_points_in_spheres(xyz, xyz, CUTOFF, pbc, lattice, 1e-8)
    bonded = distance > 1e-6
    target, source, images, distance = target[bonded], source[bonded], images[bonded], distance[bonded]
    vectors = xyz[source] + images @ lattice - xyz[target]
    centres = np.linspace(0.8, CUTOFF, N_RADIAL)
    width = centres[1] - centres[0]
    fade = 0.5 * (np.cos(np.pi * distance / CUTOFF) + 1.0)
    radial = np.exp(-(((distance[:, None] - centres) / width) ** 2)) * fade[:, None]
    tilt = (vectors[:, 2] / distance) ** 2 * fade
    return SlabGraph(
        slab.numbers.astype(np.int64),
        source.astype(np.int64),
        target.astype(np.int64),
        np.column_stack([radial, tilt]).astype(np.float32),
    )
