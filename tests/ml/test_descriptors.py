import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ml_helpers import graphene, mos2, mosse, stacked

from ml.descriptors import composition, dispersion, stacking
from ml.descriptors.band_alignment import Alignment, anderson, smaller_gap
from ml.descriptors.contact import probe_heights, touching_distance
from ml.descriptors.elements import BOHR, CORRECTIONS, c6, magpie_table, polarizability
from ml.descriptors.slab import NotASlabError, Slab
from ml.descriptors.structure import FACE_NAMES, face_descriptors


def doubled(slab: Slab) -> Slab:
    shift = np.append(slab.cell[0], 0.0)
    return Slab(
        np.tile(slab.numbers, 2),
        np.concatenate([slab.positions, slab.positions + shift]),
        slab.cell * np.array([[2.0], [1.0]]),
    )


def moved_in_plane(slab: Slab, fraction: tuple[float, float]) -> Slab:
    return slab.moved(*(np.array(fraction) @ slab.cell))


def test_magpie_statistics_equal_those_of_matminer() -> None:
    from matminer.featurizers.composition import ElementProperty
    from pymatgen.core import Composition

    formulas = ["MoS2", "C", "BN", "CrGeTe3", "Hf3C2O2", "CsPb2Br5", "GdI2", "Sc2CF2", "PtBi"]
    featurizer = ElementProperty.from_preset("magpie")
    expected = np.array([featurizer.featurize(Composition(f)) for f in formulas])
    atoms = [np.array([e.Z for e, n in Composition(f).items() for _ in range(int(n))]) for f in formulas]
    np.testing.assert_allclose(composition.magpie(atoms), expected, rtol=1e-10)
    assert [name.removeprefix("magpie_") for name in composition.NAMES] == [
        label.removeprefix("MagpieData ").replace(" ", "_") for label in featurizer.feature_labels()
    ]


# Atomic units, P. Schwerdtfeger and J. K. Nagle, Mol. Phys. 117, 1200 (2019), of the elements that layers are made of.
RECOMMENDED = {
    1: 4.507, 3: 164.1, 4: 37.74, 5: 20.5, 6: 11.3, 7: 7.4, 8: 5.3, 9: 3.74, 11: 162.7, 12: 71.2, 13: 57.8, 14: 37.3,
    15: 25, 16: 19.4, 17: 14.6, 19: 289.7, 20: 160.8, 21: 97, 22: 100, 23: 87, 24: 83, 25: 68, 26: 62, 27: 55, 28: 49,
    29: 46.5, 30: 38.67, 31: 50, 32: 40, 33: 30, 34: 28.9, 35: 21, 37: 319.8, 38: 197.2, 39: 162, 40: 112, 41: 98,
    42: 87, 44: 72, 45: 66, 46: 26.14, 47: 55, 48: 46, 49: 65, 50: 53, 51: 43, 52: 38, 53: 32.9, 54: 27.32, 55: 400.9,
    56: 272, 72: 103, 73: 74, 74: 68, 75: 62, 76: 57, 77: 54, 78: 48, 79: 36, 80: 33.91, 81: 50, 82: 47, 83: 48,
}  # fmt: skip


def test_every_element_of_the_layers_is_as_polarizable_as_recommended_within_a_factor_of_one_and_a_half() -> None:
    wanted = np.array(list(RECOMMENDED.values())) * BOHR**3
    ratio = polarizability()[list(RECOMMENDED)] / wanted
    assert ratio.min() > 1 / 1.5
    assert ratio.max() < 1.5


def test_bismuth_attracts_as_its_neighbours_do() -> None:
    # The table's misprint, 0.4 Å³, made its C6 three hundred times too small.
    lead, bismuth, polonium = c6()[82:85]
    assert 0.5 * lead < bismuth < 2 * polonium
    assert polarizability()[83] == CORRECTIONS["Polarizability"]["Bi"]


def test_corrections_touch_nothing_else() -> None:
    from matminer.utils.data import MagpieData

    table = MagpieData(impute_nan=True).all_elemental_props["Polarizability"]
    assert table["Bi"] == pytest.approx(0.4), "the table was put right: the correction can go"
    assert magpie_table("Polarizability")[82] == table["Pb"]


def test_a_layer_cut_by_the_cell_boundary_is_made_whole() -> None:
    whole = mos2()
    box = np.eye(3)
    box[:2, :2] = whole.cell
    box[2, 2] = 20.0
    positions = whole.positions.copy()
    positions[:, 2] %= 20.0
    made = Slab.from_cell(whole.numbers, positions, box)
    assert made.thickness == pytest.approx(whole.thickness)
    np.testing.assert_allclose(made.depth(True), whole.depth(True))


def test_a_layer_may_be_given_in_any_orientation() -> None:
    whole = mos2()
    box = np.eye(3)
    box[:2, :2] = whole.cell
    box[2, 2] = 20.0
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    turn *= np.sign(np.linalg.det(turn))
    made = Slab.from_cell(whole.numbers, whole.positions @ turn.T, box @ turn.T)
    np.testing.assert_allclose(made.depth(True), whole.depth(True), atol=1e-9)
    assert made.area == pytest.approx(whole.area)


def test_atoms_without_a_plane_are_refused() -> None:
    with pytest.raises(NotASlabError, match="span no area"):
        Slab.from_cell([6], [[0, 0, 0]], [[1, 0, 0], [2, 0, 0], [0, 0, 9]])


def test_face_descriptors_do_not_depend_on_the_choice_of_cell() -> None:
    one, two = face_descriptors(mosse(), True), face_descriptors(doubled(mosse()), True)
    grid = [k for k, name in enumerate(FACE_NAMES) if name.startswith("probe")]
    exact = [k for k in range(len(FACE_NAMES)) if k not in grid]
    np.testing.assert_allclose(one[exact], two[exact])
    # The probe is sampled on a grid of the cell.
    np.testing.assert_allclose(one[grid], two[grid], atol=0.1)


def test_turning_a_janus_layer_over_exchanges_its_faces() -> None:
    np.testing.assert_allclose(face_descriptors(mosse(), True), face_descriptors(mosse().flipped(), False))
    softness = FACE_NAMES.index("polarizability")
    assert face_descriptors(mosse(), True)[softness] > face_descriptors(mosse(), False)[softness]


def test_a_probe_rests_higher_on_an_atom_than_in_a_hollow() -> None:
    heights = probe_heights(mos2(), True, 1.8)
    assert heights.max() - heights.min() > 0.3
    # On top of sulfur the two spheres meet head on.
    assert heights.max() == pytest.approx(1.89 + 1.8, abs=0.05)


def test_mos2_on_wse2_is_type_two_with_electrons_in_mos2() -> None:
    # PBE band edges against vacuum, after C2DB's published figures.
    found = anderson(-5.9, -4.3, -4.9, -3.6)
    assert found.kind == Alignment.STAGGERED
    assert found.gap == pytest.approx(0.6)
    assert found.vbo > 0
    assert found.cbo > 0


def test_alignment_names_each_case() -> None:
    nan = np.nan
    found = anderson([-6, -6, -6, -4, nan], [-3, -3, -5, -4, -3], [-5, -3, -4, -6, -5], [-4, -1, -3, -3, -4])
    assert found.kind.tolist() == [
        Alignment.STRADDLING, Alignment.BROKEN, Alignment.BROKEN, Alignment.METAL, Alignment.UNKNOWN,
    ]  # fmt: skip
    assert found.gap[:4].tolist() == [1.0, 0.0, 0.0, 0.0]
    assert np.isnan(found.gap[4])


@given(st.lists(st.floats(-8, 0), min_size=4, max_size=4))
def test_exchanging_the_layers_keeps_the_gap_and_turns_the_offsets_round(edges: list[float]) -> None:
    va, ca, vb, cb = edges
    one, two = anderson(va, ca, vb, cb), anderson(vb, cb, va, ca)
    assert one.kind == two.kind
    assert one.gap == two.gap
    assert one.vbo == -two.vbo
    assert one.cbo == -two.cbo


def test_one_metal_makes_the_smaller_gap_zero_even_if_the_other_is_unknown() -> None:
    np.testing.assert_array_equal(smaller_gap([0.0, np.nan, 1.0], [np.nan, 1.0, 2.0]), [0.0, np.nan, 1.0])


def test_the_averaged_potential_is_the_average_over_registries() -> None:
    layer = mos2()
    points = [(i / 6, j / 6) for i in range(6) for j in range(6)]
    contacts = [dispersion.registry_contact(layer, moved_in_plane(layer, p)) for p in points]
    transforms = dispersion.face_transforms(layer, True)[None], dispersion.face_transforms(layer, False)[None]
    averaged = dispersion.averaged_contact(*transforms)
    # The average's minimum lies within the minima of the registries, and is shallower than their mean.
    assert min(c[0] for c in contacts) < averaged.distance[0] < max(c[0] for c in contacts)
    assert averaged.energy[0] == pytest.approx(np.mean([c[1] for c in contacts]), rel=0.05)


def test_bilayer_mos2_and_graphene_rest_near_their_known_distances() -> None:
    for layer, known in ((mos2(), 3.0), (graphene(), 3.4)):
        shifted = moved_in_plane(layer, (1 / 3, 2 / 3))
        distance, energy = dispersion.registry_contact(layer, shifted)
        assert distance == pytest.approx(known, abs=0.4)
        assert 10 < energy < 60


def test_atoms_atop_each_other_touch_sooner_than_in_hollows() -> None:
    layer = mos2()
    atop = touching_distance(layer, layer)
    hollow = touching_distance(layer, moved_in_plane(layer, (1 / 3, 2 / 3)))
    assert atop == pytest.approx(2 * 1.89)
    assert hollow < atop - 0.3


@settings(max_examples=25, deadline=None)
@given(st.floats(0, 1), st.floats(0, 1), st.floats(-30, 30), st.floats(-30, 30))
def test_registry_does_not_depend_on_how_far_apart_the_layers_are(fa: float, fb: float, up: float, more: float) -> None:
    below, above = mos2(), moved_in_plane(mosse(), (fa, fb))
    above = Slab(above.numbers, above.positions, below.cell)
    one = stacking.registry_descriptors(below, above.moved(dz=up))
    two = stacking.registry_descriptors(below.moved(dz=more), above)
    np.testing.assert_allclose(one, two, rtol=1e-6, atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(st.floats(0, 1), st.floats(0, 1))
def test_registry_is_the_same_seen_from_the_other_layer(fa: float, fb: float) -> None:
    below, above = mos2(), moved_in_plane(mos2(), (fa, fb))
    one = stacking.registry_descriptors(below, above)
    two = stacking.registry_descriptors(above.flipped(), below.flipped())
    np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-5)


def test_a_stacking_label_gives_the_upper_layer() -> None:
    layer = mos2()
    aa_prime = stacked(layer, operation=[-1, 0, 0, -1], flip=False, shift=(1 / 3, 2 / 3))
    lateral = stacking.registry_descriptors(layer, aa_prime)
    # 2H bilayer: metal over chalcogen and back.
    assert lateral[stacking.NAMES.index("registry_lateral_nearest")] == pytest.approx(0.0, abs=1e-6)
    assert stacked(mosse(), operation=np.eye(2), flip=True, shift=(0, 0)).depth(True)[1] == 0.0
