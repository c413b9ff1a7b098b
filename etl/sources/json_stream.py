"""Records of large JSON files, one at a time: JSON lines (plain or gzip), or one object keyed by id."""

from __future__ import annotations

import gzip
import json
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
_CHUNK = 1 << 20
_MAX_VALUE = 64 << 20
"""Characters: a single record larger than this is taken for a broken file."""
_KEPT = 1 << 20
"""Characters of raw text kept of what could not be parsed."""


@contextmanager
def open_text(path: Path) -> Iterator[TextIO]:
    """Open as UTF-8, through gzip if the content (not the name) says so; broken bytes become replacement marks."""
    with path.open("rb") as file:
        packed = file.read(2) == _GZIP
    try:
        if packed:
            with gzip.open(path, "rt", encoding="utf-8-sig", errors="replace") as text:
                yield text
        else:
            with path.open(encoding="utf-8-sig", errors="replace") as text:
                yield text
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ImportFileError(f"{path} is a damaged gzip file: {error}.", hint="Download it again.") from error


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
    decoder = json.JSONDecoder()
    with open_text(path) as file:
        buffer = _Buffer(file)
        last = "the beginning"
        try:
            _expect(buffer, "{")
            if buffer.skip_space() == "}":
                return
            while True:
                key = buffer.value(decoder)
                if not isinstance(key, str):
                    raise ValueError("a key is not text")
                _expect(buffer, ":")
                value = buffer.value(decoder)
                yield key, value
                last = key
                if buffer.skip_space() == "}":
                    return
                _expect(buffer, ",")
        except (ValueError, RecursionError) as error:
            rest = buffer.text[buffer.at : buffer.at + _KEPT]
            reason = f"The file stops being JSON after {last}: {error}"
            yield RawFailure(f"after {last}", "unparsable", reason, raw_text=rest or "(end of file)")


def _expect(buffer: _Buffer, character: str) -> None:
    found = buffer.skip_space()
    if found != character:
        raise ValueError(f"expected {character!r}, found {found or 'the end of the file'!r}")
    buffer.at += 1
