"""The structures of a file, of any of the formats that people keep them in; nothing else of it is looked at.

Energies, gaps and all other results that a file may hold are passed over: of a record's own fields only those of
`NAME_FIELDS` and `LAYER_FIELDS` are taken, which say what it is called and what its layers are.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np

from etl.errors import RecordError
from etl.records import Atoms, RawFailure
from etl.source import Raw
from etl.sources.ase_sqlite import ase_cut, ase_row
from etl.sources.json_stream import array_items, count_lines, first_object, line_row, lines, object_items
from etl.sources.pymatgen_dict import atoms_from_dict
from etl.sources.structure_text import atoms_from_text, format_of, structure_files
from stackscreen.predict.errors import NotPredictedError, PredictInputError, Reason

if TYPE_CHECKING:
    from ase import Atoms as AseAtoms

NAME_FIELDS = ("bilayer_uid", "uid")
"""What a record may be called by, the first that it has; else it goes by its place in the file."""
LINE_NAME_FIELDS = (*NAME_FIELDS, "_id", "id")
"""The same for JSON lines, whose place says little."""
SUBSTRATE_FIELDS = ("substrate_composition", "film_composition")
LAYER_FIELDS = (("uid_b", "uid_a"), ("bottom", "top"), SUBSTRATE_FIELDS)
"""Pairs of fields that name the two layers."""
SAME_LAYER_FIELD = "monolayer_uid"
"""The field that names the one layer of a homobilayer."""
TWIST_FIELD = "twist_angle"
"""Degrees, where the file tells the twist that a stack was made with."""
_STRUCTURE_FIELDS = ("initial_structure", "structure", "final_structure", "atoms")
"""Where a JSON record keeps its structure: before it has relaxed, for what relaxation tells no screen knows."""
_SQLITE = b"SQLite format 3\x00"
_HEADER = 4096
"""Characters of a CIF that may name its layers in comments, as `stackscreen build` writes them."""


@dataclass(frozen=True, slots=True, eq=False)
class Given:
    """One structure of a file.

    Attributes:
        id: what the file calls it.
        atoms: the structure.
        layers: names of its two layers, lower and upper or the other way round, where the file tells them.
        twist: degrees, where the file tells it.
        on_bulk: whether the file says that the first of the two names is a substrate's.
    """

    id: str
    atoms: Atoms
    layers: tuple[str, str] | None = None
    twist: float | None = None
    on_bulk: bool = False


@dataclass(frozen=True, slots=True)
class Unread:
    """One record of a file that holds no readable structure.

    Attributes:
        id: what the file calls it.
        error: why.
    """

    id: str
    error: NotPredictedError


def given_structures(path: Path) -> Iterator[Given | Unread]:
    """The structures of a file or folder, one at a time.

    Args:
        path: an ASE database (.db), a folder or zip archive of structure files, or one file: CIF, POSCAR, extended
            XYZ of any number of frames, JSON (ASE's, pymatgen's, or a list, an object or lines of either).

    Raises:
        PredictInputError: there is no such file, or it is of no such format.
        ImportFileError: it is damaged.
    """
    if not path.exists():
        raise PredictInputError(f"There is no {path}.", hint="Give a file or folder of stacked structures.")
    if path.is_dir() or zipfile.is_zipfile(path):
        yield from _folder(path)
        return
    with path.open("rb") as file:
        head = file.read(len(_SQLITE))
    if head == _SQLITE:
        yield from _ase_database(path)
    elif format_of(path.name) == "extxyz":
        with path.open(encoding="utf-8", errors="replace") as text:
            yield from _frames(path.name, text)
    elif format_of(path.name) is not None:
        yield from _folder(path)
    elif head.lstrip()[:1] in (b"{", b"[") or path.suffix in {".gz", ".jsonl", ".json"}:
        yield from _json(path)
    else:
        raise PredictInputError(
            f"{path} is none of the formats that can be read.",
            hint="Give an ASE .db, a folder or .zip of CIF or POSCAR files, one of these, extended XYZ or JSON.",
        )


def from_ase(name: str, atoms: AseAtoms) -> Given:
    """A structure that stands in no file.

    Args:
        name: what its predictions are called.
        atoms: ASE's; of `info` the names of the layers are taken, and nothing of a calculator.
    """
    made = _atoms(atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc)
    return _named(name, made, atoms.info, ())


def count_structures(path: Path) -> int | None:
    """How many structures a file holds, None where that cannot be told cheaply."""
    import sqlite3
    from contextlib import closing

    if path.is_dir() or zipfile.is_zipfile(path):
        return sum(1 for _ in structure_files(path))
    with path.open("rb") as file:
        if file.read(len(_SQLITE)) != _SQLITE:
            return None
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
            return int(connection.execute("SELECT count(*) FROM systems").fetchone()[0])
    except sqlite3.DatabaseError:
        return None


def _unread(name: str, error: Exception) -> Unread:
    said = error.reason if isinstance(error, RecordError) else f"{type(error).__name__}: {error}"
    return Unread(name, NotPredictedError(Reason.UNREADABLE, said))


def _ase_database(path: Path) -> Iterator[Given | Unread]:
    for raw in ase_cut(path):
        try:
            row = ase_row(raw)
            if row.atoms is None or not len(row.atoms.numbers):
                raise RecordError("missing_structure", "It has no atoms.")
        except Exception as error:
            yield _unread(raw.position.removeprefix("row "), error)
            continue
        yield _named(raw.position.removeprefix("row "), row.atoms, row.content["key_value_pairs"])


def _named(position: str, atoms: Atoms, fields: Mapping[str, Any], keys: tuple[str, ...] = NAME_FIELDS) -> Given:
    twist = fields.get(TWIST_FIELD)
    stated = float(twist) if isinstance(twist, int | float) and np.isfinite(twist) else None
    layers = _layers(fields)
    on_bulk = layers is not None and layers == tuple(fields.get(key) for key in SUBSTRATE_FIELDS)
    return Given(_name(fields, keys) or position, atoms, layers, stated, on_bulk)


def _name(fields: Mapping[str, Any], keys: tuple[str, ...]) -> str | None:
    for key in keys:
        value = fields.get(key)
        if isinstance(value, dict):
            value = value.get("$oid")
        if isinstance(value, str | int) and not isinstance(value, bool) and str(value).strip():
            return str(value)
    return None


def _layers(fields: Mapping[str, Any]) -> tuple[str, str] | None:
    same = fields.get(SAME_LAYER_FIELD)
    pairs = [(same, same), *((fields.get(one), fields.get(other)) for one, other in LAYER_FIELDS)]
    return next(((a, b) for a, b in pairs if isinstance(a, str) and isinstance(b, str) and a and b), None)


def _folder(path: Path) -> Iterator[Given | Unread]:
    """Each file by its name; of a single file too."""
    found = False
    for name, content in structure_files(path):
        found = True
        form = format_of(Path(name).name)
        if content is None or form is None:
            yield Unread(name, NotPredictedError(Reason.UNREADABLE, "The file is too large for one structure."))
            continue
        text = content.decode("utf-8", errors="replace")
        if form == "extxyz":
            yield from _frames(name, io.StringIO(text))
            continue
        try:
            yield Given(name, atoms_from_text(text, form), _layers(_commented(text)) if form == "cif" else None)
        except Exception as error:
            # Whatever a malformed file provokes in a parser, the others are read.
            yield _unread(name, error)
    if not found:
        raise PredictInputError(
            f"{path} holds no structure file.", hint="Files are told by their names: *.cif, *.vasp, POSCAR*, *.xyz ..."
        )


def _commented(text: str) -> dict[str, str]:
    """What the comments before the data of a CIF say, by keyword, as `stackscreen build` writes them."""
    said = {}
    for line in text[:_HEADER].splitlines():
        if not line.startswith("#"):
            break
        key, colon, value = line.removeprefix("#").partition(":")
        if colon:
            said[key.strip()] = value.strip()
    return said


def _frames(name: str, text: TextIO) -> Iterator[Given | Unread]:
    """Frames of extended XYZ: by a field of their own that names them, else by the file, numbered if it has several."""
    from ase.io.extxyz import read_xyz

    try:
        for number, frame in enumerate(read_xyz(text, index=slice(None))):
            position = name if not number else f"{name}#{number + 1}"
            if not frame.cell.any():
                yield Unread(position, NotPredictedError(Reason.UNREADABLE, "The frame has no Lattice."))
                continue
            yield _named(position, _atoms(frame.numbers, frame.positions, frame.cell.array, frame.pbc), frame.info)
    except Exception as error:
        # Behind a broken frame none can be told apart any more.
        yield _unread(name, error)


def _atoms(numbers: Any, positions: Any, cell: Any, pbc: Any) -> Atoms:
    z = np.array(numbers, np.int64)
    vectors = np.array(cell, float)
    matrix = np.diag(vectors) if vectors.shape == (3,) else vectors.reshape(3, 3)
    a, b, c = (bool(flag) for flag in pbc)
    return Atoms(z, np.array(positions, float).reshape(len(z), 3), matrix, (a, b, c))


def _json(path: Path) -> Iterator[Given | Unread]:
    for position, content in _json_records(path):
        if isinstance(content, Unread):
            yield content
            continue
        keys = LINE_NAME_FIELDS if position.startswith(("line ", "record ")) else NAME_FIELDS
        own = content.get("key_value_pairs")
        fields = {**content, **(own if isinstance(own, dict) else {})}
        try:
            yield _named(position, _json_atoms(content), fields, keys)
        except Exception as error:
            yield _unread(_name(fields, keys) or position, error)


def _json_records(path: Path) -> Iterator[tuple[str, Any]]:
    """Objects that may be structures, each with its place."""
    kind, first = first_object(path)
    items: Iterable[Any]
    if kind == "other":
        items = array_items(path)
    elif kind == "lines" and _is_one(first) and count_lines(path) > 1:
        items = lines(path)
    elif _is_collection(path):
        items = object_items(path)
    else:
        yield path.name, dict(item for item in object_items(path) if not isinstance(item, RawFailure))
        return
    for item in items:
        if isinstance(item, RawFailure):
            yield item.external_id, Unread(item.external_id, NotPredictedError(Reason.UNREADABLE, item.reason))
            continue
        position, content = (item.position, item.content) if isinstance(item, Raw) else item
        try:
            yield position, line_row(Raw(position, content)).content
        except RecordError as error:
            if isinstance(item, Raw):
                yield position, _unread(position, error)


def _is_collection(path: Path) -> bool:
    """Whether a JSON object holds structures under ids of theirs, and is not one itself."""
    keys: set[str] = set()
    for item in object_items(path):
        if isinstance(item, RawFailure):
            break
        keys.add(item[0])
        if _is_one(dict.fromkeys(keys)):
            return False
        if item[0] not in _STRUCTURE_FIELDS and _is_one(item[1]):
            return True
    return False


def _is_one(content: Any) -> bool:
    """Whether a JSON object is one structure, and not a collection of them."""
    if not isinstance(content, dict):
        return False
    return bool({"lattice", "sites"} <= set(content) or {"numbers", "positions", "cell"} <= set(content)
                or set(_STRUCTURE_FIELDS) & set(content))  # fmt: skip


def _json_atoms(content: Any) -> Atoms:
    if not isinstance(content, dict):
        raise RecordError("unparsable", "It is JSON, but no object.")
    if {"numbers", "positions", "cell"} <= set(content):
        numbers, positions, cell, periodic = (
            _plain(content.get(key, (True, True, True))) for key in ("numbers", "positions", "cell", "pbc")
        )
        return _atoms(numbers, positions, cell, periodic)
    if {"lattice", "sites"} <= set(content):
        return atoms_from_dict(content)
    for key in _STRUCTURE_FIELDS:
        inner = content.get(key)
        if isinstance(inner, dict):
            return _json_atoms(inner)
    raise RecordError("missing_structure", "It holds no structure that can be read.")


def _plain(value: Any) -> Any:
    """An array that ASE wrote as {"__ndarray__": [shape, type, numbers]}, or a cell as {"array": ...}, as a list."""
    if isinstance(value, dict) and "__ndarray__" in value:
        shape, kind, numbers = value["__ndarray__"]
        return np.array(numbers, kind).reshape(shape)
    if isinstance(value, dict) and "array" in value:
        return _plain(value["array"])
    return value
