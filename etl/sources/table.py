"""A group's own data: a table with a map of its columns, a folder of structures, or frames of extended XYZ.

The map (`etl.sources.table_map`) says what each column is and in which unit; it becomes part of each record's payload,
so that a corrected map makes corrected records and a kept record can be read again without the map's file.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from etl.canonical import canonical_slab
from etl.errors import ImportFileError, RecordError
from etl.payload import canonical_json
from etl.records import Atoms, Doubt, Fact, RawFailure, Record, Stack
from etl.source import Raw, Row, Source, SourceInfo, register
from etl.sources import csv_rows
from etl.sources.json_stream import open_text
from etl.sources.structure_text import (
    MAX_BYTES,
    atoms_from_text,
    format_of,
    frame_from_extxyz,
    stem,
    structure_files,
)
from etl.sources.table_map import TABLE_KEY, Column, TableMap
from etl.sources.values import word
from etl.units import conversion
from schema.quantities import QUANTITIES
from schema.vocabulary import InterfaceKind, Subject

_MAX_ATOMS = 10_000
"""Atoms of one frame of extended XYZ."""
_MAX_LINE = 1 << 16
_HELP = "docs/own-data.md shows maps to start from."


def table_source(map_path: Path) -> Source:
    """The reader of one group's table.

    Raises:
        MapError: the map is wrong; the message names the line.
    """
    return Table(TableMap.load(map_path), map_path)


@register("table")
class Table(Source):
    """A group's own table (.csv), folder of structures or .extxyz, with a map of its columns (--map)."""

    info = SourceInfo(
        key=TABLE_KEY, database="Own data", release="", method="", licence="", citation="", precedence=60
    )  # fmt: skip
    version = "1"

    def __init__(self, table_map: TableMap | None = None, map_path: Path | None = None) -> None:
        self._map = table_map
        self._map_path = map_path
        if table_map is not None:
            self.info = table_map.source_info()

    def check(self, path: Path) -> int:
        """See `Source.check`; also that the table has every column that the map speaks of."""
        table_map = self._required_map()
        if not path.exists():
            raise ImportFileError(
                f"There is no {path}.", hint="Give a .csv, a folder of structures or an .extxyz file."
            )
        if _is_folder(path):
            count = sum(1 for _ in structure_files(path))
            if not count:
                raise ImportFileError(f"{path} holds no structure files.", hint="Name them *.cif, POSCAR* or *.extxyz.")
            self._refuse_columns(path, table_map)
            return count
        if _is_frames(path):
            return sum(1 for _ in _frames(path))
        self._check_columns(path, csv_rows.header(path, "a .csv table", table_map.delimiter), table_map)
        return csv_rows.count_rows(path)

    def for_file(self, path: Path) -> Source:
        """See `Source.for_file`: what the file alone does not tell becomes part of the reader's version.

        That is the map, and the structure files that the table names: with one of them changed, the same table is
        another one.
        """
        table_map = self._required_map()
        hasher = hashlib.sha256(canonical_json(table_map.meaning()))
        if table_map.structure is not None:
            for item in self.cut(path):
                content = item.content.get("structure") if isinstance(item, Raw) else item.reason
                hasher.update(canonical_json({"structure": content}))
        reader = Table(table_map, self._map_path)
        reader.version = f"{self.version}+{hasher.hexdigest()[:16]}"
        return reader

    def _required_map(self) -> TableMap:
        if self._map is None:
            raise ImportFileError("A table needs a map of its columns.", hint=f"Give it with --map map.toml. {_HELP}")
        return self._map

    def _check_columns(self, path: Path, names: list[str], table_map: TableMap) -> None:
        if table_map.id is None:
            raise ImportFileError(
                f"{self._map_path} does not say which column names the records.", hint='Write id = "…".'
            )
        for column, use in table_map.used_columns():
            if column not in names:
                close = get_close_matches(column, names, 1)
                guess = f"Did you mean {close[0]!r}? " if close else ""
                shown = ", ".join(names[:20]) + (" …" if len(names) > 20 else "")
                raise ImportFileError(
                    f"{path} has no column {column!r}, which {self._map_path} names for {use}.",
                    hint=f"{guess}Its columns: {shown}.",
                )

    def _refuse_columns(self, path: Path, table_map: TableMap) -> None:
        stated = next(table_map.used_columns(), None)
        if stated is not None:
            raise ImportFileError(
                f"{path} is a folder of structures, which has no column {stated[0]!r}.",
                hint=f"Leave {stated[1]} out of {self._map_path}, or give a .csv with a column of file names.",
            )

    def cut(self, path: Path) -> Iterator[Raw | RawFailure]:
        """See `Source.cut`."""
        table_map = self._required_map()
        meaning = table_map.meaning()
        if _is_folder(path):
            yield from _folder(path, meaning)
        elif _is_frames(path):
            yield from _with_meaning(_frames(path), meaning)
        else:
            rows = csv_rows.rows(path, table_map.delimiter)
            yield from _with_structures(rows, path.parent, table_map, meaning)

    def name(self, row: Row) -> str:
        """The id, the structure's file, or the place."""
        stated = None
        if self._map is not None:
            stated = _Cells(row.content.get("columns"), self._map.missing).text(self._map.id)
        return stated or word(row.content, "name") or row.position

    def record(self, row: Row) -> Record:
        """One row, structure or frame."""
        content = row.content
        table_map = self._map_of(content)
        atoms, columns = _read(content)
        cells = _Cells(columns, table_map.missing)
        identity = cells.text(table_map.id) or word(content, "name")
        if identity is None:
            raise RecordError("unknown_keys", f"{row.position} has no {table_map.id or 'id'}.")
        names = [name for name in map(cells.text, table_map.names) if name is not None]
        record = Record(identity, table_map.subject, content, atoms, names=names)
        for key, stated in table_map.columns.items():
            for column in stated:
                _add_fact(key, column, cells, table_map, record)
        if table_map.subject is Subject.INTERFACE:
            record.stack = _stack(cells, table_map, record)
        return record

    def _map_of(self, content: dict[str, Any]) -> TableMap:
        if self._map is not None:
            return self._map
        try:
            return TableMap.of_meaning(content["map"])
        except (KeyError, TypeError, ValueError) as error:
            raise RecordError("unparsable", "The kept record has no readable map of its columns.") from error


class _Cells:
    """The cells of one row, words for "missing" taken out."""

    def __init__(self, columns: Any, missing: tuple[str, ...]) -> None:
        self._columns: dict[str, Any] = columns if isinstance(columns, dict) else {}
        self._missing = {word.strip().casefold() for word in missing}

    def text(self, column: str | None) -> str | None:
        """The cell's text; None where it, or the column, is missing."""
        value = None if column is None else self._columns.get(column)
        if value is None or isinstance(value, (dict, list, np.ndarray)):
            return None
        text = str(value).strip()
        return None if text.casefold() in self._missing else text

    def number(self, column: str, key: str, record: Record) -> float | None:
        """The cell's number; None where it is missing or, with a doubt, where it is none."""
        text = self.text(column)
        if text is None:
            return None
        try:
            return float(text)
        except ValueError:
            record.doubts.append(Doubt("unparsable", key, f"{column} is {text[:100]!r}, which is no number."))
            return None


def _add_fact(key: str, column: Column, cells: _Cells, table_map: TableMap, record: Record) -> None:
    quantity = QUANTITIES[key]
    method = column.method or table_map.method
    if quantity.is_label:
        label = cells.text(column.column)
        if label is not None:
            record.facts.append(Fact(quantity, label, method, column.face))
        return
    value = cells.number(column.column, key, record)
    zero = 0.0 if column.reference is None else cells.number(column.reference, key, record)
    if value is None:
        return
    if zero is None:
        detail = f"{column.column} is given, but not {column.reference}, to which it refers."
        record.doubts.append(Doubt("no_vacuum_level", key, detail))
        return
    factor = conversion(column.unit or quantity.unit, quantity.unit)
    record.facts.append(Fact(quantity, column.sign * (value - zero) * factor, method, column.face))


def _stack(cells: _Cells, table_map: TableMap, record: Record) -> Stack:
    stated = table_map.stack
    if stated is None:
        raise RecordError("unparsable", "The map of the table does not name the layers of an interface.")
    if stated.names is not None:
        both = (cells.text(stated.names.column) or "").split(stated.names.separator)
        bottom, top = (both[0].strip(), both[1].strip()) if len(both) == 2 else ("", "")
        if not bottom or not top:
            shown = cells.text(stated.names.column)
            reason = f"{stated.names.column} is {shown!r}, and not two names around {stated.names.separator!r}."
            raise RecordError("unparsable", reason)
    else:
        bottom, top = cells.text(stated.bottom) or "", cells.text(stated.top) or ""
        if not bottom or not top:
            raise RecordError("unparsable", f"{record.external_id} does not name both of its layers.")
    numbers: dict[str, Any] = {}
    for field, column, unit in stated.numbers():
        value = cells.number(column.column, field, record)
        numbers[field] = None if value is None else value * conversion(column.unit, unit)
    kind = stated.kind or (InterfaceKind.HOMOBILAYER if bottom == top else InterfaceKind.HETEROBILAYER)
    return Stack(
        kind=kind,
        bottom_name=bottom,
        top_name=top,
        top_atoms=None if record.atoms is None else _upper(record.atoms, cells.text(stated.bottom_atoms)),
        method=table_map.method,
        surface=cells.text(stated.surface),
        **numbers,
    )


def _upper(atoms: Atoms, n_bottom: str | None) -> NDArray[np.int64]:
    """Indices of the upper layer: those after the lower layer's, or those above the widest gap."""
    count = len(atoms.numbers)
    if n_bottom is not None:
        if not n_bottom.isdecimal() or not 0 < int(n_bottom) < count:
            raise RecordError("inconsistent", f"{n_bottom} of {count} atoms cannot be the lower layer.")
        return np.arange(int(n_bottom), count)
    heights = canonical_slab(atoms).positions[:, 2]
    order = np.argsort(heights, kind="stable")
    if count < 2:
        raise RecordError("inconsistent", "A single atom is no stack of two layers.")
    below = int(np.diff(heights[order]).argmax()) + 1
    return np.sort(order[below:])


def _read(content: dict[str, Any]) -> tuple[Atoms | None, dict[str, Any]]:
    """Structure and cells of a record's content; a frame's comment line holds its cells."""
    structure = content.get("structure")
    stated = content.get("columns")
    columns: dict[str, Any] = stated if isinstance(stated, dict) else {}
    if structure is None:
        return None, columns
    try:
        if structure["format"] == "extxyz":
            atoms, info = frame_from_extxyz(structure["text"])
            return atoms, {**info, **columns}
        return atoms_from_text(structure["text"], structure["format"]), columns
    except RecordError:
        raise
    except Exception as error:
        # pymatgen and ASE raise whatever a malformed file provokes in them.
        shown = f"{type(error).__name__}: {error}"[:300]
        named = word(structure, "name") if isinstance(structure, dict) else None
        reason = f"{named or 'The structure'} cannot be read: {shown}"
        raise RecordError("missing_structure", reason) from error


# -- cutting ---------------------------------------------------------------------------------------------------------


def _is_folder(path: Path) -> bool:
    if path.is_dir() or format_of(path.name) in ("cif", "poscar"):
        return True
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(format_of(Path(name).name) for name in archive.namelist())


def _is_frames(path: Path) -> bool:
    return format_of(path.name.removesuffix(".gz")) == "extxyz"


def _folder(path: Path, meaning: dict[str, Any]) -> Iterator[Raw | RawFailure]:
    for name, content in structure_files(path):
        if content is None:
            reason = f"{name} is too large for one structure."
            yield RawFailure(name, "missing_structure", reason, raw_text="(not kept)")
            continue
        structure = {
            "name": name,
            "format": format_of(Path(name).name),
            "text": content.decode("utf-8", errors="replace"),
        }
        yield Raw(name, {"name": stem(name), "structure": structure, "map": meaning})


def _frames(path: Path) -> Iterator[Raw | RawFailure]:
    """Frames of an extended XYZ file: a line with the number of atoms, a comment, and a line an atom."""
    with open_text(path) as text:
        number = 0
        while line := _next_line(text):
            number += 1
            position = f"frame {number}"
            count = int(line) if line.strip().isdecimal() and len(line) < 16 else 0
            if not 0 < count <= _MAX_ATOMS:
                reason = f"{position} begins with {line.strip()[:60]!r}, and not with a number of atoms: reading ends."
                yield RawFailure(position, "unparsable", reason, raw_text=line)
                return
            lines = [line, *(text.readline(_MAX_LINE) for _ in range(count + 1))]
            structure = {"name": f"{path.name} {position}", "format": "extxyz", "text": "".join(lines)}
            yield Raw(position, {"name": f"{stem(path.name)}-{number}", "structure": structure})


def _next_line(text: TextIO) -> str:
    while (line := text.readline(_MAX_LINE)) and not line.strip():
        pass
    return line


def _with_meaning(items: Iterator[Raw | RawFailure], meaning: dict[str, Any]) -> Iterator[Raw | RawFailure]:
    for item in items:
        yield Raw(item.position, {**item.content, "map": meaning}) if isinstance(item, Raw) else item


def _with_structures(
    rows: Iterator[Raw | RawFailure], folder: Path, table_map: TableMap, meaning: dict[str, Any]
) -> Iterator[Raw | RawFailure]:
    """Rows with the text of the structure files that they name."""
    for item in rows:
        if isinstance(item, RawFailure):
            yield item
            continue
        content: dict[str, Any] = {"columns": item.content, "map": meaning}
        cells = _Cells(item.content, table_map.missing)
        name = cells.text(table_map.structure.column) if table_map.structure is not None else None
        if name is not None and table_map.structure is not None:
            try:
                content["structure"] = _structure(folder, name, table_map.structure.format)
            except RecordError as error:
                identity = cells.text(table_map.id) or item.position
                yield RawFailure(identity, error.rule, error.reason, payload=content)
                continue
        yield Raw(item.position, content)


def _structure(folder: Path, name: str, form: str | None) -> dict[str, str]:
    """Text of a structure file beside the table.

    Raises:
        RecordError: it lies elsewhere, is missing, too large, or of no known format.
    """
    form = form or format_of(Path(name).name)
    if form is None:
        reason = f"{name!r} does not tell its format by its name: *.cif, *.vasp, POSCAR*, *.xyz or *.extxyz."
        raise RecordError("missing_structure", reason)
    try:
        root, file = folder.resolve(), (folder / name).resolve()
        if not file.is_relative_to(root):
            raise RecordError("missing_structure", f"{name!r} lies outside the table's folder.")
        if not file.is_file():
            raise RecordError("missing_structure", f"There is no file {name!r} beside the table.")
        if file.stat().st_size > MAX_BYTES:
            raise RecordError("missing_structure", f"{name!r} is too large for one structure.")
        text = file.read_text(encoding="utf-8", errors="replace")
    except (OSError, ValueError, RuntimeError) as error:
        if isinstance(error, RecordError):
            raise
        raise RecordError("missing_structure", f"{name!r} cannot be read: {error}") from error
    return {"name": name, "format": form, "text": text}
