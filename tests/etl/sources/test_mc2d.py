"""MC2D: two releases in two forms and two units, joined by the uuids of their structures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from imported import scalar
from reading import items, records, survives, value
from small_mc2d import EXTRACTED, RELAXED, campi, mounet, parent, write
from sqlalchemy import Engine

from etl.api import import_file
from etl.dedupe.api import dedupe
from etl.errors import ImportFileError, UnknownKeysError
from etl.records import RawFailure, Record
from etl.source import get_source
from etl.validate import validate
from schema import quantities as q
from schema.vocabulary import Method, Subject


def one(folder: Path, content: dict[str, Any]) -> Record:
    (record,) = records(get_source("mc2d"), write(folder, content))
    return record


def exfoliation(record: Record, method: Method) -> float | str | None:
    return value(record, q.EXFOLIATION_ENERGY_PER_AREA, method)


def test_a_layer_of_2018_has_its_structure_and_magnetism(tmp_path: Path) -> None:
    record = one(tmp_path, mounet())
    assert (record.external_id, record.subject) == (RELAXED, Subject.MONOLAYER)
    assert record.atoms.numbers.tolist() == [42, 16, 16]
    assert value(record, q.GAP) == 1.7
    assert (value(record, q.MAGNETIC_STATE), value(record, q.MAGNETIC_MOMENT)) == ("FM", 2.0)
    accepted = validate(record)
    assert not accepted.doubts
    assert accepted.structure.thickness == pytest.approx(3.12)


def test_a_layer_of_2023_has_names_instead_of_a_structure(tmp_path: Path) -> None:
    record = one(tmp_path, campi())
    assert record.external_id == EXTRACTED
    assert set(record.names) == {EXTRACTED, RELAXED}
    assert record.atoms is None
    assert value(record, q.GAP) == 1.72
    assert validate(record).structure is None
    assert one(tmp_path, campi(uuid=None)).names == [EXTRACTED]


def test_energies_of_both_releases_come_in_one_unit(tmp_path: Path) -> None:
    old, new = one(tmp_path, mounet()), one(tmp_path, campi())
    assert exfoliation(old, Method.DF2_C09) == 20.3
    assert exfoliation(new, Method.DF2_C09) == pytest.approx(20.3)
    assert exfoliation(new, Method.RVV10) == pytest.approx(28.9)


def test_the_parent_that_lets_go_most_easily_counts_by_each_functional(tmp_path: Path) -> None:
    parents = [parent(0.030, 0.020), parent(0.010, 0.040), parent(0.020)]
    record = one(tmp_path, campi(all_3D_parents=parents))
    assert exfoliation(record, Method.DF2_C09) == pytest.approx(10.0)
    assert exfoliation(record, Method.RVV10) == pytest.approx(20.0)
    assert record.payload["all_3D_parents"] == parents


def test_a_dash_is_no_energy_and_no_doubt(tmp_path: Path) -> None:
    record = one(tmp_path, mounet())
    assert exfoliation(record, Method.RVV10) is None
    assert not record.doubts


def test_a_smallest_energy_that_is_not_among_the_parents_is_doubted(tmp_path: Path) -> None:
    record = one(tmp_path, mounet(be_df2=12.0))
    assert [(d.rule, d.property_key) for d in record.doubts] == [("inconsistent", "exfoliation_energy_per_area")]
    assert exfoliation(record, Method.DF2_C09) is None


@pytest.mark.parametrize("energies", [("x", 0.02), (0.02, "x")])
def test_an_unreadable_energy_is_not_passed_over_for_another_parents(tmp_path: Path, energies: tuple[Any, Any]) -> None:
    record = one(tmp_path, campi(all_3D_parents=[parent(energy) for energy in energies]))
    accepted = validate(record)
    assert [(d.rule, d.property_key) for d in accepted.doubts] == [("non_finite", "exfoliation_energy_per_area")]


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (mounet(number_of_atoms=4), "missing_structure"),
        (mounet(atomic_positions=[["Xx", 0, 0, 0, "Xx"]]), "missing_structure"),
        (mounet(cell=[["a1", 1, 0, 0]]), "missing_structure"),
        ({"formula": "MoS2"}, "unknown_keys"),
    ],
)
def test_what_cannot_be_understood_is_set_aside(tmp_path: Path, content: dict[str, Any], rule: str) -> None:
    _, item = items(get_source("mc2d"), write(tmp_path, mounet("another"), content))
    assert isinstance(item, RawFailure)
    assert item.rule == rule


def test_an_unknown_magnetic_state_is_doubted(tmp_path: Path) -> None:
    record = one(tmp_path, mounet(magnetic_state="spiral"))
    assert [(d.rule, d.property_key) for d in record.doubts] == [("unknown_label", "magnetic_state")]


@pytest.mark.parametrize(
    ("content", "error"), [('{"a": 1}', ImportFileError), ("[1]", ImportFileError), ('[{"jid": 1}]', UnknownKeysError)]
)
def test_another_file_is_refused(tmp_path: Path, content: str, error: type[Exception]) -> None:
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(error):
        get_source("mc2d").check(tmp_path / "x.json")


def test_nonsense_in_any_place_costs_that_record_at_most() -> None:
    assert survives(get_source("mc2d"), mounet()) > 10
    assert survives(get_source("mc2d"), campi()) == 0, "one uuid always remains to know the layer by"


@pytest.mark.services
@pytest.mark.parametrize("structure_first", [True, False])
def test_a_layer_without_structure_joins_the_one_that_has_it(
    engine: Engine, tmp_path: Path, structure_first: bool
) -> None:
    alone = campi("00000000-0000-0000-0000-000000000000", as_extracted_2D_structure_uuid="alone")
    files = [write(tmp_path, mounet(), name="2018.json"), write(tmp_path, campi(), alone, name="2023.json")]
    for path in files if structure_first else reversed(files):
        assert import_file(engine, "mc2d", path).quarantined == {}
        dedupe(engine)
    members = """SELECT array_agg(r.external_id ORDER BY r.external_id COLLATE "C") FROM material_member m
                 JOIN source_record r ON r.id = m.source_record_id"""
    assert scalar(engine, members) == sorted([RELAXED, EXTRACTED])
    assert scalar(engine, "SELECT count(*) FROM source_record WHERE state = 'accepted'") == 3
    methods = """SELECT array_agg(DISTINCT method) FROM analyst.material_values
                 WHERE property = 'exfoliation_energy_per_area'"""
    assert set(scalar(engine, methods)) == {"rVV10", "vdW-DF2-C09"}


MOUNET, CAMPI = "mounet-v4_structures.json", "campi-v2_structure_2d_rm-icsd-mpds-uuids.json"


@pytest.mark.parametrize(("name", "n", "with_structure"), [(MOUNET, 258, 258), (CAMPI, 2936, 0)])
def test_all_real_records_are_read(shared_data: Path, name: str, n: int, with_structure: int) -> None:
    found = records(get_source("mc2d"), shared_data / "mc2d" / name)
    assert len({r.external_id for r in found}) == len(found) == n
    assert sum(r.atoms is not None for r in found) == with_structure
    assert not [d for r in found for d in validate(r).doubts]


def test_real_layers_of_2023_name_183_structures_of_2018_with_the_same_energies(shared_data: Path) -> None:
    """Which settles both what the uuids are and what the units are."""
    old = {r.external_id: r for r in records(get_source("mc2d"), shared_data / "mc2d" / MOUNET)}
    pairs = [
        (old[name], new)
        for new in records(get_source("mc2d"), shared_data / "mc2d" / CAMPI)
        for name in new.names
        if name in old
    ]
    assert len(pairs) == len({new.external_id for _, new in pairs}) == 183
    for first, second in pairs:
        if value(second, q.GAP) is not None:
            assert value(first, q.GAP) == pytest.approx(value(second, q.GAP), abs=0.051)
    for method in (Method.DF2_C09, Method.RVV10):
        both = [(exfoliation(a, method), exfoliation(b, method)) for a, b in pairs]
        known = [(a, b) for a, b in both if a is not None and b is not None]
        assert len(known) > 170
        # The later release knows further parents, of which one may let go more easily.
        assert sum(abs(a - b) <= 0.051 for a, b in known) / len(known) > 0.9
        assert all(b <= a + 0.051 for a, b in known)


def test_a_known_real_layer(shared_data: Path) -> None:
    found = {r.payload["structure_label"]: r for r in records(get_source("mc2d"), shared_data / "mc2d" / MOUNET)}
    record = found["Ag2Br2-8d1e37cd"]
    assert record.external_id == "ba8bbdd9-defc-4292-af7d-ed3eb73f778e"
    assert (exfoliation(record, Method.DF2_C09), exfoliation(record, Method.RVV10)) == (7.8, 14.3)
    assert sorted(record.atoms.numbers.tolist()) == [35, 35, 47, 47]
    assert value(record, q.GAP) == 1.3
