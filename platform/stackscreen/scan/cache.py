"""All pairs of a run as four files that any process maps into memory: a copy of the tiles, never the truth.

<data_dir>/cache/run-<id>/   n, m, strain, score: one element a pair, in the order of `PairLayout`
                             manifest.json: what it was filled from, and size and SHA-256 of each file
<data_dir>/cache/lock        held while a cache is filled or removed; the kernel drops it with the process

A cache is filled in a folder of another name and renamed when it is whole and on the disk. It is used only if it
was filled from the ledger that the database has today and its files are as they were then; otherwise it is filled anew.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson
from numpy.typing import NDArray
from sqlalchemy import Connection, select

from schema import PairBlock, PairTile, ScreeningRun
from schema.errors import StackscreenError
from schema.vocabulary import BlockState
from stackscreen.scan.kernel import Tiles
from stackscreen.scan.layout import PairLayout

FORMAT: Final = 1
"""Raised whenever files of the same bytes would mean something else."""
COLUMNS: Final = {"n": "u1", "m": "u1", "strain": "<u2", "score": "<u2"}
_MANIFEST: Final = "manifest.json"
_TILES: Final = (
    "SELECT row, col_from, block, n_pairs, n, m, strain, score FROM pair_tile WHERE run_id = %s ORDER BY row, col_from"
)
_NAME: Final = re.compile(r"run-(\d+)")
_FETCH: Final = 64
"""Tiles in memory at a time: a few megabytes."""


class TilesMissingError(StackscreenError):
    """The tiles of a run are not what its ledger says."""


@dataclass(frozen=True, slots=True)
class Ledger:
    """What the database says of a run's tiles.

    Attributes:
        run_id: the run.
        layout: its members.
        digest: SHA-256 over inputs and the digests of all blocks, which cover every byte of their tiles.
        n_matched: by block, pairs with a coincidence lattice.
    """

    run_id: int
    layout: PairLayout
    digest: str
    n_matched: dict[int, int]


def read_ledger(connection: Connection, run_id: int) -> Ledger:
    """The ledger of a run whose every block is done.

    Raises:
        TilesMissingError: there is no such run, or a block of it is not done.
    """
    run = connection.execute(
        select(ScreeningRun.n_monolayers, ScreeningRun.n_surfaces, ScreeningRun.inputs_digest).where(
            ScreeningRun.id == run_id
        )
    ).one_or_none()
    blocks = connection.execute(
        select(PairBlock.block, PairBlock.state, PairBlock.digest, PairBlock.n_matched)
        .where(PairBlock.run_id == run_id)
        .order_by(PairBlock.block)
    ).all()
    if run is None or not blocks or any(block.state != BlockState.DONE for block in blocks):
        raise TilesMissingError(f"Run {run_id} is not finished.", hint="Go on with it: stackscreen screen")
    hasher = hashlib.sha256(run.inputs_digest)
    for block in blocks:
        hasher.update(block.block.to_bytes(4, "little") + block.digest)
    layout = PairLayout(run.n_monolayers, run.n_surfaces)
    return Ledger(run_id, layout, hasher.hexdigest(), {block.block: block.n_matched or 0 for block in blocks})


def open_cache(connection: Connection, folder: Path, run_id: int) -> Tiles:
    """The tiles of a run, mapped read-only; filled first if there is no cache that can be trusted.

    The maps stay valid when the cache is removed or filled anew meanwhile.

    Args:
        connection: of a transaction that sees the run; the filling reads the tiles through it.
        folder: the folder of all caches, which exists.
        run_id: a run whose blocks are all done.

    Raises:
        TilesMissingError: the database does not hold the tiles that its ledger speaks of.
        OSError: the folder cannot be written, or the disk is full.
    """
    ledger = read_ledger(connection, run_id)
    path = folder / f"run-{run_id}"
    found = _mapped(path, ledger)
    if found is not None:
        return found
    with _locked(folder):
        # Another may have filled it while this one waited.
        found = _mapped(path, ledger)
        if found is None:
            fill(connection, folder, ledger)
            found = _mapped(path, ledger)
    if found is None:
        raise TilesMissingError(
            f"The cache in {path} was changed by someone else while it was opened.",
            hint=f"Remove {path}, and try again.",
        )
    return found


def _mapped(path: Path, ledger: Ledger) -> Tiles | None:
    """The files of a cache that was filled from this ledger and has not changed since; None for any other."""
    try:
        manifest = orjson.loads((path / _MANIFEST).read_bytes())
        if (manifest["format"], manifest["ledger"]) != (FORMAT, ledger.digest):
            return None
        columns: list[NDArray[Any]] = []
        for name, kind in COLUMNS.items():
            with (path / name).open("rb") as file:
                stat, told = os.fstat(file.fileno()), manifest["files"][name]
                if stat.st_size != ledger.layout.n_pairs * np.dtype(kind).itemsize:
                    return None
                # A file that has been touched since, or copied here, is read through once more.
                if stat.st_mtime_ns != told["mtime_ns"] and _digest(path / name) != told["sha256"]:
                    return None
                columns.append(np.memmap(file, dtype=kind, mode="r", shape=(ledger.layout.n_pairs,)))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    # A plain array over the map: compiled code knows no subclass.
    return Tiles(*(np.asarray(column) for column in columns))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the caches' lock; waits for whoever is filling."""
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def fill(connection: Connection, folder: Path, ledger: Ledger) -> None:
    """Write the cache of a run from its tiles, a few megabytes at a time; the caller holds the lock.

    Raises:
        TilesMissingError: the tiles do not cover every pair once, or match other numbers than the ledger's.
    """
    path = folder / f"run-{ledger.run_id}"
    beside = folder / f".filling-{ledger.run_id}"
    shutil.rmtree(beside, ignore_errors=True)  # of a filler that was killed: the lock was ours to take
    beside.mkdir(mode=0o700)
    try:
        files = _write(connection, beside, ledger)
        manifest = {"format": FORMAT, "run": ledger.run_id, "ledger": ledger.digest, "files": files}
        _write_whole(beside / _MANIFEST, orjson.dumps(manifest, option=orjson.OPT_INDENT_2))
        _remove(path)
        beside.rename(path)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise


def _write(connection: Connection, beside: Path, ledger: Ledger) -> dict[str, dict[str, Any]]:
    """The four files; name to size, SHA-256 and time of change."""
    starts, first = ledger.layout.starts(), ledger.layout.first_columns()
    hashers = {name: hashlib.sha256() for name in COLUMNS}
    matched = dict.fromkeys(ledger.n_matched, 0)
    position = 0
    with ExitStack() as stack:
        files = {name: stack.enter_context((beside / name).open("wb")) for name in COLUMNS}
        # On the wire as bytes, not as hexadecimal digits.
        driver: Any = connection.connection.driver_connection
        tiles = stack.enter_context(driver.cursor(name="tiles", binary=True))
        tiles.itersize = _FETCH
        tiles.execute(_TILES, (ledger.run_id,))
        for row, col_from, block, n_pairs, *pieces in tiles:
            if position != starts[row] + col_from - first[row]:
                raise _damaged(ledger, f"the pairs of row {row} from column {col_from} are out of place")
            for name, piece in zip(COLUMNS, pieces, strict=True):
                files[name].write(piece)
                hashers[name].update(piece)
            matched[block] += int(np.count_nonzero(np.frombuffer(pieces[0], np.uint8)))
            position += n_pairs
        if position != ledger.layout.n_pairs:
            raise _damaged(ledger, f"they hold {position:,} of {ledger.layout.n_pairs:,} pairs")
        wrong = [block for block, count in matched.items() if count != ledger.n_matched[block]]
        if wrong:
            raise _damaged(ledger, f"block {wrong[0]} matches other pairs than were counted")
        for file in files.values():
            file.flush()
            os.fsync(file.fileno())
    return {
        name: {
            "bytes": (beside / name).stat().st_size,
            "mtime_ns": (beside / name).stat().st_mtime_ns,
            "sha256": hashers[name].hexdigest(),
        }
        for name in COLUMNS
    }


def _write_whole(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _damaged(ledger: Ledger, what: str) -> TilesMissingError:
    return TilesMissingError(
        f"The tiles of run {ledger.run_id} are not those of its ledger: {what}.",
        hint="Tiles of a superseded run are dropped; those of the published run come back with a restored database, "
        "or when it is screened anew.",
    )


def _remove(path: Path) -> None:
    """Take a cache out of sight at once, then delete it."""
    if path.exists():
        grave = path.with_name(f".removing-{path.name}")
        shutil.rmtree(grave, ignore_errors=True)
        path.rename(grave)
        shutil.rmtree(grave)


def sweep(connection: Connection, folder: Path) -> list[int]:
    """Remove the caches of runs whose tiles the database no longer has, and what killed fillers left.

    Returns:
        The runs whose caches were removed.
    """
    if not folder.is_dir():
        return []
    gone = []
    with _locked(folder):
        for path in sorted(folder.iterdir()):
            if path.name.startswith((".filling-", ".removing-")):
                shutil.rmtree(path, ignore_errors=True)
            name = _NAME.fullmatch(path.name)
            if name is None:
                continue
            run_id = int(name[1])
            tiles = select(PairTile.row).where(PairTile.run_id == run_id).limit(1)
            # A number that the database cannot hold is no run of it.
            if run_id >= 2**31 or connection.execute(tiles).first() is None:
                _remove(path)
                gone.append(run_id)
    return gone
