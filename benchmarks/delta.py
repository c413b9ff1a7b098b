"""One changed material in a published screen of the whole pair space.

    python -m benchmarks delta --yes [--materials 20]

Works on the database that the settings name, which must hold a published run. Random monolayers are changed one by one
(their conduction edge by 10 meV), withdrawn and brought back, each time with a screen of what that changes; in the end
every value is what it was. What a worker does is done in this process, as it would be in a warm one, and apart from it
`stackscreen screen` is timed as a whole: start of Python, queue and worker included.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sqlalchemy import Engine, text

from benchmarks.hardware import describe
from schema.engine import make_engine
from stackscreen.query.candidates import published_run
from stackscreen.screening.runs import plan_run, publish_if_done
from stackscreen.screening.work import run_block
from stackscreen.services import database_url
from stackscreen.settings import Settings, get_settings

SEED = 7
_EDGES = text("""
    UPDATE property_value SET value = value + :by WHERE id IN (
        SELECT v.id FROM property_value v JOIN property p ON p.id = v.property_id AND p.key = 'cbm'
        JOIN material_member mm ON mm.source_record_id = v.source_record_id WHERE mm.material_id = :id)
""")
_WITHDRAW = text("UPDATE material SET withdrawn_at = now() WHERE id = :id")
_RESTORE = text("UPDATE material SET withdrawn_at = NULL WHERE id = :id")


@dataclass(frozen=True, slots=True)
class Timing:
    """s: finding out what changed, its pairs, publication; and how many candidates and pairs there were."""

    plan: float
    blocks: float
    publish: float
    pairs: int
    candidates: int

    @property
    def whole(self) -> float:
        """s, from the question what changed to the published run."""
        return self.plan + self.blocks + self.publish


def rescreen(engine: Engine, settings: Settings) -> Timing:
    """What `stackscreen screen` and a worker do, timed."""
    began = time.perf_counter()
    plan = plan_run(engine, settings.screen)
    planned = time.perf_counter()
    with engine.connect() as connection:
        run = connection.execute(
            text("SELECT base_run_id FROM screening_run WHERE id = :run"), {"run": plan.run_id}
        ).one()
        blocks = connection.execute(
            text("SELECT block FROM pair_block WHERE run_id = :run"), {"run": plan.run_id}
        ).scalars().all()  # fmt: skip
    if not plan.fresh or run.base_run_id is None:
        raise SystemExit(f"run {plan.run_id} is no continuation of the published one: start from a fresh screen")
    done = time.perf_counter()
    for block in blocks:
        run_block(engine, plan.run_id, block, "benchmark", settings.screen.lease_s)
    computed = time.perf_counter()
    publish_if_done(engine, plan.run_id)
    ended = time.perf_counter()
    with engine.connect() as connection:
        work = connection.execute(
            text("SELECT coalesce(sum(n_pairs), 0) AS pairs, coalesce(sum(n_candidates), 0) AS candidates "
                 "FROM pair_block WHERE run_id = :run"),
            {"run": plan.run_id},
        ).one()  # fmt: skip
        assert published_run(connection).id == plan.run_id
    return Timing(planned - began, computed - done, ended - computed, int(work.pairs), int(work.candidates))


def main(arguments: list[str]) -> None:
    """Run it and print a Markdown table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks delta", description=__doc__)
    parser.add_argument("--materials", type=int, default=20)
    parser.add_argument("--yes", action="store_true", help="the database may be changed, and changed back")
    options = parser.parse_args(arguments)
    if not options.yes:
        parser.error("this changes materials of the database and changes them back: say --yes, on a copy")
    settings = get_settings()
    engine = make_engine(database_url(settings))
    with engine.connect() as connection:
        run = published_run(connection)
        ids = connection.execute(
            text("SELECT DISTINCT material_id FROM analyst.material_values "
                 "WHERE kind = 'monolayer' AND property = 'cbm' AND method = 'PBE' ORDER BY 1")
        ).scalars().all()  # fmt: skip
    chosen = np.random.default_rng(SEED).choice(ids, options.materials, replace=False).tolist()
    rescreened: dict[str, list[Timing]] = {}

    def step(what: str, change: Callable[[], None]) -> None:
        change()
        rescreened.setdefault(what, []).append(rescreen(engine, settings))

    def doing(statement: object, **values: object) -> Callable[[], None]:
        def change() -> None:
            with engine.begin() as connection:
                connection.execute(statement, values)  # type: ignore[call-overload]

        return change

    for number in chosen:
        step("changed", doing(_EDGES, id=number, by=0.01))
        step("changed", doing(_EDGES, id=number, by=-0.01))
        step("withdrawn", doing(_WITHDRAW, id=number))
        step("come back", doing(_RESTORE, id=number))
    print(f"{describe()}\n\nRun of {run.n_pairs:,} pairs, {run.n_candidates:,} candidates\n")
    print("| one material | times | pairs | candidates | what changed, s | its pairs, s | publication, s "
          "| all, median, s | all, slowest, s |")  # fmt: skip
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    for what, timings in rescreened.items():
        middle = {
            name: float(np.median([getattr(one, name) for one in timings]))
            for name in ("pairs", "candidates", "plan", "blocks", "publish", "whole")
        }
        slowest = max(one.whole for one in timings)
        print(
            f"| {what} | {len(timings)} | {middle['pairs']:,.0f} | {middle['candidates']:,.0f} | {middle['plan']:.2f} "
            f"| {middle['blocks']:.2f} | {middle['publish']:.2f} | {middle['whole']:.2f} | {slowest:.2f} |"
        )
    doing(_EDGES, id=chosen[0], by=0.01)()
    command = shutil.which("stackscreen") or ".venv/bin/stackscreen"
    began = time.perf_counter()
    subprocess.run([command, "screen"], env=dict(os.environ), check=True)
    print(f"\n`stackscreen screen`, command and worker and all: {time.perf_counter() - began:.2f} s")
    doing(_EDGES, id=chosen[0], by=-0.01)()
    rescreen(engine, settings)
    engine.dispose()
