"""Stacks from Python: any two layers, as ASE atoms, pymatgen structures or slabs.

from ase.build import graphene, mx2
from stackscreen.build import build

stack, = build(mx2("MoS2", a=3.18, thickness=3.13, vacuum=10), graphene(vacuum=10), distance=3.4)
stack.structure                              # pymatgen
to_ase(stack)                                # from stackscreen.structure_files
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pymatgen.core import Structure

from ml.descriptors.slab import Slab
from stackscreen.pairs import PairLimits
from stackscreen.pairs.common_cell import CommonCell, Orientation, common_cell
from stackscreen.pairs.misfit import MisfitPolicy
from stackscreen.pairs.registry import Registry, high_symmetry
from stackscreen.pairs.smallest import smallest_match
from stackscreen.structures import VACUUM, Gap, Sides, Stack, StackError, stack

if TYPE_CHECKING:
    from ase import Atoms

ALL = "all"
"""The name that stands for every high-symmetry registry."""


def as_slab(layer: Atoms | Structure | Slab) -> Slab:
    """A layer as a slab with its normal along z.

    Args:
        layer: periodic along its first two cell vectors; the third crosses the vacuum.

    Raises:
        NotASlabError: it is no such layer.
    """
    if isinstance(layer, Slab):
        return layer
    if isinstance(layer, Structure):
        numbers = [site.specie.Z for site in layer]
        return Slab.from_cell(numbers, layer.cart_coords, layer.lattice.matrix)
    cell = layer.cell.array.copy()
    if not cell[2].any():
        # ASE's two-dimensional layers may have no third vector: any one that clears the atoms will do.
        normal = np.cross(cell[0], cell[1])
        normal /= max(float(np.linalg.norm(normal)), 1e-12)
        cell[2] = normal * (float(np.ptp(layer.positions @ normal)) + VACUUM)
    return Slab.from_cell(layer.numbers, layer.positions, cell)


def places(
    cell: CommonCell, registry: str, shift: tuple[float, float] | None = None
) -> list[Registry | tuple[float, float]]:
    """Where to lay the upper layer.

    Args:
        cell: the stack.
        registry: name of a high-symmetry registry, in any case, or `ALL`.
        shift: fractions of the lower layer's cell, instead of a registry.

    Raises:
        StackError: there is no registry of that name.
    """
    if shift is not None:
        return [shift]
    known = high_symmetry(cell)
    chosen = [one for one in known if registry.lower() in (ALL, one.name.lower())]
    if not chosen:
        raise StackError(
            f"This stack has no registry called {registry!r}.",
            hint=f"It has {', '.join(one.name for one in known)}; or give a shift.",
        )
    return list(chosen)


def build(
    bottom: Atoms | Structure | Slab,
    top: Atoms | Structure | Slab,
    *,
    distance: float,
    n: int | None = None,
    m: int | None = None,
    limits: PairLimits | None = None,
    registry: str = "AA",
    shift: tuple[float, float] | None = None,
    misfit: MisfitPolicy = MisfitPolicy.EQUAL,
    stiffness: tuple[float | None, float | None] = (None, None),
    orientation: Orientation | None = None,
    vacuum: float = VACUUM,
    names: tuple[str, str] = ("the lower layer", "the upper layer"),
) -> list[Stack]:
    """Stack any two layers.

    Args:
        bottom, top: the layers, periodic along their first two cell vectors.
        distance: Å, lowest nucleus of the top minus highest nucleus of the bottom.
        n, m: cells of the two; both or neither. Neither: the smallest match within `limits`.
        limits: of the match that is looked for; by default 2 %, 400 Å² and 200 atoms.
        registry: name of a high-symmetry registry, or "all" for each of them.
        shift: of the top in fractions of the strained bottom's cell vectors, instead of a registry.
        misfit: who carries the misfit.
        stiffness: N/m, of bottom and top, for `MisfitPolicy.STIFFNESS`: see `mean_stiffness`.
        orientation: which faces look at each other.
        vacuum: Å of empty space in the cell.
        names: what the layers are called.

    Returns:
        One stack, or one for each registry.

    Raises:
        NotASlabError: a side is no layer.
        NoCoincidenceError: nothing matches within the limits.
        OrientationError: the upper lattice has no such rotation.
        StackError: only one of n and m is given, there is no such registry, or atoms would overlap.
    """
    lower, upper = as_slab(bottom), as_slab(top)
    if (n is None) != (m is None):
        raise StackError("Only one of n and m is given.", hint="Give both, or neither for the smallest match.")
    if n is None or m is None:
        n, m = smallest_match(lower, upper, limits or PairLimits(0.02, 400.0, 200))
    cell = common_cell(lower, upper, n, m, policy=misfit, stiffness=stiffness, orientation=orientation)
    gap, sides = Gap(distance, "as given"), Sides(*names)
    return [stack(cell, gap, sides, place=place, vacuum=vacuum) for place in places(cell, registry, shift)]
