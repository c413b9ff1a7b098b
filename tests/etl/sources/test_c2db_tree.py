"""C2DB's tree of folders gives the records that its .db file gives."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.db import connect
from ase.io import write
from ase.io.jsonio import encode
from asr_results import asr_data, asr_keys
from small_files import dichalcogenide, graphene
from sqlalchemy import Engine, text

from etl.api import import_file
from etl.canonical import canonical_slab
from etl.errors import ImportFileError
from etl.records import RawFailure, Record
from etl.source import get_source
from etl.spectra import fault_of, identity_of
from schema import quantities as q
from schema.vocabulary import Face, Method

Layer = tuple[str, Atoms, dict[str, Any], dict[str, Any]]


def layers() -> list[Layer]:
    """Folder, atoms, keys and results of layers with the keys of 2024."""
    keys_2024 = {"layergroup": "p-6m2", "lgnum": 78, "label": "2H", "dyn_stab": "Yes", "gap_dir_hse": 2.1}
    h, t, janus = dichalcogenide("H"), dichalcogenide("T"), dichalcogenide(chalcogen=("Se", "S"), a=3.25, height=1.62)
    return [
        ("AB2/1MoS2/1", h, asr_keys("1MoS2-1", olduid="MoS2-b3b4685fb6e1", **keys_2024), asr_data(h)),
        ("AB2/1MoS2/2", t, asr_keys("1MoS2-2", **{**keys_2024, "dyn_stab": "No"}), asr_data(t, unstable=True)),
        ("ABC/1MoSSe/1", janus, asr_keys("1MoSSe-1", **{**keys_2024, "evacdiff": -0.75}), {}),
        ("A/2C/1", graphene(), asr_keys("2C-1", gap=0.0), {}),
    ]


def write_tree(root: Path, rows: list[Layer], *, zipped: bool = False) -> Path:
    """A tree as the authors' program lays it down."""
    for place, atoms, keys, data in rows:
        folder = root / place
        folder.mkdir(parents=True)
        (folder / "data.json").write_text(json.dumps({**keys, "energy": -20.0}, indent=0))
        write(folder / "structure.xyz", atoms, format="extxyz")
        for name, result in data.items():
            content = encode(result).encode()
            if zipped:
                (folder / f"{name}.gz").write_bytes(gzip.compress(content))
            else:
                (folder / name).write_bytes(content)
    return root


def write_db(path: Path, rows: list[Layer]) -> Path:
    """The same as one file."""
    from ase.calculators.singlepoint import SinglePointCalculator

    with connect(path, serial=True) as database:
        # In the order of the tree's folders.
        for _, atoms, keys, data in sorted(rows, key=lambda row: row[0]):
            row = atoms.copy()
            row.calc = SinglePointCalculator(row, energy=-20.0)
            database.write(row, key_value_pairs=keys, data=data)
    return path


def records(path: Path) -> list[Record]:
    found = list(get_source("c2db").records(path))
    assert all(isinstance(r, Record) for r in found), found
    return [r for r in found if isinstance(r, Record)]


@pytest.mark.parametrize("zipped", [False, True])
def test_a_tree_gives_the_records_of_the_file(tmp_path: Path, zipped: bool) -> None:
    from_tree = records(write_tree(tmp_path / "tree", layers(), zipped=zipped))
    from_file = records(write_db(tmp_path / "c2db.db", layers()))
    assert get_source("c2db").check(tmp_path / "tree") == len(from_tree) == 4
    for one, other in zip(from_tree, from_file, strict=True):
        assert (one.external_id, one.names, one.facts) == (other.external_id, other.names, other.facts)
        assert one.doubts == other.doubts == []
        assert canonical_slab(one.atoms).digest == canonical_slab(other.atoms).digest
        assert one.payload["key_value_pairs"] == other.payload["key_value_pairs"]
        assert [identity_of(s) for s in one.spectra] == [identity_of(s) for s in other.spectra]
        for mine, theirs in zip(one.spectra, other.spectra, strict=True):
            assert fault_of(mine) is None
            for name in ("energies", "tensor", "wave_vectors"):
                if hasattr(mine, name):
                    np.testing.assert_allclose(getattr(mine, name), getattr(theirs, name), atol=1e-7)
    assert [len(r.spectra) for r in from_tree] == [0, 8, 8, 0]


@pytest.mark.services
def test_importing_a_tree_writes_the_facts_and_digests_of_the_file(engine: Engine, tmp_path: Path) -> None:
    import_file(engine, "c2db", write_db(tmp_path / "c2db.db", layers()))
    import_file(engine, "c2db", write_tree(tmp_path / "tree", layers()), label="tree")
    again = import_file(engine, "c2db", tmp_path / "tree", label="tree")
    assert again.unchanged == 4
    statement = text(
        """
        SELECT r.external_id, encode(t.digest, 'hex'),
               (SELECT count(*) FROM band_structure b WHERE b.source_record_id = r.id),
               (SELECT string_agg(concat_ws(' ', p.key, v.method, v.face, v.value, v.label), ';'
                                  ORDER BY p.key, v.method, v.face)
                FROM property_value v JOIN property p ON p.id = v.property_id WHERE v.source_record_id = r.id)
        FROM source_record r JOIN source s ON s.id = r.source_id JOIN structure t ON t.source_record_id = r.id
        WHERE s.key = :key ORDER BY 1
        """
    )
    with engine.connect() as connection:
        of_file = connection.execute(statement, {"key": "c2db"}).all()
        of_tree = connection.execute(statement, {"key": "tree-c2db"}).all()
    assert len(of_file) == 4
    assert of_tree == of_file


def test_a_uid_that_is_not_stated_follows_from_the_path(tmp_path: Path) -> None:
    place, atoms, keys, _ = layers()[0]
    del keys["uid"]
    tree = write_tree(tmp_path, [(place, atoms, keys, {})])
    assert [r.external_id for r in records(tree)] == ["1MoS2-1"]
    # The same, whichever folder of the tree is given.
    assert [r.external_id for r in records(tree / "AB2" / "1MoS2")] == ["1MoS2-1"]
    assert [r.external_id for r in records(tree / place)] == ["1MoS2-1"]


def test_a_folder_without_uid_and_of_no_such_name_is_quarantined(tmp_path: Path) -> None:
    _, atoms, keys, _ = layers()[0]
    del keys["uid"]
    (failure,) = get_source("c2db").records(write_tree(tmp_path, [("some/where", atoms, keys, {})]))
    assert isinstance(failure, RawFailure)
    assert failure.rule == "unknown_keys"


def test_band_edges_come_from_the_ground_state_where_data_json_has_none(tmp_path: Path) -> None:
    place, atoms, keys, _ = layers()[0]
    for name in ("vbm", "cbm", "workfunction", "evacdiff"):
        del keys[name]
    ground = {"kwargs": {"data": {"vbm": -1.0, "cbm": 0.6, "evac": 4.5, "evacdiff": 0.3, "gap": 99.0, "efermi": -0.2}}}
    tree = write_tree(tmp_path, [(place, atoms, keys, {"results-asr.gs.json": ground})])
    (record,) = records(tree)
    values = {(f.quantity, f.face): f.value for f in record.facts if f.method is Method.PBE}
    assert values[q.VBM, Face.TOP] == pytest.approx(-5.5 + 0.15)
    assert values[q.CBM, Face.BOTTOM] == pytest.approx(-3.9 - 0.15)
    assert values[q.GAP, None] == 1.6, "what data.json states stands"
    # The payload is all that is kept, and gives the same again.
    source = get_source("c2db")
    again = source.interpret(source.kept(record.external_id, record.payload))
    assert isinstance(again, Record)
    assert again.facts == record.facts
    # Levels on another scale are no levels of this layer.
    ground["kwargs"]["data"]["evac"] = 3.0
    (other,) = records(write_tree(tmp_path / "2", [(place, atoms, keys, {"results-asr.gs.json": ground})]))
    assert q.VBM not in {f.quantity for f in other.facts}


@pytest.mark.parametrize(("stated", "label"), [(True, "Yes"), (False, "Unknown"), ("No", "No")])
def test_stability_is_a_word_or_a_truth_value(tmp_path: Path, stated: object, label: str) -> None:
    place, atoms, keys, _ = layers()[0]
    (record,) = records(write_tree(tmp_path, [(place, atoms, {**keys, "dyn_stab": stated}, {})]))
    assert [f.value for f in record.facts if f.quantity is q.DYNAMIC_STABILITY] == [label]


def test_a_structure_in_json_is_read_where_there_is_no_xyz(tmp_path: Path) -> None:
    place, atoms, keys, _ = layers()[0]
    tree = write_tree(tmp_path, [(place, atoms, keys, {})])
    (tree / place / "structure.xyz").unlink()
    write(tree / place / "structure.json", atoms, format="json")
    (record,) = records(tree)
    np.testing.assert_allclose(record.atoms.positions, atoms.positions)
    assert record.atoms.periodic == (True, True, False)


@pytest.mark.parametrize(
    ("name", "content", "rule"),
    [
        ("data.json", b"{broken", "unparsable"),
        ("data.json", b"[1, 2]", "unparsable"),
        ("data.json", b"[" * 100_000, "unparsable"),
        ("structure.xyz", b"what\never\n", "missing_structure"),
        ("structure.xyz", b"\xff\xfe", "missing_structure"),
        ("structure.xyz", None, "missing_structure"),
    ],
)
def test_a_broken_folder_costs_that_layer_alone(tmp_path: Path, name: str, content: bytes | None, rule: str) -> None:
    tree = write_tree(tmp_path, layers())
    file = tree / "AB2/1MoS2/1" / name
    file.unlink() if content is None else file.write_bytes(content)
    failures = [r for r in get_source("c2db").records(tree) if isinstance(r, RawFailure)]
    assert [(f.rule, f.external_id) for f in failures] == [(rule, "AB2/1MoS2/1")]


def test_a_broken_result_file_costs_its_spectra_alone(tmp_path: Path) -> None:
    tree = write_tree(tmp_path, layers())
    (tree / "AB2/1MoS2/1/results-asr.pdos.json").write_text("{broken")
    (tree / "AB2/1MoS2/2/results-asr.phonons.json").unlink()
    (tree / "AB2/1MoS2/2/results-asr.phonons.json.gz").write_bytes(b"\x1f\x8b broken")
    one, two = (r for r in records(tree) if r.external_id.startswith("1MoS2"))
    assert [(d.rule, d.property_key) for d in one.doubts] == [("unreadable_spectrum", "density_of_states")]
    assert [(d.rule, d.property_key) for d in two.doubts] == [("unreadable_spectrum", "phonons")]
    assert (len(one.spectra), len(two.spectra)) == (6, 6)


def test_no_link_leads_out_of_the_tree(tmp_path: Path) -> None:
    place, atoms, keys, data = layers()[0]
    outside = write_tree(tmp_path / "outside", [("AB2/1MoS2/9", atoms, {**keys, "uid": "secret"}, data)])
    tree = write_tree(tmp_path / "tree", [(place, atoms, keys, {})])
    (tree / "AB2" / "1WS2").symlink_to(outside / "AB2" / "1MoS2")
    (tree / place / "results-asr.pdos.json").symlink_to(outside / "AB2/1MoS2/9/results-asr.pdos.json")
    linked = tree / "AB2/1MoS2/3"
    linked.mkdir()
    (linked / "data.json").symlink_to(outside / "AB2/1MoS2/9/data.json")
    good, refused = get_source("c2db").records(tree)
    assert isinstance(good, Record)
    assert good.spectra == []
    assert isinstance(refused, RawFailure)
    assert "secret" not in str(refused)


def test_folders_come_in_the_order_of_their_names(tmp_path: Path) -> None:
    tree = write_tree(tmp_path, list(reversed(layers())))
    assert [raw.position for raw in get_source("c2db").cut(tree)] == [
        "A/2C/1", "AB2/1MoS2/1", "AB2/1MoS2/2", "ABC/1MoSSe/1"]  # fmt: skip


def test_a_folder_that_is_no_tree_is_refused_with_a_hint(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    with pytest.raises(ImportFileError, match=r"data\.json") as error:
        get_source("c2db").check(tmp_path)
    assert "c2db" in error.value.hint.lower()
