"""A group's whole day: import, deduplicate, describe, screen everything; then import again.

    python -m benchmarks pipeline --data FOLDER

FOLDER holds `c2db/c2db.db`, `bidb/bidb.db`, `2dmatpedia/db.json`, `aihd/2d_substrate_heterostructures.json` and
`bulk/*.zip`; what is missing is left out and said so. Every step is the `stackscreen` command that a user types, on a
fresh embedded system of its own, with its wall time and its peak memory.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.hardware import describe
from benchmarks.steps import STACKSCREEN, run_step

FILES = (
    ("c2db", "c2db/c2db.db"),
    ("bidb", "bidb/bidb.db"),
    ("2dmatpedia", "2dmatpedia/db.json"),
    ("hetero2d", "aihd/2d_substrate_heterostructures.json"),
    ("bulk", "bulk/elemental_metals_poscar.zip"),
)


def _counts(environment: dict[str, str]) -> dict[str, int]:
    """Rows of every table but the log of imports, which grows by a line an import."""
    done = subprocess.run([STACKSCREEN, "status", "--json"], env=environment, capture_output=True, check=True)
    tables = json.loads(done.stdout)["database"]["tables"]
    return {name: table["rows"] for name, table in tables.items() if name != "import_run"}


def _worker_memory() -> float:
    """Largest peak resident memory of one worker process, MiB."""
    peak = 0.0
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            command = (status.parent / "cmdline").read_bytes()
            fields = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
        except (OSError, ValueError):
            continue  # it ended meanwhile
        if b"stackscreen" in command and b"worker" in command:
            peak = max(peak, int(fields.get("VmHWM", "0 kB").split()[0]) / 1024)
    return peak


def main(arguments: list[str]) -> None:
    """Run the pipeline on a folder of real data and print a Markdown table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks pipeline", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the databases' files")
    parser.add_argument("--keep", type=Path, help="data directory to use and keep; default: a temporary one")
    options = parser.parse_args(arguments)
    folder = options.keep or Path(tempfile.mkdtemp(prefix="stackscreen-bench-"))
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    environment = {**os.environ, "STACKSCREEN_DATA_DIR": str(folder / "data")}
    imports = [(key, options.data / path) for key, path in FILES]
    steps = []
    try:
        steps.append(run_step("services and schema", [STACKSCREEN, "db", "upgrade"], environment))
        for key, path in imports:
            if path.exists():
                steps.append(run_step(f"import {key}", [STACKSCREEN, "import", key, str(path)], environment))
            else:
                print(f"left out, not there: {path}", file=sys.stderr)
        steps.append(run_step("deduplicate", [STACKSCREEN, "dedupe"], environment))
        steps.append(run_step("register models", [STACKSCREEN, "models", "register"], environment))
        steps.append(run_step("features and embeddings", [STACKSCREEN, "features"], environment))
        steps.append(run_step("screen every pair", [STACKSCREEN, "screen"], environment))
        worker = _worker_memory()
        first = _counts(environment)
        for key, path in imports:
            if path.exists():
                steps.append(run_step(f"import {key} again", [STACKSCREEN, "import", key, str(path)], environment))
        steps.append(run_step("deduplicate again", [STACKSCREEN, "dedupe"], environment))
        steps.append(run_step("screen again", [STACKSCREEN, "screen"], environment))
        second = _counts(environment)
    finally:
        subprocess.run([STACKSCREEN, "services", "stop"], env=environment, check=False)
        if options.keep is None:
            shutil.rmtree(folder, ignore_errors=True)
    print(f"\n{describe()}\n\n| step | wall, s | peak memory of the command, MiB |\n|---|---:|---:|")
    for step in steps:
        print(f"| {step.name} | {step.seconds:.1f} | {step.memory:.0f} |")
    print(f"\nPeak memory of one worker process: {worker:.0f} MiB\n")
    print("| table | rows |\n|---|---:|")
    for name, rows in first.items():
        print(f"| {name} | {rows:,} |")
    changed = {name: (rows, second[name]) for name, rows in first.items() if second[name] != rows}
    print(f"\nChanged by importing everything again: {changed or 'nothing'}")
