"""Records of large JSON files, one at a time: JSON lines, one object keyed by id, or one array of records.

A file may be packed, as gzip or as a zip archive with the one JSON file in it; its content tells, not its name.
"""

from __future__ import annotations

import gzip
import io
import json
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from etl.errors import ImportFileError, RecordError
from etl.payload import load_json
from etl.records import RawFailure
from etl.source import Raw, Row

_GZIP = b"\x1f\x8b"
_ZIP = b"PK\x03\x04"
_CHUNK = 1 << 20
_MAX_VALUE = 64 << 20
"""Characters: a single record larger than this is taken for a broken file."""
_KEPT = 1 << 20
"""Characters of raw text kept of what could not be parsed."""


@contextmanager
def open_text(path: Path) -> Iterator[TextIO]:
    """Open as UTF-8, unpacked if the content (not the name) says so; broken bytes become replacement marks.

    Raises:
        ImportFileError: the packed file is damaged, or the archive holds more than one file.
    """
    with path.open("rb") as file:
        magic = file.read(len(_ZIP))
    try:
        if magic.startswith(_GZIP):
            with gzip.open(path, "rt", encoding="utf-8-sig", errors="replace") as text:
                yield text
        elif magic == _ZIP:
            with zipfile.ZipFile(path) as archive, archive.open(_only_file(path, archive)) as content:
                yield io.TextIOWrapper(content, encoding="utf-8-sig", errors="replace")
        else:
            with path.open(encoding="utf-8-sig", errors="replace") as text:
                yield text
    except (EOFError, gzip.BadGzipFile, zipfile.BadZipFile, zlib.error) as error:
        raise ImportFileError(f"{path} is a damaged packed file: {error}.", hint="Download it again.") from error
    except (NotImplementedError, RuntimeError) as error:
        if magic != _ZIP:
            raise
        # What zipfile raises for encrypted members and for packing methods that Python lacks.
        raise ImportFileError(f"{path} cannot be unpacked: {error}.", hint="Unpack it first.") from error


def _only_file(path: Path, archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    files = [entry for entry in archive.infolist() if not entry.is_dir() and not entry.filename.startswith("__MACOSX")]
    if len(files) != 1:
        raise ImportFileError(
            f"{path} is an archive of {len(files)} files, where one was expected.", hint="Unpack it and give the file."
        )
    return files[0]


def first_object(path: Path) -> tuple[str, Any]:
    """What the file begins with.

    Returns:
        ("lines", the first line's object), or ("object", None), or ("other", None).
    """
    with open_text(path) as text:
        head = text.read(1).strip()
        while head == "":
            character = text.read(1)
            if not character:
                return "other", None
            head = character.strip()
        if head != "{":
            return "other", None
        line = head + text.readline(_MAX_VALUE)
    try:
        value = load_json(line)
    except (ValueError, RecursionError):
        return "object", None
    return "lines", value


def lines(path: Path) -> Iterator[Raw | RawFailure]:
    """The non-empty lines; one that is too long for a record is kept in part, and reading goes on."""
    with open_text(path) as text:
        number = 0
        while line := text.readline(_MAX_VALUE):
            number += 1
            position = f"line {number}"
            if len(line) == _MAX_VALUE and not line.endswith("\n"):
                reason = f"{position} is longer than {_MAX_VALUE >> 20} million characters: no record of a database."
                yield RawFailure(position, "unparsable", reason, raw_text=line[:_KEPT])
                while line and not line.endswith("\n"):
                    line = text.readline(_MAX_VALUE)
            elif line.strip():
                yield Raw(position, line)


def line_row(raw: Raw) -> Row:
    """Decode a line of `lines`, or take an object that `object_items` has decoded.

    Raises:
        RecordError: it is no JSON object.
    """
    value = raw.content
    if isinstance(value, str):
        try:
            value = load_json(value)
        except (ValueError, RecursionError) as error:
            raise RecordError("unparsable", f"{raw.position} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise RecordError("unparsable", f"{raw.position} is JSON, but no object.")
    return Row(raw.position, value)


def count_lines(path: Path) -> int:
    """Number of non-empty lines."""
    with open_text(path) as text:
        return sum(1 for line in text if line.strip())


class _Buffer:
    """A window on the file that grows until the next JSON value fits."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self.text = file.read(_CHUNK)
        self.at = 0
        self.ended = not self.text

    def more(self) -> bool:
        chunk = self._file.read(max(_CHUNK, len(self.text) - self.at))
        self.ended = not chunk
        self.text, self.at = self.text[self.at :] + chunk, 0
        return bool(chunk)

    def skip_space(self) -> str:
        """The next character that is no white space, not consumed; empty at the end."""
        while True:
            while self.at < len(self.text) and self.text[self.at].isspace():
                self.at += 1
            if self.at < len(self.text):
                return self.text[self.at]
            if not self.more():
                return ""

    def value(self, decoder: json.JSONDecoder) -> Any:
        """Consume one JSON value; raises JSONDecodeError where there is none."""
        while True:
            self.skip_space()
            try:
                value, end = decoder.raw_decode(self.text, self.at)
            except json.JSONDecodeError:
                if len(self.text) - self.at > _MAX_VALUE or not self.more():
                    raise
                continue
            if end == len(self.text) and self.more():
                # A number may go on in the next chunk.
                continue
            self.at = end
            return value


def object_items(path: Path) -> Iterator[tuple[str, Any] | RawFailure]:
    """The members of one large JSON object, in order.

    Behind a syntax error no member can be told apart any more: what is left is kept as one raw failure.
    """
    with open_text(path) as file:
        buffer = _Buffer(file)
        yield from _to_the_break(buffer, _members(buffer))


def array_items(path: Path, under: str | None = None) -> Iterator[Raw | RawFailure]:
    """The decoded elements of one large JSON array, each with its place: "record 12".

    Behind a syntax error no element can be told apart any more: what is left is kept as one raw failure.

    Args:
        under: key of the array where it is a member of an object, whose other members are passed over. A file that is
            the bare array is taken either way.
    """
    with open_text(path) as file:
        buffer = _Buffer(file)
        for item in _to_the_break(buffer, _array_or_members(buffer, under)):
            if isinstance(item, RawFailure):
                yield item
            elif isinstance(item[1], Raw):
                yield item[1]


def members_beside(path: Path, under: str) -> dict[str, Any]:
    """The members of an object but for the array under `under`, whose elements are passed over.

    Empty for a file that is no object; for one that breaks off, what stands before the break.
    """
    with open_text(path) as file:
        buffer = _Buffer(file)
        items = _to_the_break(buffer, _array_or_members(buffer, under))
        return {i[0]: i[1] for i in items if not isinstance(i, RawFailure) and not isinstance(i[1], Raw)}


def _to_the_break(buffer: _Buffer, items: Iterator[tuple[str, Any]]) -> Iterator[tuple[str, Any] | RawFailure]:
    """The items as far as the text is JSON, then what is left as one raw failure."""
    last = "the beginning"
    try:
        for name, value in items:
            yield name, value
            last = name
    except (ValueError, RecursionError) as error:
        rest = buffer.text[buffer.at : buffer.at + _KEPT]
        reason = f"The file stops being JSON after {last}: {error}"
        yield RawFailure(f"after {last}", "unparsable", reason, raw_text=rest or "(end of file)")


def _members(buffer: _Buffer, streamed: str | None = None) -> Iterator[tuple[str, Any]]:
    """Members of an object; of an array under the key `streamed`, the elements as `Raw`."""
    decoder = json.JSONDecoder()
    _expect(buffer, "{")
    if buffer.skip_space() == "}":
        return
    while True:
        key = buffer.value(decoder)
        if not isinstance(key, str):
            raise ValueError("a key is not text")
        _expect(buffer, ":")
        if key == streamed and buffer.skip_space() == "[":
            yield from _elements(buffer)
        else:
            yield key, buffer.value(decoder)
        if buffer.skip_space() == "}":
            return
        _expect(buffer, ",")


def _elements(buffer: _Buffer) -> Iterator[tuple[str, Raw]]:
    """Elements of an array."""
    decoder = json.JSONDecoder()
    _expect(buffer, "[")
    number = 0
    if buffer.skip_space() != "]":
        while True:
            number += 1
            position = f"record {number}"
            yield position, Raw(position, buffer.value(decoder))
            if buffer.skip_space() == "]":
                break
            _expect(buffer, ",")
    _expect(buffer, "]")


def _array_or_members(buffer: _Buffer, under: str | None) -> Iterator[tuple[str, Any]]:
    return _elements(buffer) if buffer.skip_space() == "[" else _members(buffer, under)


def _expect(buffer: _Buffer, character: str) -> None:
    found = buffer.skip_space()
    if found != character:
        raise ValueError(f"expected {character!r}, found {found or 'the end of the file'!r}")
    buffer.at += 1
