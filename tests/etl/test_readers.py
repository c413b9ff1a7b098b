"""Every reader: real containers in, records with the right units and the right stacking out."""

from __future__ import annotations

import gzip
import json
import math
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from small_files import (
    bidb_file,
    bidb_keys,
    bilayer,
    c2db_file,
    dichalcogenide,
    film_on_gold,
    graphene,
    many_layers,
    matpedia_line,
    write_ase,
)

from etl.canonical import canonical_slab
from etl.errors import ImportFileError, RecordError, UnknownKeysError, UnknownSourceError
from etl.records import RawFailure, Record
from etl.source import get_source
from etl.sources.bidb import parse_bilayer_uid
from etl.validate import validate
from schema import quantities as q
from schema.vocabulary import Face, InterfaceKind, Method, Subject


def records(reader: str, path: Path) -> list[Record]:
    found = list(get_source(reader).records(path))
    assert all(isinstance(r, Record) for r in found), [r.reason for r in found if isinstance(r, RawFailure)]
    return found


def value(record: Record, quantity: q.Quantity, method: Method = Method.PBE, face: Face | None = None) -> float | str:
    (found,) = [f.value for f in record.facts if (f.quantity, f.method, f.face) == (quantity, method, face)]
    return found


def test_rows_of_an_ase_database_are_what_ase_itself_reads(tmp_path: Path) -> None:
    from ase.db import connect

    path = c2db_file(tmp_path)
    for record, row in zip(records("c2db", path), connect(path).select(), strict=True):
        atoms = row.toatoms()
        assert record.external_id == row.uid
        np.testing.assert_array_equal(record.atoms.numbers, atoms.numbers)
        np.testing.assert_array_equal(record.atoms.positions, atoms.positions)
        np.testing.assert_array_equal(record.atoms.cell, atoms.cell)
        assert record.atoms.periodic == (True, True, False)


def test_c2db_edges_are_put_against_vacuum(tmp_path: Path) -> None:
    mos2 = records("c2db", c2db_file(tmp_path, vbm_hse=-1.4, cbm_gw=1.1))[0]
    assert value(mos2, q.VBM) == pytest.approx(-1.0 - 4.5)
    assert value(mos2, q.CBM) == pytest.approx(0.6 - 4.5)
    assert value(mos2, q.VBM, Method.HSE06) == pytest.approx(-1.4 - 4.5)
    assert value(mos2, q.CBM, Method.G0W0) == pytest.approx(1.1 - 4.5)
    assert value(mos2, q.WORK_FUNCTION) == pytest.approx(4.7)


def test_a_polar_layer_has_one_edge_for_each_face(tmp_path: Path) -> None:
    janus = records("c2db", c2db_file(tmp_path))[3]
    assert janus.external_id == "1MoSSe-1"
    # S, the more electronegative, is above: its side has the higher vacuum level, so the deeper edges.
    assert value(janus, q.VBM, face=Face.TOP) == pytest.approx(-5.5 - 0.375)
    assert value(janus, q.VBM, face=Face.BOTTOM) == pytest.approx(-5.5 + 0.375)
    assert value(janus, q.WORK_FUNCTION, face=Face.TOP) == pytest.approx(4.7 + 0.375)
    assert value(janus, q.VACUUM_STEP) == pytest.approx(0.75)


def test_the_faces_of_real_mosse_have_the_ionisation_energies_of_mos2_and_mose2(shared_data: Path) -> None:
    names = {"1MoS2-1", "1MoSe2-1", "1MoSSe-1"}
    found = {r.external_id: r for r in get_source("c2db").records(shared_data / "c2db" / "c2db.db")
             if isinstance(r, Record) and r.external_id in names}  # fmt: skip
    janus = found["1MoSSe-1"]
    numbers = janus.atoms.numbers
    assert numbers[janus.atoms.positions[:, 2].argmax()] == 16, "S is above in this record"
    assert value(janus, q.VBM, face=Face.TOP) == pytest.approx(value(found["1MoS2-1"], q.VBM), abs=0.1)
    assert value(janus, q.VBM, face=Face.BOTTOM) == pytest.approx(value(found["1MoSe2-1"], q.VBM), abs=0.1)


def test_work_function_is_vacuum_minus_fermi_level_on_every_real_row(shared_data: Path) -> None:
    for record in get_source("c2db").records(shared_data / "c2db" / "c2db.db"):
        assert isinstance(record, Record)
        keys = record.payload["key_value_pairs"]
        if "workfunction" in keys:
            assert keys["workfunction"] == pytest.approx(keys["evac"] - keys["efermi"], abs=2e-3)


def test_edges_without_a_vacuum_level_are_doubted_and_not_stored(tmp_path: Path) -> None:
    path = write_ase(tmp_path / "c.db", [(graphene(), {"uid": "x", "vbm": -1.0, "gap": 0.5})])
    (record,) = records("c2db", path)
    assert [d.rule for d in record.doubts] == ["no_vacuum_level"]
    assert {f.quantity for f in record.facts} == {q.GAP}


def test_the_keys_of_2024_are_read(tmp_path: Path) -> None:
    keys = {"uid": "1MoS2-1", "layergroup": "p-6m2", "lgnum": 78, "dyn_stab": "Yes", "label": "2H", "gap": 1.6,
            "gap_dir": 1.6, "vbm": -1.0, "vbm_hse": -1.4, "cbm_hse": 0.6, "evac": 4.5, "magstate": "NM"}  # fmt: skip
    (record,) = records("c2db", write_ase(tmp_path / "c.db", [(dichalcogenide(), keys)]))
    assert value(record, q.DYNAMIC_STABILITY) == "Yes"
    assert value(record, q.GAP_DIRECT) == pytest.approx(1.6)
    assert value(record, q.CBM, Method.HSE06) == pytest.approx(0.6 - 4.5)
    assert record.payload["key_value_pairs"]["lgnum"] == 78


@pytest.mark.parametrize(("phonons", "stiffness", "label"),
                         [("high", "high", "Yes"), ("low", "high", "No"), ("high", None, "Unknown")])  # fmt: skip
def test_stability_of_2021_needs_both_levels(tmp_path: Path, phonons: str, stiffness: str | None, label: str) -> None:
    keys = {"uid": "x", "dynamic_stability_phonons": phonons}
    if stiffness:
        keys["dynamic_stability_stiffness"] = stiffness
    (record,) = records("c2db", write_ase(tmp_path / "c.db", [(graphene(), keys)]))
    assert value(record, q.DYNAMIC_STABILITY) == label


def test_the_genuine_rows_of_2021_are_read_without_their_megabytes(shared_data: Path) -> None:
    found = [r for n in ("asr_rows_MoS2_H_T.db", "asr_rows_BN.db") for r in records("c2db", shared_data / "c2db" / n)]
    assert [r.external_id for r in found] == ["MoS2-b3b4685fb6e1", "MoS2-249ca8711314", "BN-4a5edc763604"]
    for record in found:
        assert record.payload["data"]["bytes"] > 1_000_000
        assert len(record.payload["data"]["sha256"]) == 64
        assert len(json.dumps(record.payload, default=lambda array: array.tolist())) < 50_000
    assert value(found[0], q.VBM) == pytest.approx(-1.35691 - 4.53074, abs=1e-4)


@pytest.mark.parametrize(
    ("uid", "parent", "operation", "flip", "shift"),
    [
        ("1MoS2-1-2-1_0_0_1-0_0", "1MoS2-1", (1, 0, 0, 1), False, (0, 0)),
        ("1CdCl2O2Pb2-1-2--1_0_0_-1-0.41_-0.18", "1CdCl2O2Pb2-1", (-1, 0, 0, -1), False, (0.41, -0.18)),
        ("2As-1-As2-2-1_-1_1_0-0.17_0.33", "2As-1-As2", (1, -1, 1, 0), False, (0.17, 0.33)),
        ("1C2H2O2Ti3-1-2--1_0_0_-1-Iz--0.33_-0.67", "1C2H2O2Ti3-1", (-1, 0, 0, -1), True, (-0.33, -0.67)),
        ("4P-1-P4-2-1_0_0_1-0.28_1.0", "4P-1-P4", (1, 0, 0, 1), False, (0.28, 1.0)),
        ("As2-2cfe371476fd-As2-2-1_-1_1_0-0.5_0", "As2-2cfe371476fd-As2", (1, -1, 1, 0), False, (0.5, 0)),
        # A parent whose own name ends like a stacking.
        ("1X-2-2-1_0_0_1-Iz-0_0", "1X-2", (1, 0, 0, 1), True, (0, 0)),
    ],
)
def test_a_bilayer_uid_tells_the_stacking(
    uid: str, parent: str, operation: tuple[int, ...], flip: bool, shift: tuple[float, float]
) -> None:
    name = parse_bilayer_uid(uid)
    assert (name.parent, name.operation, name.flip, name.shift) == (parent, operation, flip, shift)


@pytest.mark.parametrize("uid", ["", "1MoS2-1", "1MoS2-1-2-1_0_0-0_0", "1MoS2-1-2-1_0_0_1", "1MoS2-1-2-a_0_0_1-0_0"])
def test_a_bilayer_uid_without_a_stacking_is_refused(uid: str) -> None:
    with pytest.raises(RecordError):
        parse_bilayer_uid(uid)


def test_bidb_energies_become_mev_per_square_angstrom(tmp_path: Path) -> None:
    first, second = records("bidb", bidb_file(tmp_path))
    assert value(first, q.BINDING_ENERGY, Method.PBE_D3) == pytest.approx(20.0)
    assert value(first, q.GAP) == pytest.approx(1.1)
    assert first.stack.kind is InterfaceKind.HOMOBILAYER
    assert (second.stack.flip, second.stack.shift_a, second.stack.shift_b) == (True, 0.33, -0.67)
    assert second.stack.bottom_name == "MoS2-b3b4685fb6e1"


def test_single_layers_in_bidb_are_monolayers(tmp_path: Path) -> None:
    path = write_ase(
        tmp_path / "b.db", [(graphene(), {"number_of_layers": 1, "monolayer_uid": "2C-1", "gap_pbe": 0.0})]
    )
    (record,) = records("bidb", path)
    assert (record.subject, record.external_id, record.stack) == (Subject.MONOLAYER, "2C-1", None)


def test_interlayer_distances_of_all_real_bilayers_follow_from_their_structures(shared_data: Path) -> None:
    n = 0
    for i, record in enumerate(get_source("bidb").records(shared_data / "bidb" / "bidb.db")):
        if i % 20 == 0:
            assert isinstance(record, Record)
            accepted = validate(record)
            assert "inconsistent" not in {d.rule for d in accepted.doubts}
            n += 1
    assert n == 480


def test_a_magnetic_flag_that_is_neither_yes_nor_no_is_doubted(tmp_path: Path) -> None:
    odd = (bilayer(graphene()), bidb_keys("2C-1-2-1_0_0_1-0_0", "2C-1", magnetic="v0"))
    record = records("bidb", bidb_file(tmp_path, odd))[2]
    assert [(d.rule, d.property_key) for d in record.doubts] == [("unknown_label", "magnetic_state")]


@pytest.mark.parametrize("packed", [False, True])
def test_2dmatpedia_is_read_plain_or_packed_and_a_broken_line_is_kept(tmp_path: Path, packed: bool) -> None:
    text = matpedia_line("2dm-1", dichalcogenide()) + "\n{broken\n\n[1]\n" + matpedia_line("2dm-2", graphene()) + "\n"
    path = tmp_path / "db.json"
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    assert get_source("2dmatpedia").check(path) == 4
    first, broken, no_object, last = get_source("2dmatpedia").records(path)
    assert isinstance(first, Record)
    assert isinstance(last, Record)
    assert isinstance(broken, RawFailure)
    assert isinstance(no_object, RawFailure)
    assert (broken.external_id, broken.rule, broken.raw_text) == ("line 2", "unparsable", "{broken\n")
    assert value(first, q.EXFOLIATION_ENERGY, Method.OPTB88) == pytest.approx(0.08)
    assert value(first, q.GAP) == pytest.approx(1.7)
    assert value(first, q.TOTAL_ENERGY, Method.OPTB88) == pytest.approx(-20.0)


@pytest.mark.parametrize("downwards", [False, True])
def test_the_film_of_a_hetero2d_record_ends_up_on_top(tmp_path: Path, downwards: bool) -> None:
    path = tmp_path / "h.json"
    path.write_text(json.dumps({"abc": film_on_gold(downwards)}))
    (record,) = records("hetero2d", path)
    accepted = validate(record)
    heights = accepted.structure.positions[:, 2]
    assert heights[2:].min() > heights[:2].max()
    (distance,) = [f.value for f in accepted.facts if f.quantity is q.INTERLAYER_DISTANCE]
    assert distance == pytest.approx(2.5)
    assert value(record, q.BINDING_ENERGY_PER_ATOM, Method.OPTB88) == pytest.approx(0.2)
    stack = record.stack
    assert (stack.bottom_name, stack.top_name, stack.surface) == ("Au", "MoS2", "111")
    assert stack.strain_aa == pytest.approx(3.18 / 3.2118 - 1)


def test_a_film_that_iface_idx_names_in_part_is_told_by_its_composition(tmp_path: Path) -> None:
    content = film_on_gold()
    content["iface_idx"] |= {"2d_layer_1": [3], "2d_layer_2": [4], "2d_layer_3": []}
    (tmp_path / "h.json").write_text(json.dumps({"abc": content}))
    (record,) = records("hetero2d", tmp_path / "h.json")
    assert record.stack.top_atoms.tolist() == [2, 3, 4]
    (distance,) = [f.value for f in validate(record).facts if f.quantity is q.INTERLAYER_DISTANCE]
    assert distance == pytest.approx(2.5)


def test_a_film_that_neither_iface_idx_nor_any_height_tells_is_quarantined(tmp_path: Path) -> None:
    content = film_on_gold() | {"film_composition": "WS2"}
    (tmp_path / "h.json").write_text(json.dumps({"abc": content}))
    (failure,) = get_source("hetero2d").records(tmp_path / "h.json")
    assert isinstance(failure, RawFailure)
    assert (failure.rule, failure.external_id) == ("inconsistent", "abc")
    assert "WS2 on Au" in failure.reason


def test_a_substrate_need_not_be_whole_formula_units(tmp_path: Path) -> None:
    content = film_on_gold() | {"substrate_composition": "GaAs"}
    (tmp_path / "h.json").write_text(json.dumps({"abc": content}))
    (record,) = records("hetero2d", tmp_path / "h.json")
    assert record.stack.top_atoms.tolist() == [2, 3, 4]


def test_hetero2d_as_lines_and_as_one_object_give_the_same_records(tmp_path: Path) -> None:
    content = film_on_gold()
    (tmp_path / "o.json").write_text(json.dumps({"one": content, "two": content}, indent=1))
    (tmp_path / "l.json").write_text(
        "".join(json.dumps({"_id": {"$oid": n}, **content}) + "\n" for n in ("one", "two"))
    )
    one, other = records("hetero2d", tmp_path / "o.json"), records("hetero2d", tmp_path / "l.json")
    assert [r.external_id for r in one] == [r.external_id for r in other] == ["one", "two"]
    assert one[0].facts == other[0].facts


def test_a_hetero2d_file_that_breaks_off_gives_what_it_holds_and_keeps_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "h.json"
    path.write_text(json.dumps({"one": film_on_gold(), "two": film_on_gold()})[:-500])
    whole, rest = get_source("hetero2d").records(path)
    assert isinstance(whole, Record)
    assert isinstance(rest, RawFailure)
    assert rest.rule == "unparsable"
    assert rest.raw_text.startswith("{")


def test_a_stated_binding_energy_that_the_energies_contradict_is_doubted(tmp_path: Path) -> None:
    content = film_on_gold()
    content["Binding_Energy"]["E_bind"] = 5.0
    (tmp_path / "h.json").write_text(json.dumps({"x": content}))
    (record,) = records("hetero2d", tmp_path / "h.json")
    assert [(d.rule, d.property_key) for d in record.doubts] == [("inconsistent", "binding_energy_per_atom")]


def test_all_real_hetero2d_energies_agree_with_their_definition(shared_data: Path) -> None:
    found = records("hetero2d", shared_data / "aihd" / "2d_substrate_heterostructures.json")
    assert len(found) == 109
    assert not [d for r in found for d in r.doubts]
    assert all(r.stack.strain_aa is not None for r in found)
    # Two of them name seven oxygens as their film of 9 Nb and 18 O.
    films = {r.external_id: len(r.stack.top_atoms) for r in found if r.stack.bottom_name == "Mn"}
    assert (films["609d96f480d919cee873e25b"], films["609d9701f591484a626b6901"]) == (27, 27)


def test_bulk_phases_are_read_from_folders_archives_and_both_formats(tmp_path: Path) -> None:
    import zipfile

    from ase.build import bulk
    from ase.io import write

    folder = tmp_path / "metals"
    folder.mkdir()
    write(folder / "Au_mp81-POSCAR", bulk("Au"), format="vasp")
    write(folder / "Cu.cif", bulk("Cu"), format="cif")
    (folder / "notes.txt").write_text("not a structure")
    (folder / "bad.cif").write_text("data_\n")
    with zipfile.ZipFile(tmp_path / "metals.zip", "w") as archive:
        for file in folder.iterdir():
            archive.write(file, file.name)
    for path in (folder, tmp_path / "metals.zip"):
        found = list(get_source("bulk").records(path))
        assert [r.external_id for r in found] == ["Au_mp81", "Cu", "bad"]
        assert [type(r) for r in found] == [Record, Record, RawFailure]
        assert found[0].atoms.numbers.tolist() == [79]


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    for reader in ("c2db", "bidb", "2dmatpedia", "hetero2d", "bulk"):
        with pytest.raises(ImportFileError, match="There is no"):
            get_source(reader).check(tmp_path / "absent")


def test_an_unknown_reader_is_one_sentence() -> None:
    with pytest.raises(UnknownSourceError, match="no reader called 'mp'"):
        get_source("mp")


def test_what_is_not_sqlite_is_refused(tmp_path: Path) -> None:
    (tmp_path / "page.db").write_text("<html>404</html>" * 100)
    with pytest.raises(ImportFileError, match="not an SQLite database"):
        get_source("c2db").check(tmp_path / "page.db")
    (tmp_path / "empty.db").touch()
    with pytest.raises(ImportFileError, match="is empty"):
        get_source("c2db").check(tmp_path / "empty.db")
    sqlite3.connect(tmp_path / "other.db").execute("CREATE TABLE t (x)").connection.close()
    with pytest.raises(ImportFileError, match="not written by ASE"):
        get_source("c2db").check(tmp_path / "other.db")


@pytest.mark.parametrize("fraction", [0.3, 0.6, 0.9])
def test_a_truncated_database_is_refused_before_anything_is_read(tmp_path: Path, fraction: float) -> None:
    path = many_layers(tmp_path / "c.db", 300)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * fraction)])
    with pytest.raises(ImportFileError, match="damaged or incomplete"):
        get_source("c2db").check(path)


def test_a_database_of_another_kind_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnknownKeysError) as caught:
        get_source("c2db").check(bidb_file(tmp_path))
    assert "stackscreen import bidb" in caught.value.hint
    with pytest.raises(UnknownKeysError) as caught:
        get_source("bidb").check(c2db_file(tmp_path))
    assert "stackscreen import c2db" in caught.value.hint
    (tmp_path / "x.json").write_text('{"a": 1}\n{"a": 2}\n')
    with pytest.raises(UnknownKeysError):
        get_source("2dmatpedia").check(tmp_path / "x.json")


def test_reading_leaves_nothing_beside_the_file(tmp_path: Path) -> None:
    path = c2db_file(tmp_path)
    before = sorted(tmp_path.iterdir())
    get_source("c2db").check(path)
    records("c2db", path)
    assert sorted(tmp_path.iterdir()) == before


def test_nan_in_a_row_survives_to_validation(tmp_path: Path) -> None:
    (record, *_) = records("c2db", c2db_file(tmp_path, gap_hse=math.nan))
    assert math.isnan(value(record, q.GAP, Method.HSE06))
    assert "non_finite" in {d.rule for d in validate(record).doubts}


def test_the_canonical_slab_of_a_real_record_keeps_its_distances(tmp_path: Path) -> None:
    (record, *_) = records("c2db", c2db_file(tmp_path))
    slab = canonical_slab(record.atoms)
    before = np.linalg.norm(record.atoms.positions[1] - record.atoms.positions[2])
    assert np.linalg.norm(slab.positions[1] - slab.positions[2]) == pytest.approx(before)
