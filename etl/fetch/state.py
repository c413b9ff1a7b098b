"""What is remembered beside a download: how far it has come, and where the finished file is from."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

from etl.fetch.files import write_whole


@dataclass(frozen=True, slots=True)
class Note:
    """A small JSON file; one that is missing, broken or of another version reads as None."""

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """The note at `path`."""
        try:
            values: Any = json.loads(path.read_bytes())
            return cls(**values) if set(values) == {field.name for field in fields(cls)} else None
        except (OSError, ValueError, TypeError):
            return None

    def write(self, path: Path) -> None:
        """Keep it at `path`, whole."""
        write_whole(path, json.dumps(asdict(self), indent=1).encode())


@dataclass(frozen=True, slots=True)
class Partial(Note):
    """How far a download has come.

    Attributes:
        etag, last_modified: the server's marks of the version that is being received.
        length: bytes that the whole file has, where the server says so.
        received: bytes that are on the disk for certain; what stands after them in the .part file is not trusted.
    """

    url: str
    etag: str | None
    last_modified: str | None
    length: int | None
    received: int

    @property
    def validator(self) -> str | None:
        """What If-Range takes: a strong ETag, else the date; without one of them nothing can be resumed safely."""
        if self.etag and not self.etag.startswith("W/"):
            return self.etag
        return self.last_modified


@dataclass(frozen=True, slots=True)
class Receipt(Note):
    """Where a finished file is from.

    Attributes:
        published: checksum that the source publishes, as "md5:<hex>"; None where it publishes none.
        fetched_at: ISO 8601, UTC.
    """

    url: str
    etag: str | None
    last_modified: str | None
    length: int
    sha256: str
    published: str | None
    fetched_at: str


def partial_path(path: Path) -> Path:
    """The unfinished file of a download to `path`."""
    return path.with_name(f"{path.name}.part")


def partial_note(path: Path) -> Path:
    """The note of how far it has come."""
    return path.with_name(f"{path.name}.part.json")


def receipt_path(path: Path) -> Path:
    """The receipt of a finished file."""
    return path.with_name(f"{path.name}.fetched.json")
