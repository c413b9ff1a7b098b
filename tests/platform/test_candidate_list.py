"""Candidates in memory: the answers of SQL, for any filter in any order."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from known_rows import screened_engine  # noqa: F401 - a fixture
from sqlalchemy import Connection, Engine, text

from stackscreen.query import candidates, pictures
from stackscreen.query.candidates import Order, Run, are_candidates, published_run
from stackscreen.query.criteria import Criteria, CriteriaError, condition
from stackscreen.query.fields import FIELDS, FieldKind
from stackscreen.query.reading import reading
from stackscreen.scan import candidate_list
from stackscreen.scan.cache import sweep
from stackscreen.scan.candidate_cache import DRAW, open_candidates
from stackscreen.scan.candidate_list import CandidateList
from stackscreen.scan.members import Directory
from stackscreen.scan.reader import CacheUnavailableError, Reader
from stackscreen.screening.packing import TilesMissingError
from stackscreen.settings import Settings

SORTED = [key for key, field in FIELDS.items() if field.expression is not None]


@pytest.fixture(scope="module")
def connection(screened_engine: Engine) -> Iterator[Connection]:  # noqa: F811
    with reading(screened_engine) as connection:
        yield connection


@pytest.fixture(scope="module")
def run(connection: Connection) -> Run:
    return published_run(connection)


@pytest.fixture(scope="module")
def columns(connection: Connection, run: Run, tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    return open_candidates(connection, tmp_path_factory.mktemp("cache"), run.id)


@pytest.fixture(scope="module")
def listed(connection: Connection, run: Run, columns: dict[str, np.ndarray]) -> CandidateList:
    return CandidateList(Directory.load(connection, run.id), columns)


@pytest.fixture(scope="module")
def rows(connection: Connection, run: Run) -> list[dict[str, Any]]:
    return candidates.page(connection, run, Criteria(), Order(), limit=1000).rows


@st.composite
def filters(draw: st.DrawFn, rows: list[dict[str, Any]]) -> Criteria:
    """Filters of values that occur, so that limits fall on them."""
    one = draw(st.sampled_from(rows))
    drawn = []
    for key in draw(st.lists(st.sampled_from(list(FIELDS)), unique=True, max_size=4)):
        field = FIELDS[key]
        if field.kind is FieldKind.NUMBER:
            known = 0.5 if one[key] is None else float(one[key])
            drawn.append((key, draw(st.sampled_from(["min", "max"])), known))
        elif field.kind is FieldKind.WORD:
            drawn.append((key, "in", draw(st.lists(st.sampled_from(field.words), min_size=1, unique=True))))
        elif field.kind is FieldKind.LAYERS:
            names = [one["bottom_formula"], one["top_uid"], "Au(111)"]
            drawn.append((key, draw(st.sampled_from(["either", "both"])), names))
        elif field.kind is FieldKind.ELEMENTS:
            symbols = st.lists(st.sampled_from(["Mo", "S", "Se", "Au", "Pb"]), min_size=1, max_size=2, unique=True)
            drawn.append((key, draw(st.sampled_from(["all", "none"])), draw(symbols)))
        else:
            drawn.append((key, "has", draw(st.sampled_from(["mo s2", "S2Mo", "au(1", one["bottom_uid"], "%", "c-"]))))
    return Criteria.of(condition(*values) for values in drawn)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), key=st.sampled_from(SORTED), descending=st.booleans())
def test_counts_and_pages_are_those_of_sql(
    connection: Connection, run: Run, listed: CandidateList, rows: list[dict[str, Any]], data: st.DataObject, key: str,
    descending: bool,
) -> None:  # fmt: skip
    criteria, order = data.draw(filters(rows)), Order(key, descending)
    assert listed.count(criteria) == candidates.count(connection, run, criteria)
    limit, offset = data.draw(st.integers(1, 6)), data.draw(st.sampled_from([0, 0, 3]))
    after = None
    for _ in range(4):
        mine = listed.page(connection, run, criteria, order, limit=limit, offset=offset, after=after)
        assert mine == candidates.page(connection, run, criteria, order, limit=limit, offset=offset, after=after)
        after = mine.after
        if after is None:
            break


@pytest.mark.parametrize("query", ["", "alignment.in=II", "gap.min=0.1&n_atoms.max=60", "kind.in=2d-on-bulk"])
def test_pictures_are_those_of_sql(connection: Connection, run: Run, listed: CandidateList, query: str) -> None:
    criteria = Criteria.from_query(query)
    for points in (5, 1000):
        mine = listed.scatter(criteria, "binding_energy", "gap", points=points)
        sql = pictures.scatter(connection, run, criteria, "binding_energy", "gap", points=points)
        assert (mine.total, mine.sampled) == (sql.total, sql.sampled)
        assert mine.points == [
            {
                key: pytest.approx(value, rel=1e-6, abs=1e-6) if isinstance(value, float) else value
                for key, value in point.items()
            }
            for point in sql.points
        ]
    for name in ("gap", "strain", "n_atoms"):
        mine_spread = listed.histogram(criteria, name, bins=7)
        sql_spread = pictures.histogram(connection, run, criteria, name, bins=7)
        assert (mine_spread.counts, mine_spread.unknown) == (sql_spread.counts, sql_spread.unknown)
        assert mine_spread.edges == pytest.approx(sql_spread.edges)


def test_of_many_only_those_near_the_best_are_put_in_order() -> None:
    generator = np.random.default_rng(0)
    for share in (1.0, 0.3, 0.001, 0.0):
        keys = np.round(generator.normal(size=50_000), 2).astype(np.float32)
        keys[generator.random(keys.size) < share / 2] = np.nan
        selected = generator.random(keys.size) < share
        chosen = np.flatnonzero(selected)
        whole = chosen[np.argsort(keys[chosen], kind="stable")]
        for size in (1, 50, 700, 40_000):
            assert candidate_list._first(selected, keys, size).tolist() == whole[:size].tolist()


@pytest.mark.parametrize("after", ["x", "1~2", "1~2~x", "1~2~inf", "99999999999~0~1"])
def test_the_end_of_no_page_is_refused_as_by_sql(
    connection: Connection, run: Run, listed: CandidateList, after: str
) -> None:
    for one in (
        lambda **page: listed.page(connection, run, **page),
        lambda **page: candidates.page(connection, run, **page),
    ):
        with pytest.raises(CriteriaError, match="not the end of a page"):
            one(criteria=Criteria(), order=Order("gap"), limit=5, after=after)


def test_the_copy_is_filled_once_and_anew_after_harm(connection: Connection, run: Run, tmp_path: Path) -> None:
    opened = open_candidates(connection, tmp_path, run.id)
    assert opened["score"].size == run.n_candidates
    first = {name: column.tobytes() for name, column in opened.items()}
    path = tmp_path / f"candidates-{run.id}"
    inode = path.stat().st_ino
    open_candidates(connection, tmp_path, run.id)
    assert path.stat().st_ino == inode
    os.truncate(path / "score", 4)
    again = open_candidates(connection, tmp_path, run.id)
    assert {name: column.tobytes() for name, column in again.items()} == first
    assert not again["score"].flags.writeable


def test_candidates_that_are_not_those_of_the_ledger_are_an_error_and_no_copy(
    screened_engine: Engine,  # noqa: F811
    run: Run,
    tmp_path: Path,
) -> None:
    with screened_engine.connect() as connection, connection.begin() as transaction:
        connection.execute(text("DELETE FROM candidate WHERE bottom = 0 AND top = 0"))
        with pytest.raises(TilesMissingError, match="and its ledger counts"):
            open_candidates(connection, tmp_path, run.id)
        transaction.rollback()
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]


def test_the_copy_of_a_run_that_is_gone_is_removed(connection: Connection, run: Run, tmp_path: Path) -> None:
    open_candidates(connection, tmp_path, run.id)
    (tmp_path / "candidates-12345").mkdir()
    assert sweep(connection, tmp_path) == [12345]
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"candidates-{run.id}", "lock"]


def test_the_draw_of_a_sample_is_even(columns: dict[str, np.ndarray]) -> None:
    assert columns[DRAW].min() >= 0
    assert columns[DRAW].max() < pictures.SAMPLE_RANGE
    assert np.unique(columns[DRAW]).size == columns[DRAW].size


def test_candidates_are_told_from_other_pairs(connection: Connection, run: Run, rows: list[dict[str, Any]]) -> None:
    known = [(row["bottom_uid"], row["top_uid"]) for row in rows]
    asked = [known[3], ("nothing", "here"), (known[0][1], "nothing"), known[0]]
    assert are_candidates(connection, run, asked) == [True, False, False, True]
    assert are_candidates(connection, run, []) == []


@pytest.fixture
def where(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data")


def test_sql_answers_until_the_copy_is_there(
    screened_engine: Engine,  # noqa: F811
    connection: Connection,
    run: Run,
    where: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    may_open, opened = threading.Event(), CandidateList.open

    def slowly(*arguments: Any) -> CandidateList:
        assert may_open.wait(30)
        return opened(*arguments)

    monkeypatch.setattr(CandidateList, "open", slowly)
    asked: list[str] = []
    monkeypatch.setattr(candidates, "count", lambda *_: asked.append("SQL") or 7)
    reader = Reader(screened_engine, where, patience_s=0.01)
    criteria, order = Criteria.from_query("alignment.in=II"), Order("gap")
    assert reader.count(run, Criteria()) == 7
    assert asked == ["SQL"]
    before = reader.page(connection, run, criteria, order, limit=5)
    may_open.set()
    patient = Reader(screened_engine, where, patience_s=60)
    assert patient.count(run, Criteria()) == run.n_candidates
    assert asked == ["SQL"]
    assert patient.page(connection, run, criteria, order, limit=5) == before
    assert patient.histogram(connection, run, criteria, "gap").counts
    assert patient.scatter(connection, run, criteria, "binding_energy", "gap").total > 0


def test_a_data_folder_that_cannot_be_used_leaves_candidates_to_sql_and_is_said_of_pairs(
    screened_engine: Engine,  # noqa: F811
    run: Run,
    where: Settings,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("stackscreen.scan.store.os.fsync", full)
    reader = Reader(screened_engine, where, patience_s=60)
    with caplog.at_level(logging.WARNING):
        assert reader.count(run, Criteria()) == run.n_candidates
    assert "No space left" in caplog.text
    with pytest.raises(CacheUnavailableError, match="No space left"):
        reader.scan(run, Criteria(), Order())
    monkeypatch.undo()
    assert reader.scan(run, Criteria(), Order()).count > run.n_candidates
