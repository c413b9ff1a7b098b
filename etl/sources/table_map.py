"""The map of a group's own table: which column is what, in which unit.

It is written as TOML, and checked as a whole before anything is read.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from etl.source import SourceInfo, get_source, source_names
from etl.units import UnitError, conversion
from schema.errors import StackscreenError
from schema.quantities import QUANTITIES, Quantity
from schema.vocabulary import Face, InterfaceKind, Method, Subject

_DOCS = "docs/own-data.md explains the map and has examples."
_MAX_BYTES = 1 << 20
_NAME = re.compile(r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$")
_FAMILIES = ("optimade-", "jarvis-")
"""Beginnings of the keys of sources whose files tell whose records they hold."""


class MapError(StackscreenError):
    """The map is not TOML, or says what no table can mean."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Number(_Part):
    """A column of numbers and its unit."""

    column: str
    unit: str


class Column(_Part):
    """A column that holds a property.

    Attributes:
        unit: of the file; none for a word.
        method: where it differs from the table's.
        sign: -1 where the file's sign is the opposite of ours (a binding energy that is negative for bound layers).
        reference: column whose value is subtracted first, in the same unit (the vacuum level, for a band edge).
    """

    column: str
    unit: str | None = None
    method: Method | None = None
    face: Face | None = None
    sign: Literal[1, -1] = 1
    reference: str | None = None


class StructureColumn(_Part):
    """A column of file names, relative to the table's folder."""

    column: str
    format: Literal["poscar", "cif", "extxyz"] | None = None


class SplitName(_Part):
    """A column that names both layers in one word, the lower one first."""

    column: str
    separator: str = Field(default="-", min_length=1)


class StackColumns(_Part):
    """What tells how the layers of an interface lie: columns, but for `kind`.

    Attributes:
        names: instead of `bottom` and `top`, where one column names both.
        bottom_atoms: number of atoms of the lower layer, which come first in the structure; without it the layers are
            told apart at the widest gap.
    """

    bottom: str | None = None
    top: str | None = None
    names: SplitName | None = None
    kind: InterfaceKind | None = None
    surface: str | None = None
    bottom_atoms: str | None = None
    distance: Number | None = None
    twist: Number | None = None
    shift_a: Number | None = None
    shift_b: Number | None = None
    strain_aa: Number | None = None
    strain_bb: Number | None = None
    strain_ab: Number | None = None

    def numbers(self) -> Iterator[tuple[str, Number, str]]:
        """Field of `Stack`, its column, and the unit that it needs."""
        for field, unit in _STACK_UNITS.items():
            stated = getattr(self, field)
            if stated is not None:
                yield field, stated, unit


_STACK_UNITS = {
    "distance": "Å", "twist": "deg", "shift_a": "1", "shift_b": "1", "strain_aa": "1", "strain_bb": "1",
    "strain_ab": "1",
}  # fmt: skip


class TableMap(_Part):
    """What a table's columns mean, and whose it is.

    Attributes:
        name: key of the source in the database.
        method: level of theory of every property that does not state its own.
        id: column of the record's name; for a folder of structures, the file's name.
        names: columns of further names; a layer without structure joins the material that has one of them.
        names_from: source whose names `bottom` and `top` are.
        precedence: lower wins where two sources give the same property by the same method.
        missing: words that stand for no value, in any case.
    """

    name: str
    database: str
    release: str = "own data"
    licence: str
    citation: str
    method: Method
    subject: Subject
    id: str | None = None
    names: tuple[str, ...] = ()
    names_from: str | None = None
    precedence: int = Field(default=60, ge=1, lt=200)
    delimiter: str = Field(default=",", min_length=1, max_length=1)
    missing: tuple[str, ...] = ("", "na", "n/a", "nan", "none", "null", "-")
    structure: StructureColumn | None = None
    stack: StackColumns | None = None
    columns: dict[str, tuple[Column, ...]] = {}

    @field_validator("columns", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {key: one if isinstance(one, (list, tuple)) else (one,) for key, one in value.items()}

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read and check a map.

        Raises:
            MapError: missing, not TOML, or wrong; the message names the line and the key, the hint what is allowed.
        """
        text = _read(path)
        try:
            content = tomllib.loads(text)
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            raise MapError(f"{path} is not TOML: {error}.", hint=_DOCS) from error
        try:
            found = cls.model_validate(content)
        except ValidationError as error:
            first = error.errors()[0]
            keys = tuple(str(key) for key in first["loc"] if not isinstance(key, int))
            message, hint = _explained(cls, keys, first["type"], first["msg"])
            raise _error_at(path, text, keys, message, hint) from error
        for keys, message, hint in _mistakes(found):
            raise _error_at(path, text, keys, message, hint)
        return found

    def source_info(self) -> SourceInfo:
        """The source that the table's records belong to."""
        return SourceInfo(
            key=self.name,
            database=self.database,
            release=self.release,
            method=self.method.value,
            licence=self.licence,
            citation=self.citation,
            precedence=self.precedence,
            names_from=self.names_from,
        )

    def meaning(self) -> dict[str, Any]:
        """What decides how a row is read, JSON-like: it is kept with each record, which a changed map changes."""
        whose = {"name", "database", "release", "licence", "citation", "precedence", "names_from", "delimiter"}
        return self.model_dump(mode="json", exclude=whose, exclude_defaults=True)

    @classmethod
    def of_meaning(cls, meaning: dict[str, Any]) -> Self:
        """The map of a kept record.

        Raises:
            ValueError: it is none.
        """
        return cls.model_validate(
            {"name": "kept", "database": "", "licence": "", "citation": "", "delimiter": ",", **meaning}
        )

    def used_columns(self) -> Iterator[tuple[str, str]]:
        """Every column that the map speaks of, with what for."""
        if self.id is not None:
            yield self.id, "id"
        for name in self.names:
            yield name, "names"
        if self.structure is not None:
            yield self.structure.column, "structure"
        stack = self.stack
        if stack is not None:
            for field in ("bottom", "top", "surface", "bottom_atoms"):
                stated = getattr(stack, field)
                if stated is not None:
                    yield stated, f"stack.{field}"
            if stack.names is not None:
                yield stack.names.column, "stack.names"
            for field, stated, _ in stack.numbers():
                yield stated.column, f"stack.{field}"
        for key, columns in self.columns.items():
            for column in columns:
                yield column.column, f"columns.{key}"
                if column.reference is not None:
                    yield column.reference, f"columns.{key}.reference"


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise MapError(f"{path} is too large for a map of columns.", hint=_DOCS)
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise MapError(
            f"The map {path} cannot be read: {error.strerror}.", hint="Give its path: --map map.toml."
        ) from error
    except UnicodeDecodeError as error:
        raise MapError(f"{path} is not UTF-8 text.", hint=_DOCS) from error


_Mistake = tuple[tuple[str, ...], str, str]
"""Keys that lead to it, what is wrong, and what is allowed."""


def _mistakes(found: TableMap) -> Iterator[_Mistake]:
    """What a well-formed map may still get wrong."""
    yield from _wrong_name(found.name)
    if found.subject is Subject.INTERFACE:
        yield from _wrong_stack(found.stack)
    else:
        if found.stack is not None:
            yield ("stack",), f"A {found.subject} has no stack.", 'Write subject = "interface", or leave [stack] out.'
        if found.columns and found.structure is None and not found.names and found.id is None:
            yield ("id",), "Nothing names the records.", 'Write id = "<column>".'
    for key, columns in found.columns.items():
        for column in columns:
            yield from _wrong_column(key, column, found.subject)
    stack = found.stack
    for field, stated, unit in stack.numbers() if stack is not None else ():
        yield from _wrong_unit(("stack", field, "unit"), stated.unit, unit)


def _wrong_name(name: str) -> Iterator[_Mistake]:
    if not _NAME.match(name):
        yield ("name",), f"{name!r} is no name of a source.", "Write small letters, digits and single hyphens: our-dft."
    taken = {get_source(reader).info.key for reader in source_names()} - {TABLE_KEY}
    if name in taken or name.startswith(_FAMILIES) or name.endswith(tuple(f"-{key}" for key in taken)):
        hint = "Choose a name that is neither a database's nor ends in one, such as our-dft."
        yield ("name",), f"{name!r} would be taken for records of a published database.", hint


TABLE_KEY = "table"
"""Key of a table without a map, which is never imported."""


def _wrong_stack(stack: StackColumns | None) -> Iterator[_Mistake]:
    hint = 'Write bottom = "<column>" and top = "<column>", or names = {column = "<column>", separator = "-"}.'
    if stack is None:
        yield ("subject",), "An interface needs a section [stack] that names its two layers.", hint
    elif (stack.names is None) == (stack.bottom is None) or (stack.bottom is None) != (stack.top is None):
        yield ("stack",), "The two layers are named by bottom and top, or both by names.", hint


def _wrong_column(key: str, column: Column, subject: Subject) -> Iterator[_Mistake]:
    where = ("columns", key)
    quantity = QUANTITIES.get(key)
    if quantity is None or subject not in quantity.applies_to:
        possible = [q.key for q in QUANTITIES.values() if subject in q.applies_to]
        close = get_close_matches(key, possible, 1)
        wrong = f"There is no property {key!r}" if quantity is None else f"{key} is no property of a {subject}"
        guess = f"Did you mean {close[0]}? " if close else ""
        yield where, f"{wrong}.", f"{guess}One of {', '.join(possible)}."
        return
    if quantity.is_label:
        if column.unit is not None or column.reference is not None or column.sign != 1:
            yield where, f"{key} is a word, which has no unit, sign or reference.", "Give its column alone."
    elif column.unit is None:
        yield where, f"{key} has no unit.", _unit_hint(quantity)
    else:
        yield from _wrong_unit((*where, "unit"), column.unit, quantity.unit)
    if column.face is not None and not quantity.per_face:
        yield (*where, "face"), f"{key} is the same on both faces.", "Leave face out."


def _unit_hint(quantity: Quantity) -> str:
    try:
        conversion("no unit", quantity.unit)
    except UnitError as error:
        return error.hint
    return ""


def _wrong_unit(where: tuple[str, ...], unit: str, target: str) -> Iterator[_Mistake]:
    try:
        conversion(unit, target)
    except UnitError as error:
        yield where, error.message, error.hint


def _explained(model: type[BaseModel], keys: tuple[str, ...], kind: str, message: str) -> tuple[str, str]:
    """pydantic's finding in our words, and what is allowed."""
    if kind == "missing":
        return f"{keys[-1]} is missing.", _DOCS
    if kind == "extra_forbidden":
        possible = _fields_at(model, keys[:-1])
        close = get_close_matches(keys[-1], possible, 1)
        guess = f"Did you mean {close[0]}? " if close else ""
        return f"There is no key {keys[-1]!r} here.", f"{guess}One of {', '.join(possible)}."
    return f"{message}.", _DOCS


def _fields_at(model: type[BaseModel], keys: tuple[str, ...]) -> list[str]:
    parts: dict[str, type[BaseModel]] = {
        "structure": StructureColumn, "stack": StackColumns, "names": SplitName, "columns": Column,
        **dict.fromkeys(_STACK_UNITS, Number),
    }  # fmt: skip
    known = [parts[key] for key in keys if key in parts]
    return list((known[-1] if known else model).model_fields)


def _error_at(path: Path, text: str, keys: tuple[str, ...], message: str, hint: str) -> MapError:
    return MapError(f"{path}, line {_line_of(text, keys)}, {'.'.join(keys)}: {message}", hint=hint)


def _line_of(text: str, keys: tuple[str, ...]) -> int:
    """Line where the last of nested keys is written, as far as they are found; counted from 1."""
    lines = text.splitlines()
    at = 0
    for key in keys:
        pattern = re.compile(rf"(?<![\w-])[\"']?{re.escape(key)}[\"']?\s*[=\].]")
        at = next((i for i in range(at, len(lines)) if pattern.search(lines[i])), at)
    return at + 1
