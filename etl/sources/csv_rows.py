"""Rows of a CSV file by the names of its header, one at a time; plain, gzip or zip."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from etl.errors import ImportFileError
from etl.records import RawFailure
from etl.source import Raw, require_file
from etl.sources.json_stream import open_text

_MAX_LINE = 1 << 20
"""Characters: a longer line is read in pieces, which then fail as rows."""


def header(path: Path, what: str, delimiter: str = ",") -> list[str]:
    """Names of the columns.

    Args:
        what: what was expected, for the message.

    Raises:
        ImportFileError: missing, no table, or two columns have the same name.
    """
    require_file(path, what)
    with open_text(path) as text:
        try:
            names = [name.strip() for name in next(csv.reader(_lines(text), delimiter=delimiter), [])]
        except csv.Error as error:
            raise ImportFileError(f"{path} is not a table: {error}.", hint=f"Give {what}.") from error
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated is not None:
        raise ImportFileError(f"{path} has two columns called {repeated!r}.", hint="Rename one of them.")
    if len(names) < 2:
        raise ImportFileError(
            f"{path} does not begin with a line of column names separated by {delimiter!r}.", hint=f"Give {what}."
        )
    return names


def rows(path: Path, delimiter: str = ",") -> Iterator[Raw | RawFailure]:
    """The rows under the header as dictionaries of text; one of another length is kept as it stands."""
    with open_text(path) as text:
        reader = csv.reader(_lines(text), delimiter=delimiter)
        names = [name.strip() for name in next(reader, [])]
        while True:
            try:
                cells = next(reader, None)
            except csv.Error as error:
                position = f"line {reader.line_num}"
                yield RawFailure(position, "unparsable", f"{position} is no row: {error}.", raw_text="(not readable)")
                continue
            if cells is None:
                return
            position = f"line {reader.line_num}"
            if len(cells) == len(names):
                yield Raw(position, dict(zip(names, cells, strict=True)))
            elif any(cell.strip() for cell in cells):
                reason = f"{position} has {len(cells)} cells, where the header has {len(names)}."
                yield RawFailure(position, "unparsable", reason, raw_text=delimiter.join(cells))


def count_rows(path: Path) -> int:
    """Number of lines under the header: rows, where no cell holds a line break."""
    with open_text(path) as text:
        return max(sum(1 for line in _lines(text) if line.strip()) - 1, 0)


def _lines(text: TextIO) -> Iterator[str]:
    return iter(lambda: text.readline(_MAX_LINE), "")
