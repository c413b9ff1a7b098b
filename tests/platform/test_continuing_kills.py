"""Worker, broker and database are killed while a run continues a space: it says what a run over everything would."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from saying import alike, rows, said
from sqlalchemy import Engine, text

from benchmarks.killing import BACKEND, BROKER, EMPTIED, POSTMASTER, WORKER, Killer, Planned, screening
from benchmarks.steps import STACKSCREEN
from benchmarks.undisturbed import set_aside
from schema.engine import make_engine
from stackscreen.services import database_url
from stackscreen.settings import Settings, load_settings

pytestmark = pytest.mark.services
AT_ONCE = (WORKER, EMPTIED, POSTMASTER, BROKER)
"""Killed one after the other before the first block can be done."""


@pytest.fixture(scope="module")
def settings(disposable_system: Settings) -> Settings:
    """A block for every changed member, so that there are moments to be killed at."""
    return load_settings(**{**disposable_system.model_dump(), "screen": {"block_pairs": 40, "lease_s": 2}})


@pytest.fixture(scope="module")
def engine(settings: Settings) -> Iterator[Engine]:
    engine = make_engine(database_url(settings))
    _screen(settings)
    yield engine
    engine.dispose()


def _screen(settings: Settings) -> None:
    subprocess.run([STACKSCREEN, "screen"], env={**os.environ, **settings.as_environment()}, check=True)


def test_kills_while_a_space_is_continued_lose_and_double_nothing(
    settings: Settings, engine: Engine, tmp_path: Path
) -> None:
    before = said(engine)
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE monolayer SET ln_area = ln_area + 0.004 WHERE material_id IN "
                 "(SELECT id FROM material WHERE kind = 'monolayer' AND withdrawn_at IS NULL ORDER BY id DESC LIMIT 3)")
        )  # fmt: skip
    with screening(settings, engine, tmp_path / "log") as (command, run_id):
        killer = Killer(settings, engine, run_id, command, give_up_after_s=120)
        _, blocks = killer.progress()
        assert blocks == 3
        for victim in AT_ONCE:
            (kill,) = killer.strike([Planned(victim, 0.0, 0.0)])
            print(kill)
            assert kill.done < blocks
        for victim in (WORKER, BACKEND):
            killer.wait_for_blocks(1)
            list(killer.strike([Planned(victim, 0.0, 0.0)]))
        assert command.wait(120) == 0, (tmp_path / "log").read_text()
    run = rows(engine, "SELECT * FROM screening_run WHERE id = :r", r=run_id)[0]
    assert (run.base_run_id, run.state) == (run.space_id, "published")
    continued = said(engine)
    assert continued != before

    set_aside(engine)
    _screen(settings)
    anew = rows(engine, "SELECT * FROM screening_run WHERE state = 'published'")[0]
    assert anew.base_run_id is None
    assert (run.n_pairs, run.n_matched, run.n_candidates) == (anew.n_pairs, anew.n_matched, anew.n_candidates)
    for here, there in zip(continued, said(engine), strict=True):
        assert len(here) == len(there) > 0
        assert all(alike(one, other) for one, other in zip(here, there, strict=True))
