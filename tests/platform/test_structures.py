"""The stacked supercell: what its geometry must be, whatever the pair."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Structure
from pymatgen.io.vasp import Poscar

from ml.descriptors.slab import Slab
from stackscreen.structures import VACUUM, StackError, StrainSharing, build_stack

HEXAGONAL = np.array([[1.0, 0.0], [-0.5, np.sqrt(3) / 2]])
PLACE = {"distance": 3.3, "distance_origin": "test"}


def dichalcogenide(metal: int, chalcogen: int, a: float, h: float) -> Slab:
    cell = a * HEXAGONAL
    sites = np.array([[0, 0], [1 / 3, 2 / 3], [1 / 3, 2 / 3]])
    return Slab(np.array([metal, chalcogen, chalcogen]), np.column_stack([sites @ cell, [0.0, h, -h]]), cell)


def graphene(a: float = 2.46) -> Slab:
    cell = a * HEXAGONAL
    sites = np.array([[1 / 3, 2 / 3], [2 / 3, 1 / 3]])
    return Slab(np.array([6, 6]), np.column_stack([sites @ cell, [0.0, 0.0]]), cell)


def oblique(scale: float = 1.0) -> Slab:
    """A layer without any mirror: four atoms of four kinds in an oblique cell."""
    cell = scale * np.array([[3.1, 0.0], [0.9, 4.3]])
    sites = np.array([[0.0, 0.0], [0.31, 0.44], [0.62, 0.13], [0.2, 0.75]])
    return Slab(np.array([42, 16, 34, 52]), np.column_stack([sites @ cell, [0.0, 1.4, -1.5, -1.1]]), cell)


MOS2, WSE2 = dichalcogenide(42, 16, 3.18, 1.56), dichalcogenide(74, 34, 3.32, 1.68)


def _sides(structure: Structure) -> tuple[Structure, Structure]:
    return tuple(  # type: ignore[return-value]
        Structure.from_sites([site for site in structure if site.properties["side"] == side])
        for side in ("bottom", "top")
    )


@pytest.mark.parametrize(("n", "m"), [(1, 1), (3, 3), (4, 7), (7, 4)])
def test_a_stack_has_n_cells_below_and_m_above_at_the_distance(n: int, m: int) -> None:
    stack = build_stack(MOS2, WSE2, n, m, **PLACE)
    below, above = _sides(stack.structure)
    assert (len(below), len(above)) == (3 * n, 3 * m)
    low, high = below.cart_coords[:, 2], above.cart_coords[:, 2]
    assert high.min() - low.max() == pytest.approx(3.3, abs=1e-9)
    assert np.ptp(low) == pytest.approx(3.12, abs=1e-9)
    height = stack.structure.lattice.c
    assert height - (high.max() - low.min()) == pytest.approx(VACUUM, abs=1e-9)


def test_shared_strain_puts_the_cell_halfway_between_the_two_on_a_logarithmic_scale() -> None:
    stack = build_stack(MOS2, WSE2, 1, 1, **PLACE)
    assert stack.structure.lattice.a == pytest.approx(np.sqrt(3.18 * 3.32), abs=1e-9)
    assert stack.solution.max_strain == pytest.approx(np.log(3.32 / 3.18), abs=1e-9)


def test_a_film_on_a_crystal_carries_all_the_strain() -> None:
    stack = build_stack(MOS2, WSE2, 1, 1, sharing=StrainSharing.TOP_ONLY, **PLACE)
    assert stack.structure.lattice.a == pytest.approx(3.18, abs=1e-9)


@settings(deadline=None, max_examples=40)
@given(n=st.integers(1, 6), m=st.integers(1, 6), scale=st.floats(0.97, 1.03))
def test_area_atoms_and_sides_hold_for_any_pair_of_indices(n: int, m: int, scale: float) -> None:
    below, above = oblique(), oblique(scale)
    area = abs(np.linalg.det(below.cell[:, :2]))
    stack = build_stack(below, above, n, m, distance=6.0, distance_origin="test")
    matrix = stack.structure.lattice.matrix
    expected = np.sqrt(n * area * m * area * scale**2)
    assert abs(np.linalg.det(matrix[:2, :2])) == pytest.approx(expected, rel=1e-9)
    assert np.linalg.det(matrix) > 0
    assert len(stack.structure) == 4 * (n + m)
    assert matrix[0, 1] == pytest.approx(0.0, abs=1e-9)


def test_an_unstrained_supercell_keeps_every_bond() -> None:
    stack = build_stack(oblique(), oblique(), 5, 5, distance=6.0, distance_origin="test")
    single = build_stack(oblique(), oblique(), 1, 1, distance=6.0, distance_origin="test")
    for many, one in zip(_sides(stack.structure), _sides(single.structure), strict=True):
        wanted = np.sort(one.get_neighbor_list(4.0)[3])
        found = np.sort(many.get_neighbor_list(4.0)[3])
        assert np.allclose(found, np.repeat(wanted, 5), atol=1e-6)


def test_a_mirrored_layer_is_turned_over_and_stays_itself() -> None:
    layer = oblique()
    mirrored = Slab(layer.numbers, layer.positions * [1, -1, 1], layer.cell[:, :2] * [1, -1])
    stack = build_stack(layer, mirrored, 1, 1, distance=6.0, distance_origin="test")
    assert stack.solution.flip
    assert stack.solution.max_strain == pytest.approx(0.0, abs=1e-9)
    _, above = _sides(stack.structure)
    top = {site.specie.Z: site.coords[2] for site in above}
    # Turned over, the chalcogen that looked up looks down; a reflection alone would have made its mirror image.
    assert top[16] < top[42] < top[52] < top[34]
    assert "turned over" in stack.comment


def test_graphene_on_its_own_twin_is_not_strained() -> None:
    stack = build_stack(graphene(), graphene(), 7, 7, **PLACE)
    bonds = stack.structure.get_neighbor_list(1.6)[3]
    assert np.allclose(bonds, 2.46 / np.sqrt(3), atol=1e-9)


def test_files_say_what_they_are_and_read_back_as_the_same_atoms() -> None:
    stack = build_stack(MOS2, WSE2, 4, 7, label="WSe2 on MoS2", **PLACE)
    cif, poscar = stack.cif(), stack.poscar()
    for first in (cif.splitlines()[0], poscar.splitlines()[0]):
        assert "NOT relaxed" in first
        assert "WSe2 on MoS2" in first
        assert "test" in first
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pymatgen says that it rounds thirds
        read = Structure.from_str(cif, fmt="cif")
    assert read.composition == stack.structure.composition
    assert read.lattice.abc == pytest.approx(stack.structure.lattice.abc, abs=1e-6)
    assert Poscar.from_str(poscar).structure.composition == stack.structure.composition


def test_atoms_that_would_overlap_are_refused() -> None:
    with pytest.raises(StackError, match="overlap"):
        build_stack(MOS2, MOS2, 1, 1, distance=0.5, distance_origin="test")


@pytest.mark.parametrize("distance", [0.0, -1.0, float("nan")])
def test_a_distance_that_is_none_is_refused(distance: float) -> None:
    with pytest.raises(StackError, match="distance"):
        build_stack(MOS2, WSE2, 1, 1, distance=distance, distance_origin="test")
