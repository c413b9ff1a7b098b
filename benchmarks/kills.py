"""A screening run whose worker, broker and database are killed at random, beside an undisturbed one.

    python -m benchmarks kills --c2db FILE.db

Imports C2DB's layers, or `--layers` of them drawn at random, on a fresh embedded system of its own, screens them in
peace, sets that run aside, and screens them again while `kill -9` hits the processes of the system at random moments.
What the two runs left in the database is compared there, byte by byte.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sqlite3
import subprocess
import tempfile
import time
from pathlib import Path

from benchmarks.hardware import describe
from benchmarks.killing import Kill, Killer, pauses, planned, screening
from benchmarks.steps import STACKSCREEN
from benchmarks.undisturbed import account, differences, keep_as_undisturbed, published_run, set_aside
from schema.engine import make_engine
from stackscreen.services import database_url, lifecycle
from stackscreen.settings import load_settings


def _sample(path: Path, layers: int, seed: int, to: Path) -> Path:
    """A copy of an ASE SQLite file with some of its rows, drawn at random."""
    shutil.copyfile(path, to)
    with sqlite3.connect(to) as database:
        ids = [number for (number,) in database.execute("SELECT id FROM systems ORDER BY id")]
        kept = set(random.Random(seed).sample(ids, min(layers, len(ids))))
        database.executemany("DELETE FROM systems WHERE id = ?", [(number,) for number in ids if number not in kept])
    return to


def main(arguments: list[str]) -> None:
    """Screen twice, once disturbed, and print Markdown tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks kills", description=__doc__)
    parser.add_argument("--c2db", type=Path, required=True, help="a C2DB .db file")
    parser.add_argument("--layers", type=int, help="rows of the file, drawn at random; default: all")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0, help="of the rows, the order of the kills and their moments")
    parser.add_argument("--block-pairs", type=int, help="pairs aimed at in a block; default: the setting")
    parser.add_argument("--keep", type=Path, help="data directory to use and keep; default: a temporary one")
    options = parser.parse_args(arguments)
    folder = options.keep or Path(tempfile.mkdtemp(prefix="stackscreen-bench-"))
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    screen = {} if options.block_pairs is None else {"block_pairs": options.block_pairs}
    settings = load_settings(data_dir=folder / "data", screen=screen)
    environment = {**os.environ, **settings.as_environment()}
    engine = make_engine(database_url(settings))
    try:
        path = options.c2db
        if options.layers is not None:
            path = _sample(path, options.layers, options.seed, folder / "layers.db")
        for command in (["db", "upgrade"], ["import", "c2db", path], ["dedupe"], ["models", "register"], ["features"]):
            subprocess.run([STACKSCREEN, *command], env=environment, check=True, stdout=subprocess.DEVNULL)
        began = time.perf_counter()
        subprocess.run([STACKSCREEN, "screen"], env=environment, check=True)
        quiet_s = time.perf_counter() - began
        keep_as_undisturbed(engine, published_run(engine))
        set_aside(engine)
        began = time.perf_counter()
        with screening(settings, engine, folder / "screen.log") as (command, run_id):
            kills = []
            for kill in Killer(settings, engine, run_id, 900).strike(planned(options.seed, options.kills)):
                print(f"killed: {kill}", flush=True)
                kills.append(kill)
            if command.wait():
                raise SystemExit(f"stackscreen screen failed:\n{(folder / 'screen.log').read_text()}")
        noisy_s = time.perf_counter() - began
        with engine.connect() as connection:
            lost = pauses(connection, run_id, kills)
            books = account(connection, run_id)
            different = differences(connection, run_id)
        _report(kills, lost, quiet_s, noisy_s, options.seed)
        print("| of the finished run | |\n|---|---:|")
        for name, value in books._mapping.items():
            print(f"| {name} | {value:,} |" if not isinstance(value, bool) else f"| {name} | {value} |")
        for name, count in different.items():
            print(f"| {name} that differ from the undisturbed run's | {count:,} |")
    finally:
        engine.dispose()
        if options.keep is None:
            lifecycle.destroy(settings)
            shutil.rmtree(folder, ignore_errors=True)
        else:
            lifecycle.stop(settings)


def _report(kills: list[Kill], lost: list[float], quiet_s: float, noisy_s: float, seed: int) -> None:
    print(f"\n{describe()}\n\nseed {seed}\n")
    print("| killed | blocks done | longest pause until the next kill, s |\n|---|---:|---:|")
    for kill, pause in zip(kills, lost, strict=True):
        print(f"| {kill.victim} | {kill.done} of {kill.blocks} | {pause:.1f} |")
    print(f"\nwall time: {quiet_s:.0f} s undisturbed, {noisy_s:.0f} s with {len(kills)} kills\n")
