"""Small twisted stacks, and files of them as HetDB writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms as AseAtoms
from small_files import dichalcogenide, write_ase

# Two coincidence cells of seven cells each, mirror images of each other. A layer in the second is turned by 38.21°
# against one in the first, or by -21.79° as far as a hexagonal lattice tells.
SEVEN, MIRRORED = ((3, 1), (-1, 2)), ((2, -1), (1, 3))
SEVENTH_TWIST = 21.787


def supercell(layer: AseAtoms, matrix: Any, plane: np.ndarray) -> AseAtoms:
    """The layer repeated over a supercell, strained and turned so that its in-plane vectors are those of `plane`."""
    matrix = np.array(matrix)
    basis = np.linalg.inv(matrix) @ plane
    reach = np.arange(-6, 7)
    shifts = np.stack(np.meshgrid(reach, reach, indexing="ij"), axis=-1).reshape(-1, 2)
    inside = shifts @ np.linalg.inv(matrix) + 1e-9
    shifts = shifts[((inside >= 0) & (inside < 1)).all(axis=1)]
    fractional = layer.get_scaled_positions(wrap=False)[:, :2]
    flat = (fractional[:, None] + shifts).reshape(-1, 2) @ basis
    heights = np.repeat(layer.positions[:, 2], len(shifts))
    cell = np.zeros((3, 3))
    cell[:2, :2], cell[2, 2] = plane, 40.0
    numbers = np.repeat(layer.numbers, len(shifts))
    return AseAtoms(numbers, np.column_stack([flat, heights]), cell=cell, pbc=(True, True, False))


def moire(
    below: AseAtoms, above: AseAtoms, matrices: tuple[Any, Any] = (SEVEN, MIRRORED), distance: float = 3.2
) -> AseAtoms:
    """Two layers in the first one's coincidence cell, atoms in no particular order."""
    plane = np.array(matrices[0]) @ np.array(below.cell)[:2, :2]
    first, second = supercell(below, matrices[0], plane), supercell(above, matrices[1], plane)
    first.positions[:, 2] -= first.positions[:, 2].max()
    second.positions[:, 2] += distance - second.positions[:, 2].min()
    both = first + second
    both.positions[:, 2] += 15.0
    return both[np.random.default_rng(1).permutation(len(both))]


def hetdb_keys(atoms: AseAtoms, n_top: int, **changes: Any) -> dict[str, Any]:
    heights = np.sort(atoms.positions[:, 2])
    apart = round(heights[-n_top:].mean() - heights[:-n_top].mean(), 3)
    stated = {"bilayer_uid": "moire-1", "uid_a": "1WSe2-1", "uid_b": "1MoS2-1", "twist_angle": SEVENTH_TWIST,
              "maxstrain": 0.4, "layer_center_distance": apart, "gap": 1.1}  # fmt: skip
    return {**stated, **changes}


MOS2 = dichalcogenide("H")
WSE2 = dichalcogenide("H", "W", ("Se", "Se"), 3.20, 1.67)


def hetdb_file(folder: Path) -> Path:
    """MoS2 below WSe2, turned one way and the other."""
    rows = []
    for i, matrices in enumerate(((SEVEN, MIRRORED), (MIRRORED, SEVEN))):
        atoms = moire(MOS2, WSE2, matrices)
        rows.append((atoms, hetdb_keys(atoms, 21, bilayer_uid=f"moire-{i}")))
    return write_ase(folder / "hetdb.db", rows)
