"""Stacked structures as people keep them: ASE atoms of bilayers that stand in no file."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.build import fcc111, graphene, mx2

from stackscreen.build import build
from stackscreen.structure_files import to_ase

MOS2 = mx2("MoS2", a=3.18, thickness=3.13, vacuum=12)
WSE2 = mx2("WSe2", a=3.32, thickness=3.36, vacuum=12)
GRAPHENE = graphene(vacuum=12)
BN = graphene("BN", a=2.504, vacuum=12)
GOLD = fcc111("Au", (1, 1, 4), a=4.08, vacuum=12)


def gas() -> Atoms:
    """GaS: S-Ga-Ga-S, four planes of one layer."""
    sites = [[0, 0, 0], [1 / 3, 2 / 3, 0], [0, 0, 0], [1 / 3, 2 / 3, 0]]
    layer = Atoms("GaSGaS", cell=[[3.63, 0, 0], [-1.815, 3.1437, 0], [0, 0, 24]], scaled_positions=sites, pbc=True)
    layer.positions[:, 2] = [10.8, 9.7, 13.2, 14.3]
    return layer


def stacks(bottom: Atoms, top: Atoms, distance: float = 3.2, registry: str = "all") -> list[Atoms]:
    """Two layers on each other in their registries: tags 0 are the lower layer's, 1 the upper's."""
    return [to_ase(one) for one in build(bottom, top, distance=distance, registry=registry)]


def moved(stack: Atoms, dz: float) -> Atoms:
    """The same stack with the upper layer moved along z, Å."""
    other = stack.copy()
    other.positions[other.get_tags() == 1, 2] += dz
    return other


def plain(stack: Atoms) -> Atoms:
    """Nothing but the atoms: no words that tell what they are."""
    return Atoms(stack.numbers, stack.positions, cell=stack.cell, pbc=stack.pbc)


def repeated(stack: Atoms, p: int, q: int) -> Atoms:
    """A supercell."""
    return plain(stack) * (p, q, 1)


def disguised(stack: Atoms, seed: int = 1) -> Atoms:
    """The same stack shifted in its cell, turned in space, and its atoms in another order."""
    order = np.random.default_rng(seed).permutation(len(stack))
    other = plain(stack)[order]
    other.pbc = True
    other.positions += (0.7, 1.1, 9.0)
    other.wrap()
    other.rotate(37, "z", rotate_cell=True)
    return other
