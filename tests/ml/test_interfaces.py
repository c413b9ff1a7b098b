"""Interfaces become rows that know what a screen knows, and no more."""

from collections import Counter

import numpy as np
import pytest
from ml_helpers import layers, mos2, mosse, wse2

from ml import heads, interfaces, on_bulk, pair_features
from ml.alignment import alignment_class
from ml.cleaning import clean
from ml.descriptors.stacking import NAMES, named_registry
from ml.domain import Domain
from ml.features import Layer
from ml.interfaces import IDENTITY, Interface, LayerTable, assemble
from ml.models.tree_classes import ClassTrees
from ml.models.tree_ensemble import TreeEnsemble, Trees
from ml.models.tree_settings import Settings, same
from ml.neighbours import nearest_on_bulk
from ml.pair_features import MATCH, PairFeatures
from ml.rows import InterfaceRows
from schema.quantities import (
    BINDING_ENERGY,
    BINDING_ENERGY_PER_ATOM,
    CBM,
    CBM_NOSOC,
    GAP,
    INTERLAYER_DISTANCE,
    METALLIC,
    VBM,
    VBM_NOSOC,
)
from schema.vocabulary import Face, InterfaceKind

LAYERS = dict(zip(("MoS2", "WSe2", "MoSSe", "C2"), layers(), strict=True))
TABLE = LayerTable.of(LAYERS, dict.fromkeys(LAYERS, "AB2"))
HETERO = InterfaceKind.HETEROBILAYER.value
ON_BULK = (BINDING_ENERGY_PER_ATOM.key, INTERLAYER_DISTANCE.key)
FAST = same(3, Settings(rounds=20, leaves=5, min_rows=3))


def stack(name: str, distance: float, labels: dict[str, float] | None = None) -> Interface:
    lower = LAYERS["MoS2"].slab
    upper = lower.moved(0.4, 0.1, lower.thickness + distance)
    return Interface(name, "MoS2", "MoS2", labels or {}, lower, upper, matrices=(IDENTITY, IDENTITY))


def test_moving_the_upper_layer_along_z_changes_no_feature() -> None:
    rows = assemble("homobilayer", "bidb", [stack("a", 2.1), stack("b", 3.0), stack("c", 9.7)], TABLE)
    assert np.isfinite(rows.column("registry_touching_distance")).all()
    np.testing.assert_array_equal(rows.features[0], rows.features[1])
    np.testing.assert_array_equal(rows.features[0], rows.features[2])


def test_moving_it_sideways_changes_the_registry() -> None:
    still = stack("a", 3.0)
    assert still.upper is not None
    moved = Interface("b", "MoS2", "MoS2", {}, still.lower, still.upper.moved(dx=0.5))
    rows = assemble("homobilayer", "bidb", [still, moved], TABLE)
    assert rows.column("registry_touching_distance")[0] != rows.column("registry_touching_distance")[1]


def test_a_row_keeps_its_gap_when_its_distance_is_cleaned_away() -> None:
    labels = {BINDING_ENERGY.key: 80.0, INTERLAYER_DISTANCE.key: 2.0, GAP.key: 0.9}
    rows = assemble("homobilayer", "bidb", [stack("a", 2.0, labels)], TABLE)
    assert rows.labelled(GAP.key).all()
    assert not rows.labelled(BINDING_ENERGY.key).any()
    assert rows.left_out == {
        f"{key}: binding energy > 60 meV/Å² (bonded or failed)": 1
        for key in (BINDING_ENERGY.key, INTERLAYER_DISTANCE.key)
    }


def test_a_homobilayer_is_a_metal_where_its_gap_is_zero_and_nothing_is_said_without_a_gap() -> None:
    labels = [{GAP.key: 0.0}, {GAP.key: 0.02}, {}]
    rows = assemble("homobilayer", "bidb", [stack(str(k), 3.0, one) for k, one in enumerate(labels)], TABLE)
    np.testing.assert_array_equal(rows.targets[METALLIC.key], [1.0, 0.0, np.nan])
    pair = Interface("a", "MoS2", "WSe2", {GAP.key: 0.0})
    assert METALLIC.key not in assemble(HETERO, "hetml", [pair], TABLE).targets


def test_models_of_stacks_without_spin_orbit_coupling_read_no_level_that_has_it() -> None:
    def read(target: str, known: bool) -> set[str]:
        head = heads.head(HETERO, target, registry_known=known)
        assert head is not None
        return {*head.method.features, head.method.physics}

    for target, known in ((GAP.key, True), (VBM.key, True), (VBM.key, False), (BINDING_ENERGY.key, True)):
        assert not read(target, known) & set(pair_features.SOC)
    # HetDB, which teaches what a moiré is asked, has it; and all that a screen asks of a moiré reads the same levels.
    for target in heads.SCREENED:
        assert not read(target, False) & set(pair_features.NOSOC)
    assert set(heads.CLASSIFIED[HETERO, "alignment_type"].features).isdisjoint(pair_features.SOC)


def test_a_stack_of_unknown_layers_is_left_out_and_counted() -> None:
    rows = assemble(HETERO, "hetml", [Interface("a", "MoS2", "unheard of", {})], TABLE)
    assert len(rows) == 0
    assert rows.left_out == {"layer not among the known monolayers": 1}


def test_the_match_follows_from_the_isolated_lattices_and_is_the_same_from_either_side() -> None:
    def match(bottom: str, top: str) -> np.ndarray:
        one = Interface("a", bottom, top, {}, matrices=(IDENTITY, IDENTITY), twist=0.0)
        return assemble(HETERO, "hetml", [one], TABLE).columns(MATCH)[0]

    strain = abs(np.log(3.32 / 3.18))
    found = match("MoS2", "WSe2")
    assert found[0] == pytest.approx(strain, rel=1e-5)
    assert found[1] == pytest.approx(0.0, abs=1e-6)
    assert found[5] == pytest.approx(2 * strain, rel=1e-5)
    np.testing.assert_allclose(match("WSe2", "MoS2")[[0, 1, 5]], found[[0, 1, 5]], rtol=1e-5, atol=1e-6)


def test_eclipsed_layers_touch_farther_apart_than_staggered_ones() -> None:
    above, hollow = (named_registry(mos2(), wse2(), eclipsed=eclipsed) for eclipsed in (True, False))
    column = NAMES.index("registry_touching_distance")
    assert above[column] > hollow[column] + 0.3


@pytest.mark.parametrize("names", [("gap_aligned",), ("dispersion_energy", "mean_thickness"), pair_features.STRUCTURAL])
def test_components_that_are_asked_for_are_the_same_alone(names: tuple[str, ...]) -> None:
    a, b = np.array([0, 1, 2]), np.array([2, 0, 3])
    columns = [pair_features.COLUMN[name] for name in names if name not in pair_features.REGISTRY]
    few, whole = PairFeatures(TABLE.features, names)(a, b), PairFeatures(TABLE.features)(a, b)
    np.testing.assert_array_equal(few[:, columns], whole[:, columns])


def test_the_stacks_own_edges_say_which_layer_they_belong_to() -> None:
    bottom, top = LAYERS["MoS2"], LAYERS["WSe2"]

    def edges(valence: float, conduction: float, gap: float = 0.6) -> dict[tuple[str, Face | None], float]:
        return {(VBM.key, None): valence, (CBM.key, None): conduction, (GAP.key, None): gap}

    assert alignment_class(edges(-4.9, -4.3), bottom, top) == 2.0
    assert alignment_class(edges(-4.9, -3.6), bottom, top) == 1.0
    assert alignment_class({(GAP.key, None): 0.0}, bottom, top) == 3.0
    # Halfway between the layers' levels it belongs to neither.
    assert alignment_class(edges(-5.4, -4.3), bottom, top) == 0.0
    left_out: Counter[str] = Counter()
    assert clean("hetml", {"alignment_type": 0.0}, left_out) == {}
    assert left_out.total() == 1
    assert alignment_class(edges(-4.9, -4.3), bottom, LAYERS["C2"]) is None


def test_stacks_are_held_against_levels_without_spin_orbit_coupling_where_these_are_known() -> None:
    bottom, top = LAYERS["MoS2"], LAYERS["WSe2"]
    # WSe2's valence edge lies at -4.9 eV with coupling and at -5.15 eV without, MoS2's at -5.9 eV.
    near = {(VBM.key, None): -5.4, (CBM.key, None): -4.3, (GAP.key, None): 1.1}
    split = Layer(top.slab, top.properties | {(VBM_NOSOC.key, None): -5.15, (CBM_NOSOC.key, None): -3.55})
    assert (alignment_class(near, bottom, top), alignment_class(near, bottom, split)) == (0.0, 2.0)
    # One edge alone is not taken: two edges of one calculation belong together.
    half = Layer(top.slab, top.properties | {(VBM_NOSOC.key, None): -5.15})
    assert alignment_class(near, bottom, half) == 0.0


def made(n: int = 80) -> InterfaceRows:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(n, len(pair_features.NAMES))).astype(np.float32)
    gap = 1 + features[:, pair_features.COLUMN["gap_aligned"]] + 0.5 * features[:, pair_features.COLUMN["gap_min"]]
    names = [f"hetml:{k:03d}" for k in range(n)]
    return InterfaceRows(
        HETERO, "hetml", names, names, names, names, names, features, pair_features.NAMES,
        {GAP.key: gap.astype(float), "alignment_type": 1.0 + (gap > 1)},
    )  # fmt: skip


def test_the_same_rows_grow_the_same_trees_and_read_back_they_say_the_same() -> None:
    rows, every = made(), np.ones(80, bool)
    method = Trees("gap_aligned", ("gap_min", "gap_aligned"), floor=0.0, grid=FAST)
    fitted, again = (method.fit(rows, GAP.key, every) for _ in range(2))
    assert fitted.members == again.members
    assert len(set(fitted.members)) == 3
    assert method.with_seed(1).fit(rows, GAP.key, every).members != fitted.members
    read = TreeEnsemble.from_json(fitted.as_json())
    np.testing.assert_array_equal(read.predict(rows, every), fitted.predict(rows, every))
    assert (fitted.predict(rows, every) >= 0).all()
    assert (fitted.spread(rows, every) > 0).any()
    error = np.abs(fitted.predict(rows, every) - rows.targets[GAP.key]).mean()
    physics = np.abs(fitted.baseline.predict(rows.features) - rows.targets[GAP.key]).mean()
    assert error < physics


def test_what_is_unknown_to_physics_is_not_predicted() -> None:
    rows, every = made(), np.ones(80, bool)
    fitted = Trees("gap_aligned", ("gap_min",), grid=FAST).fit(rows, GAP.key, every)
    rows.features[3, pair_features.COLUMN["gap_aligned"]] = np.nan
    assert np.flatnonzero(np.isnan(fitted.predict(rows, every))).tolist() == [3]


def test_classes_are_named_by_the_values_that_training_had() -> None:
    rows, every = made(), np.ones(80, bool)
    fitted = ClassTrees(("gap_min", "gap_aligned"), grid=FAST).fit(rows, "alignment_type", every)
    assert set(fitted.predict(rows, every)) == {1.0, 2.0}
    np.testing.assert_allclose(fitted.probabilities(rows, every).sum(axis=1), 1.0)


def test_no_head_reads_how_a_stack_is_called_or_how_it_was_matched() -> None:
    for domain in InterfaceKind:
        for target in (BINDING_ENERGY.key, INTERLAYER_DISTANCE.key, GAP.key, VBM.key):
            for known in (True, False):
                head = heads.head(domain.value, target, registry_known=known)
                if head is not None:
                    assert not set(head.method.features) & {*pair_features.STACKING, *MATCH}


def payload(planes: int = 2, cells: int = 1, listed: int = 2, heights: tuple[float, float] = (2.6, 4.1)) -> dict:
    """ZnTe above planes of strontium 3 Å apart, as pymatgen writes it, repeated along the first vector.

    Args:
        planes: of the metal.
        cells: repetitions.
        listed: atoms that `iface_idx` gives to each cell of the film.
        heights: Å, of Zn and Te above the topmost metal.
    """
    metal = [("Sr", (k % 3) / 3, 3.0 * k) for k in range(planes)]
    cell = [*metal, ("Zn", 0.0, metal[-1][2] + heights[0]), ("Te", 1 / 3, metal[-1][2] + heights[1])]
    sites = [(element, (x + n) / cells, 2 * x, z) for n in range(cells) for element, x, z in cell]
    film = [k for k, (element, *_) in enumerate(sites) if element in ("Zn", "Te")[:listed]]
    return {
        "initial_structure": {
            "lattice": {"matrix": [[4.2 * cells, 0, 0], [-2.1, 3.637, 0], [0, 0, 60.0]]},
            "sites": [{"species": [{"element": e, "occu": 1}], "abc": [x, y, (5 + z) / 60]} for e, x, y, z in sites],
        },
        "iface_idx": {"2d_layer_1": film, "sub_layer_1": [0, 1]},
        "film_composition": "ZnTe",
        "substrate_composition": "Sr",
        "surface_plane": "111",
        "alignment_info": {"u": 0.01, "v": 0.01},
    }


def read_by_the_heads(rows: InterfaceRows) -> np.ndarray:
    found = [head for target in ON_BULK if (head := heads.head(heads.ON_BULK, target, registry_known=False))]
    assert len(found) == len(ON_BULK)
    names = {name for head in found for name in (*head.method.features, head.method.physics)}
    return rows.columns(tuple(sorted(names - {""})))


def test_a_film_on_a_metal_is_taken_from_the_unrelaxed_structure() -> None:
    rows = on_bulk.rows_of("hetero2d", [("1", payload(), {BINDING_ENERGY_PER_ATOM.key: 0.2})])
    assert (rows.ids, rows.bottom, rows.top) == (["hetero2d:1"], ["Sr(111)"], ["ZnTe"])
    assert (rows.bottom_family, rows.top_family) == (["A"], ["AB"])
    assert rows.layers is not None
    assert sorted(rows.layers.layers["ZnTe"].slab.numbers.tolist()) == [30, 52]
    assert np.isfinite(rows.column("dispersion_energy")).all()
    assert rows.targets[BINDING_ENERGY_PER_ATOM.key].tolist() == [0.2]


def test_the_nearest_layers_on_a_substrate_are_the_kinds_that_look_like_it() -> None:
    stacks = [("1", payload(), {GAP.key: 1.0}), ("2", payload(cells=2), {GAP.key: 3.0})]
    far = payload() | {"film_composition": "SrZnTe", "substrate_composition": "Sr", "surface_plane": "011"}
    far["iface_idx"] = {"2d_layer_1": [1, 2, 3]}
    rows = on_bulk.rows_of("hetero2d", [*stacks, ("3", far, {GAP.key: 9.0})])
    assert rows.layers is not None
    domain = Domain.fit(rows.layers.features)
    sides = rows.layers.features[[rows.layers.row["Sr(111)"], rows.layers.row["ZnTe"]]]
    near, other = nearest_on_bulk([rows], domain, GAP.key, sides)
    assert (near.bottom_uid, near.top_uid, near.distance) == ("Sr(111)", "ZnTe", 0.0)
    assert (near.mean, near.smallest, near.largest, near.stackings) == (2.0, 1.0, 3.0, 2)
    assert (other.bottom_uid, other.top_uid) == ("Sr(011)", "SrZnTe")
    assert other.distance > 0


def test_a_film_that_its_source_lists_in_part_is_told_by_its_composition() -> None:
    right, wrong = (on_bulk.rows_of("hetero2d", [("1", payload(cells=2, listed=n), {})]) for n in (2, 1))
    np.testing.assert_array_equal(right.features, wrong.features)


def test_a_film_that_nothing_tells_is_left_out_and_counted() -> None:
    buried = payload(listed=1, heights=(2.6, -1.5))
    rows = on_bulk.rows_of("hetero2d", [("1", payload(), {}), ("2", buried, {}), ("3", {}, {})])
    assert rows.ids == ["hetero2d:1"]
    assert sum(rows.left_out.values()) == 2


def test_neither_the_size_of_the_cell_nor_the_thickness_of_the_slab_is_read() -> None:
    small, wide, thick = (payload(planes, cells) for planes, cells in ((4, 1), (4, 3), (9, 1)))
    rows = on_bulk.rows_of("hetero2d", [("1", small, {}), ("2", wide, {}), ("3", thick, {})])
    seen = read_by_the_heads(rows)
    np.testing.assert_allclose(seen[1], seen[0], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(seen[2], seen[0], rtol=1e-4, atol=1e-6)


def test_a_janus_layer_turned_over_shows_its_other_face() -> None:
    janus = LAYERS["MoSSe"].slab
    assert len(janus) == len(mosse())
    upright = Interface("a", "MoSSe", "MoSSe", {}, janus, janus.moved(dz=7.0))
    turned = Interface("b", "MoSSe", "MoSSe", {}, janus, janus.flipped().moved(dz=7.0))
    rows = assemble("homobilayer", "bidb", [upright, turned], TABLE)
    assert rows.column("vacuum_mismatch").tolist() == pytest.approx([0.75, 0.0], abs=1e-6)


def test_words_that_are_no_label_are_none() -> None:
    assert interfaces.label("slide_stability", "Stable") == 1.0
    assert interfaces.label("slide_stability", "Unknown") is None
    assert interfaces.label("gap", 1.5) == 1.5
    assert interfaces.label("magnetic_state", "NM") is None


def test_an_isolated_layer_without_properties_is_described() -> None:
    table = LayerTable.of({"x": Layer(mos2())}, {"x": "AB2"})
    rows = assemble("homobilayer", "bidb", [Interface("a", "x", "x", {})], table)
    assert np.isnan(rows.column("gap_aligned")).all()
