"""Structures made of more than one layer, and the same layer written down differently."""

from typing import Literal

import numpy as np
from ase import Atoms
from ase.build import make_supercell
from numpy.typing import NDArray

from etl.starter.prototypes import VACUUM, A, B, C
from etl.starter.tables import Bilayer, Interface, Metal

Cell = Literal["obtuse", "acute", "turned"]


def bilayer(layer: Atoms, stack: Bilayer) -> Atoms:
    """Stack two copies of a layer as BiDB does: in-plane positions s of the upper one become M s + t, mirrored if Iz.

    Args:
        layer: a monolayer, normal along z.
        stack: operation M, shift t and the distance in Å from the highest nucleus below to the lowest above.

    Returns:
        The lower layer's atoms, then the upper's, with `VACUUM` Å of empty space, periodic in the plane.
    """
    heights = layer.positions[:, 2]
    thickness = float(np.ptp(heights))
    in_plane = layer.get_scaled_positions(wrap=False)[:, :2]
    operation = np.array(stack.operation).reshape(2, 2)
    upper_plane = (in_plane @ operation.T + stack.shift) % 1.0
    lower = heights - heights.min()
    upper = (heights.max() - heights if stack.mirrored else lower) + thickness + stack.interlayer_distance
    return _slab(
        [*layer.symbols, *layer.symbols],
        layer.cell.array[:2],
        np.vstack([in_plane, upper_plane]),
        np.concatenate([lower, upper]),
        VACUUM,
    )


def rewritten(layer: Atoms, cell: Cell, origin: float) -> Atoms:
    """The same layer as another code may print it: another primitive cell, orientation, and height in the cell.

    Args:
        layer: a monolayer, normal along z.
        cell: "obtuse" leaves the basis, "acute" takes (a, a + b), "turned" rotates the crystal by 30° about z.
        origin: fraction of the cell's height by which all atoms are moved up; they may then wrap around.

    Returns:
        Atoms periodic in all directions, as plane-wave codes have them, wrapped into the cell.
    """
    atoms = layer.copy()
    if cell == "turned":
        atoms.rotate(30, "z", rotate_cell=True)
    elif cell == "acute":
        vectors = atoms.cell.array.copy()
        vectors[1] += vectors[0]
        atoms.set_cell(vectors)
    atoms.pbc = True
    atoms.positions[:, 2] += origin * atoms.cell.array[2, 2]
    atoms.wrap(eps=1e-9)
    return atoms


def on_metal(film: Atoms, metal: Metal, interface: Interface) -> Atoms:
    """Lay a hexagonal film on the (111) face of an fcc metal; the film takes all the misfit.

    Args:
        film: the primitive layer, its basis at 120°.
        metal: the substrate, fcc.
        interface: supercells of both, number of metal layers and separation in Å.

    Returns:
        The metal from its lowest layer up, then the film, periodic in the plane. In 1 x 1 graphene one carbon sits
        atop a metal atom and the other in the fcc hollow.

    Raises:
        ValueError: if the metal is not fcc or the supercells differ in angle.
    """
    if metal.structure != "fcc":
        raise ValueError(
            f"{interface.id}: only (111) faces of fcc metals are built, {metal.symbol} is {metal.structure}"
        )
    side = metal.a / np.sqrt(2)
    spacing = metal.a / np.sqrt(3)
    plane = np.array([[side, 0, 0], [-side / 2, side * np.sqrt(3) / 2, 0]])
    depth = np.arange(interface.layers)[::-1]
    slab = _slab(
        [metal.symbol] * interface.layers,
        plane,
        np.array([(A, B, C)[layer % 3] for layer in depth]),
        -depth * spacing,
        VACUUM,
    )
    below = make_supercell(slab, _in_plane(interface.substrate_matrix))
    registered = film.copy()
    registered.positions += np.array([*B, 0.0]) @ film.cell.array
    above = make_supercell(registered, _in_plane(interface.film_matrix))
    if abs(below.cell.angles()[2] - above.cell.angles()[2]) > 0.01:
        raise ValueError(f"{interface.id}: the supercells of film and substrate differ in angle")
    low = below.positions[:, 2] - below.positions[:, 2].max()
    high = above.positions[:, 2] - above.positions[:, 2].min() + interface.separation
    return _slab(
        [*below.symbols, *above.symbols],
        below.cell.array[:2],
        np.vstack([below.get_scaled_positions()[:, :2], above.get_scaled_positions()[:, :2]]),
        np.concatenate([low, high]),
        VACUUM,
    )


def misfit(film: Atoms, metal: Metal, interface: Interface) -> tuple[float, float]:
    """Film length over substrate length, less one, along both supercell vectors (dimensionless)."""
    side = metal.a / np.sqrt(2)
    plane = np.array([[side, 0.0], [-side / 2, side * np.sqrt(3) / 2]])
    below = np.linalg.norm(np.reshape(interface.substrate_matrix, (2, 2)) @ plane, axis=1)
    above = np.linalg.norm(np.reshape(interface.film_matrix, (2, 2)) @ film.cell.array[:2, :2], axis=1)
    u, v = above / below - 1
    return float(u), float(v)


def _in_plane(matrix: tuple[int, int, int, int]) -> NDArray[np.int_]:
    m11, m12, m21, m22 = matrix
    return np.array([[m11, m12, 0], [m21, m22, 0], [0, 0, 1]])


def _slab(
    symbols: list[str],
    plane: NDArray[np.float64],
    in_plane: NDArray[np.float64],
    heights: NDArray[np.float64],
    vacuum: float,
) -> Atoms:
    """Atoms from in-plane fractional coordinates and heights in Å, centred in a cell with `vacuum` Å of empty space."""
    c = float(np.ptp(heights)) + vacuum
    middle = (heights.max() + heights.min()) / 2
    scaled = np.column_stack([in_plane, (heights - middle) / c + 0.5])
    atoms = Atoms(symbols, cell=[*plane, [0, 0, c]], scaled_positions=scaled, pbc=[True, True, False])
    atoms.set_cell(atoms.cell.array.round(6))
    atoms.set_positions(atoms.positions.round(6))
    return atoms
