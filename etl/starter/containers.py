"""Writers of the official containers: an ASE SQLite database, JSON lines, a keyed JSON object."""

import hashlib
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import ase.db
import orjson
from ase import Atoms
from ase.db.row import AtomsRow, atoms2dict

KeyValues = Mapping[str, str | float | int | bool | None]

BUILT_AT = 26.0
"""Creation time written to every row, in ASE's years since 2000: fixed, so that a rebuild gives the same file."""
USER = "stackscreen"
_JSON = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE


def write_ase_db(path: Path, rows: Iterable[tuple[str, Atoms, KeyValues]], metadata: Mapping[str, str]) -> None:
    """Write an ASE SQLite database, replacing any file at `path`.

    Args:
        path: the `.db` file.
        rows: identifier (from which the row's unique id is derived), structure, and key-value pairs; None is left out.
        metadata: what the database says about itself.
    """
    path.unlink(missing_ok=True)
    database = ase.db.connect(path, use_lock_file=False)
    with database:
        for identifier, atoms, pairs in rows:
            unique_id = hashlib.sha256(identifier.encode()).hexdigest()[:32]
            row = AtomsRow({**atoms2dict(atoms), "unique_id": unique_id, "ctime": BUILT_AT, "user": USER})
            database.write(row, key_value_pairs={key: value for key, value in pairs.items() if value is not None})
        database.metadata = dict(metadata)
    # ASE stamps the wall clock on each row; a rebuild must not differ by it.
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE systems SET mtime = ?", (BUILT_AT,))
        connection.commit()
        connection.execute("VACUUM")


def write_json_lines(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Write one JSON object a line, replacing any file at `path`."""
    path.write_bytes(b"".join(orjson.dumps(record, option=_JSON) for record in records))


def write_json_object(path: Path, records: Mapping[str, Mapping[str, Any]]) -> None:
    """Write one JSON object keyed by id, replacing any file at `path`."""
    path.write_bytes(orjson.dumps(records, option=_JSON | orjson.OPT_INDENT_2))
