"""One material for one material: whatever the disguise, and never for two."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms as AseAtoms
from disguise import Disguise, disguised, disguises
from hypothesis import given, settings
from hypothesis import strategies as st
from small_files import (
    bidb_file,
    c2db_file,
    c2db_keys,
    dichalcogenide,
    film_on_gold,
    graphene,
    matpedia_line,
    write_ase,
)
from sqlalchemy import Engine, text

from etl.api import import_file
from etl.canonical import canonical_slab
from etl.dedupe.api import dedupe
from etl.dedupe.clusters import Cluster, cluster, order
from etl.dedupe.decide import compare
from etl.dedupe.layers import Layer
from etl.records import Atoms, Record
from etl.source import get_source

services = pytest.mark.services

LAYERS = {
    "graphene": graphene(),
    "2H": dichalcogenide("H"),
    "1T": dichalcogenide("T"),
    "Janus": dichalcogenide("H", chalcogen=("S", "Se")),
    "oblique": AseAtoms("PSS", [[0, 0, 5], [1.7, 2, 6.5], [0.5, 3, 4.1]], cell=[[3.2, 0, 0], [0.9, 4.5, 0], [0, 0, 20]],
                        pbc=True),
}  # fmt: skip
CHIRAL = AseAtoms("PSOF", [[0, 0, 8], [1.6, 0, 8.4], [0.2, 1.4, 9.1], [0.3, 0.4, 10.2]], cell=[5, 6, 22], pbc=True)


def as_layer(atoms: Atoms, name: str = "x", magnetic: str | None = None, precedence: int = 10) -> Layer:
    slab = canonical_slab(atoms)
    return Layer(
        abs(hash(name)), 0, (precedence, "c2db", name), "F", slab.numbers, slab.positions, slab.cell, 2, magnetic
    )


def plain(layer: AseAtoms, name: str = "x", magnetic: str | None = None) -> Layer:
    return as_layer(Atoms(layer.numbers.astype(np.int64), layer.positions, np.array(layer.cell)), name, magnetic)


noisy = st.builds(
    lambda how, repeat, noise, strain: Disguise(**{**how.__dict__, "repeat": repeat, "noise": noise, "strain": strain}),
    disguises,
    st.sampled_from([(1, 1), (2, 1), (1, 2), (2, 2)]),
    st.floats(0, 0.03),
    st.floats(-0.01, 0.01),
)


@pytest.mark.parametrize("name", LAYERS)
@settings(max_examples=30, deadline=None)
@given(how=noisy)
def test_a_disguised_copy_is_the_same_material(name: str, how: Disguise) -> None:
    verdict = compare(plain(LAYERS[name]), as_layer(disguised(LAYERS[name], how)))
    assert verdict.same, verdict.evidence
    assert verdict.distance < 0.13


def test_polymorphs_stay_apart() -> None:
    assert not compare(plain(LAYERS["2H"]), plain(LAYERS["1T"])).same
    bound = compare(plain(LAYERS["2H"]), plain(dichalcogenide("H", a=3.4)))
    assert (bound.same, bound.evidence["reason"]) == (False, "area per atom")
    buckled = LAYERS["graphene"].copy()
    buckled.positions[0, 2] += 0.5
    assert not compare(plain(LAYERS["graphene"]), plain(buckled)).same


@settings(max_examples=20, deadline=None)
@given(how=disguises)
def test_the_mirror_image_of_a_chiral_layer_is_another_material(how: Disguise) -> None:
    mirrored = CHIRAL.copy()
    mirrored.positions[:, 0] *= -1
    own, other = as_layer(disguised(CHIRAL, how)), as_layer(disguised(mirrored, how))
    assert compare(plain(CHIRAL), own).same
    verdict = compare(plain(CHIRAL), other)
    assert (verdict.same, verdict.evidence["reason"]) == (False, "mirror images")


def test_a_superlattice_distortion_is_another_phase(shared_data: Path) -> None:
    """TiSe2 and its charge-density wave, NbO2 and its dimers: kept apart, as their authors keep them."""
    names = {"1TiSe2-1", "4TiSe2-1", "2NbO2-1", "4NbO2-1", "2VF2-1", "3VF2-1"}
    found = {r.external_id: as_layer(r.atoms) for r in get_source("c2db").records(shared_data / "c2db" / "c2db.db")
             if isinstance(r, Record) and r.external_id in names}  # fmt: skip
    assert not compare(found["1TiSe2-1"], found["4TiSe2-1"]).same
    assert not compare(found["2NbO2-1"], found["4NbO2-1"]).same
    # Two cells of one undistorted layer.
    assert compare(found["2VF2-1"], found["3VF2-1"]).same


def test_the_mirror_image_of_an_achiral_layer_is_the_same() -> None:
    mirrored = LAYERS["2H"].copy()
    mirrored.positions[:, 0] *= -1
    mirrored.set_cell(np.array(mirrored.cell) * [-1, 1, 1])
    assert compare(plain(LAYERS["2H"]), plain(mirrored)).same


def test_known_magnetic_states_keep_layers_apart_and_unknown_ones_do_not() -> None:
    layer = LAYERS["1T"]
    assert not compare(plain(layer, magnetic="FM"), plain(layer, magnetic="AFM")).same
    assert compare(plain(layer, magnetic="FM"), plain(layer, magnetic=None)).same


def test_a_polar_layer_upside_down_is_noted_as_flipped() -> None:
    janus = LAYERS["Janus"]
    still = Disguise(15, (0, 0, 0), (0, 0, 0), 0, (1, 1), (0, 0), 2, 0)
    turned = Disguise(**{**still.__dict__, "turned": True})
    assert compare(plain(janus), as_layer(disguised(janus, still))).evidence["flipped"] is False
    assert compare(plain(janus), as_layer(disguised(janus, turned))).evidence["flipped"] is True


def test_symmetry_tells_which_layers_are_polar() -> None:
    assert plain(LAYERS["2H"]).symmetry.layer_group == 78
    assert plain(LAYERS["1T"]).symmetry.layer_group == 72
    assert plain(LAYERS["graphene"]).symmetry.layer_group == 80
    assert [plain(LAYERS[n]).symmetry.swaps_faces for n in ("2H", "1T", "Janus")] == [True, True, False]
    assert plain(CHIRAL).symmetry.chiral
    assert not plain(LAYERS["Janus"]).symmetry.chiral


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_clusters_do_not_depend_on_the_order_of_arrival(seed: int) -> None:
    rng = np.random.default_rng(seed)
    newcomers = [plain(LAYERS[k], f"{k}-{i}") for k in ("2H", "1T") for i in range(3)]
    found: list[Cluster] = []
    cluster(found, [newcomers[i] for i in rng.permutation(len(newcomers))])
    assert [[m.layer.key[2] for m in c.members] for c in found] == [["1T-0", "1T-1", "1T-2"], ["2H-0", "2H-1", "2H-2"]]


def test_names_are_ordered_with_their_numbers_as_numbers() -> None:
    names = [(10, "c2db", n) for n in ("1MoS2-10", "1MoS2-2", "2C-1")]
    assert [k[2] for k in sorted(names, key=order)] == ["1MoS2-2", "1MoS2-10", "2C-1"]


def scalar(engine: Engine, statement: str, **bind: object) -> object:
    with engine.connect() as connection:
        return connection.scalar(text(statement), bind)


def rows(engine: Engine, statement: str) -> list[tuple[object, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(statement))]


MEMBERS = """SELECT m.uid, s.key, r.external_id, mm.method FROM material m
             JOIN material_member mm ON mm.material_id = m.id JOIN source_record r ON r.id = mm.source_record_id
             JOIN source s ON s.id = r.source_id ORDER BY 1, 2, 3"""

LAYER_OF_INTERFACES = """
    SELECT DISTINCT r.external_id FROM interface i
    JOIN material m ON m.id IN (i.bottom_material_id, i.top_material_id)
    JOIN structure t ON t.id = m.structure_id JOIN source_record r ON r.id = t.source_record_id"""

SIDES = """
    SELECT b.formula, b.kind, t.formula, i.surface FROM interface i
    JOIN material b ON b.id = i.bottom_material_id JOIN material t ON t.id = i.top_material_id"""


@services
def test_the_same_layer_of_two_databases_is_one_material(engine: Engine, tmp_path: Path) -> None:
    import_file(engine, "c2db", c2db_file(tmp_path))
    other = dichalcogenide("H", a=3.20, height=1.57, vacuum=25)
    (tmp_path / "db.json").write_text(matpedia_line("2dm-1", other.repeat((2, 1, 1))) + "\n")
    import_file(engine, "2dmatpedia", tmp_path / "db.json")
    report = dedupe(engine)
    assert (report.records, report.created, report.joined, report.materials) == (6, 5, 1, 5)
    ((uid,),) = rows(engine, "SELECT uid FROM analyst.monolayers WHERE n_records = 2")
    members = [row for row in rows(engine, MEMBERS) if row[0] == uid]
    assert [row[1:] for row in members] == [
        ("2dmatpedia", "2dm-1", "fingerprint+matcher"),
        ("c2db", "1MoS2-1", "representative"),
    ]
    evidence = scalar(engine, "SELECT evidence FROM material_member WHERE method LIKE 'fingerprint%'")
    assert set(evidence) >= {"fingerprint", "rms", "ln_area_ratio"}
    # Conflicting gaps both stay; the better source's is shown.
    assert scalar(engine, "SELECT gap FROM analyst.monolayers WHERE uid = :uid", uid=uid) == pytest.approx(1.6)


@services
def test_materials_are_the_same_whatever_the_order_of_imports(
    engine: Engine, empty_database_url: str, tmp_path: Path
) -> None:
    from schema.engine import make_engine
    from schema.migrate import upgrade

    other = make_engine(empty_database_url)
    upgrade(other)
    (tmp_path / "db.json").write_text(matpedia_line("2dm-1", dichalcogenide("H", vacuum=30)) + "\n")
    steps = [("c2db", c2db_file(tmp_path)), ("2dmatpedia", tmp_path / "db.json")]
    for database, files in ((engine, steps), (other, steps[::-1])):
        for reader, path in files:
            import_file(database, reader, path)
            dedupe(database)
    what = """SELECT m.formula, encode(t.digest, 'hex'), l.layer_group, l.polar, l.ln_area FROM material m
              JOIN structure t ON t.id = m.structure_id JOIN monolayer l ON l.material_id = m.id ORDER BY 1, 2"""
    assert rows(engine, what) == rows(other, what)
    other.dispose()


@services
def test_names_of_materials_do_not_depend_on_the_database(
    engine: Engine, empty_database_url: str, tmp_path: Path
) -> None:
    from schema.engine import make_engine
    from schema.migrate import upgrade

    other = make_engine(empty_database_url)
    upgrade(other)
    path = c2db_file(tmp_path)
    for database in (engine, other):
        import_file(database, "c2db", path)
        dedupe(database)
    uids = "SELECT uid FROM material ORDER BY 1"
    assert rows(engine, uids) == rows(other, uids)
    assert all(uid.rpartition("-")[0] in {"MoS2", "WSe2", "MoSSe", "C"} for (uid,) in rows(engine, uids))
    other.dispose()


@services
def test_a_record_whose_structure_changes_moves_and_its_old_material_is_withdrawn(
    engine: Engine, tmp_path: Path
) -> None:
    import_file(engine, "c2db", write_ase(tmp_path / "a.db", [(dichalcogenide("H"), c2db_keys("x"))]))
    dedupe(engine)
    ((old,),) = rows(engine, "SELECT uid FROM material")
    import_file(engine, "c2db", write_ase(tmp_path / "b.db", [(dichalcogenide("T"), c2db_keys("x"))]))
    report = dedupe(engine)
    assert (report.created, report.materials, report.withdrawn) == (1, 1, 1)
    ((new,),) = rows(engine, "SELECT uid FROM material WHERE withdrawn_at IS NULL")
    assert new != old
    # The first version comes back: so does its material, under its name.
    import_file(engine, "c2db", tmp_path / "a.db")
    report = dedupe(engine)
    assert (report.created, report.materials, report.withdrawn) == (0, 1, 1)
    assert rows(engine, "SELECT uid FROM material WHERE withdrawn_at IS NULL") == [(old,)]


@services
def test_a_corrected_record_keeps_its_material(engine: Engine, tmp_path: Path) -> None:
    import_file(engine, "c2db", write_ase(tmp_path / "a.db", [(dichalcogenide("H"), c2db_keys("x"))]))
    dedupe(engine)
    before = rows(engine, "SELECT uid FROM material")
    import_file(engine, "c2db", write_ase(tmp_path / "b.db", [(dichalcogenide("H", a=3.2), c2db_keys("x"))]))
    report = dedupe(engine)
    assert (report.created, report.joined, report.withdrawn) == (0, 1, 0)
    assert rows(engine, "SELECT uid FROM material WHERE withdrawn_at IS NULL") == before
    area = scalar(engine, "SELECT area FROM analyst.monolayers")
    assert area == pytest.approx(3.2**2 * np.sqrt(3) / 2)


@services
def test_bilayers_find_their_layers_by_either_uid(engine: Engine, tmp_path: Path) -> None:
    import_file(engine, "bidb", bidb_file(tmp_path))
    assert dedupe(engine).unlinked == 4
    import_file(engine, "c2db", c2db_file(tmp_path))
    report = dedupe(engine)
    assert (report.linked, report.unlinked) == (4, 0)
    found = rows(engine, LAYER_OF_INTERFACES)
    assert found == [("1MoS2-1",)]
    assert dedupe(engine).linked == 0


@services
def test_a_bilayer_of_an_unlisted_parent_finds_it_by_structure(engine: Engine, tmp_path: Path) -> None:
    from small_files import bidb_keys, bilayer

    stack = (bilayer(dichalcogenide("T")), bidb_keys("MoS2-000000000000-2-1_0_0_1-0_0", "MoS2-000000000000"))
    import_file(engine, "c2db", c2db_file(tmp_path))
    import_file(engine, "bidb", write_ase(tmp_path / "b.db", [stack]))
    assert dedupe(engine).unlinked == 0
    found = scalar(engine, LAYER_OF_INTERFACES)
    assert found == "1MoS2-2"
    assert dedupe(engine).linked == 0


@services
def test_a_layer_on_a_metal_finds_film_and_substrate(engine: Engine, tmp_path: Path) -> None:
    from ase.build import bulk
    from ase.io import write

    folder = tmp_path / "metals"
    folder.mkdir()
    write(folder / "Au-POSCAR", bulk("Au"), format="vasp")
    (tmp_path / "h.json").write_text(json.dumps({"one": film_on_gold()}))
    import_file(engine, "c2db", c2db_file(tmp_path))
    import_file(engine, "bulk", folder)
    import_file(engine, "hetero2d", tmp_path / "h.json")
    assert dedupe(engine).unlinked == 0
    names = rows(engine, SIDES)
    assert names == [("Au", "bulk", "MoS2", "111")]
    assert scalar(engine, "SELECT space_group FROM bulk_phase") == 225
    assert scalar(engine, "SELECT n_atoms FROM material WHERE kind = 'bulk'") == 1


def test_disguised_copies_of_real_layers_are_found(shared_data: Path) -> None:
    """Every 90th real layer: another cell, origin, orientation and order, 0.03 Å of noise, 1 % of strain."""
    rng = np.random.default_rng(7)
    missed, n = [], 0
    for i, record in enumerate(get_source("c2db").records(shared_data / "c2db" / "c2db.db")):
        if i % 90:
            continue
        assert isinstance(record, Record)
        atoms = record.atoms
        work = AseAtoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=True)
        how = Disguise(
            vacuum=float(rng.uniform(12, 40)), shift=tuple(rng.uniform(-1, 1, 3)), angles=tuple(rng.uniform(0, 6, 3)),
            base=int(rng.integers(6)), repeat=((1, 1), (2, 1))[int(rng.integers(2))] if len(work) < 12 else (1, 1),
            tilt=tuple(rng.uniform(-0.5, 0.5, 2)), axis=int(rng.integers(3)), seed=i, noise=0.03,
            strain=float(rng.uniform(-0.01, 0.01)), turned=bool(rng.integers(2)),
        )  # fmt: skip
        n += 1
        verdict = compare(as_layer(atoms), as_layer(disguised(work, how)))
        if not verdict.same:
            missed.append((record.external_id, verdict.evidence))
    assert n == 188
    assert len(missed) <= 0.01 * n, missed
