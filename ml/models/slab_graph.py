"""A slab as a graph: atoms and their neighbours, periodic in the plane only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pymatgen.optimization.neighbors import find_points_in_spheres
from torch import Tensor

from ml.descriptors.slab import Slab

CUTOFF = 4.5
"""Å: neighbours farther away are not connected. What an edge carries fades to zero here, so that none appears abruptly.
"""


class SlabGraph(NamedTuple):
    """Nodes and directed edges of one slab.

    Attributes:
        numbers: atomic numbers, shape (nodes,).
        source, target: node indices of each edge, shape (edges,).
        vectors: from target to source, Å, shape (edges, 3), float32; z along the normal.
        depths: of each nucleus below the outermost one of the bottom and of the top face, Å, shape (nodes, 2), float32.
        area: of the in-plane cell, Å².
    """

    numbers: NDArray[np.int64]
    source: NDArray[np.int64]
    target: NDArray[np.int64]
    vectors: NDArray[np.float32]
    depths: NDArray[np.float32]
    area: float


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
    target, source, images = target[bonded], source[bonded], images[bonded]
    vectors = xyz[source] + images @ lattice - xyz[target]
    return SlabGraph(
        slab.numbers.astype(np.int64),
        source.astype(np.int64),
        target.astype(np.int64),
        vectors.astype(np.float32),
        np.column_stack([slab.depth(False), slab.depth(True)]).astype(np.float32),
        slab.area,
    )


@dataclass(frozen=True)
class Batch:
    """Several graphs as one: tensors with node indices shifted graph by graph.

    Attributes:
        numbers: shape (nodes,).
        edges: source and target of each edge, shape (2, edges).
        vectors: Å, shape (edges, 3).
        depths: Å, shape (nodes, 2): bottom, top.
        graph: number of each node's graph, shape (nodes,).
        area: of each graph's cell, Å², shape (graphs,).
    """

    numbers: Tensor
    edges: Tensor
    vectors: Tensor
    depths: Tensor
    graph: Tensor
    area: Tensor

    @classmethod
    def of(cls, graphs: Sequence[SlabGraph]) -> Batch:
        """Join graphs."""
        sizes = np.array([len(g.numbers) for g in graphs])
        shift = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        edges = np.stack(
            [
                np.concatenate([g.source + s for g, s in zip(graphs, shift, strict=True)]),
                np.concatenate([g.target + s for g, s in zip(graphs, shift, strict=True)]),
            ]
        )
        return cls(
            torch.from_numpy(np.concatenate([g.numbers for g in graphs])),
            torch.from_numpy(edges),
            torch.from_numpy(np.concatenate([g.vectors for g in graphs])),
            torch.from_numpy(np.concatenate([g.depths for g in graphs])),
            torch.from_numpy(np.repeat(np.arange(len(graphs)), sizes)),
            torch.tensor([g.area for g in graphs], dtype=torch.float32),
        )

    def to(self, device: torch.device) -> Batch:
        """The same batch on a device."""
        return Batch(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})
