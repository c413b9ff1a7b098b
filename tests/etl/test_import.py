"""Imports into a real Postgres: idempotent, superseding, whole under any interruption."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from imported import content, counts, scalar
from small_files import (
    bidb_file,
    bidb_keys,
    bilayer,
    c2db_file,
    c2db_keys,
    dichalcogenide,
    film_on_gold,
    graphene,
    many_layers,
    matpedia_line,
    write_ase,
)
from sqlalchemy import Engine, text

from etl.api import import_file
from etl.dedupe.api import dedupe
from etl.errors import DatabaseDownError, ImportBusyError, ImportFileError
from etl.quarantine import UnknownRecordError, count_by_rule, list_set_aside, show_record
from etl.runs import exclusive
from etl.source import get_source
from schema.engine import make_engine

pytestmark = pytest.mark.services


def write_all(folder: Path) -> list[tuple[str, Path]]:
    (folder / "db.json").write_text(matpedia_line("2dm-1", dichalcogenide(vacuum=25)) + "\n{broken\n")
    (folder / "h.json").write_text(json.dumps({"one": film_on_gold()}))
    metals = folder / "metals"
    metals.mkdir()
    from ase.build import bulk
    from ase.io import write

    write(metals / "Au-POSCAR", bulk("Au"), format="vasp")
    return [
        ("c2db", c2db_file(folder)),
        ("bidb", bidb_file(folder)),
        ("2dmatpedia", folder / "db.json"),
        ("hetero2d", folder / "h.json"),
        ("bulk", metals),
    ]


def test_a_second_import_of_the_same_files_changes_nothing(engine: Engine, tmp_path: Path) -> None:
    files = write_all(tmp_path)
    for reader, path in files:
        import_file(engine, reader, path)
    dedupe(engine)
    before, all_before = counts(engine), content(engine)
    for reader, path in files:
        again = import_file(engine, reader, path)
        assert (again.unchanged, again.accepted, again.quarantined, again.superseded) == (again.read, 0, {}, 0)
    report = dedupe(engine)
    assert (report.records, report.created, report.linked) == (0, 0, 0)
    assert counts(engine) == before
    assert content(engine) == all_before


def test_the_report_counts_every_record(engine: Engine, tmp_path: Path) -> None:
    odd = (bilayer(graphene(), 3.4), bidb_keys("2C-1-2-1_0_0_1-0_0", "2C-1", interlayer_distance=3.4,
                                               binding_energy_gs=-2.166))  # fmt: skip
    crash = bilayer(graphene(), 3.4)
    crash.positions[1] = crash.positions[0]
    bad = (crash, bidb_keys("2C-1-2-1_0_0_1-0.5_0", "2C-1"))
    unnamed = (bilayer(graphene(), 3.4), {"number_of_layers": 2})
    seen: list[tuple[int, int | None]] = []
    report = import_file(engine, "bidb", bidb_file(tmp_path, odd, bad, unnamed), progress=lambda *n: seen.append(n))
    assert (report.read, report.accepted, report.flagged) == (5, 3, 1)
    assert report.flags == {"outside_physics": 1}
    assert report.quarantined == {"overlapping_atoms": 1, "unknown_keys": 1}
    assert seen == [(5, 5)]
    with engine.connect() as connection:
        run = connection.execute(text("SELECT * FROM import_run")).one()
    assert (run.state, run.n_read, run.n_accepted, run.n_flagged, run.n_quarantined) == ("finished", 5, 3, 1, 2)
    rules = {(c.rule, c.quarantined, c.flagged) for c in count_by_rule(engine)}
    assert rules == {("overlapping_atoms", 1, 0), ("unknown_keys", 1, 0), ("outside_physics", 0, 1)}
    aside = list_set_aside(engine, rule="overlapping_atoms")
    shown = show_record(engine, aside[0].record)
    assert shown["payload"]["key_value_pairs"]["monolayer_uid"] == "2C-1"
    assert shown["reason"] == aside[0].detail
    with pytest.raises(UnknownRecordError):
        show_record(engine, 10**9)


def test_a_changed_record_supersedes_and_the_old_facts_no_longer_count(engine: Engine, tmp_path: Path) -> None:
    import_file(engine, "c2db", c2db_file(tmp_path))
    dedupe(engine)
    uid = scalar(engine, "SELECT uid FROM analyst.monolayers WHERE formula = 'MoS2' AND gap = 1.6")
    report = import_file(engine, "c2db", c2db_file(tmp_path, "new.db", gap=1.7))
    assert (report.accepted, report.superseded, report.unchanged) == (1, 1, 4)
    dedupe(engine)
    states = scalar(engine, "SELECT array_agg(state ORDER BY id) FROM source_record WHERE external_id = '1MoS2-1'")
    assert states == ["superseded", "accepted"]
    assert scalar(engine, "SELECT gap FROM analyst.monolayers WHERE uid = :uid", uid=uid) == pytest.approx(1.7)
    assert scalar(engine, "SELECT count(*) FROM material WHERE withdrawn_at IS NULL") == 5
    # The old file again: the older version comes back to life, and nothing is stored twice.
    back = import_file(engine, "c2db", tmp_path / "c2db.db")
    assert (back.accepted, back.superseded, back.unchanged) == (1, 1, 4)
    states = scalar(engine, "SELECT array_agg(state ORDER BY id) FROM source_record WHERE external_id = '1MoS2-1'")
    assert states == ["accepted", "superseded"]


def test_two_records_of_one_name_in_one_file_are_not_mixed_up(engine: Engine, tmp_path: Path) -> None:
    first, second = c2db_keys("same", gap=1.0), c2db_keys("same", gap=2.0)
    path = write_ase(tmp_path / "c.db", [(graphene(), first), (graphene(), second), (graphene(), first)])
    report = import_file(engine, "c2db", path)
    assert (report.accepted, report.unchanged, report.quarantined) == (1, 1, {"duplicate_external_id": 1})
    again = import_file(engine, "c2db", path)
    assert again.unchanged == 3
    # A file in which the second stands alone: it was set aside for its company only.
    alone = write_ase(tmp_path / "d.db", [(graphene(), second)])
    report = import_file(engine, "c2db", alone)
    assert (report.accepted, report.superseded) == (1, 1)
    gap = """SELECT value FROM property_value v JOIN property p ON p.id = v.property_id AND p.key = 'gap'
             JOIN source_record r ON r.id = v.source_record_id AND r.state = 'accepted'"""
    assert scalar(engine, gap) == 2.0


def test_a_record_that_turns_bad_does_not_take_the_good_one_away(engine: Engine, tmp_path: Path) -> None:
    import_file(engine, "c2db", c2db_file(tmp_path))
    flat = dichalcogenide()
    flat.cell[2, 2] = 5.5
    report = import_file(engine, "c2db", write_ase(tmp_path / "n.db", [(flat, c2db_keys("1MoS2-1"))]))
    assert report.quarantined == {"not_2d": 1}
    states = scalar(engine, "SELECT array_agg(state ORDER BY id) FROM source_record WHERE external_id = '1MoS2-1'")
    assert states == ["accepted", "quarantined"]


def test_payloads_keep_what_json_and_postgres_cannot_hold(engine: Engine, tmp_path: Path) -> None:
    line = matpedia_line("2dm-1", graphene(), bandgap=float("nan"), note="a\x00b", big=2**70)
    (tmp_path / "db.json").write_text(line + "\n" + '{"bad\x00' + "\n")
    report = import_file(engine, "2dmatpedia", tmp_path / "db.json")
    assert (report.accepted, report.flags, report.quarantined) == (1, {"non_finite": 1}, {"unparsable": 1})
    payload = scalar(engine, "SELECT payload FROM source_record WHERE external_id = '2dm-1'")
    assert payload["bandgap"] == {"$float": "nan"}
    assert payload["note"] == "a\\u0000b"
    assert str(2**70) in json.dumps(payload["big"]) or payload["big"] == pytest.approx(2**70)


def test_a_labelled_import_yields_to_the_plain_source(engine: Engine, tmp_path: Path) -> None:
    import_file(engine, "c2db", c2db_file(tmp_path, gap=9.9), label="starter")
    dedupe(engine)
    uid = scalar(engine, "SELECT uid FROM analyst.monolayers WHERE gap = 9.9")
    import_file(engine, "c2db", c2db_file(tmp_path, "real.db"))
    report = dedupe(engine)
    assert report.created == 0
    assert scalar(engine, "SELECT gap FROM analyst.monolayers WHERE uid = :uid", uid=uid) == pytest.approx(1.6)
    keys = scalar(engine, "SELECT array_agg(key ORDER BY precedence) FROM source")
    assert keys == ["c2db", "starter-c2db"]
    representative = """SELECT s.key FROM material m JOIN structure t ON t.id = m.structure_id
                        JOIN source_record r ON r.id = t.source_record_id JOIN source s ON s.id = r.source_id
                        WHERE m.uid = :uid"""
    assert scalar(engine, representative, uid=uid) == "c2db"


def test_damage_found_on_the_way_is_said_and_what_was_committed_stays(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file too large for the check beforehand (here: the limit is lowered) shows its damage while it is read."""
    path = many_layers(tmp_path / "c.db", 2500)
    damaged = bytearray(path.read_bytes())
    page = damaged.index(b'"layer1800"') // 4096 * 4096
    damaged[page : page + 64] = b"\xff" * 64
    path.write_bytes(damaged)
    with pytest.raises(ImportFileError, match="damaged or incomplete"):
        import_file(engine, "c2db", path)
    assert counts(engine)["source_record"] == 0, "the check beforehand finds it"
    monkeypatch.setattr("etl.sources.ase_sqlite._CHECK_LIMIT", 0)
    with pytest.raises(ImportFileError, match=r"records before the damage are kept") as caught:
        import_file(engine, "c2db", path)
    kept = counts(engine)
    assert kept["source_record"] == kept["structure"] > 0
    assert f"{kept['source_record']} records" in caught.value.message
    state = scalar(engine, "SELECT state FROM import_run ORDER BY id DESC LIMIT 1")
    assert state == "failed"


def test_a_database_that_is_down_is_one_sentence(tmp_path: Path) -> None:
    engine = make_engine("postgresql://nobody@127.0.0.1:1/none")
    with pytest.raises(DatabaseDownError, match="does not answer") as caught:
        import_file(engine, "c2db", c2db_file(tmp_path))
    assert "stackscreen services start" in caught.value.hint


def test_one_source_is_imported_by_one_process_at_a_time(engine: Engine, tmp_path: Path) -> None:
    path = c2db_file(tmp_path)
    with exclusive(engine, "stackscreen import c2db", "busy"), pytest.raises(ImportBusyError):
        import_file(engine, "c2db", path)
    assert import_file(engine, "c2db", path).accepted == 5


def test_all_real_data_go_in_and_nothing_is_lost(engine: Engine, shared_data: Path) -> None:
    """2DMatPedia, Hetero2d, the genuine rows and the metals whole; the two large ones have their own benchmark."""
    for reader, name, n in (
        ("c2db", "c2db/asr_rows_BN.db", 1),
        ("c2db", "c2db/asr_rows_MoS2_H_T.db", 2),
        ("2dmatpedia", "2dmatpedia/db.json", 1224),
        ("hetero2d", "aihd/2d_substrate_heterostructures.json", 109),
        ("bulk", "bulk/elemental_metals_poscar.zip", 34),
    ):
        report = import_file(engine, reader, shared_data / name)
        assert report.read == report.accepted == n
    before = counts(engine)
    assert before["source_record"] == before["structure"] == 1370
    assert before["interface"] == before["stacking"] == 109


def test_a_file_on_a_read_only_medium_imports(engine: Engine, tmp_path: Path) -> None:
    """Nothing is written beside it: no lock, no journal."""
    folder = tmp_path / "locked"
    folder.mkdir()
    path = c2db_file(folder)
    path.chmod(0o444)
    folder.chmod(0o555)
    try:
        assert import_file(engine, "c2db", path).accepted == 5
        assert [file.name for file in folder.iterdir()] == ["c2db.db"]
    finally:
        folder.chmod(0o755)


def test_the_very_same_file_is_not_read_again_but_one_that_was_superseded_is(engine: Engine, tmp_path: Path) -> None:
    first = c2db_file(tmp_path, "first.db")
    second = c2db_file(tmp_path, "second.db", gap=1.9)
    assert import_file(engine, "c2db", first).accepted == 5
    damaged_reader = get_source("c2db")
    # A reader that cannot read any more shows that nothing is read.
    damaged_reader.cut = None  # type: ignore[assignment, method-assign]
    again = import_file(engine, damaged_reader, first)
    assert (again.read, again.unchanged, again.accepted) == (5, 5, 0)
    changed = import_file(engine, "c2db", second)
    assert (changed.accepted, changed.superseded, changed.unchanged) == (1, 1, 4)
    back = import_file(engine, "c2db", first)
    assert (back.accepted, back.superseded, back.unchanged) == (1, 1, 4)
    gap = "SELECT value FROM analyst.material_values WHERE external_id = '1MoS2-1' AND property = 'gap'"
    dedupe(engine)
    assert scalar(engine, gap) == 1.6
