"""The stacked supercell: what its geometry must be, whatever the pair."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layers import HEXAGONAL, MOS2, WSE2, graphene, handed, oblique
from pymatgen.core import Structure

from ml.descriptors.slab import Slab
from stackscreen.pairs.common_cell import Orientation, OrientationError, common_cell, lattice_rotations, turned_over
from stackscreen.pairs.misfit import MisfitPolicy
from stackscreen.structures import VACUUM, Gap, Sides, Stack, StackError, stack

SIDES = Sides("below", "above", "a test")


def stacked(bottom: Slab, top: Slab, n: int, m: int, distance: float = 3.3, **options: object) -> Stack:
    return stack(common_cell(bottom, top, n, m, **options), Gap(distance, "test"), SIDES)  # type: ignore[arg-type]


def sides(structure: Structure) -> tuple[Structure, Structure]:
    return tuple(  # type: ignore[return-value]
        Structure.from_sites([site for site in structure if site.properties["side"] == side])
        for side in ("bottom", "top")
    )


def principal_strains(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Hencky strains, larger first, of what takes the rows of one cell to those of another."""
    return np.log(np.linalg.svd(np.linalg.solve(before, after), compute_uv=False))


@pytest.mark.parametrize(("n", "m"), [(1, 1), (3, 3), (4, 7), (7, 4)])
def test_a_stack_has_n_cells_below_and_m_above_at_the_distance(n: int, m: int) -> None:
    made = stacked(MOS2, WSE2, n, m)
    below, above = sides(made.structure)
    assert (len(below), len(above)) == (3 * n, 3 * m)
    low, high = below.cart_coords[:, 2], above.cart_coords[:, 2]
    assert high.min() - low.max() == pytest.approx(3.3, abs=1e-9)
    assert np.ptp(low) == pytest.approx(3.12, abs=1e-9)
    height = made.structure.lattice.c
    assert height - (high.max() - low.min()) == pytest.approx(VACUUM, abs=1e-9)


POLICIES = {
    MisfitPolicy.EQUAL: (0.5, 0.5),
    MisfitPolicy.TOP: (0.0, 1.0),
    MisfitPolicy.BOTTOM: (1.0, 0.0),
    MisfitPolicy.STIFFNESS: (0.25, 0.75),
}


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(("n", "m"), [(1, 1), (4, 3)])
def test_each_side_is_strained_by_its_part_of_the_misfit(policy: MisfitPolicy, n: int, m: int) -> None:
    below, above = oblique(), Slab(oblique().numbers, oblique().positions, oblique(1.03).cell * [1.0, 0.98])
    cell = common_cell(below, above, n, m, policy=policy, stiffness=(300.0, 100.0))
    assert cell.fractions == POLICIES[policy]
    for slab, matrix, part, sign in (
        (cell.bottom, cell.bottom_matrix, cell.fractions[0], 1),
        (cell.top, cell.top_matrix, cell.fractions[1], -1),
    ):
        found = principal_strains(matrix @ slab.cell, cell.lattice)
        assert found == pytest.approx(np.sort(sign * part * np.array(cell.strains))[::-1], abs=1e-9)
    assert sorted(cell.bottom_strains) == pytest.approx(
        np.sort(principal_strains(cell.bottom_matrix @ cell.bottom.cell, cell.lattice)), abs=1e-9
    )


def test_shared_strain_puts_the_cell_halfway_between_the_two_on_a_logarithmic_scale() -> None:
    made = stacked(MOS2, WSE2, 1, 1, policy=MisfitPolicy.EQUAL)
    assert made.structure.lattice.a == pytest.approx(np.sqrt(3.18 * 3.32), abs=1e-9)
    assert made.cell.max_strain == pytest.approx(np.log(3.32 / 3.18), abs=1e-9)


def test_a_film_on_a_crystal_carries_all_the_strain() -> None:
    made = stacked(MOS2, WSE2, 1, 1, policy=MisfitPolicy.TOP)
    assert made.structure.lattice.a == pytest.approx(3.18, abs=1e-9)


LENGTHS = st.floats(2.5, 6.0)


@settings(deadline=None, max_examples=60)
@given(
    bottom=st.tuples(LENGTHS, LENGTHS, st.floats(50.0, 130.0)),
    top=st.tuples(LENGTHS, LENGTHS, st.floats(50.0, 130.0)),
    n=st.integers(1, 6),
    m=st.integers(1, 6),
    flips=st.tuples(st.booleans(), st.none() | st.booleans()),
    policy=st.sampled_from(MisfitPolicy),
)
def test_both_layers_have_the_same_vectors_in_any_two_lattices(
    bottom: tuple[float, float, float],
    top: tuple[float, float, float],
    n: int,
    m: int,
    flips: tuple[bool, bool | None],
    policy: MisfitPolicy,
) -> None:
    def layer(a: float, b: float, gamma: float) -> Slab:
        angle = np.radians(gamma)
        cell = np.array([[a, 0.0], [b * np.cos(angle), b * np.sin(angle)]])
        return Slab(oblique().numbers, np.array([[0, 0, 0], [0.3, 0.4, 1.4], [1.1, 0.6, -1.5], [0.2, 1.9, -1.1]]), cell)

    below, above = layer(*bottom), layer(*top)
    made = stacked(below, above, n, m, 20.0, policy=policy, orientation=Orientation(*flips))
    cell, matrix = made.cell, made.structure.lattice.matrix
    assert np.allclose(cell.bottom_matrix @ cell.bottom_cell, matrix[:2, :2], atol=1e-9)
    assert np.allclose(cell.top_matrix @ cell.top_cell, matrix[:2, :2], atol=1e-9)
    assert round(abs(np.linalg.det(cell.bottom_matrix))) == n
    assert round(abs(np.linalg.det(cell.top_matrix))) == m
    assert np.linalg.det(matrix) > 0
    assert matrix[0, 1] == 0.0
    assert len(made.structure) == 4 * (n + m)
    for slab, strained in ((cell.bottom, cell.bottom_cell), (cell.top, cell.top_cell)):
        # A map that mirrored a layer would turn its cell's hand.
        assert np.sign(np.linalg.det(strained)) == np.sign(np.linalg.det(slab.cell))
    areas = n * below.area, m * above.area
    expected = areas[0] ** cell.fractions[1] * areas[1] ** cell.fractions[0]
    assert abs(np.linalg.det(matrix[:2, :2])) == pytest.approx(expected, rel=1e-9)


def test_an_unstrained_supercell_keeps_every_bond() -> None:
    many, one = (sides(stacked(oblique(), oblique(), k, k, 6.0).structure) for k in (5, 1))
    for large, small in zip(many, one, strict=True):
        wanted = np.sort(small.get_neighbor_list(4.0)[3])
        found = np.sort(large.get_neighbor_list(4.0)[3])
        assert np.allclose(found, np.repeat(wanted, 5), atol=1e-6)


def handedness(structure: Structure) -> float:
    """Sign that no rotation and only a mirror changes: the triple product of three bonds of a layer."""
    index = {site.specie.Z: k for k, site in enumerate(structure)}

    def bond(z: int) -> np.ndarray:
        _, image = structure[index[42]].distance_and_image(structure[index[z]])
        fractional = structure[index[z]].frac_coords + image - structure[index[42]].frac_coords
        return structure.lattice.get_cartesian_coords(fractional)

    return float(np.sign(np.linalg.det([bond(16), bond(34), bond(52)])))


def test_a_mirrored_layer_is_turned_over_and_stays_itself() -> None:
    layer = oblique()
    mirrored = Slab(layer.numbers, layer.positions * [1, -1, 1], layer.cell[:, :2] * [1, -1])
    made = stacked(layer, mirrored, 1, 1, 6.0)
    assert made.cell.flips == (False, True)
    assert made.cell.max_strain == pytest.approx(0.0, abs=1e-9)
    below, above = sides(made.structure)
    top = {site.specie.Z: site.coords[2] for site in above}
    # Turned over, the chalcogen that looked up looks down; a reflection alone would have made its mirror image.
    assert top[16] < top[42] < top[52] < top[34]
    assert handedness(above) == -handedness(below)


ORDER = [34, 52, 42, 16]
"""Elements of the handed layer from its lower face to its upper one."""


@pytest.mark.parametrize("flip_bottom", [False, True])
@pytest.mark.parametrize("flip_top", [False, True])
def test_four_orientations_show_each_other_the_faces_that_were_asked_for(flip_bottom: bool, flip_top: bool) -> None:
    made = stacked(handed(), handed(), 1, 1, 6.0, orientation=Orientation(flip_bottom, flip_top))
    assert made.cell.flips == (flip_bottom, flip_top)
    assert made.cell.max_strain == pytest.approx(0.0, abs=1e-9)
    hand = handedness(sides(stacked(handed(), handed(), 1, 1, 6.0).structure)[0])
    for side, flip in zip(sides(made.structure), (flip_bottom, flip_top), strict=True):
        upwards = [site.specie.Z for site in sorted(side, key=lambda site: site.coords[2])]
        assert upwards == (ORDER[::-1] if flip else ORDER)
        assert handedness(side) == hand


def test_a_layer_turned_over_twice_is_as_it_was() -> None:
    twice = turned_over(turned_over(oblique()))
    assert np.allclose(twice.positions, oblique().positions)
    assert np.allclose(twice.cell, oblique().cell)


def test_lattices_have_the_rotations_of_their_system() -> None:
    assert lattice_rotations(2.46 * HEXAGONAL) == [0, 60, 120, 180, 240, 300]
    assert lattice_rotations(np.eye(2) * 3.8) == [0, 90, 180, 270]
    assert lattice_rotations(np.array([[3.3, 0.0], [0.0, 4.4]])) == [0, 180]
    assert lattice_rotations(oblique().cell) == [0, 180]


def test_a_rotation_of_the_lattice_makes_another_stack_of_the_same_match() -> None:
    straight, turned = (stacked(MOS2, MOS2, 1, 1, orientation=Orientation(rotation=angle)) for angle in (0, 60))
    assert (straight.cell.twist, turned.cell.twist) == pytest.approx((0.0, 60.0))
    assert np.allclose(straight.structure.lattice.matrix, turned.structure.lattice.matrix, atol=1e-9)

    def lateral(made: Stack) -> np.ndarray:
        """The way from a molybdenum of the upper layer to its sulphur, in fractions of the cell."""
        _, above = sides(made.structure)
        return (above.frac_coords[1] - above.frac_coords[0])[:2] % 1.0

    assert lateral(straight) == pytest.approx(-lateral(turned) % 1.0)


def test_a_rotation_that_the_lattice_lacks_is_refused() -> None:
    with pytest.raises(OrientationError, match="30") as caught:
        stacked(MOS2, MOS2, 1, 1, orientation=Orientation(rotation=30.0))
    assert "0, 60, 120" in caught.value.hint


def test_graphene_on_its_own_twin_is_not_strained() -> None:
    made = stacked(graphene(), graphene(), 7, 7)
    bonds = made.structure.get_neighbor_list(1.6)[3]
    assert np.allclose(bonds, 2.46 / np.sqrt(3), atol=1e-9)


def test_atoms_that_would_overlap_are_refused_with_the_distance_that_would_do() -> None:
    with pytest.raises(StackError, match=r"S \(atom \d, of the lower layer\) and S \(atom \d.* 0.50 Å apart") as caught:
        stacked(MOS2, MOS2, 1, 1, 0.5)
    least = float(caught.value.hint.split(" Å or more")[0].split()[-1])
    assert stacked(MOS2, MOS2, 1, 1, least)
    with pytest.raises(StackError, match="overlap"):
        stacked(MOS2, MOS2, 1, 1, least - 0.02)


@pytest.mark.parametrize("distance", [0.0, -1.0, float("nan")])
def test_a_distance_that_is_none_is_refused(distance: float) -> None:
    with pytest.raises(StackError, match="distance"):
        stacked(MOS2, WSE2, 1, 1, distance)


@pytest.mark.parametrize("vacuum", [0.0, 4.9, float("nan")])
def test_a_vacuum_that_is_too_thin_is_refused(vacuum: float) -> None:
    with pytest.raises(StackError, match="vacuum"):
        stack(common_cell(MOS2, WSE2, 1, 1), Gap(3.3, "test"), SIDES, vacuum=vacuum)
