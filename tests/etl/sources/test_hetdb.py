"""HetDB: whose atoms are whose, how many cells of each layer there are, and how they are turned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms as AseAtoms
from reading import items, mutilated, records, value
from small_files import bidb_file, dichalcogenide, graphene, write_ase
from small_moire import MIRRORED, MOS2, SEVEN, SEVENTH_TWIST, WSE2, hetdb_keys, moire

from etl.canonical import canonical_slab
from etl.errors import RecordError, UnknownKeysError
from etl.judge import judge
from etl.records import Atoms, RawFailure, Record
from etl.source import Row, get_source
from etl.sources.hetdb import CENTRE_TOLERANCE, cell_of_uid
from etl.validate import validate
from schema import quantities as q
from schema.plane_lattice import PlaneLattice
from schema.vocabulary import InterfaceKind, Method


def one(folder: Path, atoms: AseAtoms | None = None, n_top: int = 21, **changes: Any) -> Record:
    atoms = moire(MOS2, WSE2) if atoms is None else atoms
    (record,) = records(
        get_source("hetdb"),
        write_ase(folder / f"{len(list(folder.iterdir()))}.db", [(atoms, hetdb_keys(atoms, n_top, **changes))]),
    )
    return record


def top_elements(record: Record) -> set[int]:
    return set(record.atoms.numbers[record.stack.top_atoms].tolist())


def test_the_layers_are_told_apart_and_the_distance_is_that_of_the_nuclei(tmp_path: Path) -> None:
    record = one(tmp_path)
    stack = record.stack
    assert (record.external_id, stack.kind) == ("moire-1", InterfaceKind.HETEROBILAYER)
    assert (stack.bottom_name, stack.top_name) == ("1MoS2-1", "1WSe2-1")
    assert top_elements(record) == {34, 74}
    accepted = validate(record)
    assert not accepted.doubts
    (distance,) = [f.value for f in accepted.facts if f.quantity is q.INTERLAYER_DISTANCE]
    assert distance == pytest.approx(3.2, abs=1e-6)
    assert record.payload["key_value_pairs"]["layer_center_distance"] == pytest.approx(3.2 + 1.56 + 1.67, abs=1e-3)
    assert value(record, q.GAP, Method.UNSTATED) == 1.1


def test_shared_elements_do_not_confuse_the_layers(tmp_path: Path) -> None:
    janus = dichalcogenide("H", "Mo", ("Se", "S"), 3.2)
    record = one(tmp_path, moire(MOS2, janus), uid_a="1MoSSe-1")
    assert top_elements(record) == {16, 34, 42}
    assert len(record.stack.top_atoms) == 21


def test_the_supercells_hold_the_cells_of_each_layer_and_give_back_its_lattice(tmp_path: Path) -> None:
    record = one(tmp_path, moire(MOS2, graphene(3.18 / np.sqrt(12 / 7)), (SEVEN, ((4, 2), (-2, 2)))), 24,
                 uid_a="2C-1", twist_angle=10.893)  # fmt: skip
    cell = canonical_slab(record.atoms).cell[:2, :2]
    for integers, n, length in ((record.stack.bottom_matrix, 7, 3.18), (record.stack.top_matrix, 12, 2.4288)):
        matrix = np.array(integers).reshape(2, 2)
        assert round(np.linalg.det(matrix)) == n
        basis = np.linalg.inv(matrix) @ cell
        np.testing.assert_allclose(np.linalg.norm(basis, axis=1), length, atol=1e-3)
    assert abs(record.stack.twist) == pytest.approx(10.893)


@pytest.mark.parametrize("seed", range(5))
def test_corrugation_hides_no_period(tmp_path: Path, seed: int) -> None:
    atoms = moire(MOS2, WSE2)
    still = one(tmp_path, atoms).stack
    atoms.positions += np.random.default_rng(seed).uniform(-0.15, 0.15, (len(atoms), 3))
    record = one(tmp_path, atoms)
    for found, true in ((record.stack.bottom_matrix, still.bottom_matrix), (record.stack.top_matrix, still.top_matrix)):
        # Bases of one lattice: integers lead from one to the other.
        change = np.linalg.inv(np.array(found).reshape(2, 2)) @ np.array(true).reshape(2, 2)
        np.testing.assert_allclose(change, np.rint(change), atol=1e-9)
    assert not [d for d in record.doubts if d.property_key in {"stacking", "twist"}]


@pytest.mark.parametrize(("matrices", "sign"), [((SEVEN, MIRRORED), -1), ((MIRRORED, SEVEN), 1)])
def test_the_structure_gives_the_twist_its_sign(tmp_path: Path, matrices: tuple[Any, Any], sign: int) -> None:
    atoms = moire(MOS2, WSE2, matrices)
    record = one(tmp_path, atoms)
    # The same by hand: each layer's first vector is the supercell's, expressed in the layer.
    plane = atoms.cell[:2, :2]
    first, second = ((np.linalg.inv(np.array(m)) @ plane)[0] for m in matrices)
    turned = np.degrees(np.arctan2(*second[::-1]) - np.arctan2(*first[::-1]))
    assert record.stack.twist == pytest.approx(sign * SEVENTH_TWIST)
    assert (turned - record.stack.twist + 1) % 60 == pytest.approx(1, abs=0.01)


def test_a_twist_that_the_lattices_contradict_is_doubted(tmp_path: Path) -> None:
    record = one(tmp_path, twist_angle=0.1)
    assert [(d.rule, d.property_key) for d in record.doubts] == [("inconsistent", "twist")]
    assert record.stack.twist is None


def test_a_centre_distance_that_the_heights_contradict_is_doubted(tmp_path: Path) -> None:
    apart = hetdb_keys(moire(MOS2, WSE2), 21)["layer_center_distance"]
    record = one(tmp_path, layer_center_distance=apart + 2 * CENTRE_TOLERANCE)
    assert [(d.rule, d.property_key) for d in record.doubts] == [("inconsistent", "interlayer_distance")]


def test_sides_named_in_the_other_order_are_found_by_their_atoms(tmp_path: Path) -> None:
    record = one(tmp_path, uid_a="1MoS2-1", uid_b="1WSe2-1")
    assert (record.stack.bottom_name, record.stack.top_name) == ("1MoS2-1", "1WSe2-1")
    assert top_elements(record) == {34, 74}


def test_a_layer_on_itself_is_a_homobilayer_divided_at_its_widest_gap(tmp_path: Path) -> None:
    record = one(tmp_path, moire(MOS2, MOS2), uid_a="1MoS2-1")
    assert record.stack.kind is InterfaceKind.HOMOBILAYER
    heights = record.atoms.positions[:, 2]
    assert heights[record.stack.top_atoms].min() - np.sort(heights)[20] == pytest.approx(3.2)


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"uid_a": "1WS2-1"}, "mass_or_charge_nonsense"),
        ({"uid_a": "2WSe2-1"}, "mass_or_charge_nonsense"),
        ({"uid_a": "WSe2-b3b4685fb6e1"}, "unparsable"),
        ({"uid_a": "1Xx2-1"}, "unparsable"),
    ],
)
def test_atoms_that_are_not_those_of_the_named_layers_are_refused(
    tmp_path: Path, changes: dict[str, Any], rule: str
) -> None:
    atoms = moire(MOS2, WSE2)
    (item,) = items(get_source("hetdb"), write_ase(tmp_path / "h.db", [(atoms, hetdb_keys(atoms, 21, **changes))]))
    assert isinstance(item, RawFailure)
    assert (item.external_id, item.rule) == ("moire-1", rule)


def test_a_uid_tells_the_atoms_of_a_cell() -> None:
    assert cell_of_uid("2InSe-1") == {49: 2, 34: 2}
    assert cell_of_uid("1AsBrTe-1") == {33: 1, 35: 1, 52: 1}
    with pytest.raises(RecordError):
        cell_of_uid("0MoS2-1")


def test_a_file_of_bidb_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnknownKeysError) as error:
        get_source("hetdb").check(bidb_file(tmp_path))
    assert "stackscreen import bidb" in error.value.hint


def test_nonsense_in_any_key_costs_that_record_at_most() -> None:
    stack = moire(MOS2, WSE2)
    atoms = Atoms(stack.numbers.astype(np.int64), stack.positions, np.array(stack.cell), (True, True, False))
    verdicts = [
        judge(get_source("hetdb").interpret(Row("row 1", {"key_value_pairs": part}, atoms)))
        for part in mutilated(hetdb_keys(stack, 21))
    ]
    assert 0 < sum(verdict.accepted is None for verdict in verdicts) < len(verdicts)


def test_all_real_stacks_are_read_and_three_twists_contradict_their_lattices(shared_data: Path) -> None:
    found = records(get_source("hetdb"), shared_data / "hetdb" / "hetdb.db")
    assert len({r.external_id for r in found}) == len(found) == 269
    doubted = {r.external_id: [(d.rule, d.property_key) for d in r.doubts] for r in found if r.doubts}
    wrong = {"1Cl19Sb19Se19W39O78-1", "1Pb25Br50Cl74Pt74-1", "1Zn26Pb27I52Br54-1"}
    assert doubted == {name: [("inconsistent", "twist")] for name in wrong}
    for record in found:
        accepted = validate(record)
        assert q.INTERLAYER_DISTANCE in {f.quantity for f in accepted.facts}
        assert record.stack.kind is InterfaceKind.HETEROBILAYER


def test_a_known_real_stack(shared_data: Path) -> None:
    (record,) = [r for r in records(get_source("hetdb"), shared_data / "hetdb" / "hetdb.db")
                 if r.external_id == "1Zn11I22C72-1"]  # fmt: skip
    stack = record.stack
    assert (stack.bottom_name, stack.top_name, len(stack.top_atoms)) == ("1ZnI2-1", "2C-1", 72)
    assert [round(np.linalg.det(np.array(m).reshape(2, 2))) for m in (stack.bottom_matrix, stack.top_matrix)] == [
        11,
        36,
    ]
    assert abs(stack.twist) == 7.763
    assert value(record, q.GAP, Method.UNSTATED) == 0.018


def test_the_lattices_found_in_real_stacks_are_those_of_the_free_layers(shared_data: Path) -> None:
    """Within the strain and what another functional makes of a lattice constant: 3 % in length."""
    stacks = records(get_source("hetdb"), shared_data / "hetdb" / "hetdb.db")
    wanted = {name for r in stacks for name in (r.stack.bottom_name, r.stack.top_name)}
    source = get_source("c2db")
    cells = {}
    for raw in source.cut(shared_data / "c2db" / "c2db.db"):
        row = source.row(raw)
        uid = row.content["key_value_pairs"]["uid"]
        if uid in wanted:
            cells[uid] = canonical_slab(row.atoms).cell[:2, :2]
    assert set(cells) == wanted
    for record in stacks:
        cell = canonical_slab(record.atoms).cell[:2, :2]
        for name, matrix in (
            (record.stack.bottom_name, record.stack.bottom_matrix),
            (record.stack.top_name, record.stack.top_matrix),
        ):
            free = PlaneLattice.from_vectors(*cells[name])
            found = PlaneLattice.from_vectors(*(np.linalg.inv(np.array(matrix).reshape(2, 2)) @ cell))
            np.testing.assert_allclose(found.lengths_and_angle[:2], free.lengths_and_angle[:2], rtol=0.03)
            assert abs(found.lengths_and_angle[2] - free.lengths_and_angle[2]) < 3
