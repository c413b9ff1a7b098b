"""A person's release: the record is used as an import would, visibly, until the release is withdrawn."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms as AseAtoms
from imported import content, counts, scalar
from small_files import bidb_file, bidb_keys, bilayer, c2db_file, c2db_keys, dichalcogenide, graphene, write_ase
from sqlalchemy import Engine, text

from etl.api import import_file
from etl.dedupe.api import dedupe
from etl.errors import ImportBusyError
from etl.judge import judge
from etl.load import Loader
from etl.quarantine import count_by_rule, list_set_aside, show_record
from etl.recheck import recheck, rederive
from etl.records import Record
from etl.release import Decided, NotReleasableError, count_releasable, release, release_many, withdraw
from etl.runs import ensure_source, exclusive, identify, start_run
from etl.source import Row, get_source
from etl.sources.c2db import C2DB
from schema.migrate import upgrade

pytestmark = pytest.mark.services

ANNA = Decided("anna", "checked by hand")


def flat() -> AseAtoms:
    """MoS2 in a cell without vacuum."""
    layer = dichalcogenide()
    layer.cell[2, 2] = 7.0
    layer.positions[:, 2] -= layer.positions[:, 2].min()
    return layer


def flat_file(folder: Path, name: str = "flat.db", **keys: Any) -> Path:
    return write_ase(folder / name, [(flat(), c2db_keys("1MoS2-9", olduid="MoS2-old", **keys))])


def unbound_file(folder: Path, name: str = "bidb.db", energy: float = -0.012) -> Path:
    """Two bound bilayers, and one whose energy is negative."""
    keys = bidb_keys("2C-1-2-1_0_0_1-0_0", "2C-1", interlayer_distance=3.4, binding_energy_gs=energy)
    return bidb_file(folder, (bilayer(graphene(), 3.4), keys), name=name)


def set_aside(engine: Engine, rule: str) -> int:
    return next(entry.record for entry in list_set_aside(engine, rule=rule))


def state(engine: Engine, record: int) -> str:
    return str(scalar(engine, "SELECT state FROM source_record WHERE id = :id", id=record))


def stored(engine: Engine, record: int, key: str) -> object:
    return scalar(
        engine,
        "SELECT value FROM property_value v JOIN property p ON p.id = v.property_id AND p.key = :key"
        " WHERE v.source_record_id = :id",
        key=key, id=record,
    )  # fmt: skip


def test_a_released_record_is_what_an_import_would_have_written(
    engine: Engine, empty_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from schema.engine import make_engine

    path = flat_file(tmp_path)
    assert import_file(engine, "c2db", path).quarantined == {"not_2d": 1}
    done = release(engine, set_aside(engine, "not_2d"), ANNA)
    assert (done.rules, done.property_key, done.replaced, done.in_use) == (("not_2d",), None, None, True)
    lenient = make_engine(empty_database_url)
    upgrade(lenient)
    monkeypatch.setattr("etl.validate.MIN_VACUUM", 3.0)
    with lenient.begin() as connection:
        source = ensure_source(connection, get_source("c2db"), None)
        run = start_run(connection, source, identify(path), "1")
    Loader(lenient, source, run).load([judge(item) for item in get_source("c2db").records(path)])
    assert content(engine) == content(lenient)
    assert done.values == counts(lenient)["property_value"] > 5
    lenient.dispose()


def test_a_released_record_becomes_a_material_and_goes_with_its_release(engine: Engine, tmp_path: Path) -> None:
    import_file(engine, "c2db", c2db_file(tmp_path))
    dedupe(engine)
    before, materials = counts(engine), scalar(engine, "SELECT count(*) FROM analyst.monolayers")
    strained = dichalcogenide(a=3.9)
    strained.cell[2, 2], strained.positions[:, 2] = 7.0, strained.positions[:, 2] - strained.positions[:, 2].min()
    import_file(engine, "c2db", write_ase(tmp_path / "s.db", [(strained, c2db_keys("1MoS2-9", olduid="MoS2-old"))]))
    record = set_aside(engine, "not_2d")
    for _ in range(2):
        release(engine, record, ANNA)
        dedupe(engine)
        assert scalar(engine, "SELECT count(*) FROM analyst.monolayers") == materials + 1
        assert scalar(engine, "SELECT name FROM record_name WHERE source_record_id = :id", id=record) == "MoS2-old"
        back = withdraw(engine, record)
        assert (back.in_use, back.values > 5, back.replaced) == (False, True, None)
        assert state(engine, record) == "quarantined"
        dedupe(engine)
        assert scalar(engine, "SELECT count(*) FROM analyst.monolayers") == materials
        after = counts(engine)
        assert {t: after[t] for t in ("property_value", "record_flag", "interface")} == {
            t: before[t] for t in ("property_value", "record_flag", "interface")
        }
    assert scalar(engine, "SELECT count(*) FROM record_release") == 0


def test_a_released_record_survives_the_import_of_its_file_and_a_changed_one_is_judged_anew(
    engine: Engine, tmp_path: Path
) -> None:
    path = flat_file(tmp_path)
    import_file(engine, "c2db", path)
    record = set_aside(engine, "not_2d")
    release(engine, record, ANNA)
    before = content(engine)
    again = import_file(engine, "c2db", path)
    assert (again.unchanged, again.accepted, again.quarantined) == (1, 0, {})
    assert content(engine) == before
    changed = import_file(engine, "c2db", flat_file(tmp_path, "other.db", gap=1.8))
    assert changed.quarantined == {"not_2d": 1}
    assert state(engine, record) == "accepted"
    good = write_ase(tmp_path / "good.db", [(dichalcogenide(), c2db_keys("1MoS2-9"))])
    assert import_file(engine, "c2db", good).superseded == 1
    assert state(engine, record) == "superseded"
    with pytest.raises(NotReleasableError, match="replaced by a newer version"):
        release(engine, record, ANNA)
    # The released version comes back with its old file, as any version does, and with its release.
    back = import_file(engine, "c2db", path)
    assert (back.accepted, back.superseded, back.quarantined) == (1, 1, {})
    assert state(engine, record) == "accepted"
    assert scalar(engine, "SELECT in_use FROM analyst.releases") is True


def test_a_version_whose_release_was_withdrawn_is_quarantined_when_it_comes_back(
    engine: Engine, tmp_path: Path
) -> None:
    path = flat_file(tmp_path)
    import_file(engine, "c2db", path)
    record = set_aside(engine, "not_2d")
    release(engine, record, ANNA)
    import_file(engine, "c2db", write_ase(tmp_path / "good.db", [(dichalcogenide(), c2db_keys("1MoS2-9"))]))
    withdraw(engine, record)
    assert state(engine, record) == "superseded"
    assert import_file(engine, "c2db", path).quarantined == {"not_2d": 1}
    assert state(engine, record) == "quarantined"
    assert scalar(engine, "SELECT count(*) FROM property_value WHERE source_record_id = :id", id=record) == 0
    assert import_file(engine, "c2db", path).unchanged == 1


def test_the_second_record_of_a_name_can_be_chosen_instead_of_the_first(engine: Engine, tmp_path: Path) -> None:
    rows = [(graphene(), c2db_keys("same", gap=gap)) for gap in (1.0, 2.0)]
    path = write_ase(tmp_path / "c.db", rows)
    import_file(engine, "c2db", path)
    second = set_aside(engine, "duplicate_external_id")
    done = release(engine, second, ANNA)
    assert done.replaced is not None
    assert (state(engine, second), state(engine, done.replaced)) == ("accepted", "superseded")
    again = import_file(engine, "c2db", path)
    assert (again.unchanged, again.accepted) == (2, 0), "the choice stands when the file comes again"
    assert (state(engine, second), state(engine, done.replaced)) == ("accepted", "superseded")
    back = withdraw(engine, second)
    assert (back.replaced, back.in_use) == (done.replaced, False)
    assert (state(engine, second), state(engine, done.replaced)) == ("quarantined", "accepted")
    assert scalar(engine, "SELECT rule FROM source_record WHERE id = :id", id=second) == "duplicate_external_id"
    assert import_file(engine, "c2db", path).unchanged == 2


def test_a_doubted_value_is_released_alone_and_the_doubt_stays_in_sight(engine: Engine, tmp_path: Path) -> None:
    import_file(engine, "bidb", unbound_file(tmp_path))
    record = set_aside(engine, "not_bound")
    assert stored(engine, record, "binding_energy") is None
    done = release(engine, record, ANNA, property_key="binding_energy")
    assert (done.rules, done.values) == (("not_bound",), 1)
    assert stored(engine, record, "binding_energy") == pytest.approx(-12.0)
    with engine.connect() as connection:
        seen = connection.execute(text("SELECT * FROM analyst.releases")).mappings().one()
        flag = connection.execute(text("SELECT rule, released FROM analyst.flags")).one()
    assert (seen["rule"], seen["property"], seen["author"], seen["note"], seen["in_use"]) == (
        "not_bound", "binding_energy", "anna", "checked by hand", True,
    )  # fmt: skip
    assert (seen["values"], seen["unit"]) == ([pytest.approx(-12.0)], "meV/Å²")
    assert "not bound" in seen["detail"]
    assert tuple(flag) == ("not_bound", True)
    assert [(c.rule, c.flagged, c.released) for c in count_by_rule(engine)] == [("not_bound", 1, 1)]
    shown = show_record(engine, record)
    assert shown["releases"][0]["note"] == "checked by hand"
    assert "withdraw-release" in shown["next_step"]
    with pytest.raises(NotReleasableError, match="released already"):
        release(engine, record, ANNA, property_key="binding_energy")
    assert import_file(engine, "bidb", unbound_file(tmp_path, "again.db")).unchanged == 3
    assert withdraw(engine, record, property_key="binding_energy").values == 1
    assert stored(engine, record, "binding_energy") is None
    assert scalar(engine, "SELECT released FROM analyst.flags") is False
    with pytest.raises(NotReleasableError, match="was not released"):
        withdraw(engine, record)


def test_what_cannot_be_used_is_refused_with_its_reason_and_the_next_step(engine: Engine, tmp_path: Path) -> None:
    def with_layer(uid: str, change: Callable[[AseAtoms], object]) -> tuple[AseAtoms, dict[str, Any]]:
        layer = dichalcogenide()
        change(layer)
        return layer, c2db_keys(uid)

    doubled = flat()
    doubled.positions[1] = doubled.positions[0] + 0.2
    doubled.cell[2, 2] = 5.0
    bad = [
        with_layer("hole", lambda a: a.positions.__setitem__((0, 0), np.nan)),
        with_layer("ghost", lambda a: a.numbers.__setitem__(0, 0)),
        with_layer("twice", lambda a: a.positions.__setitem__(1, a.positions[0])),
        (doubled, c2db_keys("both")),
    ]
    import_file(engine, "c2db", write_ase(tmp_path / "bad.db", bad))
    (tmp_path / "db.json").write_text('{"material_id": "2dm-1", "structure": null}\n{broken\n')
    import_file(engine, "2dmatpedia", tmp_path / "db.json")
    by_name = {entry.external_id: entry.record for entry in list_set_aside(engine)}
    before = content(engine)
    for name, reason, cause in (
        ("hole", "NaN or infinite", "nothing in it to use"),
        ("ghost", "no element", "nothing in it to use"),
        ("twice", "in one place", "nothing in it to use"),
        ("2dm-1", "no atoms", "nothing in it to use"),
        ("line 2", "only its raw text is kept", "only its raw text is kept"),
    ):
        with pytest.raises(NotReleasableError, match=reason) as caught:
            release(engine, by_name[name], ANNA)
        assert caught.value.cause == cause
        assert "import it again" in caught.value.hint
    with pytest.raises(NotReleasableError, match="breaks overlapping_atoms as well") as caught:
        release(engine, by_name["both"], ANNA)
    assert "--also overlapping_atoms" in caught.value.hint
    with pytest.raises(NotReleasableError, match="quarantined as a whole"):
        release(engine, by_name["both"], ANNA, property_key="gap")
    with pytest.raises(NotReleasableError, match="no record number 999999"):
        release(engine, 999_999, ANNA)
    assert content(engine) == before
    done = release(engine, by_name["both"], ANNA, also=["overlapping_atoms"])
    assert done.rules == ("not_2d", "overlapping_atoms")
    with pytest.raises(NotReleasableError, match="in use already"):
        release(engine, by_name["both"], ANNA)


def test_a_value_that_its_reader_never_gave_cannot_be_released(engine: Engine, tmp_path: Path) -> None:
    import_file(engine, "c2db", write_ase(tmp_path / "c.db", [(graphene(), {"uid": "x", "vbm": -1.0, "gap": np.inf})]))
    record = set_aside(engine, "no_vacuum_level")
    for key in ("vbm", "gap"):
        with pytest.raises(NotReleasableError, match="no value to use"):
            release(engine, record, ANNA, property_key=key)
    with pytest.raises(NotReleasableError, match="no doubt about cbm") as caught:
        release(engine, record, ANNA, property_key="cbm")
    assert "gap, vbm" in caught.value.hint


def test_all_that_a_rule_holds_back_in_a_source_is_released_at_once(engine: Engine, tmp_path: Path) -> None:
    layers = []
    for i in range(5):
        layer = flat()
        if i == 4:
            layer.positions[1] = layer.positions[0]
            layer.cell[2, 2] = 5.0
        layers.append((layer, c2db_keys(f"flat{i}")))
    import_file(engine, "c2db", write_ase(tmp_path / "flat.db", layers))
    import_file(engine, "bidb", unbound_file(tmp_path))
    assert count_releasable(engine, rule="not_2d", source="c2db") == (5, 0)
    assert count_releasable(engine, rule="not_2d", source="bidb") == (0, 0)
    assert count_releasable(engine, rule="not_bound", source="bidb") == (0, 1)
    seen: list[tuple[int, int | None]] = []
    done = release_many(engine, ANNA, rule="not_2d", source="c2db", progress=lambda *n: seen.append(n))
    assert (done.records, done.values, dict(done.refused)) == (4, 0, {"nothing in it to use": 1})
    assert seen == [(5, 5)]
    done = release_many(engine, ANNA, rule="not_bound", source="bidb")
    assert (done.records, done.values) == (0, 1)
    assert count_releasable(engine, rule="not_bound", source="bidb") == (0, 0)
    assert release_many(engine, ANNA, rule="not_bound", source="bidb").values == 0


def test_nothing_is_released_while_the_source_is_imported(engine: Engine, tmp_path: Path) -> None:
    import_file(engine, "c2db", flat_file(tmp_path))
    with exclusive(engine, "stackscreen import c2db", "busy"), pytest.raises(ImportBusyError):
        release(engine, set_aside(engine, "not_2d"), ANNA)


KILLED = """
import os, signal, sys
import etl.release
from schema.engine import make_engine

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

setattr(etl.release, sys.argv[3], die)
etl.release.release(make_engine(sys.argv[1]), int(sys.argv[2]), etl.release.Decided("anna", "why"))
"""


def test_a_release_killed_on_the_way_leaves_nothing_behind(engine: Engine, database_url: str, tmp_path: Path) -> None:
    """Killed when everything but the note of who decided is written."""
    import_file(engine, "c2db", flat_file(tmp_path))
    record = set_aside(engine, "not_2d")
    before = content(engine)
    process = subprocess.run([sys.executable, "-c", KILLED, database_url, str(record), "_note"], check=False)
    assert process.returncode == -signal.SIGKILL
    assert content(engine) == before
    assert scalar(engine, "SELECT count(*) FROM record_release") == 0


class Strict(C2DB):
    """An older reader of C2DB, which refused every layer with the letter x in its uid."""

    def record(self, row: Row) -> Record:
        from etl.errors import RecordError

        if "x" in row.content["key_value_pairs"]["uid"]:
            raise RecordError("unknown_keys", "An x is no letter of a uid.")
        record = super().record(row)
        record.facts = [fact for fact in record.facts if fact.quantity.key != "gap"]
        record.names = ["an older name"]
        return record


def test_after_an_upgrade_what_passes_now_is_taken_into_use(
    engine: Engine, empty_database_url: str, tmp_path: Path
) -> None:
    from schema.engine import make_engine

    rows = [(graphene(a=2.4 + i / 100), c2db_keys(name)) for i, name in enumerate(("x1", "x2", "y"))]
    path = write_ase(tmp_path / "c.db", [*rows, (flat(), c2db_keys("z"))])
    assert import_file(engine, Strict(), path).quarantined == {"unknown_keys": 2, "not_2d": 1}
    newer = write_ase(tmp_path / "n.db", [(graphene(a=2.5), c2db_keys("x2", gap=0.1))])
    import_file(engine, "c2db", newer)
    done = recheck(engine, source="c2db")
    assert (done.looked_at, done.accepted, done.overtaken, dict(done.refused)) == (3, 1, 1, {"not_2d": 1})
    states = scalar(engine, "SELECT array_agg(state ORDER BY external_id, id) FROM source_record")
    assert states == ["accepted", "quarantined", "accepted", "accepted", "quarantined"]
    again = recheck(engine)
    assert (again.accepted, again.looked_at) == (0, 2)
    assert recheck(engine, rule="not_2d").looked_at == 1
    assert recheck(engine, source="bidb").looked_at == 0
    read = rederive(engine)
    assert (read.looked_at, read.changed, read.restructured, dict(read.refused)) == (3, 1, 0, {})
    assert rederive(engine).changed == 0
    fresh = make_engine(empty_database_url)
    upgrade(fresh)
    import_file(fresh, "c2db", path)
    living = [row for row in content(engine) if row[3] == "accepted" and row[1] != "x2"]
    assert living == [row for row in content(fresh) if row[3] == "accepted" and row[1] != "x2"]
    fresh.dispose()


def test_reading_again_keeps_what_was_released(engine: Engine, tmp_path: Path) -> None:
    import_file(engine, "bidb", unbound_file(tmp_path))
    import_file(engine, "c2db", flat_file(tmp_path))
    release(engine, set_aside(engine, "not_bound"), ANNA, property_key="binding_energy")
    release(engine, set_aside(engine, "not_2d"), ANNA)
    before = content(engine)
    done = rederive(engine)
    assert (done.looked_at, done.changed, done.restructured, dict(done.refused)) == (4, 0, 0, {})
    assert content(engine) == before


def test_a_payload_comes_back_as_it_was_read() -> None:
    from etl.payload import as_read, canonical_json, load_json

    payload = {"a": [float("inf"), -float("inf"), 1.5, 2**70, {"$": 1}], "b": {"c": None, "d": "x"}}
    assert as_read(load_json(canonical_json(payload))) == payload
    assert np.isnan(as_read(load_json(canonical_json({"n": float("nan")})))["n"])


def test_a_record_in_use_that_was_read_from_an_attachment_too_is_left(engine: Engine, shared_data: Path) -> None:
    import_file(engine, "c2db", shared_data / "c2db" / "asr_rows_MoS2_H_T.db")
    before = content(engine)
    done = rederive(engine)
    assert (done.looked_at, done.incomplete, done.changed) == (2, 2, 0)
    assert content(engine) == before


def test_the_interlocking_distances_of_real_bilayers_can_be_released_together(
    engine: Engine, shared_data: Path
) -> None:
    assert import_file(engine, "bidb", shared_data / "bidb" / "bidb.db").flags["interlocking"] == 68
    done = release_many(engine, ANNA, rule="interlocking", source="bidb")
    assert (done.records, done.values, dict(done.refused)) == (0, 68, {})
    brucite = "SELECT min(interlayer_distance) FROM analyst.interfaces WHERE bottom_name = '1MgH2O2-1'"
    assert 0.5 < float(str(scalar(engine, brucite))) < 1.0
    assert scalar(engine, "SELECT count(*) FROM analyst.releases WHERE unit = 'Å' AND values[1] < 1") == 68
    read = rederive(engine, source="bidb")
    assert (read.looked_at, read.changed, read.restructured, dict(read.refused)) == (9589, 0, 0, {})


def test_records_of_a_source_whose_reader_is_gone_stay_as_they_are(engine: Engine, tmp_path: Path) -> None:
    import_file(engine, "c2db", flat_file(tmp_path))
    with engine.begin() as connection:
        connection.execute(text("UPDATE source SET reader = 'gone'"))
    before = content(engine)
    done = recheck(engine)
    assert (done.accepted, dict(done.refused)) == (0, {"not_2d": 1})
    with pytest.raises(NotReleasableError, match="no reader called gone"):
        release(engine, set_aside(engine, "not_2d"), ANNA)
    assert content(engine) == before
