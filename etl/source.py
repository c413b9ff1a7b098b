"""The one interface of all readers, and their register.

A reader knows a container and a database's conventions. It knows nothing of our database, and nothing after it knows
of units other than those of `schema.quantities`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from etl.errors import ImportFileError, RecordError, UnknownSourceError
from etl.records import Atoms, RawFailure, Record


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """What the database says of itself.

    Attributes:
        names_from: register name of the reader whose records this one's interfaces name as their layers.
        precedence: lower wins where two sources give the same property by the same method.
    """

    key: str
    database: str
    release: str
    method: str
    licence: str
    citation: str
    precedence: int
    names_from: str | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a container, decoded but not yet interpreted.

    Attributes:
        position: where it stands, for messages: "row 12", "line 7", a file name.
        content: its keys and values; becomes the payload.
        atoms: its structure, where the container itself holds one.
    """

    position: str
    content: dict[str, Any]
    atoms: Atoms | None = None


class Source(ABC):
    """A reader of one database's files."""

    info: SourceInfo
    version: str = "1"
    """Raised whenever a record would be read differently."""

    @abstractmethod
    def check(self, path: Path) -> int | None:
        """Look at the file before reading it.

        Returns:
            The number of records, None where it cannot be told cheaply.

        Raises:
            ImportFileError: missing, of another kind, or damaged.
        """

    @abstractmethod
    def rows(self, path: Path) -> Iterator[Row | RawFailure]:
        """The rows of the container, one at a time; memory does not grow with the file."""

    @abstractmethod
    def record(self, row: Row) -> Record:
        """Interpret one row.

        Raises:
            RecordError: it cannot be understood.
        """

    def records(self, path: Path) -> Iterator[Record | RawFailure]:
        """All records of a file. A row that cannot be understood becomes a `RawFailure`; reading goes on."""
        for row in self.rows(path):
            if isinstance(row, RawFailure):
                yield row
                continue
            try:
                yield self.record(row)
            except RecordError as error:
                yield RawFailure(self.name(row), error.rule, error.reason, payload=row.content)
            except Exception as error:
                # Whatever a malformed record provokes in a parser, the import goes on and the record is kept.
                reason = f"{row.position} cannot be read as {self.info.database}: {type(error).__name__}: {error}"
                yield RawFailure(self.name(row), "unparsable", reason, payload=row.content)

    def name(self, row: Row) -> str:
        """External id of a row that could not be interpreted."""
        return row.position

    def film(self, payload: dict[str, Any]) -> Atoms | None:
        """The freestanding upper layer of an interface, before relaxation, where the source names no parent.

        Raises:
            RecordError: the payload's structure is unreadable.
        """
        return None

    def substrate_space_group(self, payload: dict[str, Any]) -> int | None:
        """Space group number of the substrate's bulk phase, where the source gives it."""
        return None


_REGISTER: dict[str, type[Source]] = {}


def register(name: str) -> Callable[[type[Source]], type[Source]]:
    """Class decorator: makes a reader known under the name that `stackscreen import` takes."""

    def add(reader: type[Source]) -> type[Source]:
        _REGISTER[name] = reader
        return reader

    return add


def source_names() -> list[str]:
    """Names of all readers."""
    import etl.sources  # noqa: F401 - importing the package fills the register

    return sorted(_REGISTER)


def get_source(name: str) -> Source:
    """The reader of that name.

    Raises:
        UnknownSourceError: there is none.
    """
    names = source_names()
    if name not in _REGISTER:
        raise UnknownSourceError(f"There is no reader called {name!r}.", hint=f"Choose one of {', '.join(names)}.")
    return _REGISTER[name]()


def require_file(path: Path, what: str) -> None:
    """Raise `ImportFileError` unless `path` is a readable, non-empty file.

    Args:
        what: what was expected, for the message, e.g. "a C2DB .db file".
    """
    if not path.exists():
        raise ImportFileError(f"There is no file {path}.", hint=f"Give the path of {what}.")
    if not path.is_file():
        raise ImportFileError(f"{path} is a folder.", hint=f"Give the path of {what}.")
    try:
        with path.open("rb") as file:
            empty = not file.read(1)
    except OSError as error:
        raise ImportFileError(f"{path} cannot be read: {error.strerror}.", hint="Check its permissions.") from error
    if empty:
        raise ImportFileError(f"{path} is empty.", hint="Download it again.")
