"""What a careful user would write today: ASE and pymatgen, one INSERT a row, StructureMatcher for duplicates.

    python -m benchmarks.rowwise DATABASE_URL FOLDER

Reads C2DB, BiDB and 2DMatPedia as they come: every structure becomes a pymatgen structure, every key a row of a table
of values. Then the monolayers of one formula are grouped by `StructureMatcher` with its defaults. Prints JSON.
"""

from __future__ import annotations

import json
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
from ase.db import connect
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor

_COMMIT_EVERY = 1000
_SCHEMA = """
    CREATE TABLE entry (
        id serial PRIMARY KEY, source text, name text, formula text, structure jsonb, UNIQUE (source, name)
    );
    CREATE TABLE value (
        id serial PRIMARY KEY, entry_id int REFERENCES entry, key text, value double precision, label text
    );
"""


def _ase_entries(path: Path, name_key: str) -> Iterator[tuple[str, Structure, dict[str, Any]]]:
    for row in connect(path).select():
        atoms = row.toatoms()
        # The matcher's cell reduction fails unless all three directions are periods.
        atoms.pbc = True
        yield row[name_key], AseAtomsAdaptor.get_structure(atoms), dict(row.key_value_pairs)


def _json_entries(path: Path) -> Iterator[tuple[str, Structure, dict[str, Any]]]:
    with path.open() as lines:
        for line in lines:
            record = json.loads(line)
            yield record["material_id"], Structure.from_dict(record.pop("structure")), record


def _insert(cursor: psycopg.Cursor[Any], source: str, name: str, structure: Structure, keys: dict[str, Any]) -> None:
    cursor.execute(
        "INSERT INTO entry (source, name, formula, structure) VALUES (%s, %s, %s, %s) "
        "ON CONFLICT (source, name) DO UPDATE SET structure = excluded.structure RETURNING id",
        (source, name, structure.composition.reduced_formula, json.dumps(structure.as_dict(), default=float)),
    )
    (identity,) = cursor.fetchone() or (None,)
    for key, value in keys.items():
        if isinstance(value, (bool, int, float)):
            cursor.execute(
                "INSERT INTO value (entry_id, key, value) VALUES (%s, %s, %s)", (identity, key, float(value))
            )
        elif isinstance(value, str):
            cursor.execute("INSERT INTO value (entry_id, key, label) VALUES (%s, %s, %s)", (identity, key, value))


def main(url: str, folder: Path) -> dict[str, float]:
    """Import, then group; seconds and numbers of each."""
    report: dict[str, float] = {}
    layers: dict[str, list[Structure]] = defaultdict(list)
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute(_SCHEMA)
        for source, entries in (
            ("c2db", _ase_entries(folder / "c2db" / "c2db.db", "uid")),
            ("bidb", _ase_entries(folder / "bidb" / "bidb.db", "bilayer_uid")),
            ("2dmatpedia", _json_entries(folder / "2dmatpedia" / "db.json")),
        ):
            began = time.perf_counter()
            n = 0
            for n, (name, structure, keys) in enumerate(entries, start=1):
                _insert(cursor, source, name, structure, keys)
                if source != "bidb":
                    layers[structure.composition.reduced_formula].append(structure)
                if n % _COMMIT_EVERY == 0:
                    connection.commit()
            connection.commit()
            report[f"{source} records"], report[f"{source} seconds"] = n, time.perf_counter() - began
    began = time.perf_counter()
    matcher = StructureMatcher()
    groups = failed = 0
    for block in layers.values():
        try:
            groups += len(matcher.group_structures(block)) if len(block) > 1 else 1
        except ValueError:
            # "can't find niggli": the matcher gives up on a formula, and its layers stay apart.
            groups += len(block)
            failed += 1
    report["failed formulas"] = failed
    report["layers"] = sum(map(len, layers.values()))
    report["groups"] = groups
    report["grouping seconds"] = time.perf_counter() - began
    return report


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], Path(sys.argv[2]))))
