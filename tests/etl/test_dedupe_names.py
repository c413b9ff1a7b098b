"""Records without a structure belong to the material of the record that they name, wherever it goes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from plain_records import Plain, layer, written
from sqlalchemy import Engine, text

from etl.api import import_file
from etl.dedupe import clusters, explain
from etl.dedupe.api import dedupe, merge, split

pytestmark = pytest.mark.services

BEST, WORSE = Plain("best", 10), Plain("worse", 20)


def bring(engine: Engine, source: Plain, path: Path, *records: dict[str, Any]) -> None:
    import_file(engine, source, written(path, *records))


def place(engine: Engine, record: str) -> tuple[Any, ...] | None:
    """Representative record of the material of a record, with method and evidence."""
    statement = """
        SELECT w.key || ':' || rr.external_id, v.method, v.evidence, v.uid FROM analyst.members v
        JOIN material m ON m.uid = v.uid JOIN structure t ON t.id = m.structure_id
        JOIN source_record rr ON rr.id = t.source_record_id JOIN source w ON w.id = rr.source_id
        WHERE v.source || ':' || v.external_id = :record AND m.withdrawn_at IS NULL"""
    with engine.connect() as connection:
        row = connection.execute(text(statement), {"record": record}).first()
    return None if row is None else tuple(row)


def found(engine: Engine, record: str) -> str | None:
    placed = place(engine, record)
    return None if placed is None else placed[0]


def nameless(identity: str, *names: str, **more: Any) -> dict[str, Any]:
    return {"id": identity, "names": list(names), **more}


def test_a_record_without_structure_joins_by_external_id_or_further_name(engine: Engine, tmp_path: Path) -> None:
    bring(engine, BEST, tmp_path / "a", layer("h", names=["older-h"]), layer("t", "T"), nameless("h-gap", "h", gap=1.9))
    bring(engine, WORSE, tmp_path / "b", nameless("x", "older-h"), nameless("t", "unheard"), nameless("y", "unheard"))
    report = dedupe(engine)
    assert (report.records, report.created, report.by_name, report.unplaced) == (2, 2, 3, 1)
    assert place(engine, "best:h-gap")[:3] == ("best:h", "name", {"name": "h", "record": "best:h"})
    assert found(engine, "worse:x") == "best:h"
    assert found(engine, "worse:t") == "best:t"
    assert place(engine, "worse:y") is None
    # Its values are values of the material.
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT gap FROM analyst.monolayers WHERE gap IS NOT NULL")) == pytest.approx(1.9)
    again = dedupe(engine)
    assert (again.by_name, again.unplaced) == (0, 1)


def test_the_own_source_is_asked_first_then_the_better_one(engine: Engine, tmp_path: Path) -> None:
    bring(engine, BEST, tmp_path / "a", layer("1"), layer("2", "T"))
    bring(engine, WORSE, tmp_path / "b", layer("1", metal="W"), nameless("own", "1"), nameless("other", "2"))
    bring(engine, Plain("third", 30), tmp_path / "c", nameless("z", "1"))
    dedupe(engine)
    assert [found(engine, r) for r in ("worse:own", "worse:other", "third:z")] == ["worse:1", "best:2", "best:1"]


def test_names_that_lead_to_two_materials_tell_nothing(engine: Engine, tmp_path: Path) -> None:
    bring(engine, BEST, tmp_path / "a", layer("1", names=["MoS2"]), layer("2", "T", names=["MoS2"]),
          nameless("3", "MoS2"), nameless("4", "MoS2", "1"))  # fmt: skip
    report = dedupe(engine)
    assert (report.by_name, report.unplaced) == (1, 1)
    # An external id says more than a further name.
    assert found(engine, "best:4") == "best:1"


def test_a_layer_never_joins_a_crystal_by_name(engine: Engine, tmp_path: Path) -> None:
    bring(engine, BEST, tmp_path / "a", layer("1"), nameless("2", "1", subject="bulk"))
    assert dedupe(engine).unplaced == 1


def test_the_named_record_may_come_later(engine: Engine, tmp_path: Path) -> None:
    bring(engine, WORSE, tmp_path / "b", nameless("x", "h"))
    assert dedupe(engine).unplaced == 1
    bring(engine, BEST, tmp_path / "a", layer("h"))
    report = dedupe(engine)
    assert (report.by_name, report.unplaced) == (1, 0)
    assert found(engine, "worse:x") == "best:h"


def test_the_nameless_follows_the_record_it_names(engine: Engine, tmp_path: Path) -> None:
    bring(engine, BEST, tmp_path / "a", layer("h"), layer("v"))
    bring(engine, WORSE, tmp_path / "b", nameless("x", "v"))
    dedupe(engine)
    assert found(engine, "worse:x") == "best:h"
    # Corrected, the named record is another material.
    bring(engine, BEST, tmp_path / "a", layer("h"), layer("v", "T"))
    assert dedupe(engine).by_name == 1
    assert found(engine, "worse:x") == "best:v"
    # And so is what names it, when the record itself is corrected.
    bring(engine, WORSE, tmp_path / "b", nameless("x", "h"))
    dedupe(engine)
    assert found(engine, "worse:x") == "best:h"
    # With a structure of its own it needs no name.
    bring(engine, WORSE, tmp_path / "b", layer("x", metal="W", names=["h"]))
    report = dedupe(engine)
    assert (report.by_name, report.unplaced) == (0, 0)
    assert found(engine, "worse:x") == "worse:x"


def test_the_nameless_follows_rulings_and_can_be_split_off(engine: Engine, tmp_path: Path) -> None:
    bring(engine, BEST, tmp_path / "a", layer("h"), layer("t", "T"))
    bring(engine, WORSE, tmp_path / "b", nameless("x", "t"))
    dedupe(engine)
    h, t = place(engine, "best:h")[3], place(engine, "best:t")[3]
    merge(engine, h, t, author="ada")
    kept = place(engine, "best:h")[3]
    assert place(engine, "worse:x")[3] == kept
    split(engine, kept, "best", "t" if kept == h else "h", author="ada")
    assert place(engine, "worse:x")[3] == t
    split(engine, t, "worse", "x", author="ada", note="named wrongly")
    assert place(engine, "worse:x") is None
    assert (dedupe(engine).unplaced, place(engine, "best:t")[3]) == (1, t)
    with engine.connect() as connection:
        (member,) = explain.explain(connection, t).members
    assert member.record == "best:t"


def test_a_new_record_costs_comparisons_of_its_own_formula_only(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metals = ("Mo", "W", "Ti", "Zr", "Hf", "V", "Nb", "Ta")
    bring(engine, BEST, tmp_path / "a", *(layer(m + k, k, metal=m) for m in metals for k in "HT"))
    dedupe(engine)
    compared: list[str] = []
    real = clusters.compare
    monkeypatch.setattr(clusters, "compare", lambda one, other: (compared.append(other.formula), real(one, other))[1])
    bring(engine, WORSE, tmp_path / "b", layer("new", metal="W", a=3.2), nameless("n", "VH"))
    report = dedupe(engine)
    assert (report.joined, report.by_name) == (1, 1)
    assert compared == ["WS2", "WS2"]
    compared.clear()
    dedupe(engine)
    assert compared == []
