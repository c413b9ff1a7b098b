"""The low-index faces of known metals have the surface cells that the textbooks give."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from schema.plane_lattice import PlaneLattice
from stackscreen.screening.surfaces import SLAB_THICKNESS, _to_row, low_index_slabs


def _faces(crystal: Structure) -> dict[tuple[int, ...], list[dict]]:
    found: dict[tuple[int, ...], list[dict]] = {}
    for miller, number, slab in low_index_slabs(crystal):
        found.setdefault(tuple(sorted(map(abs, miller))), []).append(_to_row(slab, miller, number, 1))
    return found


@pytest.mark.parametrize(
    ("spacegroup", "a", "face", "area"),
    [
        ("Fm-3m", 4.08, (1, 1, 1), 4.08**2 * np.sqrt(3) / 4),
        ("Fm-3m", 4.08, (0, 0, 1), 4.08**2 / 2),
        ("Fm-3m", 4.08, (0, 1, 1), 4.08**2 / np.sqrt(2)),
        ("Im-3m", 3.16, (0, 1, 1), 3.16**2 / np.sqrt(2)),
        ("Im-3m", 3.16, (0, 0, 1), 3.16**2),
    ],
)
def test_cubic_metals_have_their_textbook_surface_cells(spacegroup, a, face, area) -> None:
    crystal = Structure.from_spacegroup(spacegroup, Lattice.cubic(a), ["Au"], [[0, 0, 0]])
    rows = _faces(crystal)[face]
    assert len(rows) == 1
    assert np.exp(rows[0]["ln_area"]) == pytest.approx(area, rel=1e-6)


def test_the_gold_111_face_is_hexagonal_with_the_nearest_neighbour_distance() -> None:
    crystal = Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.08), ["Au"], [[0, 0, 0]])
    row = _faces(crystal)[(1, 1, 1)][0]
    cell = np.reshape(row["cell"], (3, 3))
    lattice = PlaneLattice.from_vectors(cell[0], cell[1])
    assert lattice.lengths_and_angle == pytest.approx((4.08 / np.sqrt(2), 4.08 / np.sqrt(2), 60.0), abs=1e-6)


def test_a_slab_is_thick_enough_lies_under_zero_and_keeps_its_bonds() -> None:
    crystal = Structure.from_spacegroup("P6_3/mmc", Lattice.hexagonal(2.95, 4.68), ["Ti"], [[1 / 3, 2 / 3, 0.25]])
    shortest = min(site.nn_distance for site in crystal.get_neighbors(crystal[0], 4.0))
    for rows in _faces(crystal).values():
        for row in rows:
            positions = np.reshape(row["positions"], (-1, 3))
            cell = np.reshape(row["cell"], (3, 3))
            assert positions[:, 2].max() == pytest.approx(0.0)
            assert -positions[:, 2].min() >= SLAB_THICKNESS - 3.0
            assert cell[0, 1] == pytest.approx(0.0)
            assert cell[2, :2] == pytest.approx([0.0, 0.0], abs=1e-9)
            assert np.linalg.det(cell) > 0
            slab = Structure(cell, row["numbers"], positions, coords_are_cartesian=True)
            distances = slab.distance_matrix[np.triu_indices(len(slab), 1)]
            if len(distances):
                assert distances.min() >= shortest - 1e-3
