import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ml_helpers import graphene, layers, mos2, mosse

from ml import features, pair_features
from ml.descriptors.stacking import registry_descriptors
from ml.pair_features import PairFeatures
from schema.quantities import CBM_NOSOC, GAP_NOSOC, VBM_NOSOC

LAYERS = layers()
TABLE = features.compute(LAYERS)
PAIRS = PairFeatures(TABLE)


def column(rows: np.ndarray, name: str) -> np.ndarray:
    return rows[:, pair_features.COLUMN[name]]


def test_every_component_has_a_name_a_unit_and_a_column() -> None:
    assert len(features.NAMES) == len(features.UNITS) == TABLE.shape[1] == len(set(features.NAMES))
    assert len(pair_features.NAMES) == len(pair_features.UNITS) == len(set(pair_features.NAMES))
    assert PAIRS(np.array([0]), np.array([1])).shape == (1, len(pair_features.NAMES))


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 3), st.integers(0, 3), st.booleans(), st.booleans())
def test_exchanging_the_layers_changes_no_component(i: int, j: int, top_i: bool, top_j: bool) -> None:
    a, b = np.array([i]), np.array([j])
    ta, tb = np.array([top_i]), np.array([top_j])
    registry = registry_descriptors(mos2(), mosse())[None]
    one = PAIRS(a, b, top_a=ta, top_b=tb, registry=registry)
    two = PAIRS(b, a, top_a=tb, top_b=ta, registry=registry)
    np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-5)


def test_a_layer_is_the_same_wherever_it_lies_along_the_normal() -> None:
    moved = features.compute([features.Layer(layer.slab.moved(dz=7.3), layer.properties) for layer in LAYERS])
    np.testing.assert_allclose(moved, TABLE, rtol=1e-5, atol=1e-5)


def test_missing_properties_stay_missing() -> None:
    row = PAIRS(np.array([3]), np.array([3]))
    assert np.isnan(column(row, "facing_vbm")[0])
    assert np.isnan(column(row, "mean_polarizability_xy")[0])
    assert column(row, "gap_aligned")[0] == 0.0
    assert np.isnan(row[:, pair_features.COLUMN["registry_touching_distance"]]).all()


def test_a_polar_layer_on_itself_loses_gap_to_the_step_unless_turned_face_to_face() -> None:
    two = np.array([2])
    head_to_tail = PAIRS(two, two)
    face_to_face = PAIRS(two, two, top_b=np.array([True]))
    assert column(head_to_tail, "vacuum_mismatch")[0] == pytest.approx(0.75, abs=1e-5)
    assert column(head_to_tail, "gap_aligned")[0] == pytest.approx(1.5 - 0.75, abs=1e-5)
    assert column(face_to_face, "gap_aligned")[0] == pytest.approx(1.5, abs=1e-5)


def test_two_different_semiconductors_take_andersons_gap() -> None:
    row = PAIRS(np.array([0]), np.array([1]))
    assert column(row, "gap_aligned")[0] == pytest.approx(-4.3 + 4.9, abs=1e-5)
    assert column(row, "gap_min")[0] == pytest.approx(1.25)


def test_gaps_and_alignment_are_known_without_spin_orbit_coupling_as_well() -> None:
    mo, w = LAYERS[0], LAYERS[1]
    known = {(GAP_NOSOC.key, None): 1.5, (VBM_NOSOC.key, None): -5.15, (CBM_NOSOC.key, None): -3.65}
    row = PairFeatures(features.compute([mo, features.Layer(w.slab, w.properties | known)]))(
        np.array([0]), np.array([1])
    )
    assert column(row, "gap_aligned")[0] == pytest.approx(0.6, abs=1e-5)
    assert column(row, "nosoc_gap_aligned")[0] == pytest.approx(-4.3 + 5.15, abs=1e-5)
    assert column(row, "nosoc_gap_min")[0] == pytest.approx(1.5)
    assert column(row, "nosoc_vbm_higher")[0] == pytest.approx(-5.15, abs=1e-5)
    assert column(row, "nosoc_valence_offset")[0] == pytest.approx(0.75, abs=1e-5)


def test_where_only_levels_with_spin_orbit_coupling_are_known_they_stand_for_both() -> None:
    row = PAIRS(np.array([0, 2, 3]), np.array([1, 2, 3]))
    for name in pair_features.SOC:
        np.testing.assert_array_equal(column(row, f"nosoc_{name}"), column(row, name))


def test_the_inputs_digest_follows_atoms_and_properties() -> None:
    layer = LAYERS[0]
    assert layer.digest == features.Layer(layer.slab, dict(layer.properties)).digest
    assert layer.digest != features.Layer(layer.slab, {}).digest
    assert layer.digest != features.Layer(layer.slab.moved(dx=0.01), layer.properties).digest


def test_structure_alone_is_enough_for_energy_and_distance() -> None:
    bare = PairFeatures(features.compute([features.Layer(graphene())]))(np.array([0]), np.array([0]))
    for name in pair_features.STRUCTURAL:
        if name not in pair_features.REGISTRY:
            assert np.isfinite(column(bare, name)).all(), name
