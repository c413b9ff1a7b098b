"""A group's own data: maps that say what is wrong with them, and tables read as the map says."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase.io import write
from documents import examples
from reading import NONSENSE, items, records, survives, value
from small_files import bilayer, c2db_file, dichalcogenide, graphene
from sqlalchemy import Engine, text

from etl.api import import_file
from etl.dedupe.api import dedupe
from etl.errors import ImportFileError, RecordError
from etl.records import RawFailure, Record
from etl.source import Raw, get_source
from etl.sources.table import Table, table_source
from etl.sources.table_map import MapError, TableMap
from etl.units import UnitError, conversion
from etl.validate import validate
from schema import quantities as q
from schema.quantities import QUANTITIES
from schema.vocabulary import InterfaceKind, Method, Subject

HEAD = 'name = "our-dft"\ndatabase = "d"\nlicence = "l"\ncitation = "c"\nmethod = "PBE"\n'
LAYERS = HEAD + 'subject = "monolayer"\nid = "id"\n'
STACKS = HEAD + 'subject = "interface"\nid = "id"\n[stack]\nbottom = "b"\ntop = "t"\n'


def source(folder: Path, content: str) -> Any:
    path = folder / "map.toml"
    path.write_text(content)
    return table_source(path)


def table(folder: Path, *lines: str) -> Path:
    path = folder / "table.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def documented(tmp_path: Path) -> Path:
    """The examples of docs/own-data.md, as files, with the structures that they speak of."""
    for name, content in examples("own-data.md").items():
        (tmp_path / name).write_text(content)
    (tmp_path / "structures").mkdir()
    layer = dichalcogenide()
    layer.pbc = True
    write(tmp_path / "structures" / "mos2.cif", layer, format="cif")
    write(tmp_path / "structures" / "graphene.xyz", graphene(), format="extxyz")
    return tmp_path


# -- the examples of the documentation -----------------------------------------------------------------------------


def test_the_documented_layers_are_read_as_the_page_says(documented: Path) -> None:
    first, second = records(table_source(documented / "layers.toml"), documented / "layers.csv")
    assert (first.external_id, first.subject) == ("ours-1", Subject.MONOLAYER)
    assert validate(first).structure.thickness == pytest.approx(3.12, abs=1e-3)
    assert value(first, q.GAP) == 1.62
    assert value(first, q.GAP, Method.HSE06) == 2.10
    assert value(first, q.VBM) == pytest.approx(-5.89)
    assert value(first, q.WORK_FUNCTION) == pytest.approx(5.14)
    assert value(second, q.VBM) is None
    assert not second.doubts
    assert second.atoms.periodic == (True, True, False)


def test_the_documented_stacks_are_judged_as_the_page_says(documented: Path) -> None:
    first, second, third = items(table_source(documented / "stacks.toml"), documented / "stacks.csv")
    assert isinstance(first, Record)
    assert isinstance(second, Record)
    assert isinstance(third, RawFailure)
    accepted = {fact.quantity: fact.value for fact in validate(first).facts}
    assert accepted[q.BINDING_ENERGY] == pytest.approx(19.35, abs=0.01)
    assert accepted[q.INTERLAYER_DISTANCE] == pytest.approx(3.34)
    assert (first.stack.kind, first.stack.twist) == (InterfaceKind.HETEROBILAYER, 30.0)
    assert second.stack.kind is InterfaceKind.HOMOBILAYER
    assert [d.rule for d in validate(second).doubts] == ["not_bound"]
    assert (third.external_id, third.rule) == ("ours-1/ours-2/ours-1", "unparsable")


@pytest.mark.services
def test_the_documented_examples_find_their_materials_in_the_database(engine: Engine, documented: Path) -> None:
    for name in ("layers", "stacks"):
        import_file(engine, table_source(documented / f"{name}.toml"), documented / f"{name}.csv")
    import_file(engine, "c2db", c2db_file(documented))
    report = import_file(engine, table_source(documented / "measured.toml"), documented / "measured.csv")
    assert (report.source, report.accepted) == ("our-kelvin-probe", 1)
    found = dedupe(engine)
    assert (found.linked, found.unlinked) == (4, 0)
    with engine.connect() as connection:
        rows = connection.execute(text(
            """SELECT s.key, v.method, v.value FROM property_value v JOIN property p ON p.id = v.property_id
               JOIN source_record r ON r.id = v.source_record_id JOIN source s ON s.id = r.source_id
               JOIN material_member m ON m.source_record_id = r.id
               WHERE p.key = 'work_function' AND m.material_id = (
                   SELECT n.material_id FROM material_member n JOIN source_record o ON o.id = n.source_record_id
                   WHERE o.external_id = '1MoS2-1')
               ORDER BY 1"""
        )).all()  # fmt: skip
    assert [tuple(row) for row in rows] == [
        ("c2db", "PBE", 4.7), ("our-kelvin-probe", "experiment", 5.15), ("our-layers", "PBE", pytest.approx(5.14)),
    ]  # fmt: skip


@pytest.mark.services
def test_a_corrected_map_supersedes_what_the_wrong_one_said(engine: Engine, documented: Path) -> None:
    path = documented / "layers.csv"
    import_file(engine, table_source(documented / "layers.toml"), path)
    again = import_file(engine, table_source(documented / "layers.toml"), path)
    assert (again.unchanged, again.superseded) == (2, 0)
    wrong = (documented / "layers.toml").read_text().replace('unit = "meV" }', 'unit = "eV" }')
    (documented / "layers.toml").write_text(wrong)
    corrected = import_file(engine, table_source(documented / "layers.toml"), path)
    assert (corrected.superseded, corrected.flags) == (2, {"wrong_unit": 2})


@pytest.mark.services
def test_a_changed_structure_file_beside_an_unchanged_table_is_noticed(engine: Engine, documented: Path) -> None:
    reader = table_source(documented / "layers.toml")
    import_file(engine, reader, documented / "layers.csv")
    write(documented / "structures" / "graphene.xyz", graphene(a=2.47), format="extxyz")
    again = import_file(engine, reader, documented / "layers.csv")
    assert (again.unchanged, again.superseded) == (1, 1)


# -- maps ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "line", "says", "hint"),
    [
        (LAYERS + '[columns]\ngap = { column = "g", unit = "Å" }', 9, "cannot become eV", "meV"),
        (LAYERS + '[columns]\ngap = { column = "g", unit = "blob" }', 9, "no unit 'blob'", "meV"),
        (LAYERS + '[columns]\ngap = { column = "g" }', 9, "gap has no unit", "meV"),
        (LAYERS + '[columns]\ngapp = { column = "g", unit = "eV" }', 9, "no property 'gapp'", "Did you mean gap?"),
        (LAYERS + '[columns.binding_energy]\ncolumn = "g"\nunit = "eV"', 8, "no property of a monolayer", "gap"),
        (LAYERS + '[columns.gap]\ncolumn = "g"\nunit = "eV"\nmethod = "PBESOL"', 11, "PBE", ""),
        (LAYERS + '[columns.gap]\ncolumn = "g"\nunits = "eV"', 10, "no key 'units'", "Did you mean unit?"),
        (LAYERS + '[columns.gap]\ncolumn = "g"\nunit = "eV"\nface = "top"', 11, "same on both faces", "face"),
        (LAYERS + '[columns.magnetic_state]\ncolumn = "g"\nunit = "eV"', 8, "is a word", "alone"),
        (LAYERS.replace('method = "PBE"', 'method = "pbe"'), 5, "method", ""),
        (LAYERS.replace('"our-dft"', '"c2db"'), 1, "published database", "our-dft"),
        (LAYERS.replace('"our-dft"', '"my-c2db"'), 1, "published database", "our-dft"),
        (LAYERS.replace('"our-dft"', '"optimade-mp"'), 1, "published database", "our-dft"),
        (LAYERS.replace('"our-dft"', '"a; DROP TABLE"'), 1, "no name of a source", "small letters"),
        (LAYERS.replace('licence = "l"\n', ""), 1, "licence is missing", "own-data.md"),
        (LAYERS + "[stack]\n", 8, "has no stack", "interface"),
        (HEAD + 'subject = "interface"\nid = "id"', 6, "needs a section [stack]", "bottom"),
        (HEAD + 'subject = "interface"\nid = "id"\n[stack]\nbottom = "b"', 8, "bottom and top", "names"),
        (STACKS + 'distance = { column = "d", unit = "eV" }', 11, "cannot become Å", "nm"),
        (LAYERS + "precedence = 0", 8, "greater than or equal to 1", ""),
    ],
)
def test_a_wrong_map_names_its_line_and_what_is_allowed(
    tmp_path: Path, content: str, line: int, says: str, hint: str
) -> None:
    with pytest.raises(MapError) as error:
        source(tmp_path, content)
    assert f"map.toml, line {line}, " in error.value.message
    assert says in error.value.message
    assert hint in error.value.hint


def test_a_map_that_is_no_map_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(MapError, match=r"is not TOML.*line 1"):
        source(tmp_path, "name = our")
    with pytest.raises(MapError, match="cannot be read"):
        table_source(tmp_path / "absent.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(MapError, match="UTF-8"):
        table_source(tmp_path / "binary.toml")


def test_a_column_that_the_table_lacks_is_named_before_anything_is_read(tmp_path: Path) -> None:
    reader = source(tmp_path, LAYERS + '[columns]\ngap = { column = "Egap", unit = "eV" }')
    with pytest.raises(ImportFileError, match=r"no column 'Egap', which .*map.toml names for columns.gap") as error:
        reader.check(table(tmp_path, "id,E_gap", "a,1"))
    assert "Did you mean 'E_gap'" in error.value.hint


def test_a_table_needs_a_map(tmp_path: Path) -> None:
    with pytest.raises(ImportFileError, match="needs a map") as error:
        get_source("table").check(table(tmp_path, "id,g", "a,1"))
    assert "--map" in error.value.hint


def test_every_quantity_has_a_unit_that_a_map_can_write() -> None:
    for quantity in QUANTITIES.values():
        if not quantity.is_label:
            assert conversion(quantity.unit, quantity.unit) == 1.0


@pytest.mark.parametrize(
    ("unit", "target", "factor"),
    [
        ("eV/Å²", "meV/Å²", 1000.0), ("eV/A^2", "meV/Å²", 1000.0), ("meV/Ang**2", "meV/Å²", 1.0),
        # Liu et al., PRB 85, 205418: graphite's 0.37 J/m² are 23 meV/Å².
        ("J/m²", "meV/Å²", 62.415), ("mJ/m^2", "meV/Å²", 0.062415), ("N/m", "meV/Å²", 62.415),
        ("kJ/mol", "eV", 0.0103643), ("kcal/mol/atom", "eV/atom", 0.0433641), ("Ha", "eV", 27.21139),
        ("Rydberg", "eV", 13.60569), ("bohr", "Å", 0.529177), ("nm", "Å", 10.0), ("%", "1", 0.01),
        ("rad", "deg", 57.29578), ("eV/Å²", "N/m", 16.02177),
    ],
)  # fmt: skip
def test_units_are_converted_by_the_constants_of_nature(unit: str, target: str, factor: float) -> None:
    assert conversion(unit, target) == pytest.approx(factor, rel=1e-5)


@pytest.mark.parametrize("unit", ["eV", "eV/Å", "J", "", "meV/Å³", "parsec", "eV//", "Å²/eV", "eV^^2", "1/0"])
def test_a_unit_of_something_else_is_refused(unit: str) -> None:
    with pytest.raises(UnitError):
        conversion(unit, "meV/Å²")


# -- tables --------------------------------------------------------------------------------------------------------


def test_signs_faces_and_references_are_as_the_map_says(tmp_path: Path) -> None:
    content = LAYERS + (
        'names = ["other"]\n[columns]\nexfoliation_energy = { column = "e", unit = "meV/atom", sign = -1 }\n'
        'vbm = { column = "v", unit = "eV", face = "top", reference = "vac" }\nmagnetic_state = { column = "m" }\n'
    )
    path = table(tmp_path, "id,other,e,v,vac,m", "a,x,-80,-1,4,FM", "b,y,-80,-1,,FM", "c,z,?,1e999,4,")
    first, second, third = records(source(tmp_path, content), path)
    assert {(f.quantity.key, f.value, f.face) for f in first.facts} == {
        ("exfoliation_energy", 0.08, None), ("vbm", -5.0, "top"), ("magnetic_state", "FM", None),
    }  # fmt: skip
    assert first.names == ["x"]
    assert [d.rule for d in second.doubts] == ["no_vacuum_level"]
    assert [d.rule for d in validate(third).doubts] == ["unparsable", "non_finite"]


def test_a_layer_without_structure_and_without_names_is_set_aside(tmp_path: Path) -> None:
    reader = source(tmp_path, LAYERS + '[columns]\ngap = { column = "g", unit = "eV" }')
    (record,) = records(reader, table(tmp_path, "id,g", "a,1"))
    with pytest.raises(RecordError) as error:
        validate(record)
    assert error.value.rule == "missing_structure"


@pytest.mark.parametrize(
    "name", ["../secret.cif", "/etc/passwd", "link.cif", "absent.cif", "notes.txt", "a\x00.cif", "."]
)
def test_a_structure_outside_the_folder_or_of_no_format_is_refused(tmp_path: Path, name: str) -> None:
    write(tmp_path / "secret.cif", graphene(), format="cif")
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "link.cif").symlink_to(tmp_path / "secret.cif")
    (folder / "notes.txt").write_text("x")
    reader = source(tmp_path, LAYERS + '[structure]\ncolumn = "file"\n')
    (found,) = items(reader, table(folder, "id,file", f"a,{name}"))
    assert isinstance(found, RawFailure)
    assert found.rule in ("missing_structure", "unparsable")
    assert "secret" not in str(found.payload) or name == "../secret.cif"


@pytest.mark.parametrize("lower", [None, "3"])
def test_the_upper_layer_of_a_stack_is_found(tmp_path: Path, lower: str | None) -> None:
    write(tmp_path / "s.xyz", bilayer(dichalcogenide(), 3.0), format="extxyz")
    content = STACKS + ('bottom_atoms = "n"\n' if lower else "") + '[structure]\ncolumn = "file"\n'
    (record,) = records(source(tmp_path, content), table(tmp_path, "id,b,t,file,n", f"x,A,A,s.xyz,{lower or ''}"))
    assert record.stack.top_atoms.tolist() == [3, 4, 5]
    (distance,) = [f.value for f in validate(record).facts if f.quantity is q.INTERLAYER_DISTANCE]
    assert distance == pytest.approx(3.0)


def test_a_folder_of_structures_is_a_record_a_file(tmp_path: Path) -> None:
    folder = tmp_path / "layers"
    folder.mkdir()
    layer = dichalcogenide()
    write(folder / "POSCAR_mos2", layer, format="vasp")
    write(folder / "graphene.xyz", graphene(), format="extxyz")
    (folder / "broken.cif").write_text("data_\n")
    reader = source(tmp_path, HEAD + 'subject = "monolayer"\n')
    found = items(reader, folder)
    assert [(type(item), item.external_id) for item in found] == [
        (Record, "POSCAR_mos2"), (RawFailure, "broken"), (Record, "graphene"),
    ]  # fmt: skip
    with pytest.raises(ImportFileError, match="has no column 'id'"):
        source(tmp_path, LAYERS).check(folder)


def test_frames_carry_their_columns_in_their_comment_line(tmp_path: Path) -> None:
    frames = [graphene(), dichalcogenide()]
    for number, frame in enumerate(frames):
        frame.info.update({"label": f"L{number}", "Eg": 0.5 * number})
    write(tmp_path / "set.extxyz", frames, format="extxyz")
    content = HEAD + 'subject = "monolayer"\nid = "label"\n[columns]\ngap = { column = "Eg", unit = "eV" }\n'
    reader = source(tmp_path, content)
    assert reader.check(tmp_path / "set.extxyz") == 2
    first, second = records(reader, tmp_path / "set.extxyz")
    assert [first.external_id, second.external_id] == ["L0", "L1"]
    assert [value(first, q.GAP), value(second, q.GAP)] == [0.0, 0.5]
    np.testing.assert_allclose(second.atoms.positions, frames[1].positions, atol=1e-6)
    with (tmp_path / "set.extxyz").open("a") as file:
        file.write("not a number\n")
    assert [type(item) for item in items(reader, tmp_path / "set.extxyz")] == [Record, Record, RawFailure]


def test_a_kept_record_is_read_again_without_its_map(documented: Path) -> None:
    for name in ("layers", "stacks", "measured"):
        found = items(table_source(documented / f"{name}.toml"), documented / f"{name}.csv")
        for record in (item for item in found if isinstance(item, Record)):
            reader = Table()
            again = reader.record(reader.kept(record.external_id, copy.deepcopy(record.payload)))
            assert (again.external_id, again.facts, again.names) == (record.external_id, record.facts, record.names)


def test_nonsense_in_a_record_costs_that_record_at_most(documented: Path) -> None:
    for name in ("layers", "stacks"):
        reader = table_source(documented / f"{name}.toml")
        record = records(reader, documented / "layers.csv")[0] if name == "layers" else items(
            reader, documented / "stacks.csv"
        )[0]  # fmt: skip
        assert survives(reader, record.payload) > 5
    kept = Table()
    for nonsense in NONSENSE:
        assert isinstance(kept.read(Raw("x", {"columns": {}, "map": nonsense})), RawFailure)


def test_the_map_survives_the_way_to_another_process(documented: Path) -> None:
    import pickle

    reader = table_source(documented / "layers.toml")
    assert pickle.loads(pickle.dumps(reader)).info == reader.info
    assert TableMap.load(documented / "layers.toml").columns["gap"][1].method is Method.HSE06


# -- a published table, dirt included ------------------------------------------------------------------------------

PUBLISHED = (
    HEAD
    + """subject = "interface"
id = "Formula"
[stack]
names = { column = "Formula", separator = "-" }
distance = { column = "do", unit = "Å" }
[columns]
binding_energy = { column = "Eb", unit = "meV/Å²" }
gap = { column = "Eg", unit = "eV" }
"""
)


@pytest.mark.services
def test_a_published_table_is_imported_and_its_wild_energies_are_caught(
    engine: Engine, tmp_path: Path, shared_data: Path
) -> None:
    report = import_file(engine, source(tmp_path, PUBLISHED), shared_data / "reference" / "dirty_bilayers4ows.csv")
    assert (report.read, report.accepted, report.quarantined) == (412, 412, {})
    with engine.connect() as connection:
        stored = connection.execute(text(
            """SELECT count(*), min(v.value), max(v.value) FROM property_value v
               JOIN property p ON p.id = v.property_id WHERE p.key = 'binding_energy'"""
        )).one()  # fmt: skip
        counted = text("SELECT rule, count(*) FROM record_flag WHERE property_key = 'binding_energy' GROUP BY rule")
        flags = {row.rule: row.count for row in connection.execute(counted)}
        raw = connection.scalar(text("SELECT max((payload->'columns'->>'Eb')::float) FROM source_record"))
    assert stored[0] + sum(flags.values()) == 412, "every energy is stored or flagged, none is lost"
    assert 0 < stored[1] < stored[2] <= 150
    assert set(flags) == {"outside_physics", "not_bound", "wrong_unit"}
    assert raw == pytest.approx(453024.1578)
