"""Every rule, on a record that breaks it."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms as AseAtoms
from small_files import bidb_file, bidb_keys, bilayer, dichalcogenide, film_on_gold, graphene

from etl.errors import RecordError
from etl.records import Atoms, Fact, Record
from etl.source import Row, get_source
from etl.validate import RULES, closest_contact, doubt_of, validate
from schema import quantities as q
from schema.vocabulary import Method, Subject


def record(layer: AseAtoms | None, subject: Subject = Subject.MONOLAYER, **payload: object) -> Record:
    atoms = None
    if layer is not None:
        atoms = Atoms(np.array(layer.numbers, np.int64), np.array(layer.positions), np.array(layer.cell))
    return Record("x", subject, dict(payload), atoms)


def moved(change: Callable[[AseAtoms], None]) -> AseAtoms:
    layer = dichalcogenide()
    change(layer)
    return layer


def far_up(layer: AseAtoms) -> None:
    layer.cell[2, 2] = 60
    layer.positions[2, 2] += 8


def nan_position(layer: AseAtoms) -> None:
    layer.positions[0, 0] = math.nan


def infinite_cell(layer: AseAtoms) -> None:
    layer.cell[0, 0] = math.inf


def overlapping(layer: AseAtoms) -> None:
    layer.positions[1] = layer.positions[0] + 0.3


def in_picometres(layer: AseAtoms) -> None:
    layer.set_cell(layer.cell * 100, scale_atoms=True)


def without_vacuum(layer: AseAtoms) -> None:
    layer.cell[2, 2] = 6


def flat_cell(layer: AseAtoms) -> None:
    layer.cell[1] = 2 * layer.cell[0]


def no_element(layer: AseAtoms) -> None:
    layer.numbers[0] = 0


@pytest.mark.parametrize(
    ("bad", "rule"),
    [
        (record(None), "missing_structure"),
        (record(AseAtoms(cell=[3, 3, 20])), "missing_structure"),
        (record(moved(nan_position)), "non_finite"),
        (record(moved(infinite_cell)), "non_finite"),
        (record(moved(overlapping)), "overlapping_atoms"),
        (record(moved(in_picometres)), "wrong_unit"),
        (record(moved(without_vacuum)), "not_2d"),
        (record(moved(flat_cell)), "not_2d"),
        (record(moved(far_up)), "not_2d"),
        (record(moved(no_element)), "mass_or_charge_nonsense"),
        (record(dichalcogenide(), charge=1.0), "mass_or_charge_nonsense"),
        (record(dichalcogenide(), charge=math.nan), "mass_or_charge_nonsense"),
        (record(dichalcogenide(), Subject.BULK), "not_3d"),
    ],
)
def test_a_bad_structure_is_set_aside_by_its_rule(bad: Record, rule: str) -> None:
    with pytest.raises(RecordError) as caught:
        validate(bad)
    assert caught.value.rule == rule
    assert rule in RULES
    assert caught.value.reason


@pytest.mark.parametrize(
    ("fact", "rule"),
    [
        (Fact(q.GAP, math.nan, Method.PBE), "non_finite"),
        (Fact(q.GAP, math.inf, Method.PBE), "non_finite"),
        (Fact(q.GAP, -0.5, Method.PBE), "outside_physics"),
        (Fact(q.GAP, 1600.0, Method.PBE), "outside_physics"),
        (Fact(q.GAP, 3000.0, Method.PBE), "wrong_unit"),
        (Fact(q.BINDING_ENERGY, -2166.0, Method.PBE_D3), "outside_physics"),
        (Fact(q.BINDING_ENERGY, 3338.9, Method.PBE_D3), "outside_physics"),
        (Fact(q.BINDING_ENERGY, 4.5e5, Method.PBE_D3), "wrong_unit"),
        (Fact(q.BINDING_ENERGY, -4.0, Method.PBE_D3), "not_bound"),
        (Fact(q.BINDING_ENERGY, 0.0, Method.PBE_D3), "not_bound"),
        (Fact(q.INTERLAYER_DISTANCE, -1.4, Method.PBE_D3), "interpenetrating"),
        (Fact(q.INTERLAYER_DISTANCE, 14.0, Method.PBE_D3), "outside_physics"),
        (Fact(q.BINDING_ENERGY, 20.0, Method.PBE_D3), None),
        (Fact(q.GAP, 0.0, Method.PBE), None),
        (Fact(q.TOTAL_ENERGY, -1e5, Method.PBE), None),
        (Fact(q.MAGNETIC_STATE, "FM", Method.PBE), None),
    ],
)
def test_a_bad_value_is_doubted_by_its_rule(fact: Fact, rule: str | None) -> None:
    doubt = doubt_of(fact)
    assert (doubt.rule if doubt else None) == rule
    if doubt:
        assert doubt.rule in RULES
        assert doubt.property_key == fact.quantity.key


def test_a_doubted_value_does_not_cost_the_record_its_other_values() -> None:
    layer = record(dichalcogenide())
    layer.facts = [Fact(q.GAP, math.nan, Method.PBE), Fact(q.GAP, 2.0, Method.HSE06)]
    accepted = validate(layer)
    assert [f.method for f in accepted.facts] == [Method.HSE06]
    assert [d.rule for d in accepted.doubts] == ["non_finite"]


def test_the_energy_of_layers_that_interpenetrate_is_doubted_too(tmp_path: Path) -> None:
    layer = dichalcogenide()
    reacted = (
        bilayer(layer, distance=0.6, shift=(0.0, 0.0)),
        bidb_keys("1MoS2-1-2-1_0_0_1-0.5_0", "1MoS2-1", interlayer_distance=0.6, binding_energy_gs=0.05),
    )
    # Sulphur on sulphur would overlap; at the hollow site it only reacts.
    reacted[0].positions[3:, :2] += np.array([1 / 3, 2 / 3]) @ np.array(layer.cell[:2, :2])
    found = list(get_source("bidb").records(bidb_file(tmp_path, reacted)))[2]
    assert isinstance(found, Record)
    accepted = validate(found)
    assert {(d.rule, d.property_key) for d in accepted.doubts} == {
        ("interpenetrating", "interlayer_distance"),
        ("interpenetrating", "binding_energy"),
    }
    assert {f.quantity for f in accepted.facts}.isdisjoint({q.BINDING_ENERGY, q.INTERLAYER_DISTANCE})


def test_a_distance_that_the_structure_contradicts_is_doubted(tmp_path: Path) -> None:
    wrong = (bilayer(graphene(), 3.4), bidb_keys("2C-1-2-1_0_0_1-0_0", "2C-1", interlayer_distance=3.9))
    found = list(get_source("bidb").records(bidb_file(tmp_path, wrong)))[2]
    assert isinstance(found, Record)
    assert ("inconsistent", "interlayer_distance") in {(d.rule, d.property_key) for d in validate(found).doubts}


def test_a_film_that_a_metal_binds_chemically_keeps_its_energy() -> None:
    content = film_on_gold()
    for site in content["final_structure"]["sites"]:
        if site["label"] != "Au":
            site["abc"][2] -= 1.6 / 30
            site["abc"][0] += 0.5
    accepted = validate(get_source("hetero2d").record(Row("x", content)))
    assert [d.property_key for d in accepted.doubts] == ["interlayer_distance"]
    assert q.BINDING_ENERGY_PER_ATOM in {f.quantity for f in accepted.facts}


def test_the_closest_contact_sees_periodic_images_of_a_skewed_cell() -> None:
    layer = graphene()
    cell = np.array(layer.cell)
    cell[1] += 3 * cell[0]
    atoms = Atoms(layer.numbers.astype(np.int64), layer.positions, cell)
    accepted = validate(Record("x", Subject.MONOLAYER, {}, atoms))
    assert closest_contact(accepted.structure).distance == pytest.approx(2.46 / math.sqrt(3))


def test_the_dirty_values_of_the_real_bilayers_are_all_doubted(shared_data: Path) -> None:
    """The published table has 75 distances below 1 Å and 117 energies at or below zero; none may pass as they are."""
    rules: dict[str, int] = {}
    for found in get_source("bidb").records(shared_data / "bidb" / "bidb.db"):
        assert isinstance(found, Record)
        stated = found.payload["key_value_pairs"]
        energy, distance = stated["binding_energy_gs"] * 1000, stated["interlayer_distance"]
        if 0 < energy <= 150 and distance >= 1:
            continue
        accepted = validate(found)
        for doubt in accepted.doubts:
            rules[doubt.rule] = rules.get(doubt.rule, 0) + 1
        kept = {f.quantity: f.value for f in accepted.facts}
        assert 0 < kept.get(q.BINDING_ENERGY, 1.0) <= 150
        assert kept.get(q.INTERLAYER_DISTANCE, 1.0) >= 1.0
    # 68 of the short distances are of hydroxides and other corrugated layers that interlock without a bond, as brucite
    # does (0.67 Å in the crystal); 12 energies are of bare carbides and nitrides whose metal faces bond.
    assert rules == {
        "chemically_bonded": 12,
        "interlocking": 68,
        "interpenetrating": 14,
        "not_bound": 112,
        "outside_physics": 22,
    }
