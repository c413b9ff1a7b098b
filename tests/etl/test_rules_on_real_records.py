"""Every rule speaks, on a small made-up record and on a real one: dirty as it was published, or damaged in one way."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms as AseAtoms
from misbehaving import Misbehaving
from small_files import (
    bidb_file,
    bidb_keys,
    bilayer,
    c2db_file,
    c2db_keys,
    dichalcogenide,
    graphene,
    matpedia_line,
    write_ase,
)

from etl.batch import Decider
from etl.explanations import EXPLANATIONS
from etl.judge import Read, judge
from etl.parsing import Parser, ParserLimits
from etl.records import Atoms, Fact, RawFailure, Record
from etl.source import Raw, Row, get_source
from etl.validate import RULES, doubt_of
from schema import quantities as q
from schema.vocabulary import Method, Subject

Case = Callable[[Path], set[str]]
"""From a folder (to write into, or of real data) to the rules that speak about one record."""

SYNTHETIC: dict[str, Case] = {}
REAL: dict[str, Case] = {}


def synthetic(rule: str) -> Callable[[Case], Case]:
    return lambda case: SYNTHETIC.setdefault(rule, case)


def real(rule: str) -> Callable[[Case], Case]:
    return lambda case: REAL.setdefault(rule, case)


def rules_of(read: Read) -> set[str]:
    """The rule that refuses a record, or those that doubt values of it."""
    if read.accepted is None:
        assert read.reason
        return {str(read.rule)}
    return {doubt.rule for doubt in read.accepted.doubts}


def verdict(item: Record | RawFailure) -> set[str]:
    return rules_of(judge(item))


def only(reader: str, path: Path) -> Record | RawFailure:
    (item,) = get_source(reader).records(path)
    return item


def last(reader: str, path: Path) -> Record | RawFailure:
    return list(get_source(reader).records(path))[-1]


# -- damage, in one way ------------------------------------------------------------------------------------------


def with_atoms(record: Record | RawFailure, change: Callable[[Atoms], Atoms]) -> Record:
    assert isinstance(record, Record)
    assert record.atoms is not None
    record.atoms = change(record.atoms)
    return record


def scaled(factor: float) -> Callable[[Atoms], Atoms]:
    return lambda a: Atoms(a.numbers, a.positions * factor, a.cell * factor, a.periodic)


def one_atom_doubled(atoms: Atoms) -> Atoms:
    beside = atoms.positions[:1] + 0.3
    return Atoms(np.append(atoms.numbers, atoms.numbers[0]), np.vstack([atoms.positions, beside]), atoms.cell)


def without_vacuum(atoms: Atoms) -> Atoms:
    height = atoms.positions[:, 2]
    cell = atoms.cell.copy()
    cell[2] = [0, 0, np.ptp(height) + 3.0]
    return Atoms(atoms.numbers, atoms.positions - [0, 0, height.min()], cell)


def with_vacuum(atoms: Atoms) -> Atoms:
    cell = atoms.cell.copy()
    cell[2] *= 8
    return Atoms(atoms.numbers, atoms.positions, cell)


def with_nan(atoms: Atoms) -> Atoms:
    positions = atoms.positions.copy()
    positions[0, 2] = math.nan
    return Atoms(atoms.numbers, positions, atoms.cell)


def edited(record: Record | RawFailure, reader: str, **keys: Any) -> Record | RawFailure:
    """The record read again with other key-value pairs; None removes one."""
    assert record.payload is not None
    pairs = {**record.payload["key_value_pairs"], **keys}
    payload = {**record.payload, "key_value_pairs": {k: v for k, v in pairs.items() if v is not None}}
    source = get_source(reader)
    return source.interpret(source.kept(record.external_id, payload))


# -- made-up records ---------------------------------------------------------------------------------------------


def layer(folder: Path, **changes: Any) -> Record | RawFailure:
    return next(iter(get_source("c2db").records(c2db_file(folder, **changes))))


def stacked(folder: Path, distance: float = 3.4, **keys: Any) -> Record | RawFailure:
    stated = {"interlayer_distance": distance, **keys}
    both = (bilayer(graphene(), distance), bidb_keys("2C-1-2-1_0_0_1-0_0", "2C-1", **stated))
    return last("bidb", bidb_file(folder, both))


def harmful(folder: Path, deed: str) -> set[str]:
    path = folder / "deeds.json"
    path.write_text(json.dumps({"id": "r", "does": deed}) + "\n")
    with Parser(Misbehaving(), frozenset(), ParserLimits(workers=1, record_seconds=1.0)) as parser:
        (read,) = [read for chunk in parser.reads(path) for read in chunk]
    return rules_of(read)


def pulled(folder: Path, distance: float, shift: tuple[float, float], energy: float) -> Record | RawFailure:
    """Two layers of MoS2, closer than they like it."""
    both = (
        bilayer(dichalcogenide("H"), distance, shift),
        bidb_keys("1MoS2-1-2-1_0_0_1-0.3_0.7", "1MoS2-1", interlayer_distance=distance, binding_energy_gs=energy),
    )
    return last("bidb", bidb_file(folder, both))


def needles(distance: float) -> AseAtoms:
    """Two sheets with a needle each, pointing at each other and wide apart in the plane: they interlock."""
    below = graphene().repeat((4, 4, 1))
    below.positions[0, 2] += 2.0
    above = below.copy()
    above.positions[:, 2] = -above.positions[:, 2]
    above.positions[:, :2] += np.array([0.375, 0.375]) @ np.array(below.cell[:2, :2])
    above.positions[:, 2] += below.positions[:, 2].max() - above.positions[:, 2].min() + distance
    both = below + above
    both.cell[2, 2] = 40.0
    return both


@synthetic("unparsable")
def _(folder: Path) -> set[str]:
    (folder / "db.json").write_text(matpedia_line("2dm-1", graphene()) + "\n{broken\n")
    return verdict(last("2dmatpedia", folder / "db.json"))


@synthetic("crashed_parser")
def _(folder: Path) -> set[str]:
    return harmful(folder, "crash")


@synthetic("too_slow")
def _(folder: Path) -> set[str]:
    return harmful(folder, "hang")


@synthetic("unknown_keys")
def _(folder: Path) -> set[str]:
    return verdict(only("c2db", write_ase(folder / "c.db", [(graphene(), {"name": "graphene"})])))


@synthetic("missing_structure")
def _(folder: Path) -> set[str]:
    line = json.loads(matpedia_line("2dm-1", graphene()))
    (folder / "db.json").write_text(json.dumps({**line, "structure": None}) + "\n")
    return verdict(only("2dmatpedia", folder / "db.json"))


@synthetic("non_finite")
def _(folder: Path) -> set[str]:
    assert verdict(layer(folder, gap=math.inf)) == {"non_finite"}
    return verdict(with_atoms(only("c2db", write_ase(folder / "n.db", [(graphene(), c2db_keys("x"))])), with_nan))


@synthetic("mass_or_charge_nonsense")
def _(folder: Path) -> set[str]:
    line = json.loads(matpedia_line("2dm-1", graphene()))
    line["structure"]["charge"] = 1.0
    (folder / "db.json").write_text(json.dumps(line) + "\n")
    return verdict(only("2dmatpedia", folder / "db.json"))


@synthetic("overlapping_atoms")
def _(folder: Path) -> set[str]:
    return verdict(with_atoms(layer(folder), one_atom_doubled))


@synthetic("wrong_unit")
def _(folder: Path) -> set[str]:
    found = [verdict(with_atoms(layer(folder, name=f"{i}.db"), scaled(f))) for i, f in enumerate((0.1, 100.0))]
    assert found[0] == found[1]
    assert verdict(stacked(folder, binding_energy_gs=20.0)) == {"wrong_unit"}, "meV/Å² in a column of eV/Å²"
    return found[0]


@synthetic("not_2d")
def _(folder: Path) -> set[str]:
    return verdict(with_atoms(layer(folder), without_vacuum))


@synthetic("not_3d")
def _(folder: Path) -> set[str]:
    record = layer(folder)
    assert isinstance(record, Record)
    record.subject = Subject.BULK
    return verdict(record)


@synthetic("duplicate_external_id")
def _(folder: Path) -> set[str]:
    rows = [(graphene(), c2db_keys("same", gap=gap)) for gap in (1.0, 2.0)]
    return of_second(get_source("c2db").records(write_ase(folder / "c.db", rows)))


def of_second(records: Iterator[Record | RawFailure]) -> set[str]:
    decisions, _ = Decider().decide(map(judge, records), {}, {})
    assert [decision.rule for decision in decisions][:-1] == [None]
    return {str(decisions[-1].rule)}


@synthetic("outside_physics")
def _(folder: Path) -> set[str]:
    return verdict(stacked(folder, binding_energy_gs=-2.166))


@synthetic("not_bound")
def _(folder: Path) -> set[str]:
    return verdict(stacked(folder, binding_energy_gs=-0.012))


@synthetic("interpenetrating")
def _(folder: Path) -> set[str]:
    return verdict(pulled(folder, 0.6, (1 / 3, 2 / 3), 0.05))


@synthetic("interlocking")
def _(folder: Path) -> set[str]:
    keys = bidb_keys("2C-1-2-1_0_0_1-0.4_0.4", "2C-1", interlayer_distance=0.7)
    return verdict(last("bidb", bidb_file(folder, (needles(0.7), keys))))


@synthetic("chemically_bonded")
def _(folder: Path) -> set[str]:
    return verdict(pulled(folder, 1.6, (0.0, 0.0), 0.3))


@synthetic("inconsistent")
def _(folder: Path) -> set[str]:
    return verdict(stacked(folder, 3.4, interlayer_distance=3.9))


@synthetic("no_vacuum_level")
def _(folder: Path) -> set[str]:
    return verdict(only("c2db", write_ase(folder / "c.db", [(graphene(), {"uid": "x", "vbm": -1.0})])))


@synthetic("not_converged")
def _(_: Path) -> set[str]:
    stack = {"huid": 1, "stacktype": "AA", "uid_bot": "a", "uid_top": "b", "ILD": "3.3", "Ebind": "20"}
    return verdict(get_source("hetml").interpret(Row("line 1", {**stack, "converged": "False"})))


@synthetic("unreadable_spectrum")
def _(folder: Path) -> set[str]:
    row = get_source("c2db").row(next(cut for cut in get_source("c2db").cut(c2db_file(folder)) if isinstance(cut, Raw)))
    return verdict(get_source("c2db").interpret(replace(row, attachment=b"no data of ASE")))


@synthetic("unknown_label")
def _(folder: Path) -> set[str]:
    return verdict(stacked(folder, magnetic="v0"))


# -- real records ------------------------------------------------------------------------------------------------


def published(folder: Path, reader: str, file: str, name: str) -> Record | RawFailure:
    """One record of a file, found by its name without decoding the others."""
    source = get_source(reader)
    cuts = (raw for raw in source.cut(folder / file) if isinstance(raw, Raw))
    found = next(raw for raw in cuts if raw.position == name or name in str(raw.content))
    item = source.read(found)
    assert item.external_id == name
    return item


def mos2(folder: Path) -> Record | RawFailure:
    return published(folder, "c2db", "c2db/c2db.db", "1MoS2-1")


def of_bidb(folder: Path, uid: str) -> Record | RawFailure:
    return published(folder, "bidb", "bidb/bidb.db", uid)


def line_of_2dmatpedia(folder: Path) -> str:
    with (folder / "2dmatpedia" / "db.json").open(encoding="utf-8") as file:
        return file.readline()


def read_line(text: str) -> Record | RawFailure:
    return get_source("2dmatpedia").read(Raw("line 1", text))


@real("unparsable")
def _(folder: Path) -> set[str]:
    text = line_of_2dmatpedia(folder)
    return verdict(read_line(text[: len(text) // 2]))


@real("unknown_keys")
def _(folder: Path) -> set[str]:
    return verdict(edited(mos2(folder), "c2db", uid=None))


@real("missing_structure")
def _(folder: Path) -> set[str]:
    return verdict(read_line(json.dumps({**json.loads(line_of_2dmatpedia(folder)), "structure": None})))


@real("non_finite")
def _(folder: Path) -> set[str]:
    assert verdict(edited(mos2(folder), "c2db", gap="n/a")) == {"non_finite"}
    return verdict(with_atoms(mos2(folder), with_nan))


@real("mass_or_charge_nonsense")
def _(folder: Path) -> set[str]:
    content = json.loads(line_of_2dmatpedia(folder))
    content["structure"]["sites"][0]["species"][0]["occu"] = 0.5
    assert verdict(read_line(json.dumps(content))) == {"mass_or_charge_nonsense"}
    content = json.loads(line_of_2dmatpedia(folder))
    content["structure"]["charge"] = -1
    return verdict(read_line(json.dumps(content)))


@real("overlapping_atoms")
def _(folder: Path) -> set[str]:
    return verdict(with_atoms(mos2(folder), one_atom_doubled))


@real("wrong_unit")
def _(folder: Path) -> set[str]:
    in_nm, in_pm = (verdict(with_atoms(mos2(folder), scaled(factor))) for factor in (0.1, 100.0))
    assert in_nm == in_pm
    return in_nm


@real("not_2d")
def _(folder: Path) -> set[str]:
    return verdict(with_atoms(mos2(folder), without_vacuum))


@real("not_3d")
def _(folder: Path) -> set[str]:
    metals = get_source("bulk").records(folder / "bulk" / "elemental_metals_poscar.zip")
    gold = next(record for record in metals if record.external_id.startswith("Au_"))
    return verdict(with_atoms(gold, with_vacuum))


@real("duplicate_external_id")
def _(folder: Path) -> set[str]:
    return of_second(iter([mos2(folder), edited(mos2(folder), "c2db", gap=0.3)]))


@real("outside_physics")
def _(folder: Path) -> set[str]:
    assert verdict(of_bidb(folder, "1C2O2V3-1-2-1_0_0_1-0_0")) == {"outside_physics"}, "3331 meV/Å²"
    metals = get_source("bidb").records(folder / "bidb" / "bidb.db")
    worst = min(metals, key=lambda r: (r.payload or {})["key_value_pairs"].get("binding_energy_gs", 0.0))
    assert worst.payload is not None
    assert worst.payload["key_value_pairs"]["binding_energy_gs"] == pytest.approx(-2.16657)
    return verdict(worst)


@real("not_bound")
def _(folder: Path) -> set[str]:
    return verdict(of_bidb(folder, "1HfS2-1-2-1_0_0_1--0.33_-0.67"))


@real("interpenetrating")
def _(folder: Path) -> set[str]:
    """Crossed by 1.41 Å."""
    return verdict(of_bidb(folder, "1P2Pd3S8-1-P2Pd3S8-2-1_0_0_1-0_0"))


@real("interlocking")
def _(folder: Path) -> set[str]:
    """Brucite, Mg(OH)2: hydrogens of one layer lie between those of the other; 0.67 Å in the crystal."""
    return verdict(of_bidb(folder, "1MgH2O2-1-2-1_0_0_1-0_0"))


@real("chemically_bonded")
def _(folder: Path) -> set[str]:
    """Bare Ti4N3, an MXene without terminations: metal on metal, 2.4 Å apart."""
    return verdict(of_bidb(folder, "1N3Ti4-1-N3Ti4-2-1_0_0_1-0.5_0"))


@real("inconsistent")
def _(folder: Path) -> set[str]:
    pair = of_bidb(folder, "1BaI2-2-2-1_0_0_1-0_0")
    assert verdict(pair) == set()
    return verdict(edited(pair, "bidb", interlayer_distance=2.0))


@real("no_vacuum_level")
def _(folder: Path) -> set[str]:
    return verdict(edited(mos2(folder), "c2db", evac=None))


@real("unknown_label")
def _(folder: Path) -> set[str]:
    return verdict(of_bidb(folder, "2AlS-1-2--1_0_0_-1-0_0"))


@real("not_converged")
def _(folder: Path) -> set[str]:
    files = get_source("hetml").records(folder / "hetml" / "bilayer_target_properties.csv")
    stack = next(record for record in files if record.payload is not None and "converged" in record.payload)
    assert verdict(stack) == set()
    assert stack.payload is not None
    row = Row(stack.external_id, {**stack.payload, "converged": "False"})
    return verdict(get_source("hetml").interpret(row))


@real("unreadable_spectrum")
def _(folder: Path) -> set[str]:
    source = get_source("c2db")
    (row,) = (source.row(cut) for cut in source.cut(folder / "c2db" / "asr_rows_BN.db") if isinstance(cut, Raw))
    assert row.attachment is not None
    assert verdict(source.interpret(row)) == set()
    return verdict(source.interpret(replace(row, attachment=row.attachment[: len(row.attachment) // 2])))


class FatalLine(Misbehaving):
    """The first line of 2DMatPedia, with what kills its reader."""

    def __init__(self, deed: str) -> None:
        self._deed = deed

    def cut(self, path: Path) -> Iterator[Raw | RawFailure]:
        content = json.loads(line_of_2dmatpedia(path))
        yield Raw("line 1", json.dumps({**content, "id": content["material_id"], "does": self._deed}))


def killed(folder: Path, deed: str) -> set[str]:
    with Parser(FatalLine(deed), frozenset(), ParserLimits(workers=1, record_seconds=1.0)) as parser:
        (read,) = [read for chunk in parser.reads(folder) for read in chunk]
    return rules_of(read)


@real("crashed_parser")
def _(folder: Path) -> set[str]:
    return killed(folder, "crash")


@real("too_slow")
def _(folder: Path) -> set[str]:
    return killed(folder, "hang")


# -- and none without --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", sorted(RULES))
def test_a_rule_speaks_of_a_made_up_record_that_breaks_it(rule: str, tmp_path: Path) -> None:
    assert rule in SYNTHETIC, f"give the rule {rule} a made-up record that breaks it"
    assert SYNTHETIC[rule](tmp_path) == {rule}


@pytest.mark.parametrize("rule", sorted(RULES))
def test_a_rule_speaks_of_a_real_record_that_breaks_it(rule: str, shared_data: Path) -> None:
    assert rule in REAL, f"give the rule {rule} a real record that breaks it"
    assert REAL[rule](shared_data) == {rule}


@pytest.mark.parametrize("rule", sorted(RULES))
def test_a_rule_is_explained(rule: str) -> None:
    explanation = EXPLANATIONS[rule]
    assert all(text.endswith(".") for text in (explanation.threshold, explanation.why, RULES[rule].meaning))
    assert explanation.fix


def test_nothing_is_explained_that_is_no_rule() -> None:
    assert set(EXPLANATIONS) == set(RULES)


def test_the_records_before_the_damage_break_no_rule(shared_data: Path) -> None:
    assert verdict(mos2(shared_data)) == set()
    assert verdict(read_line(line_of_2dmatpedia(shared_data))) == set()


def test_no_energy_of_a_published_dirty_table_passes(shared_data: Path) -> None:
    """412 heterobilayers on MoS2, energies in meV/Å² up to 4.5e5: what is no binding energy is named by its rule."""
    with (shared_data / "reference" / "dirty_bilayers4ows.csv").open(newline="") as file:
        energies = [float(row["Eb"]) for row in csv.DictReader(file)]
    found = {energy: doubt_of(Fact(q.BINDING_ENERGY, energy, Method.UNSTATED)) for energy in energies}
    rules = {energy: doubt.rule for energy, doubt in found.items() if doubt is not None}
    assert max(energies) == pytest.approx(453024.1578)
    assert rules[max(energies)] == "wrong_unit"
    assert rules[min(energies)] == "outside_physics"
    assert {energy for energy in energies if not 0 < energy <= q.BINDING_ENERGY.high} == set(rules)
    assert sum(not 0 < energy <= 150 for energy in energies) == len(rules) == 166


@pytest.mark.parametrize(
    ("reader", "file"),
    [
        ("2dmatpedia", "2dmatpedia/db.json"),
        ("bulk", "bulk/elemental_metals_poscar.zip"),
        ("c2db", "c2db/c2db.db"),
    ],
)
def test_no_rule_raises_a_false_alarm_about_the_clean_databases(reader: str, file: str, shared_data: Path) -> None:
    alarms = {r.external_id: found for r in get_source(reader).records(shared_data / file) if (found := verdict(r))}
    assert alarms == {}
