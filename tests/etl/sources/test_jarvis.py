"""JARVIS: three data sets in one container, each under its own name and with its own units."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from reading import items, records, survives, value
from small_files import dichalcogenide, graphene
from small_json import dft_2d, jarvis_atoms
from sqlalchemy import Engine, text

from etl.api import import_file
from etl.errors import ImportFileError, UnknownKeysError
from etl.records import RawFailure, Record
from etl.source import get_source
from schema import quantities as q
from schema.vocabulary import Method, Subject


def matpedia(**keys: Any) -> dict[str, Any]:
    stated = {"bandgap": 1.6, "energy_per_atom": -7.0, "exfoliation_energy_per_atom": 0.07, "total_magnetization": 0.0}
    return {"material_id": "2dm-3594", "atoms": jarvis_atoms(graphene()), **stated, **keys}


def c2db(**keys: Any) -> dict[str, Any]:
    stated = {"gap": 1.58, "wf": 5.1, "etot": -21.9, "efermi": -0.3, "raman_info": "na"}
    return {"id": "c2db-17", "atoms": jarvis_atoms(dichalcogenide()), **stated, **keys}


def write(folder: Path, *content: dict[str, Any], name: str = "d2.json") -> Path:
    path = folder / name
    path.write_text(json.dumps(content))
    return path


def test_exfoliation_energies_come_in_mev_and_total_energies_per_atom(tmp_path: Path) -> None:
    (record,) = records(get_source("jarvis"), write(tmp_path, dft_2d()))
    assert (record.external_id, record.subject) == ("JVASP-664", Subject.MONOLAYER)
    assert value(record, q.EXFOLIATION_ENERGY, Method.OPTB88) == pytest.approx(0.0788)
    assert value(record, q.TOTAL_ENERGY, Method.OPTB88) == pytest.approx(3 * -4.5)
    assert value(record, q.GAP, Method.OPTB88) == 1.7
    assert value(record, q.GAP, Method.TB_MBJ) == 2.0


def test_na_is_no_value_and_no_doubt(tmp_path: Path) -> None:
    (record,) = records(get_source("jarvis"), write(tmp_path, dft_2d(mbj_bandgap="na", ehull="na")))
    assert value(record, q.GAP, Method.HSE06) is None
    assert value(record, q.GAP, Method.TB_MBJ) is None
    assert value(record, q.HULL_ENERGY, Method.OPTB88) is None
    assert not record.doubts


@pytest.mark.parametrize("cartesian", [False, True])
def test_both_kinds_of_coordinates_give_the_same_layer(tmp_path: Path, cartesian: bool) -> None:
    layer = dichalcogenide()
    (record,) = records(get_source("jarvis"), write(tmp_path, dft_2d(atoms=jarvis_atoms(layer, cartesian=cartesian))))
    np.testing.assert_allclose(record.atoms.positions, layer.positions, atol=1e-9)
    np.testing.assert_array_equal(record.atoms.numbers, layer.numbers)


def test_each_data_set_is_a_source_of_its_own(tmp_path: Path) -> None:
    reader = get_source("jarvis")
    keys = [reader.for_file(write(tmp_path, part)).info.key for part in (dft_2d(), matpedia(), c2db())]
    assert keys == ["jarvis-dft-2d", "jarvis-2dmatpedia", "jarvis-c2db"]
    assert "2DMatPedia" in reader.for_file(write(tmp_path, matpedia())).info.database


def test_2dmatpedia_and_c2db_keep_their_methods(tmp_path: Path) -> None:
    (record,) = records(get_source("jarvis"), write(tmp_path, matpedia()))
    assert value(record, q.GAP) == 1.6
    assert value(record, q.EXFOLIATION_ENERGY, Method.OPTB88) == 0.07
    assert value(record, q.TOTAL_ENERGY) == pytest.approx(-14.0)
    (record,) = records(get_source("jarvis"), write(tmp_path, c2db()))
    assert (record.external_id, value(record, q.WORK_FUNCTION), value(record, q.TOTAL_ENERGY)) == (
        "c2db-17",
        5.1,
        -21.9,
    )


def test_a_record_of_another_data_set_does_not_slip_in_under_a_wrong_name(tmp_path: Path) -> None:
    first, second = items(get_source("jarvis"), write(tmp_path, dft_2d(), c2db()))
    assert isinstance(first, Record)
    assert isinstance(second, RawFailure)
    assert second.rule == "unknown_keys"


def test_the_zip_that_jarvis_tools_keeps_reads_like_the_json(tmp_path: Path) -> None:
    plain = write(tmp_path, dft_2d("JVASP-1"), dft_2d("JVASP-2"))
    with zipfile.ZipFile(tmp_path / "d2.json.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(plain, "d2-3-12-2021.json")
    packed = records(get_source("jarvis"), tmp_path / "d2.json.zip")
    assert [r.payload for r in packed] == [r.payload for r in records(get_source("jarvis"), plain)]


def test_an_archive_of_several_files_is_one_sentence(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "d.zip", "w") as archive:
        archive.writestr("a.json", "[]")
        archive.writestr("b.json", "[]")
    with pytest.raises(ImportFileError, match="archive of 2 files"):
        get_source("jarvis").check(tmp_path / "d.zip")
    whole = tmp_path / "whole.zip"
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.json", json.dumps([dft_2d()] * 50))
    (tmp_path / "half.zip").write_bytes(whole.read_bytes()[:300])
    with pytest.raises(ImportFileError, match="damaged"):
        get_source("jarvis").check(tmp_path / "half.zip")


@pytest.mark.parametrize("content", ["{}", '[{"jid": "x"}]', '[{"foo": 1}]', "[]", "[1]", "<html>", "[[[["])
def test_what_is_none_of_the_three_is_refused_before_anything_is_read(tmp_path: Path, content: str) -> None:
    (tmp_path / "d.json").write_text(content)
    with pytest.raises((ImportFileError, UnknownKeysError)) as error:
        get_source("jarvis").check(tmp_path / "d.json")
    assert error.value.hint


def test_a_file_that_breaks_off_gives_what_it_holds(tmp_path: Path) -> None:
    path = write(tmp_path, dft_2d("JVASP-1"), dft_2d("JVASP-2"))
    path.write_text(path.read_text()[:-200])
    whole, rest = items(get_source("jarvis"), path)
    assert isinstance(whole, Record)
    assert isinstance(rest, RawFailure)
    assert "JVASP-2" in rest.raw_text


@pytest.mark.parametrize("content", [dft_2d(), matpedia(), c2db()])
def test_nonsense_anywhere_in_a_record_costs_that_record_at_most(content: dict[str, Any]) -> None:
    assert survives(get_source("jarvis"), content) > 20


@pytest.mark.services
def test_an_import_feeds_the_source_that_the_file_names(engine: Engine, tmp_path: Path) -> None:
    path = write(tmp_path, c2db(), dft_2d())
    report = import_file(engine, "jarvis", path)
    assert (report.source, report.accepted, report.quarantined) == ("jarvis-c2db", 1, {"unknown_keys": 1})
    again = import_file(engine, "jarvis", path)
    assert (again.accepted, again.unchanged) == (0, 2)
    import_file(engine, "jarvis", write(tmp_path, dft_2d()))
    with engine.connect() as connection:
        found = connection.execute(text("SELECT key, reader FROM source ORDER BY key")).all()
    assert [tuple(row) for row in found] == [("jarvis-c2db", "jarvis"), ("jarvis-dft-2d", "jarvis")]
