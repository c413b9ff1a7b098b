"""A small good file for every reader, to be damaged; and the first records of the real files."""

from __future__ import annotations

import json
import sqlite3
import tomllib
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from small_files import bidb_file, c2db_file, dichalcogenide, film_on_gold, matpedia_line
from small_hetml import stack, write_layers, write_stacks
from small_json import jarvis_file, materials_project_file, optimade_file
from small_mc2d import campi, mounet, write
from small_moire import hetdb_file
from small_tables import OWN_MAP, own_table, v2db_file

from etl.source import Source, get_source
from etl.sources.table import Table
from etl.sources.table_map import TableMap

FCC_POSCAR = """Au
1.0
0.0 2.08 2.08
2.08 0.0 2.08
2.08 2.08 0.0
Au
1
direct
0 0 0
"""


@dataclass(frozen=True)
class Sample:
    """One file for one reader.

    Attributes:
        write: writes the file into a folder and gives its path.
        values: how strange values are put into it: "ase", "json", or None where only bytes are damaged.
    """

    id: str
    reader: str
    write: Callable[[Path], Path]
    values: str | None

    def source(self) -> Source:
        """The reader."""
        if self.reader == "table":
            return Table(TableMap.model_validate(tomllib.loads(OWN_MAP)))
        return get_source(self.reader)


def _matpedia(folder: Path) -> Path:
    path = folder / "db.json"
    layers = [dichalcogenide(a=3.1 + i / 50) for i in range(6)]
    path.write_text("".join(matpedia_line(f"2dm-{i}", layer) + "\n" for i, layer in enumerate(layers)))
    return path


def _hetero2d(folder: Path) -> Path:
    path = folder / "h.json"
    path.write_text(json.dumps({"one": film_on_gold(), "two": film_on_gold(downwards=True)}))
    return path


def _bulk(folder: Path) -> Path:
    path = folder / "metals"
    path.mkdir(exist_ok=True)
    (path / "Au-POSCAR").write_text(FCC_POSCAR)
    (path / "Ag.vasp").write_text(FCC_POSCAR.replace("Au", "Ag"))
    return path


SAMPLES = (
    Sample("c2db", "c2db", c2db_file, "ase"),
    Sample("bidb", "bidb", bidb_file, "ase"),
    Sample("2dmatpedia", "2dmatpedia", _matpedia, "json"),
    Sample("hetero2d", "hetero2d", _hetero2d, "json"),
    Sample("bulk", "bulk", _bulk, None),
    Sample("jarvis", "jarvis", jarvis_file, "json"),
    Sample("optimade", "optimade", optimade_file, "json"),
    Sample("materials-project", "materials-project", materials_project_file, "json"),
    Sample("v2db", "v2db", v2db_file, None),
    Sample("table", "table", own_table, None),
    Sample("hetdb", "hetdb", hetdb_file, "ase"),
    Sample("hetml layers", "hetml", write_layers, "json"),
    Sample("hetml stacks", "hetml", lambda folder: write_stacks(folder, stack(), stack("huid-1-AB")), None),
    Sample("mc2d", "mc2d", lambda folder: write(folder, mounet(), campi()), "json"),
)


def _first_rows(origin: Path, n: int) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        path = folder / f"first-{origin.name}"
        path.unlink(missing_ok=True)
        with closing(sqlite3.connect(path)) as copy:
            copy.execute("ATTACH ? AS origin", (f"file:{origin}?mode=ro&immutable=1",))
            tables = copy.execute("SELECT name, sql FROM origin.sqlite_master WHERE type = 'table'").fetchall()
            for name, statement in tables:
                if name.startswith("sqlite_"):
                    continue
                copy.execute(statement)
                if name in {"systems", "information"}:
                    copy.execute(f"INSERT INTO main.{name} SELECT * FROM origin.{name} LIMIT {n}")
            copy.commit()
        return path

    return write


def _first_lines(origin: Path, n: int) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        path = folder / f"first-{origin.name}"
        with origin.open(encoding="utf-8") as lines:
            path.write_text("".join(islice(lines, n)), encoding="utf-8")
        return path

    return write


def _first_items(origin: Path, n: int) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        path = folder / f"first-{origin.name}"
        content = json.loads(origin.read_text(encoding="utf-8"))
        first = dict(islice(content.items(), n)) if isinstance(content, dict) else content[:n]
        path.write_text(json.dumps(first), encoding="utf-8")
        return path

    return write


def real_samples(data: Path) -> list[Sample]:
    """The first records of each real file of the folder."""
    found = (
        Sample("c2db", "c2db", _first_rows(data / "c2db" / "c2db.db", 20), "ase"),
        Sample("asr rows", "c2db", _first_rows(data / "c2db" / "asr_rows_BN.db", 1), "ase"),
        Sample("bidb", "bidb", _first_rows(data / "bidb" / "bidb.db", 20), "ase"),
        Sample("2dmatpedia", "2dmatpedia", _first_lines(data / "2dmatpedia" / "db.json", 10), "json"),
        Sample("hetero2d", "hetero2d", _first_items(data / "aihd" / "2d_substrate_heterostructures.json", 2), "json"),
        Sample("hetdb", "hetdb", _first_rows(data / "hetdb" / "hetdb.db", 3), "ase"),
        Sample("hetml", "hetml", _first_items(data / "hetml" / "c2db2019_monolayers_376.json", 5), "json"),
        Sample("mc2d", "mc2d", _first_items(data / "mc2d" / "mounet-v4_structures.json", 5), "json"),
    )
    return list(found)
