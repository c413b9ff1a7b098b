"""Rows of an ASE `.db` (SQLite), streamed straight from the file.

`ase.db` itself writes a lock file beside the database, decodes the large `data` column of every row and builds objects
that an import does not need; here the file is opened read-only and each column is read as ASE's version-9 format lays
it down: little-endian int32 `numbers`, float64 `positions` and `cell`, `pbc` as three bits, `key_value_pairs` as JSON.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from etl.errors import ImportFileError, RecordError, UnknownKeysError
from etl.payload import load_json
from etl.records import Atoms
from etl.source import Raw, Row, require_file

_MAGIC = b"SQLite format 3\x00"
_TABLES = {"systems", "keys"}
_SAMPLE = 50
"""Rows whose keys are looked at before an import begins."""
_CHECK_LIMIT = 2 * 1024**3
"""Bytes above which SQLite's own integrity check, which reads the whole file, would take longer than it is worth."""
_FETCH = 200

_SELECT = """
    SELECT id, numbers, positions, cell, pbc, energy, magmom, charge, key_value_pairs,
           CASE WHEN length(data) > ? AND length(data) <= ? THEN data END, length(data)
    FROM systems ORDER BY id
"""
_EMPTY_DATA = 32
"""Bytes: ASE stores an empty `data` as `{}` with a short header."""
MAX_DATA = 64 << 20
"""Bytes: larger calculated results of one row are left in the file (C2DB's are 1 to 3 MB)."""


def _connect(path: Path) -> sqlite3.Connection:
    # `immutable` keeps SQLite from making journals beside a file that may lie on a read-only disk.
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)


def _damaged(path: Path, detail: str) -> ImportFileError:
    return ImportFileError(
        f"{path} is a damaged or incomplete SQLite database: {detail}.",
        hint="Download it again and compare its size or checksum with what the database's authors state.",
    )


def check_ase(path: Path, database: str, any_of: frozenset[str], *, key_hints: dict[str, str]) -> int:
    """Make sure that `path` is an ASE database of the expected kind, before anything is read into ours.

    Args:
        path: the file.
        database: name for messages, e.g. "C2DB".
        any_of: keys of which at least one must be found in the first rows.
        key_hints: keys that betray another database, with its name on the command line.

    Returns:
        Number of rows.

    Raises:
        ImportFileError: missing, not SQLite, damaged, or not written by ASE.
        UnknownKeysError: the rows hold none of `any_of`.
    """
    require_file(path, f"a {database} .db file")
    with path.open("rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            raise ImportFileError(
                f"{path} is not an SQLite database, as {database} .db files are.",
                hint="Check that the download is the .db file itself and not a web page or an archive of it.",
            )
    try:
        with closing(_connect(path)) as connection:
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if not tables >= _TABLES:
                raise ImportFileError(
                    f"{path} is an SQLite database, but was not written by ASE: it has no table of systems.",
                    hint=f"Give the .db file as {database} distributes it.",
                )
            if path.stat().st_size <= _CHECK_LIMIT:
                verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
                if verdict != "ok":
                    raise _damaged(path, str(verdict).splitlines()[0])
            count: int = connection.execute("SELECT count(*) FROM systems").fetchone()[0]
            sample = connection.execute("SELECT key_value_pairs FROM systems LIMIT ?", (_SAMPLE,)).fetchall()
    except sqlite3.DatabaseError as error:
        raise _damaged(path, str(error)) from error
    _check_keys(path, database, any_of, key_hints, [text for (text,) in sample])
    return count


def _check_keys(path: Path, database: str, any_of: frozenset[str], hints: dict[str, str], sample: list[str]) -> None:
    found: set[str] = set()
    for text in sample:
        try:
            found.update(load_json(text or "{}"))
        except (ValueError, TypeError, RecursionError):
            continue
    if not sample or found & any_of:
        return
    shown = ", ".join(sorted(found)[:8]) or "none at all"
    other = next((name for key, name in hints.items() if key in found), None)
    raise UnknownKeysError(
        f"{path} has none of the keys of {database} ({', '.join(sorted(any_of))}); it has {shown}.",
        hint=f"It looks like a {other} file: try `stackscreen import {other}`." if other else "Choose another reader.",
    )


def ase_cut(path: Path) -> Iterator[Raw]:
    """The rows of an ASE database in the order of their ids, undecoded; memory stays flat.

    Raises:
        ImportFileError: SQLite finds the file damaged on the way.
    """
    try:
        with closing(_connect(path)) as connection:
            cursor = connection.execute(_SELECT, (_EMPTY_DATA, MAX_DATA))
            cursor.arraysize = _FETCH
            while batch := cursor.fetchmany():
                for columns in batch:
                    yield Raw(f"row {columns[0]}", columns)
    except sqlite3.DatabaseError as error:
        raise _damaged(path, str(error)) from error


def ase_row(raw: Raw) -> Row:
    """Decode a row of an ASE database.

    The payload holds `key_value_pairs`, the structure and the total energy. The `data` column (spectra and calculation
    files, up to megabytes) is the row's attachment; the payload describes it by size and SHA-256. One beyond `MAX_DATA`
    is left in the file, and described by its size alone.

    Raises:
        RecordError: a column is not what ASE's format says.
    """
    _, numbers, positions, cell, pbc, energy, magmom, charge, pairs, data, data_bytes = raw.content
    try:
        keys = load_json(pairs or "{}")
        if not isinstance(keys, dict):
            raise TypeError("key_value_pairs is not an object")
        atoms = _atoms(numbers, positions, cell, pbc)
    except (ValueError, TypeError, RecursionError) as error:
        raise RecordError("unparsable", f"{raw.position} is not a readable ASE row: {error}") from error
    attachment = data if isinstance(data, bytes) or data is None else str(data).encode()
    row = assembled_row(raw.position, keys, atoms, attachment=attachment, energy=energy, magmom=magmom)
    if charge:
        row.content["charge"] = charge
    if attachment is None and (data_bytes or 0) > MAX_DATA:
        row.content["data"] = {"bytes": data_bytes}
    return row


def assembled_row(
    position: str,
    keys: dict[str, Any],
    atoms: Atoms,
    *,
    attachment: bytes | None = None,
    energy: float | None = None,
    magmom: float | None = None,
) -> Row:
    """A row in the form that `ase_row` promises, from its parts.

    Args:
        energy: eV, total energy of the cell.
        magmom: μ_B, of the cell.
    """
    content: dict[str, Any] = {
        "key_value_pairs": keys,
        "numbers": atoms.numbers,
        "positions": atoms.positions,
        "cell": atoms.cell,
        "pbc": list(atoms.periodic),
    }
    content.update({k: v for k, v in (("energy", energy), ("magmom", magmom)) if v is not None})
    if attachment is not None:
        content["data"] = {"bytes": len(attachment), "sha256": hashlib.sha256(attachment).hexdigest()}
    return Row(position, content, atoms, attachment)


def ase_kept(external_id: str, payload: dict[str, Any]) -> Row:
    """The row of a payload of `ase_row`, without its attachment.

    Raises:
        RecordError: the structure is not in the payload.
    """
    return Row(external_id, payload, atoms_of(payload))


def ase_is_whole(payload: dict[str, Any]) -> bool:
    """Whether the row of a payload of `ase_row` came without attachment."""
    return "data" not in payload


def atoms_of(payload: dict[str, Any]) -> Atoms:
    """The structure in a payload of `ase_row`.

    Raises:
        RecordError: it is not there, or its parts do not fit together.
    """
    try:
        numbers = np.array(payload["numbers"], np.int64)
        positions = np.array(payload["positions"], float).reshape(len(numbers), 3)
        cell = np.array(payload["cell"], float).reshape(3, 3)
        a, b, c = (bool(flag) for flag in payload["pbc"])
    except (KeyError, TypeError, ValueError) as error:
        raise RecordError("missing_structure", f"The kept record has no readable structure: {error}.") from error
    return Atoms(numbers, positions, cell, (a, b, c))


def _array(blob: Any, dtype: str) -> np.ndarray[Any, np.dtype[Any]]:
    # Versions of ASE before 9 wrote JSON text where later ones write bytes.
    return np.frombuffer(blob, dtype) if isinstance(blob, bytes) else np.asarray(load_json(blob), dtype)


def _atoms(numbers: Any, positions: Any, cell: Any, pbc: int) -> Atoms:
    """Decode the structure columns; raises ValueError or TypeError if their sizes do not fit together."""
    z = _array(numbers, "<i4").astype(np.int64)
    xyz = _array(positions, "<f8").astype(np.float64).reshape(-1, 3)
    vectors = _array(cell, "<f8").astype(np.float64).reshape(3, 3)
    if len(z) != len(xyz):
        raise ValueError(f"{len(z)} atomic numbers, but {len(xyz)} positions")
    bits = int(pbc)
    return Atoms(z, xyz, vectors, (bool(bits & 1), bool(bits & 2), bool(bits & 4)))
