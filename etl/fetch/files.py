"""Files that are whole or not there: locks, digests, and writes that survive a crash at any point."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from etl.fetch.errors import FetchError

_CHUNK = 1 << 20


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Make the folder and hold it: one fetch at a time writes there. The kernel drops the lock with the process.

    Raises:
        FetchError: another fetch is writing there, or the folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise FetchError(
            f"The folder {folder} cannot be used: {error.strerror}.", hint="Choose another one with --to."
        ) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise FetchError(
                f"Another fetch is writing to {folder}.", hint="Wait for it to end, or choose another folder with --to."
            ) from error
        yield
    finally:
        os.close(descriptor)


def digest_of(path: Path, algorithm: str) -> str:
    """Hexadecimal digest of a file's content; `algorithm` is a name of hashlib, e.g. "sha256"."""
    found = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            found.update(chunk)
    return found.hexdigest()


def write_whole(path: Path, content: bytes) -> None:
    """Replace a small file by one with this content; a crash leaves the old or the new one, never a mixture."""
    draft = path.with_name(f"{path.name}.new")
    with draft.open("wb") as file:
        file.write(content)
        secure(file.fileno())
    put_in_place(draft, path)


def secure(descriptor: int) -> None:
    """Have what was written to an open file on the disk itself."""
    os.fsync(descriptor)


def put_in_place(draft: Path, path: Path) -> None:
    """Give a secured file its final name, in one step that survives a crash."""
    draft.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
