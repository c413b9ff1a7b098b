"""Columns as files that any process maps into memory: a copy of what the database holds, never the truth.

<data_dir>/cache/<name>/     one file a column
                             manifest.json: what it was filled from, and size and SHA-256 of each file
<data_dir>/cache/lock        held while columns are filled or removed; the kernel drops it with the process

They are filled in a folder of another name, which is renamed when it is whole and on the disk. They are used only if
they were filled from what the database has today and their files are as they were then; otherwise they are filled anew.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson
from numpy.typing import NDArray

from schema.errors import StackscreenError

FORMAT: Final = 1
"""Raised whenever files of the same bytes would mean something else."""
_MANIFEST: Final = "manifest.json"
_FILLING, _REMOVING = ".filling-", ".removing-"

Columns = dict[str, NDArray[Any]]


class StoreChangedError(StackscreenError):
    """Someone else changes the files of a store while they are opened."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The columns that are wanted.

    Attributes:
        name: of their folder.
        digest: of what they must have been filled from, hexadecimal.
        kinds: numpy type of each column.
        rows: elements of each column.
        loose: numpy type of each column of as many elements as it was filled with.
    """

    name: str
    digest: str
    kinds: Mapping[str, str]
    rows: int
    loose: Mapping[str, str] = field(default_factory=dict)


class ColumnFiles:
    """The files of columns while they are filled, hashed as they grow."""

    def __init__(self, folder: Path, names: Iterable[str], stack: ExitStack) -> None:
        self._files = {name: stack.enter_context((folder / name).open("wb")) for name in names}
        self._hashers = {name: hashlib.sha256() for name in self._files}

    def append(self, name: str, piece: bytes) -> None:
        """Put bytes behind those that a column has."""
        self._files[name].write(piece)
        self._hashers[name].update(piece)

    def finish(self) -> dict[str, dict[str, Any]]:
        """All on the disk; size, SHA-256 and time of change of each file, by column."""
        told = {}
        for name, file in self._files.items():
            file.flush()
            os.fsync(file.fileno())
            stat = os.fstat(file.fileno())
            told[name] = {
                "bytes": stat.st_size,
                "mtime_ns": stat.st_mtime_ns,
                "sha256": self._hashers[name].hexdigest(),
            }
        return told


def open_columns(folder: Path, wanted: Wanted, write: Callable[[ColumnFiles], None]) -> Columns:
    """Columns mapped read-only; filled first if there are none that can be trusted.

    The maps stay valid when the files are removed or filled anew meanwhile.

    Args:
        folder: the folder of all stores, which exists.
        wanted: which columns.
        write: fills the files; what it raises leaves no trace.

    Raises:
        StoreChangedError: someone else changes the files.
        OSError: the folder cannot be written, or the disk is full.
    """
    path = folder / wanted.name
    found = _mapped(path, wanted)
    if found is not None:
        return found
    with locked(folder):
        # Another may have filled it while this one waited.
        found = _mapped(path, wanted)
        if found is None:
            _fill(path, wanted, write)
            found = _mapped(path, wanted)
    if found is None:
        raise StoreChangedError(
            f"The cache in {path} was changed by someone else while it was opened.",
            hint=f"Remove {path}, and try again.",
        )
    return found


def _mapped(path: Path, wanted: Wanted) -> Columns | None:
    """The files of a folder that was filled from the same and has not changed since; None for any other."""
    try:
        manifest = orjson.loads((path / _MANIFEST).read_bytes())
        if (manifest["format"], manifest["ledger"]) != (FORMAT, wanted.digest):
            return None
        columns: Columns = {}
        for name, kind in {**wanted.kinds, **wanted.loose}.items():
            with (path / name).open("rb") as file:
                stat, told = os.fstat(file.fileno()), manifest["files"][name]
                rows, rest = divmod(told["bytes"], np.dtype(kind).itemsize)
                if stat.st_size != told["bytes"] or rest or (name in wanted.kinds and rows != wanted.rows):
                    return None
                # A file that has been touched since, or copied here, is read through once more.
                if stat.st_mtime_ns != told["mtime_ns"] and _digest(path / name) != told["sha256"]:
                    return None
                if rows == 0:  # nothing can be mapped of an empty file
                    columns[name] = np.empty(0, kind)
                    continue
                # A plain array over the map: compiled code knows no subclass.
                columns[name] = np.asarray(np.memmap(file, dtype=kind, mode="r", shape=(rows,)))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return columns


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of all stores; waits for whoever is filling."""
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _fill(path: Path, wanted: Wanted, write: Callable[[ColumnFiles], None]) -> None:
    beside = path.with_name(_FILLING + path.name)
    shutil.rmtree(beside, ignore_errors=True)  # of a filler that was killed: the lock was ours to take
    beside.mkdir(mode=0o700)
    try:
        with ExitStack() as stack:
            files = ColumnFiles(beside, (*wanted.kinds, *wanted.loose), stack)
            write(files)
            told = files.finish()
        manifest = {"format": FORMAT, "ledger": wanted.digest, "files": told}
        _write_whole(beside / _MANIFEST, orjson.dumps(manifest, option=orjson.OPT_INDENT_2))
        remove(path)
        beside.rename(path)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise


def _write_whole(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def remove(path: Path) -> None:
    """Take a store out of sight at once, then delete it; the caller holds the lock."""
    if path.exists():
        grave = path.with_name(_REMOVING + path.name)
        shutil.rmtree(grave, ignore_errors=True)
        path.rename(grave)
        shutil.rmtree(grave)


def clear_leftovers(folder: Path) -> None:
    """Delete what killed processes left half filled or half removed; the caller holds the lock."""
    for path in folder.iterdir():
        if path.name.startswith((_FILLING, _REMOVING)):
            shutil.rmtree(path, ignore_errors=True)
