"""V2DB: predictions stay predictions, and no structure is made up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from reading import items, records, survives, value
from small_files import dichalcogenide
from small_json import jarvis_atoms
from small_tables import MOS2, NBS2, V2DB_HEADER
from sqlalchemy import Engine, text

from etl.api import import_file
from etl.dedupe.api import dedupe
from etl.errors import UnknownKeysError
from etl.records import RawFailure
from etl.source import get_source
from schema import quantities as q
from schema.vocabulary import Method


def table(folder: Path, *rows: str, header: str = V2DB_HEADER) -> Path:
    path = folder / "v2db.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def test_no_value_of_v2db_carries_the_method_of_a_calculation(tmp_path: Path) -> None:
    for record in records(get_source("v2db"), table(tmp_path, MOS2, NBS2)):
        assert {fact.method for fact in record.facts} == {Method.ML_PREDICTED}
        assert record.atoms is None


def test_edges_are_taken_of_semiconductors_and_work_functions_of_metals(tmp_path: Path) -> None:
    semiconductor, metal = records(get_source("v2db"), table(tmp_path, MOS2, NBS2))
    assert value(semiconductor, q.VBM, Method.ML_PREDICTED) == -5.9
    assert value(semiconductor, q.WORK_FUNCTION, Method.ML_PREDICTED) is None
    assert value(semiconductor, q.GAP_DIRECT, Method.ML_PREDICTED) == 1.61
    assert value(metal, q.VBM, Method.ML_PREDICTED) is None
    assert value(metal, q.WORK_FUNCTION, Method.ML_PREDICTED) == 6.0
    assert metal.payload["VBM"] == "-5.0", "what is not taken is kept"


def test_a_row_goes_by_its_sites_and_joins_by_the_name_that_c2db_gave(tmp_path: Path) -> None:
    rows = (MOS2, "CuCuTeTe,GaS,0.0,1,-0.1,,0.0,,0,NM,0,5.0", "BiTiBi,MoS2,0.0,1,-0.1,,0.0,,0,AFM,1,5.0")
    found = records(get_source("v2db"), table(tmp_path, *rows))
    assert [r.external_id for r in found] == ["MoSS-MoS2", "CuCuTeTe-GaS", "BiTiBi-MoS2"]
    assert [r.names for r in found] == [["MoS2-MoS2-NM"], ["Cu2Te2-GaS-NM"], ["Bi2Ti-MoS2-AFM"]]


def test_columns_are_found_whatever_their_spelling(tmp_path: Path) -> None:
    header = "Formula,Structure type,Band gap (eV),Heat of formation [eV/atom],is_metal"
    (record,) = records(get_source("v2db"), table(tmp_path, "MoSS,MoS2,1.6,-0.9,0", header=header))
    assert value(record, q.GAP, Method.ML_PREDICTED) == 1.6
    assert value(record, q.FORMATION_ENERGY, Method.ML_PREDICTED) == -0.9


@pytest.mark.parametrize("header", ["a,b,c", "Material,Band_Gap,x", "Material,Prototype,Magnetic_state"])
def test_another_table_is_refused_with_its_columns(tmp_path: Path, header: str) -> None:
    with pytest.raises(UnknownKeysError) as error:
        get_source("v2db").check(table(tmp_path, "1,2,3", header=header))
    assert "a, b" in error.value.message or "Material" in error.value.message


def test_bad_rows_are_set_aside_one_by_one(tmp_path: Path) -> None:
    rows = (MOS2, "MoSS,MoS2,1.6", "Xx2S,MoS2,1.0,0,0,0,0,0,0,NM,0,5", "not a formula,MoS2,1,0,0,0,0,0,0,NM,0,5", NBS2)
    found = items(get_source("v2db"), table(tmp_path, *rows))
    assert [getattr(item, "rule", None) for item in found] == [
        None, "unparsable", "mass_or_charge_nonsense", "unparsable", None,
    ]  # fmt: skip
    assert isinstance(found[1], RawFailure)
    assert found[1].raw_text == "MoSS,MoS2,1.6"


def test_nonsense_in_any_cell_costs_that_row_at_most() -> None:
    content = dict(zip(V2DB_HEADER.split(","), MOS2.split(","), strict=True))
    assert survives(get_source("v2db"), content) > 10


@pytest.mark.services
def test_predictions_join_the_layer_of_that_name_and_the_others_wait(engine: Engine, tmp_path: Path) -> None:
    """A layer of C2DB's 2018 release, in JARVIS's form and under the name that release gave it."""
    layer = {"id": "MoS2-MoS2-NM", "atoms": jarvis_atoms(dichalcogenide()), "gap": 1.58, "wf": 5.1, "etot": -21.9}
    (tmp_path / "c2db.json").write_text(json.dumps([layer]))
    import_file(engine, "jarvis", tmp_path / "c2db.json")
    report = import_file(engine, "v2db", table(tmp_path, MOS2, NBS2))
    assert (report.accepted, report.quarantined) == (2, {})
    dedupe(engine)
    with engine.connect() as connection:
        members = connection.scalars(text(
            "SELECT r.external_id FROM material_member m JOIN source_record r ON r.id = m.source_record_id ORDER BY 1"
        )).all()  # fmt: skip
        shown = connection.execute(text("SELECT gap, magnetic_state, vbm FROM analyst.monolayers")).one()
    assert members == ["MoS2-MoS2-NM", "MoSS-MoS2"]
    assert tuple(shown) == (1.58, None, None), "what is calculated is shown, and no prediction"
