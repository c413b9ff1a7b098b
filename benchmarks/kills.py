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
import sys
import tempfile
import time
from pathlib import Path

from sqlalchemy import Connection, Engine

from benchmarks.hardware import describe
from benchmarks.killing import Kill, Killer, Planned, pauses, planned, screening
from benchmarks.steps import STACKSCREEN
from benchmarks.undisturbed import account, differences, keep_as_undisturbed, published_run, set_aside
from schema.engine import make_engine
from stackscreen.services import database_url, lifecycle
from stackscreen.settings import Settings, load_settings


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
    path = options.c2db
    engine = make_engine(database_url(settings))
    try:
        if options.layers is not None:
            path = _sample(path, options.layers, options.seed, folder / "layers.db")
        for command in (["db", "upgrade"], ["import", "c2db", path], ["dedupe"], ["models", "register"], ["features"]):
            _run(settings, *command)
        set_aside(engine)
        began = time.perf_counter()
        _run(settings, "screen")
        quiet_s = time.perf_counter() - began
        keep_as_undisturbed(engine, published_run(engine))
        set_aside(engine)
        began = time.perf_counter()
        run_id, kills = _disturbed(settings, engine, planned(options.seed, options.kills), folder / "screen.log")
        noisy_s = time.perf_counter() - began
        with engine.connect() as connection:
            _report(connection, run_id, kills, options.seed)
        print(f"\nwall time of the screen: {quiet_s:.0f} s undisturbed, {noisy_s:.0f} s with {len(kills)} kills")
    finally:
        engine.dispose()
        if options.keep is None:
            lifecycle.destroy(settings)
            shutil.rmtree(folder, ignore_errors=True)
        else:
            lifecycle.stop(settings)


def _run(settings: Settings, *command: str | Path) -> None:
    environment = {**os.environ, **settings.as_environment()}
    subprocess.run([STACKSCREEN, *command], env=environment, check=True, stdout=subprocess.DEVNULL)


def _disturbed(settings: Settings, engine: Engine, kills: list[Planned], log: Path) -> tuple[int, list[Kill]]:
    """A run with kills: its number, and what was done to it.

    Raises:
        SystemExit: the command that waits for it failed; with its output.
    """
    delivered = []
    with screening(settings, engine, log) as (command, run_id):
        try:
            for kill in Killer(settings, engine, run_id, command, 900).strike(kills):
                print(kill, file=sys.stderr)
                delivered.append(kill)
        except (RuntimeError, TimeoutError) as error:
            raise SystemExit(f"{error}:\n{log.read_text()}") from error
        if command.wait():
            raise SystemExit(f"the screen failed:\n{log.read_text()}")
    return run_id, delivered


def _report(connection: Connection, run_id: int, kills: list[Kill], seed: int) -> None:
    print(f"{describe()}\n\nseed {seed}\n")
    print("| killed | when so much was done | longest pause until the next kill, s |\n|---|---:|---:|")
    for kill, pause in zip(kills, pauses(connection, run_id, kills), strict=True):
        print(f"| {kill.victim} | {100 * kill.done / kill.blocks:.0f} % | {pause:.1f} |")
    books = account(connection, run_id)
    print("\n| of the finished run | |\n|---|---:|")
    print(f"| pairs, N(N+1)/2 + S·N | {books.expected:,} |")
    print(f"| pairs in its tiles | {books.pairs:,} |")
    print(f"| rows whose tiles leave a gap or overlap | {books.misfit_rows:,} |")
    print(f"| blocks not done | {books.not_done:,} |")
    print(f"| blocks with other candidates than counted | {books.uncounted:,} |")
    print(f"| published runs, this one among them | {books.published:,}, {'yes' if books.is_published else 'no'} |")
    for name, count in differences(connection, run_id).items():
        print(f"| {name} that differ from the undisturbed run's in a byte | {count:,} |")
