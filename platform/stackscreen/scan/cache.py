"""All pairs of a run as four files that any process maps into memory: see `stackscreen.scan.store`.

<data_dir>/cache/run-<id>/   n, m, strain, score: one element a pair, in the order of `PairLayout`
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from sqlalchemy import Connection, select

from schema import Candidate, PairBlock, PairTile, ScreeningRun
from schema.errors import StackscreenError
from schema.vocabulary import BlockState
from stackscreen.scan.kernel import Tiles
from stackscreen.scan.layout import PairLayout
from stackscreen.scan.store import ColumnFiles, Wanted, clear_leftovers, locked, open_columns, remove

COLUMNS: Final = {"n": "u1", "m": "u1", "strain": "<u2", "score": "<u2"}
_TILES: Final = (
    "SELECT row, col_from, block, n_pairs, n, m, strain, score FROM pair_tile WHERE run_id = %s ORDER BY row, col_from"
)
_NAME: Final = re.compile(r"(run|candidates)-(\d+)")
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
        n_candidates: of all blocks.
    """

    run_id: int
    layout: PairLayout
    digest: str
    n_matched: dict[int, int]
    n_candidates: int


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
        select(PairBlock.block, PairBlock.state, PairBlock.digest, PairBlock.n_matched, PairBlock.n_candidates)
        .where(PairBlock.run_id == run_id)
        .order_by(PairBlock.block)
    ).all()
    if run is None or not blocks or any(block.state != BlockState.DONE for block in blocks):
        raise TilesMissingError(f"Run {run_id} is not finished.", hint="Go on with it: stackscreen screen")
    hasher = hashlib.sha256(run.inputs_digest)
    for block in blocks:
        hasher.update(block.block.to_bytes(4, "little") + block.digest)
    layout = PairLayout(run.n_monolayers, run.n_surfaces)
    n_matched = {block.block: block.n_matched or 0 for block in blocks}
    n_candidates = sum(block.n_candidates or 0 for block in blocks)
    return Ledger(run_id, layout, hasher.hexdigest(), n_matched, n_candidates)


def open_cache(connection: Connection, folder: Path, run_id: int) -> Tiles:
    """The tiles of a run, mapped read-only; filled first if there is no cache that can be trusted.

    Args:
        connection: of a transaction that sees the run; the filling reads the tiles through it.
        folder: the folder of all caches, which exists.
        run_id: a run whose blocks are all done.

    Raises:
        TilesMissingError: the database does not hold the tiles that its ledger speaks of.
        StoreChangedError, OSError: see `stackscreen.scan.store.open_columns`.
    """
    ledger = read_ledger(connection, run_id)
    wanted = Wanted(f"run-{run_id}", ledger.digest, COLUMNS, ledger.layout.n_pairs)
    return Tiles(**open_columns(folder, wanted, lambda files: _write(connection, files, ledger)))


def _write(connection: Connection, files: ColumnFiles, ledger: Ledger) -> None:
    """The four files, a few megabytes at a time.

    Raises:
        TilesMissingError: the tiles do not cover every pair once, or match other numbers than the ledger's.
    """
    starts, first = ledger.layout.starts(), ledger.layout.first_columns()
    matched = dict.fromkeys(ledger.n_matched, 0)
    position = 0
    # On the wire as bytes, not as hexadecimal digits.
    driver: Any = connection.connection.driver_connection
    with driver.cursor(name="tiles", binary=True) as tiles:
        tiles.itersize = _FETCH
        tiles.execute(_TILES, (ledger.run_id,))
        for row, col_from, block, n_pairs, *pieces in tiles:
            if position != starts[row] + col_from - first[row]:
                raise _damaged(ledger, f"the pairs of row {row} from column {col_from} are out of place")
            for name, piece in zip(COLUMNS, pieces, strict=True):
                files.append(name, piece)
            matched[block] += int(np.count_nonzero(np.frombuffer(pieces[0], np.uint8)))
            position += n_pairs
    if position != ledger.layout.n_pairs:
        raise _damaged(ledger, f"they hold {position:,} of {ledger.layout.n_pairs:,} pairs")
    wrong = [block for block, count in matched.items() if count != ledger.n_matched[block]]
    if wrong:
        raise _damaged(ledger, f"block {wrong[0]} matches other pairs than were counted")


def _damaged(ledger: Ledger, what: str) -> TilesMissingError:
    return TilesMissingError(
        f"The tiles of run {ledger.run_id} are not those of its ledger: {what}.",
        hint="Tiles of a superseded run are dropped; those of the published run come back with a restored database, "
        "or when it is screened anew.",
    )


def sweep(connection: Connection, folder: Path) -> list[int]:
    """Remove the copies of runs that the database no longer has, and what killed fillers left.

    Returns:
        The runs of which something was removed.
    """
    if not folder.is_dir():
        return []
    gone = set()
    with locked(folder):
        clear_leftovers(folder)
        for path in sorted(folder.iterdir()):
            name = _NAME.fullmatch(path.name)
            if name is None:
                continue
            run_id = int(name[2])
            kept = PairTile if name[1] == "run" else Candidate
            rows = select(kept.run_id).where(kept.run_id == run_id).limit(1)
            # A number that the database cannot hold is no run of it.
            if run_id >= 2**31 or connection.execute(rows).first() is None:
                remove(path)
                gone.add(run_id)
    return sorted(gone)
