"""The one interface of all readers, and their register.

A reader knows a container and a database's conventions. It knows nothing of our database, and nothing after it knows
of units other than those of `schema.quantities`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from etl.errors import ImportFileError, RecordError, UnknownSourceError
from etl.records import Atoms, RawFailure, Record


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """What the database says of itself.

    Attributes:
        names_from: plain key of the source whose records this one's interfaces name as their layers.
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
class Raw:
    """One record cut out of its container, not yet decoded: what is handed to a parsing process.

    Attributes:
        position: where it stands, for messages: "row 12", "line 7", a file name.
        content: what the reader's own `row` decodes: text, bytes, columns; must be picklable.
    """

    position: str
    content: Any


@dataclass(frozen=True, slots=True)
class Row:
    """One record of a container, decoded but not yet interpreted.

    Attributes:
        position: as in `Raw`.
        content: its keys and values; becomes the payload that is kept.
        atoms: its structure, where the container itself holds one.
        attachment: what came with the record and is too large for the payload, e.g. calculated spectra; a reader
            takes typed data out of it, and the payload keeps its size and digest.
    """

    position: str
    content: dict[str, Any]
    atoms: Atoms | None = None
    attachment: bytes | None = None


class Source(ABC):
    """A reader of one database's files.

    A file is read in three steps. `cut` walks through the container in the importing process, cheaply; `row` and
    `record` do the work on one record at a time, in a process that may crash or hang without harm to the others. A
    reader must therefore be picklable, and `row` and `record` must not look at anything but their argument.
    """

    info: SourceInfo
    reader: ClassVar[str]
    """Name under which the reader is registered."""
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

    def for_file(self, path: Path) -> Source:
        """The reader as it fits a file that has passed `check`: itself, unless the file says whose records it holds."""
        return self

    @abstractmethod
    def cut(self, path: Path) -> Iterator[Raw | RawFailure]:
        """The records of the container, one at a time; memory does not grow with the file.

        Raises:
            ImportFileError: the file turns out to be damaged on the way.
        """

    def row(self, raw: Raw) -> Row:
        """Decode one record; as it stands, for containers that were decoded to find their records.

        Raises:
            RecordError: it is not what the container should hold; its `raw_text` is kept.
        """
        return Row(raw.position, raw.content)

    @abstractmethod
    def record(self, row: Row) -> Record:
        """Interpret one row.

        Raises:
            RecordError: it cannot be understood.
        """

    def read(self, raw: Raw) -> Record | RawFailure:
        """Decode and interpret one record; whatever it provokes becomes a `RawFailure` with what was read."""
        try:
            row = self.row(raw)
        except RecordError as error:
            return RawFailure(raw.position, error.rule, error.reason, raw_text=kept_text(raw.content))
        except Exception as error:
            reason = f"{raw.position} is not a record of {self.info.database}: {type(error).__name__}: {error}"
            return RawFailure(raw.position, "unparsable", reason, raw_text=kept_text(raw.content))
        return self.interpret(row)

    def interpret(self, row: Row) -> Record | RawFailure:
        """Interpret one decoded record; whatever it provokes becomes a `RawFailure` with its payload."""
        try:
            return self.record(row)
        except RecordError as error:
            return RawFailure(self.name(row), error.rule, error.reason, payload=row.content)
        except Exception as error:
            # Whatever a malformed record provokes in a parser, the import goes on and the record is kept.
            reason = f"{row.position} cannot be read as {self.info.database}: {type(error).__name__}: {error}"
            return RawFailure(self.name(row), "unparsable", reason, payload=row.content)

    def records(self, path: Path) -> Iterator[Record | RawFailure]:
        """All records of a file, read in this process. One that cannot be understood becomes a `RawFailure`."""
        for raw in self.cut(path):
            yield raw if isinstance(raw, RawFailure) else self.read(raw)

    def kept(self, external_id: str, payload: dict[str, Any]) -> Row:
        """The row of a payload that the database keeps, so that a record can be interpreted again.

        Raises:
            RecordError: the payload does not hold all that the row held.
        """
        return Row(external_id, payload)

    def is_whole(self, payload: dict[str, Any]) -> bool:
        """Whether a kept payload is all that the record was read from; not if a `Row.attachment` came with it."""
        return True

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

    def stacking_label(self, payload: dict[str, Any]) -> str | None:
        """The source's own word for the registry of an interface without structure, e.g. AB."""
        return None


_KEPT_TEXT = 1 << 20
"""Characters of raw text kept of what could not be decoded."""


def kept_text(content: Any) -> str:
    """What is kept of a record that could not be decoded."""
    if isinstance(content, bytes):
        content = content[:_KEPT_TEXT].decode("utf-8", "backslashreplace")
    return (content if isinstance(content, str) else repr(content))[:_KEPT_TEXT]


_REGISTER: dict[str, type[Source]] = {}


def register(name: str) -> Callable[[type[Source]], type[Source]]:
    """Class decorator: makes a reader known under the name that `stackscreen import` takes."""

    def add(reader: type[Source]) -> type[Source]:
        reader.reader = name
        _REGISTER[name] = reader
        return reader

    return add


def source_names() -> list[str]:
    """Names of all readers."""
    import etl.sources  # noqa: F401 - importing the package fills the register

    return sorted(_REGISTER)


def described_sources() -> dict[str, str]:
    """First line of what each reader says of itself, by its name."""
    return {name: (_REGISTER[name].__doc__ or "").strip().splitlines()[0] for name in source_names()}


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
