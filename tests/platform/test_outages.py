"""A server that is gone is told from every other error, waited for, and held against nobody."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
from sqlalchemy import Engine, insert, select, text
from sqlalchemy.exc import DBAPIError

from schema import PairBlock, ScreeningRun
from schema.engine import make_engine
from schema.vocabulary import BlockState, RunState
from stackscreen.outages import OutageError, missing_server, outlast
from stackscreen.screening import work
from stackscreen.screening.compute import BlockResult

DIGEST = bytes(32)
CUT = "SELECT pg_terminate_backend(pg_backend_pid())"


def _raised(call: Callable[[], object]) -> Exception:
    with pytest.raises(Exception) as caught:
        call()
    return caught.value


def _execute(engine: Engine, statement: str) -> None:
    with engine.begin() as connection:
        connection.execute(text(statement))


@pytest.mark.services
def test_a_connection_that_is_cut_means_that_the_database_is_gone(engine: Engine) -> None:
    def cut() -> None:
        with engine.begin() as connection, connection.connection.cursor() as cursor:
            cursor.execute(CUT)

    assert missing_server(_raised(cut)) == "database"
    assert (
        missing_server(_raised(lambda: _execute(engine, "SELECT pg_terminate_backend(pg_backend_pid())"))) == "database"
    )


def test_servers_that_are_not_there_are_named(tmp_path: Path) -> None:
    nowhere = make_engine(f"postgresql://nobody@/none?host={tmp_path}")
    assert missing_server(_raised(nowhere.connect)) == "database"
    assert missing_server(_raised(redis.Redis(unix_socket_path=str(tmp_path / "none")).ping)) == "broker"


@pytest.mark.services
@pytest.mark.parametrize(
    "statement",
    [
        "SELECT 1 / 0",
        "SELECT * FROM nothing",
        "SET LOCAL statement_timeout = 10; SELECT pg_sleep(5)",
        "INSERT INTO role",
    ],
)
def test_an_error_of_a_statement_is_no_outage(engine: Engine, statement: str) -> None:
    error = _raised(lambda: _execute(engine, statement))
    assert isinstance(error, DBAPIError)
    assert missing_server(error) is None


def test_an_outage_is_said_once_and_waited_for() -> None:
    said: list[str] = []
    answers: list[Any] = [psycopg.OperationalError("refused"), psycopg.OperationalError("recovering"), 7]

    def call() -> int:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert outlast(call, said.append) == 7
    assert said == ["the database is gone (refused); waiting for it"]


def test_a_server_that_does_not_come_back_ends_the_wait_with_a_sentence() -> None:
    def call() -> None:
        raise redis.ConnectionError("refused")

    with pytest.raises(OutageError, match=r"The broker has not answered for 0 s: refused\."):
        outlast(call, lambda _: None, give_up_after_s=0)


def test_another_error_is_passed_on_at_once() -> None:
    with pytest.raises(ZeroDivisionError):
        outlast(lambda: 1 / 0, lambda _: None)


@pytest.mark.services
def test_a_database_that_dies_under_a_block_is_no_failed_attempt_of_it(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with engine.begin() as connection:
        run_id = connection.execute(
            insert(ScreeningRun)
            .values(
                state=RunState.RUNNING, inputs_digest=DIGEST, engine_version="1", n_monolayers=1, n_surfaces=0,
                n_pairs=1, max_strain=0.02, max_area=400, max_atoms=200, candidate_rule={},
            )
            .returning(ScreeningRun.id)
        ).scalar_one()  # fmt: skip
        area = {"row_from": 0, "row_to": 1, "col_from": 0, "col_to": 1, "n_pairs": 1}
        connection.execute(insert(PairBlock).values(run_id=run_id, block=0, **area))
    monkeypatch.setattr(work, "_context", lambda *_: None)
    monkeypatch.setattr(work, "compute_block", lambda *_: BlockResult([], {}, 0, 0, DIGEST))
    write, cuts = work._write, iter([True, True, True, True, False])

    def cut_then_write(connection: Any, *arguments: Any) -> None:
        if next(cuts):
            connection.execute(text(CUT))
        write(connection, *arguments)

    monkeypatch.setattr(work, "_write", cut_then_write)
    # More often than a block may fail.
    assert outlast(lambda: work.run_block(engine, run_id, 0, "me", 60), lambda _: None)
    with engine.connect() as connection:
        block = connection.execute(select(PairBlock.state, PairBlock.error)).one()
        state = connection.execute(select(ScreeningRun.state)).scalar_one()
    assert (block.state, block.error, state) == (BlockState.DONE, None, RunState.PUBLISHED)
