"""Materials Project: bulk phases from its summary documents, in whatever JSON they were saved."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from ase.build import bulk
from reading import items, records, survives, value
from small_files import structure_dict
from small_json import document
from sqlalchemy import Engine, text

from etl.api import import_file
from etl.dedupe.api import dedupe
from etl.errors import ImportFileError
from etl.source import get_source
from schema import quantities as q
from schema.vocabulary import Method, Subject


def saved(folder: Path, content: object, name: str = "mp.json") -> Path:
    path = folder / name
    path.write_text(json.dumps(content))
    return path


def test_a_document_is_a_bulk_phase_with_its_energies(tmp_path: Path) -> None:
    content = document(energy_above_hull=0.03, formation_energy_per_atom=-0.4, ordering="FiM")
    (record,) = records(get_source("materials-project"), saved(tmp_path, [content]))
    assert (record.external_id, record.subject) == ("mp-30", Subject.BULK)
    assert record.atoms.numbers.tolist() == [29]
    assert value(record, q.GAP) == 0.0
    assert value(record, q.HULL_ENERGY, Method.GGA_R2SCAN) == 0.03
    assert value(record, q.HULL_ENERGY) is None, "a mixed energy is not plain PBE"
    assert value(record, q.MAGNETIC_STATE) == "FIM"


def test_arrays_responses_and_lines_give_the_same_records(tmp_path: Path) -> None:
    content = [document("mp-30"), document("mp-81", structure=structure_dict(bulk("Au")))]
    lines = "".join(json.dumps(part) + "\n" for part in content)
    (tmp_path / "lines.json").write_text(lines)
    (tmp_path / "lines.json.gz").write_bytes(gzip.compress(lines.encode()))
    saved(tmp_path, content, "array.json")
    saved(tmp_path, {"data": content, "meta": {"total_doc": 2}}, "response.json")
    expected = content
    for name in ("lines.json", "lines.json.gz", "array.json", "response.json"):
        assert [r.payload for r in records(get_source("materials-project"), tmp_path / name)] == expected


def test_documents_of_mp_api_with_their_class_names_are_read(tmp_path: Path) -> None:
    content = document({"string": "mp-30", "@module": "emmet.core.mpid", "@class": "MPID"}, **{"@class": "SummaryDoc"})
    (record,) = records(get_source("materials-project"), saved(tmp_path, [content]))
    assert record.external_id == "mp-30"


def test_a_gap_that_contradicts_the_metal_flag_is_doubted(tmp_path: Path) -> None:
    (record,) = records(get_source("materials-project"), saved(tmp_path, [document(band_gap=1.2)]))
    assert [(d.rule, d.property_key) for d in record.doubts] == [("inconsistent", "gap")]
    assert value(record, q.GAP) is None


def test_a_direct_gap_is_the_gap(tmp_path: Path) -> None:
    content = [document(band_gap=1.2, is_metal=False, is_gap_direct=True), document("b", band_gap=1.2, is_metal=False)]
    direct, indirect = records(get_source("materials-project"), saved(tmp_path, content))
    assert value(direct, q.GAP_DIRECT) == 1.2
    assert value(indirect, q.GAP_DIRECT) is None


def test_documents_without_structure_or_name_are_set_aside_one_by_one(tmp_path: Path) -> None:
    disordered = structure_dict(bulk("Cu"))
    disordered["sites"][0]["species"] = [{"element": "Cu", "occu": 0.5}, {"element": "Au", "occu": 0.5}]
    bare = document()
    del bare["material_id"]
    found = items(
        get_source("materials-project"), saved(tmp_path, [document(), bare, document("x", structure=disordered)])
    )
    assert [getattr(item, "rule", None) for item in found] == [None, "unknown_keys", "mass_or_charge_nonsense"]


@pytest.mark.parametrize(
    "content", ["<html>", "{}", "[]", "[1]", '{"detail": "Invalid API key"}', '[{"material_id": "x"}]']
)
def test_what_is_no_summary_is_refused_before_anything_is_read(tmp_path: Path, content: str) -> None:
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(ImportFileError) as error:
        get_source("materials-project").check(tmp_path / "x.json")
    assert error.value.hint


def test_nonsense_anywhere_in_a_document_costs_it_at_most() -> None:
    assert survives(get_source("materials-project"), document()) > 30


@pytest.mark.services
def test_documents_become_bulk_phases_with_their_space_group(engine: Engine, tmp_path: Path) -> None:
    content = [document(), document("mp-81", structure=structure_dict(bulk("Au")))]
    report = import_file(engine, "materials-project", saved(tmp_path, content))
    assert (report.accepted, report.quarantined) == (2, {})
    dedupe(engine)
    with engine.connect() as connection:
        groups = connection.execute(text(
            "SELECT m.formula, b.space_group FROM bulk_phase b JOIN material m ON m.id = b.material_id ORDER BY 1"
        )).all()  # fmt: skip
    assert [tuple(row) for row in groups] == [("Au", 225), ("Cu", 225)]
