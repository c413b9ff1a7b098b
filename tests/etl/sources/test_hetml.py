"""HetML: three kinds of file, faces told apart by the dipole, and layers under C2DB's keys of 2018."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
from imported import scalar
from reading import items, records, survives, value
from small_files import c2db_file
from small_hetml import AREA, STEP, hetml_folder, layer, stack, write_candidates, write_layers, write_stacks
from sqlalchemy import Engine

from etl.api import import_file
from etl.dedupe.api import dedupe
from etl.errors import ImportFileError, UnknownKeysError
from etl.records import RawFailure, Record
from etl.source import get_source
from etl.sources.hetml import VOLT_PER_DIPOLE
from etl.validate import validate
from schema import quantities as q
from schema.vocabulary import Face, InterfaceKind, Method, Subject


def one(folder: Path, **changes: Any) -> Record:
    (record,) = records(get_source("hetml"), write_stacks(folder, stack(**changes)))
    return record


def stated(record: Record, quantity: q.Quantity, face: Face | None = None) -> float | str | None:
    return value(record, quantity, Method.UNSTATED, face)


def test_a_stack_names_its_layers_by_number_and_gives_its_distance(tmp_path: Path) -> None:
    record = one(tmp_path)
    assert (record.external_id, record.subject, record.atoms) == ("huid-1-AA", Subject.INTERFACE, None)
    found = record.stack
    assert (found.bottom_name, found.top_name, found.kind) == ("1", "2", InterfaceKind.HETEROBILAYER)
    assert found.top_atoms is None
    accepted = validate(record)
    assert not accepted.doubts
    assert [f.value for f in accepted.facts if f.quantity is q.INTERLAYER_DISTANCE] == [3.1]
    assert stated(record, q.BINDING_ENERGY) == 20.0
    assert (stated(record, q.GAP), stated(record, q.GAP_DIRECT)) == (1.2, 1.3)
    assert stated(record, q.CHARGE_TRANSFER) == 0.02


def test_two_layers_of_one_name_are_a_homobilayer(tmp_path: Path) -> None:
    assert one(tmp_path, uid_top="1").stack.kind is InterfaceKind.HOMOBILAYER


@pytest.mark.parametrize("up", [True, False])
def test_the_face_that_the_dipole_points_to_has_the_lower_vacuum_level(tmp_path: Path, up: bool) -> None:
    record = one(tmp_path, dipole=(1 if up else -1) * STEP * AREA / VOLT_PER_DIPOLE)
    lower, upper = (Face.TOP, Face.BOTTOM) if up else (Face.BOTTOM, Face.TOP)
    assert not record.doubts
    assert stated(record, q.VACUUM_STEP) == pytest.approx(-STEP if up else STEP)
    assert stated(record, q.VBM, lower) == pytest.approx(-3.4 - 2.0)
    assert stated(record, q.VBM, upper) == pytest.approx(-3.4 - 2.5)
    assert stated(record, q.CBM, upper) == pytest.approx(-2.2 - 2.5)
    assert stated(record, q.WORK_FUNCTION, lower) == pytest.approx(5.0)
    assert stated(record, q.WORK_FUNCTION, upper) == pytest.approx(5.5)


def test_the_order_in_which_the_levels_are_written_says_nothing(tmp_path: Path) -> None:
    first = one(tmp_path)
    again = one(tmp_path, Evac0=2.5, Evac1=2.0, wf0=5.5, wf1=5.0)
    assert set(again.facts) == set(first.facts)


def test_equal_levels_give_one_value_for_both_faces(tmp_path: Path) -> None:
    record = one(tmp_path, Evac1=2.002, wf1=5.002, dipole=0.0001)
    assert stated(record, q.VACUUM_STEP) == 0.0
    assert stated(record, q.VBM) == pytest.approx(-3.4 - 2.001)
    assert not [f for f in record.facts if f.face is not None]


LEVELS = {"vbm", "cbm", "work_function", "vacuum_step"}


@pytest.mark.parametrize(
    ("changes", "rule", "doubted"),
    [
        ({"dipole": 0.06}, "inconsistent", LEVELS),
        ({"Evac1": 2.0, "dipole": 0.01}, "inconsistent", LEVELS),
        ({"total_dipole": None}, "no_vacuum_level", LEVELS),
        ({"Evac0": None}, "no_vacuum_level", LEVELS - {"vacuum_step"}),
        ({"wf1": 6.0}, "inconsistent", {"work_function"}),
        ({"Ebind": 25.0}, "inconsistent", {"binding_energy"}),
        ({"Egap": 1.0}, "inconsistent", {"gap"}),
        ({"is_metal": "True"}, "inconsistent", {"gap"}),
        ({"Egap_dir": 0.8}, "inconsistent", {"gap_direct"}),
    ],
)
def test_figures_that_contradict_each_other_are_doubted_and_not_stored(
    tmp_path: Path, changes: dict[str, Any], rule: str, doubted: set[str]
) -> None:
    record = one(tmp_path, **changes)
    assert {(d.rule, d.property_key) for d in record.doubts} == {(rule, key) for key in doubted}
    assert not {f.quantity.key for f in record.facts} & doubted


def test_a_metal_has_no_gap_and_no_edges(tmp_path: Path) -> None:
    record = one(tmp_path, is_metal="True", Egap=None, Evbm=None, Ecbm=None, Egap_dir=0.0)
    assert (stated(record, q.GAP), stated(record, q.GAP_DIRECT)) == (0.0, 0.0)
    assert not record.doubts
    assert stated(record, q.WORK_FUNCTION, Face.BOTTOM) == pytest.approx(5.0)


def test_an_unfinished_calculation_is_set_aside(tmp_path: Path) -> None:
    (item,) = items(get_source("hetml"), write_stacks(tmp_path, stack(converged="False")))
    assert isinstance(item, RawFailure)
    assert (item.external_id, item.rule) == ("huid-1-AA", "not_converged")


def test_band_edges_of_2018_are_against_vacuum_already(tmp_path: Path) -> None:
    (record,) = records(get_source("hetml"), write_layers(tmp_path, layer(7, vbm=-5.89, evac=4.53)))
    assert value(record, q.VBM) == pytest.approx(-5.89)


def test_levels_without_spin_orbit_coupling_are_read_beside_those_with_it(tmp_path: Path) -> None:
    keys = layer(7, vbm=-4.9, vbm_nosoc=-5.15, cbm_nosoc=-3.6, gap_nosoc=1.55, evac=4.53, evacdiff=0.4)
    (record,) = records(get_source("hetml"), write_layers(tmp_path, keys))
    found = {(fact.quantity, fact.face): fact.value for fact in record.facts}
    assert found[q.GAP_NOSOC, None] == 1.55
    assert found[q.VBM_NOSOC, Face.TOP] == pytest.approx(-5.15 + 0.2)
    assert found[q.VBM_NOSOC, Face.BOTTOM] == pytest.approx(-5.15 - 0.2)
    assert found[q.CBM_NOSOC, Face.BOTTOM] == pytest.approx(-3.6 - 0.2)
    assert found[q.VBM, Face.TOP] == pytest.approx(-4.9 + 0.2)


def test_a_layer_is_read_under_the_keys_of_2018(tmp_path: Path) -> None:
    found = records(get_source("hetml"), write_layers(tmp_path, layer(7, work_function=5.1, vbm_hse=-5.9)))
    (record,) = found
    assert (record.external_id, record.names, record.subject) == ("7", ["MoS2-MoS2-NM"], Subject.MONOLAYER)
    assert sorted(record.atoms.numbers.tolist()) == [16, 16, 42]
    assert value(record, q.GAP_DIRECT) == 1.7
    assert value(record, q.VBM) == pytest.approx(-5.5)
    assert value(record, q.VBM, Method.HSE06) == pytest.approx(-5.9)
    assert value(record, q.WORK_FUNCTION) == 5.1
    assert value(record, q.POLARIZABILITY_X) == 6.0
    assert value(record, q.DYNAMIC_STABILITY) == "Yes"
    assert value(record, q.VBM, Method.G0W0) is None
    assert not validate(record).doubts


@pytest.mark.parametrize(("level", "label"), [(1, "No"), (2, "Unknown"), (3, "Yes"), (9, None)])
def test_levels_of_dynamic_stability_become_words(tmp_path: Path, level: int, label: str | None) -> None:
    (record,) = records(get_source("hetml"), write_layers(tmp_path, layer(dynamic_stability_level=level)))
    assert value(record, q.DYNAMIC_STABILITY) == label
    assert [d.rule for d in record.doubts] == ([] if label else ["unknown_label"])


def test_a_folder_is_read_as_one_and_its_candidates_are_no_records(tmp_path: Path) -> None:
    folder = hetml_folder(tmp_path)
    write_candidates(folder)
    (folder / "LICENCE").write_text("MIT")
    found = records(get_source("hetml"), folder)
    assert [r.external_id for r in found] == ["1", "2", "huid-1-AA", "huid-1-AB"]


def test_a_list_of_candidates_alone_is_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(ImportFileError) as error:
        get_source("hetml").check(write_candidates(tmp_path))
    assert "candidate" in error.value.message
    assert "layers" in error.value.hint


@pytest.mark.parametrize("content", ["a,b\n1,2\n", '{"UID": 1}', '[{"jid": "x"}]', "[]"])
def test_another_file_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "other.csv").write_text(content)
    for path in (tmp_path / "other.csv", tmp_path):
        with pytest.raises(UnknownKeysError):
            get_source("hetml").check(path)


def test_a_row_of_another_length_is_kept_as_it_stands(tmp_path: Path) -> None:
    path = write_stacks(tmp_path, stack(), stack("huid-1-AB"))
    path.write_text(path.read_text() + "huid-2-AA,cut\n")
    *_, last = items(get_source("hetml"), path)
    assert isinstance(last, RawFailure)
    assert (last.rule, last.raw_text) == ("unparsable", "huid-2-AA,cut")


@pytest.mark.parametrize("content", [stack(), layer()])
def test_nonsense_in_any_place_costs_that_record_at_most(content: dict[str, Any]) -> None:
    assert survives(get_source("hetml"), content) > 10


@pytest.mark.services
def test_stacks_find_the_materials_of_their_layers_with_those_of_c2db(engine: Engine, tmp_path: Path) -> None:
    import_file(engine, "c2db", c2db_file(tmp_path))
    folder = tmp_path / "hetml"
    folder.mkdir()
    write_layers(folder)
    write_stacks(folder, stack(), stack("huid-9-AA", uid_top="99"))
    report = import_file(engine, "hetml", folder)
    assert (report.accepted, report.quarantined) == (4, {})
    dedupe(engine)
    shared = """SELECT count(DISTINCT m.material_id) FROM material_member m JOIN source_record r
                ON r.id = m.source_record_id WHERE r.external_id IN ('1', '1MoS2-1')"""
    assert scalar(engine, shared) == 1
    sides = "SELECT array_agg(num_nonnulls(bottom_material_id, top_material_id) ORDER BY id) FROM interface"
    assert scalar(engine, sides) == [2, 1]
    assert import_file(engine, "hetml", folder).unchanged == 4


def test_all_real_records_are_read_and_four_dipoles_contradict_their_levels(shared_data: Path) -> None:
    found = records(get_source("hetml"), shared_data / "hetml")
    stacks = [r for r in found if r.stack is not None]
    assert (len(found), len({r.external_id for r in found}), len(stacks)) == (1004, 1004, 628)
    doubted = {r.external_id for r in found if validate(r).doubts}
    assert doubted == {f"huid-{n}-{kind}" for n in (12638, 12640) for kind in ("AA", "AB")}
    names = {r.external_id for r in found if r.stack is None}
    assert {name for r in stacks for name in (r.stack.bottom_name, r.stack.top_name)} <= names


def test_a_known_real_stack(shared_data: Path) -> None:
    path = shared_data / "hetml" / "bilayer_target_properties.csv"
    (record,) = [r for r in records(get_source("hetml"), path) if r.external_id == "huid-9661-AB"]
    assert (record.stack.bottom_name, record.stack.top_name) == ("139", "1483")
    assert stated(record, q.BINDING_ENERGY) == pytest.approx(15.3135, abs=1e-4)
    assert stated(record, q.GAP) == pytest.approx(1.7516)
    # SnS lies below with Sn up, the positive end, as its own C2DB record has it: above, the vacuum level is lower.
    assert stated(record, q.VACUUM_STEP) == pytest.approx(-1.3048, abs=1e-4)
    assert stated(record, q.VBM, Face.TOP) == pytest.approx(-3.5384 - 1.7084, abs=1e-4)
    assert stated(record, q.VBM, Face.BOTTOM) == pytest.approx(-3.5384 - 3.0131, abs=1e-4)


def test_the_steps_of_real_stacks_have_the_sign_of_their_layers_own(shared_data: Path) -> None:
    found = records(get_source("hetml"), shared_data / "hetml")
    own = {r.external_id: value(r, q.VACUUM_STEP) for r in found if r.stack is None}
    pairs = [
        (own[r.stack.bottom_name] + own[r.stack.top_name], step)
        for r in found
        if r.stack is not None and (step := stated(r, q.VACUUM_STEP)) is not None
    ]
    polar = [(layers, step) for layers, step in pairs if abs(layers) > 0.3]
    assert len(polar) > 100
    assert sum((layers > 0) == (step > 0) for layers, step in polar) / len(polar) > 0.95


def test_the_stated_alignment_of_real_stacks_is_that_of_the_uncalculated_pairs(shared_data: Path) -> None:
    """So it is a prediction from the free layers, and no fact of the stack."""
    with (shared_data / "hetml" / "bilayer_masterlist.csv").open(newline="") as file:
        predicted = {row["hhuid"]: (row["band_alignment"], row["anderson_gap"]) for row in csv.DictReader(file)}
    path = shared_data / "hetml" / "bilayer_target_properties.csv"
    for record in records(get_source("hetml"), path):
        alignment, gap = predicted[record.external_id]
        assert record.payload["band_alignment"] == alignment
        assert float(record.payload["anderson_gap"]) == pytest.approx(float(gap))
