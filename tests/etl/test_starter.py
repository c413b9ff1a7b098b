"""The starter set: sound structures, known physics, a citation for every row, and a rebuild that changes nothing."""

import json
from pathlib import Path

import ase.db
import numpy as np
import pytest
from ase import Atoms
from ase.data import covalent_radii
from ase.neighborlist import neighbor_list
from pymatgen.core import Structure
from pymatgen.io.vasp import Poscar

from etl.starter import StarterFiles, paths
from etl.starter.build import build
from etl.starter.prototypes import PROTOTYPES, monolayer
from etl.starter.records import space_group
from etl.starter.stacks import bilayer, misfit
from etl.starter.tables import bilayers, citations, interfaces, metals, monolayers

LAYERS = {layer.uid: layer for layer in monolayers()}


def rows(path: Path) -> list[tuple[dict, Atoms]]:
    with ase.db.connect(path) as database:
        return [(row.key_value_pairs, row.toatoms()) for row in database.select()]


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def committed() -> StarterFiles:
    return paths()


@pytest.fixture(scope="module")
def rebuilt(tmp_path_factory: pytest.TempPathFactory) -> StarterFiles:
    return build(tmp_path_factory.mktemp("starter"))


def test_every_row_of_every_table_has_a_citation_and_every_reference_is_used():
    tables = [*monolayers(), *bilayers(), *metals(), *interfaces()]
    used = [row.citation for row in tables]
    assert all(used)
    unused = [key for key, text in citations().items() if not any(text in each for each in used)]
    assert unused == []


def test_uids_are_unique_and_cannot_be_mistaken_for_those_of_a_database():
    uids = [layer.uid for layer in monolayers()] + [stack.uid for stack in bilayers()]
    assert len(set(uids)) == len(uids) == 89
    assert all("-s" in uid for uid in uids)


@pytest.mark.parametrize("uid", LAYERS)
def test_a_layer_has_its_prototypes_symmetry_and_chemical_bond_lengths(uid: str):
    layer = LAYERS[uid]
    atoms = layer.atoms()
    assert space_group(atoms) in PROTOTYPES[layer.prototype].space_group
    first, second, distance = neighbor_list("ijd", atoms, 4.0)
    relative = distance / (covalent_radii[atoms.numbers[first]] + covalent_radii[atoms.numbers[second]])
    nearest = [relative[first == index].min() for index in range(len(atoms))]
    assert min(nearest) > 0.85
    assert max(nearest) < 1.15
    assert np.ptp(atoms.positions[:, 2]) < 8.0


@pytest.mark.parametrize("uid", [uid for uid, layer in LAYERS.items() if layer.vbm_pbe is not None])
def test_band_edges_are_a_gap_apart_and_below_vacuum(uid: str):
    layer = LAYERS[uid]
    assert layer.cbm_pbe - layer.vbm_pbe == pytest.approx(layer.gap_pbe, abs=0.051)
    assert layer.vbm_pbe < layer.cbm_pbe < 0


def test_the_two_polymorphs_of_mos2_differ_by_symmetry_only_slightly_by_lattice():
    hexagonal, trigonal = LAYERS["1MoS2-s1"].atoms(), LAYERS["1MoS2-s2"].atoms()
    assert (space_group(hexagonal), space_group(trigonal)) == (187, 164)
    assert hexagonal.cell.lengths()[0] == pytest.approx(trigonal.cell.lengths()[0], rel=0.02)


def test_mos2_on_wse2_is_type_ii_with_its_electrons_in_mos2():
    mos2, wse2 = LAYERS["1MoS2-s1"], LAYERS["1WSe2-s1"]
    assert mos2.vbm_pbe < wse2.vbm_pbe < mos2.cbm_pbe < wse2.cbm_pbe


def test_graphene_misfits_boron_nitride_by_about_1_8_percent():
    assert np.log(LAYERS["1BN-s1"].a / LAYERS["2C-s1"].a) == pytest.approx(0.018, abs=0.001)


def test_mos2_fits_gold_111_within_one_percent_in_the_root_13_cell():
    gold = next(metal for metal in metals() if metal.symbol == "Au")
    interface = next(each for each in interfaces() if each.substrate == "Au")
    u, v = misfit(LAYERS["1MoS2-s1"].atoms(), gold, interface)
    assert abs(u) < 0.01
    assert u == pytest.approx(v, abs=1e-6)


def test_the_sulfur_face_of_janus_mosse_has_the_higher_vacuum_level(committed: StarterFiles):
    pairs, atoms = next((pairs, atoms) for pairs, atoms in rows(committed.c2db) if pairs["uid"] == "1MoSSe-s1")
    assert atoms.symbols[np.argmax(atoms.positions[:, 2])] == "S"
    assert pairs["evacdiff"] < -0.5


def test_a_prototype_refuses_missing_lengths():
    with pytest.raises(ValueError, match="needs"):
        monolayer("MoS2", "mx2_h", 3.18, None, {"height": 1.5})


@pytest.mark.parametrize("name", ["c2db", "bidb"])
def test_a_rebuild_gives_the_committed_databases(name: str, committed: StarterFiles, rebuilt: StarterFiles):
    old, new = rows(getattr(committed, name)), rows(getattr(rebuilt, name))
    assert [pairs for pairs, _ in old] == [pairs for pairs, _ in new]
    for (_, before), (_, after) in zip(old, new, strict=True):
        assert (before.numbers == after.numbers).all()
        np.testing.assert_allclose(before.positions, after.positions, atol=2e-6)
        np.testing.assert_allclose(before.cell.array, after.cell.array, atol=2e-6)


def test_a_rebuild_gives_the_committed_json(committed: StarterFiles, rebuilt: StarterFiles):
    old, new = lines(committed.twodmatpedia), lines(rebuilt.twodmatpedia)
    assert [record.pop("material_id") for record in old] == [record.pop("material_id") for record in new]
    for before, after in zip(old, new, strict=True):
        assert Structure.from_dict(before.pop("structure")).matches(Structure.from_dict(after.pop("structure")))
        assert before == after
    assert json.loads(committed.hetero2d.read_text()).keys() == json.loads(rebuilt.hetero2d.read_text()).keys()


def test_building_twice_gives_the_same_bytes(rebuilt: StarterFiles, tmp_path: Path):
    again = build(tmp_path)
    for name in ("c2db", "bidb", "twodmatpedia", "hetero2d"):
        assert getattr(again, name).read_bytes() == getattr(rebuilt, name).read_bytes(), name
    for poscar in again.metals.iterdir():
        assert poscar.read_bytes() == (rebuilt.metals / poscar.name).read_bytes()


def test_c2db_rows_give_back_band_edges_against_vacuum(committed: StarterFiles):
    found = {pairs["uid"]: pairs for pairs, _ in rows(committed.c2db)}
    assert found.keys() == LAYERS.keys()
    for uid, layer in LAYERS.items():
        pairs = found[uid]
        assert pairs["citation"] == layer.citation
        if layer.vbm_pbe is not None:
            assert pairs["vbm"] - pairs["evac"] == pytest.approx(layer.vbm_pbe)
        if layer.workfunction is not None:
            assert pairs["evac"] - pairs["efermi"] == pytest.approx(pairs["workfunction"])


def test_stacks_have_the_stated_distance_and_energies_in_electronvolts_per_area(committed: StarterFiles):
    for pairs, atoms in rows(committed.bidb):
        half = len(atoms) // 2
        lower, upper = atoms.positions[:half, 2], atoms.positions[half:, 2]
        assert upper.min() - lower.max() == pytest.approx(pairs["interlayer_distance"], abs=1e-5)
        assert 0.005 < pairs.get("binding_energy_gs", 0.02) < 0.03
        assert pairs["monolayer_uid"] in LAYERS


@pytest.mark.parametrize(
    ("uid", "number"),
    [
        ("2C-s1-2-1_0_0_1-0.33_0.67", 164),
        ("1MoS2-s1-2--1_0_0_-1-0.33_0.67", 164),
        ("1MoS2-s1-2-1_0_0_1-0.33_0.67", 156),
    ],
)
def test_known_stackings_have_their_known_symmetry(uid: str, number: int):
    stack = next(each for each in bilayers() if each.uid == uid)
    assert space_group(bilayer(LAYERS[stack.monolayer_uid].atoms(), stack), symprec=1e-2) == number


def test_rewritten_layers_are_the_same_material_in_another_cell(committed: StarterFiles):
    for record in lines(committed.twodmatpedia):
        uid = record["source_id"].removeprefix("starter-")
        written = Structure.from_dict(record["structure"])
        original = LAYERS[uid].atoms()
        assert written.composition.reduced_formula == record["formula_pretty"]
        assert record["sg_number"] == space_group(original)
        area = np.linalg.norm(np.cross(*written.lattice.matrix[:2]))
        ours = np.linalg.norm(np.cross(*original.cell.array[:2]))
        assert area / ours == pytest.approx(1, abs=0.011)
        shortest = min(
            site.nn_distance for index in range(len(written)) for site in written.get_neighbors(written[index], 3.5)
        )
        distances = neighbor_list("d", original, 3.5)
        assert shortest == pytest.approx(distances.min(), rel=0.01)


def test_interfaces_obey_their_databases_energy_formula_and_separation(committed: StarterFiles):
    records = json.loads(committed.hetero2d.read_text(encoding="utf-8"))
    known = {each.id: each for each in interfaces()}
    assert records.keys() == known.keys()
    for key, record in records.items():
        energy, parts = record["Binding_Energy"], record["analysis_data"]
        gained = energy["fu_2d"] * parts["E_2d"] + energy["fu_sub"] * parts["E_sub"] - record["final_energy"]
        assert gained / (energy["fu_2d"] * parts["N_2d"]) == pytest.approx(energy["E_bind"])
        structure = Structure.from_dict(record["final_structure"])
        index = record["iface_idx"]
        lowest_film = index[f"2d_layer_{index['num_2d_layer']}"]
        gap = structure[lowest_film[0]].z - structure[index["sub_layer_1"][0]].z
        assert gap == pytest.approx(known[key].separation, abs=1e-4)
        assert structure.is_valid(tol=1.2)


def test_metals_are_one_atom_or_two_with_sensible_neighbours(committed: StarterFiles):
    files = sorted(committed.metals.glob("*.POSCAR"))
    assert [path.name for path in files] == sorted(f"{metal.symbol}_{metal.structure}.POSCAR" for metal in metals())
    for path in files:
        structure = Poscar.from_file(path).structure
        assert structure[0].specie.symbol == path.name.split("_")[0]
        nearest = min(site.nn_distance for site in structure.get_neighbors(structure[0], 4.0))
        assert nearest == pytest.approx(2 * structure[0].specie.metallic_radius, rel=0.05)


def test_the_committed_set_is_small(committed: StarterFiles):
    size = sum(path.stat().st_size for path in committed.c2db.parent.rglob("*") if path.is_file())
    assert size < 1_500_000
