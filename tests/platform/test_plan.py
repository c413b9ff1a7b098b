"""What a screen will take is said before it runs, from measured rates, and nothing is written down."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Engine, text

from stackscreen.screening.blocks import cut
from stackscreen.screening.plan import Forecast, Rates, Space, forecast
from stackscreen.settings import Settings

RATES = Rates(
    seconds_per_cost=1e-6,
    write_seconds_per_pair=1e-7,
    matched=0.5,
    candidates=0.02,
    candidates_by_atoms={20: 0.001, 40: 0.005},
    tile_bytes_per_pair=6.4,
    candidate_bytes=300.0,
    kept={0.005: 0.01, 0.01: 0.07},
    cache_bytes_per_pair=6.0,
    shapes_per_layer=200.0,
    computing="a test",
    writing="a test",
)


def space(layers: int, surfaces: int = 0) -> Space:
    return Space(layers, np.random.default_rng(1).integers(20, 400, layers + surfaces))


def planned(of: Space, free: int | None = None, workers: int = 2) -> Forecast:
    return forecast(of, RATES, pairs_per_block=1_000_000, workers=workers, disk_free=free, max_atoms=100)


def test_a_plan_counts_pairs_blocks_bytes_and_hours() -> None:
    of = space(3000, 50)
    plan = planned(of)
    assert plan.n_pairs == 3000 * 3001 // 2 + 3000 * 50
    assert plan.n_blocks == len(cut(3000, 50, 1_000_000, of.costs))
    assert plan.tile_bytes == pytest.approx(6.4 * plan.n_pairs)
    assert plan.candidate_bytes == pytest.approx(300 * 0.02 * plan.n_pairs)
    assert plan.hours == pytest.approx((of.costs.sum() * 1e-6 + 1e-7 * plan.n_pairs) / 2 / 3600)
    assert plan.hours_by_workers[1] == pytest.approx(2 * plan.hours)
    assert plan.kept[0].bytes == pytest.approx(plan.tile_bytes + plan.candidate_bytes)
    assert (plan.disk_free, plan.kept[0].fits, plan.advice) == (None, None, [])


def test_more_workers_than_blocks_or_than_the_database_can_follow_are_no_faster() -> None:
    plan = planned(space(3000))
    assert plan.n_blocks < 8
    assert plan.hours_by_workers[128] == plan.hours_by_workers[8] < plan.hours_by_workers[2]
    large = planned(space(20_000))
    assert large.hours_by_workers[128] == pytest.approx(1e-7 * large.n_pairs / 3600)


def test_bytes_of_a_larger_space_grow_with_its_pairs_and_its_time_a_little_less() -> None:
    small, large = planned(space(10_000)), planned(space(10_000).resized(40_000))
    ratio = large.n_pairs / small.n_pairs
    assert large.tile_bytes / small.tile_bytes == pytest.approx(ratio)
    # The superlattices of a row are gone through once, however many columns it meets.
    assert 0.6 * ratio < large.hours / small.hours < ratio
    assert large.worker_bytes / small.worker_bytes == pytest.approx(4, rel=0.01)


def test_a_space_of_v2db_is_fifty_thousand_million_pairs_and_is_told_what_fits() -> None:
    plan = planned(space(1000).resized(316_505), free=100 * 10**9)
    assert plan.n_pairs == 316_505 * 316_506 // 2
    assert [choice.fits for choice in plan.kept] == [False] * 4
    assert "do not fit" in plan.advice[0]
    assert "Not even the candidates" in plan.advice[1]
    roomy = planned(space(1000).resized(316_505), free=450 * 10**9)
    assert [choice.fits for choice in roomy.kept] == [False, True, True, True]
    assert "at most 40 atoms (screen.candidate_max_atoms)" in roomy.advice[1]
    candidates_only = planned(space(1000).resized(316_505), free=350 * 10**9)
    assert [choice.fits for choice in candidates_only.kept] == [False, False, False, True]
    assert "larger disk, or fewer layers" in candidates_only.advice[1]
    assert planned(space(1000), free=10**9).advice == []


def test_as_many_layers_as_are_said_to_fit_do() -> None:
    free = 100 * 10**9
    advice = planned(space(1000, 30).resized(316_505), free=free).advice[0]
    layers = int(advice.split("this disk ")[1].split(" layers")[0].replace(",", ""))
    sizes = [planned(space(1000, 30).resized(number)).kept[0].bytes for number in (layers, layers + 2)]
    assert sizes[0] <= 0.9 * free < sizes[1]


@pytest.mark.services
def test_the_command_plans_what_a_screen_does_and_changes_nothing(
    screened_system: Settings, screened_engine: Engine, tmp_path: Path
) -> None:
    def state() -> list:
        with screened_engine.connect() as connection:
            runs = connection.execute(text("SELECT id, state, n_pairs FROM screening_run ORDER BY id")).all()
            counts = [
                connection.execute(text(f"SELECT count(*) FROM {name}")).scalar()
                for name in ("pair_block", "pair_tile", "candidate", "surface")
            ]
        return [*runs, *counts]

    def plan(*options: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "stackscreen", "screen", "--plan", *options],
            env={**os.environ, **screened_system.as_environment()},
            capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    before = state()
    found = json.loads(plan("--json"))
    with screened_engine.connect() as connection:
        run = connection.execute(text("SELECT * FROM screening_run WHERE state = 'published'")).one()
        blocks = connection.execute(text("SELECT count(*) FROM pair_block WHERE run_id = :r"), {"r": run.id}).scalar()
    assert (found["n_monolayers"], found["n_surfaces"], found["n_pairs"]) == (
        run.n_monolayers, run.n_surfaces, run.n_pairs,
    )  # fmt: skip
    assert found["n_blocks"] == blocks
    # So few pairs are all computed in the time of measuring.
    assert found["matched"] == pytest.approx(run.n_matched)
    assert found["candidates"] == pytest.approx(run.n_candidates)
    assert found["rates"]["seconds_per_cost"] > 0
    assert found["disk_free"] > 0
    large = plan("--layers", "316505", "--workers", "64")
    assert "layers        316,505" in large
    assert "with 64 worker processes" in large
    assert state() == before


def test_a_plan_without_rates_of_writing_is_limited_by_computing_alone() -> None:
    free_writing = replace(RATES, write_seconds_per_pair=0.0)
    plan = forecast(space(20_000), free_writing, pairs_per_block=1_000_000, workers=2, disk_free=None, max_atoms=100)
    assert plan.hours_by_workers[128] == pytest.approx(plan.hours_by_workers[1] / 128)
