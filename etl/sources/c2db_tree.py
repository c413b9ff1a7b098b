"""C2DB as a tree of folders, `AB2/1MoS2/1/`: the layout of 2024, as the authors' own web application reads it.

A folder with a `data.json` is a layer. Beside it lie its structure (`structure.xyz`, in older trees `structure.json`)
and results of single calculations (`results-asr.*.json`, or gzipped). What a `.db` file holds in one row is put
together from them, so that a layer gives the same record out of either.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from etl.errors import ImportFileError, RecordError
from etl.payload import load_json
from etl.records import Atoms
from etl.source import Raw, Row
from etl.sources.ase_data import AseData
from etl.sources.ase_sqlite import MAX_DATA, assembled_row
from etl.sources.asr_spectra import GROUND_STATE, RESULT_FILES
from etl.sources.structure_text import frame_from_extxyz
from etl.sources.values import number, word

_DATA = "data.json"
_STRUCTURES = ("structure.xyz", "structure.json")
"""The first that is there is read."""
_RESULTS = (*RESULT_FILES, GROUND_STATE)
_MAX_FILE = 10 << 20
"""Bytes: a `data.json` or a structure is a few kilobytes."""
_NAME = re.compile(r"\d+[A-Z][A-Za-z0-9]*")
_NUMBER = re.compile(r"\d+t?")
"""The last two folders that make a uid; a temporary number ends in t."""


def check_tree(path: Path) -> int:
    """Number of layers in the tree.

    Raises:
        ImportFileError: it holds none, or cannot be read.
    """
    count = sum(1 for _ in _layers(path))
    if not count:
        raise ImportFileError(
            f"{path} holds no folder with a {_DATA}, as C2DB's tree does.",
            hint="Give the folder that holds A, AB, AB2, ..., or C2DB's .db file.",
        )
    return count


def cut_tree(path: Path) -> Iterator[Raw]:
    """The layers of a tree in the order of their paths, undecoded; one folder is in memory at a time."""
    root = path.resolve()
    for folder in _layers(path):
        absolute = folder.resolve()
        content: dict[str, Any] = {"uid": _uid(absolute), "data": _content(root, folder / _DATA, _MAX_FILE)}
        structures = ((name, _content(root, folder / name, _MAX_FILE)) for name in _STRUCTURES)
        content["structure"] = next(((name, found) for name, found in structures if found is not None), None)
        content["results"] = _results(root, folder)
        yield Raw(folder.relative_to(path).as_posix() if folder != path else folder.name, content)


def _layers(path: Path) -> Iterator[Path]:
    def refuse(error: OSError) -> None:
        raise ImportFileError(f"{error.filename} cannot be read: {error.strerror}.", hint="Check its permissions.")

    # Links to folders are not followed: they lead out of the tree, or to what is met anyway.
    for folder, below, files in os.walk(path, onerror=refuse, followlinks=False):
        below.sort()
        if _DATA in files:
            yield Path(folder)


def _content(root: Path, file: Path, limit: int) -> bytes | None:
    """Content of a file of the tree; None if it is not there, leads out of it, or is larger than `limit`."""
    if not file.is_file() or not file.resolve().is_relative_to(root):
        return None
    with file.open("rb") as opened:
        content = opened.read(limit + 1)
    return content if len(content) <= limit else None


def _results(root: Path, folder: Path) -> dict[str, bytes]:
    """Result files by name (without .gz), as long as there is room; larger ones are left and doubted later."""
    found: dict[str, bytes] = {}
    for name in _RESULTS:
        for file in (folder / name, folder / f"{name}.gz"):
            if file.is_file():
                content = _content(root, file, MAX_DATA)
                found[file.name] = b"" if content is None else content
                break
    return found


def _uid(folder: Path) -> str | None:
    """`1MoS2-1` of .../1MoS2/1."""
    name, tag = folder.parent.name, folder.name
    return f"{name}-{tag}" if _NAME.fullmatch(name) and _NUMBER.fullmatch(tag) else None


def is_of_tree(raw: Raw) -> bool:
    """Whether `cut_tree` made it, and not the cut of a .db file."""
    return isinstance(raw.content, dict)


def tree_row(raw: Raw) -> Row:
    """Decode a layer of `cut_tree` as if it were a row of the .db file.

    Raises:
        RecordError: its data.json or structure is not what it should be.
    """
    keys = _keys(raw)
    if word(keys, "uid") is None and raw.content["uid"] is not None:
        keys["uid"] = raw.content["uid"]
    energy = number(keys, "energy")
    # A row's total energy is a column of its own.
    keys.pop("energy", None)
    atoms = _atoms(raw)
    return assembled_row(raw.position, keys, atoms, attachment=_attachment(raw.content["results"]), energy=energy)


def _keys(raw: Raw) -> dict[str, Any]:
    if raw.content["data"] is None:
        reason = f"{_DATA} of {raw.position} is larger than {_MAX_FILE >> 20} MiB, or a link out of the tree."
        raise RecordError("unparsable", reason)
    try:
        keys = load_json(raw.content["data"])
    except (ValueError, RecursionError) as error:
        raise RecordError("unparsable", f"{_DATA} of {raw.position} is not JSON: {error}") from error
    if not isinstance(keys, dict):
        raise RecordError("unparsable", f"{_DATA} of {raw.position} is JSON, but no object.")
    return keys


def _atoms(raw: Raw) -> Atoms:
    if raw.content["structure"] is None:
        raise RecordError("missing_structure", f"{raw.position} has neither {' nor '.join(_STRUCTURES)}.")
    name, content = raw.content["structure"]
    try:
        if name.endswith(".json"):
            return _atoms_of_json(content)
        return frame_from_extxyz(content.decode("utf-8"))[0]
    except Exception as error:
        # Whatever a malformed file provokes in ASE's parser.
        reason = f"{name} of {raw.position} is not readable: {type(error).__name__}: {error}"
        raise RecordError("missing_structure", reason) from error


def _atoms_of_json(content: bytes) -> Atoms:
    """The one row of an ASE database in JSON."""
    data = AseData(content)
    row = data.result("1")
    if row is None:
        raise ValueError("it has no row 1")
    numbers = data.array(row["numbers"], None)
    # A cell is an object of ASE's in later versions, a plain array in earlier ones.
    cell = row["cell"]["array"] if isinstance(row["cell"], dict) and "array" in row["cell"] else row["cell"]
    a, b, c = (bool(flag) for flag in _flags(row["pbc"]))
    return Atoms(
        numbers.astype(np.int64),
        data.array(row["positions"], len(numbers), 3).astype(float),
        data.array(cell, 3, 3).astype(float),
        (a, b, c),
    )


def _flags(node: Any) -> list[Any]:
    return list(node["__ndarray__"][2]) if isinstance(node, dict) else list(node)


def _attachment(results: dict[str, bytes]) -> bytes | None:
    """The results as one text, see `AseData`: each stays a text within, so that a broken one costs no other."""
    if not results:
        return None
    texts = {}
    for name, content in sorted(results.items()):
        plain = _unzipped(content) if name.endswith(".gz") else content
        texts[name.removesuffix(".gz")] = plain.decode("utf-8", "replace")
    return json.dumps(texts).encode()


def _unzipped(content: bytes) -> bytes:
    """At most `MAX_DATA` bytes of a gzip file; what is damaged or larger ends early, and is no JSON then."""
    try:
        with gzip.open(io.BytesIO(content)) as file:
            return file.read(MAX_DATA)
    except (OSError, EOFError, ValueError):
        return b""
