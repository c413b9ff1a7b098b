"""OPTIMADE: providers keep their names, layers are told from crystals, and one bad entry never stops the rest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms as AseAtoms
from ase.build import bulk
from reading import items, records, survives, value
from small_files import dichalcogenide, graphene
from small_json import HEADER, INFO, entry
from sqlalchemy import Engine, text

from etl.api import import_file
from etl.errors import ImportFileError
from etl.records import RawFailure, Record
from etl.source import get_source
from etl.validate import validate
from schema import quantities as q
from schema.vocabulary import Method, Subject


def lines(folder: Path, *content: object, name: str = "dump.jsonl") -> Path:
    path = folder / name
    path.write_text("".join((part if isinstance(part, str) else json.dumps(part)) + "\n" for part in content))
    return path


def test_an_entry_is_the_structure_that_it_describes(tmp_path: Path) -> None:
    layer = dichalcogenide()
    (record,) = records(get_source("optimade"), lines(tmp_path, HEADER, INFO, entry("mp-1", layer, (1, 1, 0))))
    np.testing.assert_allclose(record.atoms.positions, layer.positions)
    np.testing.assert_array_equal(record.atoms.numbers, layer.numbers)
    assert record.atoms.periodic == (True, True, False)
    assert record.external_id == "mp/mp-1"


def test_the_provider_decides_the_source(tmp_path: Path) -> None:
    reader = get_source("optimade")
    known = reader.for_file(lines(tmp_path, HEADER, entry("mp-1", graphene())))
    assert (known.info.key, known.info.licence) == ("optimade-mp", "CC BY 4.0")
    other = {"x-optimade": {"meta": {"provider": {"prefix": "aprovider"}}}}
    assert reader.for_file(lines(tmp_path, other, entry("1", graphene()))).info.key == "optimade-aprovider"
    fields = reader.for_file(lines(tmp_path, entry("1", graphene(), _oqmd_delta_e=-0.1)))
    assert fields.info.key == "optimade-oqmd"
    evil = {"x-optimade": {"meta": {"provider": {"prefix": "../'; DROP"}}}}
    nobody = reader.for_file(lines(tmp_path, evil, entry("1", graphene())))
    assert nobody.info.key == "optimade"
    assert [r.external_id for r in nobody.records(tmp_path / "dump.jsonl")] == ["1"]


def test_a_saved_response_reads_like_the_dump(tmp_path: Path) -> None:
    content = [entry("mp-1", graphene()), entry("mp-2", bulk("Cu"))]
    page = {"data": content, "links": {"next": None}, "meta": HEADER["x-optimade"]["meta"]}
    (tmp_path / "page.json").write_text(json.dumps(page))
    (tmp_path / "pretty.json").write_text(json.dumps(page, indent=1))
    reader = get_source("optimade")
    dump = records(reader, lines(tmp_path, HEADER, *content))
    for name in ("page.json", "pretty.json"):
        assert [(r.external_id, r.payload) for r in records(reader, tmp_path / name)] == [
            (r.external_id, r.payload) for r in dump
        ]


@pytest.mark.parametrize(
    ("atoms", "periodic", "subject"),
    [
        (graphene(), (1, 1, 0), Subject.MONOLAYER),
        # Most providers call a slab in a box periodic in three directions.
        (graphene(), (1, 1, 1), Subject.MONOLAYER),
        (bulk("Cu"), (1, 1, 1), Subject.BULK),
        # Graphite: a van der Waals gap is no vacuum.
        (graphene(vacuum=3.35), (1, 1, 1), Subject.BULK),
    ],
)
def test_layers_are_told_from_crystals(
    tmp_path: Path, atoms: AseAtoms, periodic: tuple[int, int, int], subject: Subject
) -> None:
    (record,) = records(get_source("optimade"), lines(tmp_path, HEADER, entry("1", atoms, periodic)))
    assert record.subject is subject
    assert validate(record).structure is not None


def test_a_missing_third_vector_is_a_layer_without_a_box(tmp_path: Path) -> None:
    cell = [*np.array(graphene().cell)[:2].tolist(), [None, None, None]]
    (record,) = records(
        get_source("optimade"), lines(tmp_path, HEADER, entry("1", graphene(), (1, 1, 0), lattice_vectors=cell))
    )
    assert validate(record).structure.area == pytest.approx(2.46**2 * np.sqrt(3) / 2)


def refused(tmp_path: Path, **attributes: Any) -> str:
    (found,) = items(get_source("optimade"), lines(tmp_path, HEADER, entry("1", graphene(), **attributes)))
    assert isinstance(found, RawFailure), "it was accepted"
    assert found.payload is not None
    return found.rule


def test_what_has_no_definite_structure_is_refused_by_its_rule(tmp_path: Path) -> None:
    mixed = [{"name": "C", "chemical_symbols": ["C", "N"], "concentration": [0.5, 0.5]}]
    assert refused(tmp_path, species=mixed, structure_features=["disorder"]) == "mass_or_charge_nonsense"
    partial = [{"name": "C", "chemical_symbols": ["C"], "concentration": [0.9]}]
    assert refused(tmp_path, species=partial) == "mass_or_charge_nonsense"
    unknown = [{"name": "C", "chemical_symbols": ["X"], "concentration": [1.0]}]
    assert refused(tmp_path, species=unknown) == "mass_or_charge_nonsense"
    assert refused(tmp_path, structure_features=["implicit_atoms"]) == "missing_structure"
    assert refused(tmp_path, cartesian_site_positions=None) == "missing_structure"
    assert refused(tmp_path, chemical_formula_reduced="CN") == "inconsistent"
    assert refused(tmp_path, dimension_types=[1, 0, 0], nperiodic_dimensions=1) == "not_2d"
    assert refused(tmp_path, nsites=7) == "missing_structure"


def test_what_the_structure_does_not_need_may_be_against_the_specification(tmp_path: Path) -> None:
    content = entry("1", dichalcogenide(), elements=["S", "Mo"], chemical_formula_hill="nonsense", nelements="two")
    del content["attributes"]["structure_features"], content["attributes"]["last_modified"]
    (record,) = records(get_source("optimade"), lines(tmp_path, HEADER, content))
    assert len(record.atoms.numbers) == 3


def test_only_known_fields_of_a_provider_become_properties(tmp_path: Path) -> None:
    stability = {
        "gga_gga+u": {"energy_above_hull": 0.02, "formation_energy_per_atom": -0.8},
        "gga_gga+u_r2scan": {"energy_above_hull": 0.01},
    }
    content = entry("mp-1", graphene(), _mp_stability=stability, _mp_band_gap_guess=3.0, _oqmd_band_gap="odd")
    (record,) = records(get_source("optimade"), lines(tmp_path, HEADER, content))
    assert value(record, q.HULL_ENERGY) == 0.02
    assert value(record, q.HULL_ENERGY, Method.GGA_R2SCAN) == 0.01
    assert value(record, q.FORMATION_ENERGY) == -0.8
    assert np.isnan(value(record, q.GAP))
    assert [d.rule for d in validate(record).doubts] == ["non_finite"]
    assert record.payload["attributes"]["_mp_band_gap_guess"] == 3.0


def test_one_bad_line_never_stops_the_rest(tmp_path: Path) -> None:
    reference = {"id": "dijkstra1968", "type": "references", "attributes": {}}
    path = lines(tmp_path, HEADER, entry("mp-1", graphene()), "{broken", reference, "[1]", entry("mp-2", graphene()))
    found = items(get_source("optimade"), path)
    assert [type(item) for item in found] == [Record, RawFailure, RawFailure, RawFailure, Record]
    assert [item.rule for item in found[1:4]] == ["unparsable", "unknown_keys", "unparsable"]


@pytest.mark.parametrize("content", ["<html>", "{}", '{"data": []}', '{"errors": [{"status": 404}]}', '{"data": [1]}'])
def test_what_is_no_optimade_is_refused_before_anything_is_read(tmp_path: Path, content: str) -> None:
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(ImportFileError) as error:
        get_source("optimade").check(tmp_path / "x.json")
    assert error.value.hint


def test_nonsense_anywhere_in_an_entry_costs_that_entry_at_most() -> None:
    content = entry("mp-1", graphene(), _mp_stability={"gga_gga+u": {"energy_above_hull": 0.0}})
    assert survives(get_source("optimade"), content) > 50


@pytest.mark.services
def test_two_providers_are_two_sources_in_the_database(engine: Engine, tmp_path: Path) -> None:
    report = import_file(
        engine, "optimade", lines(tmp_path, HEADER, entry("mp-1", graphene()), entry("mp-2", bulk("Cu")))
    )
    assert (report.source, report.accepted) == ("optimade-mp", 2)
    oqmd = lines(tmp_path, entry("1", graphene(), _oqmd_delta_e=0.1), name="o.jsonl")
    assert import_file(engine, "optimade", oqmd).source == "optimade-oqmd"
    with engine.connect() as connection:
        found = connection.execute(text("SELECT external_id, subject FROM source_record ORDER BY 1")).all()
    assert [tuple(row) for row in found] == [("mp/mp-1", "monolayer"), ("mp/mp-2", "bulk"), ("oqmd/1", "monolayer")]
