"""All pairs of a run as files that any process maps into memory: see `stackscreen.scan.store`.

<data_dir>/cache/run-<id>/   n, m, strain, score: one element a pair, in the order of `PairLayout`
                             kept_*: what the strain levels keep, see `stackscreen.scan.levels.Kept`
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from sqlalchemy import Connection, exists, select
from sqlalchemy.orm import aliased

from schema import Candidate, PairBlock, PairTile, ScreeningRun
from schema.vocabulary import BlockState, RunState
from stackscreen.pairs import PairLimits
from stackscreen.scan.kernel import Tiles
from stackscreen.scan.layout import PairLayout
from stackscreen.scan.levels import Kept, Levels
from stackscreen.scan.store import ColumnFiles, Wanted, clear_leftovers, locked, open_columns, remove
from stackscreen.screening.packing import COLUMN_KIND, COLUMNS, TilesMissingError
from stackscreen.screening.runs import limits_of_run
from stackscreen.screening.spaces import RunKey
from stackscreen.screening.tiles import Places, RowOfPairs, Seen, read_rows

KEPT: Final = {"start": "<i8", "column": COLUMN_KIND, **COLUMNS}
"""The columns of `stackscreen.scan.levels.Kept`, and the type of an element."""
_KEPT: Final = "kept_"
_NAME: Final = re.compile(r"(run|candidates)-(\d+)")


@dataclass(frozen=True, slots=True)
class Ledger:
    """What the database says of a run's tiles.

    Attributes:
        run: the run.
        layout: its members.
        limits: within which pairs were matched, with the strain levels.
        digest: SHA-256 over inputs and the digests of all blocks of the space up to the run, which cover every byte
            of their tiles.
        n_matched: by run and block, pairs with a coincidence lattice.
        n_candidates: of the run.
    """

    run: RunKey
    layout: PairLayout
    limits: PairLimits
    digest: str
    n_matched: dict[tuple[int, int], int]
    n_candidates: int


def read_ledger(connection: Connection, run_id: int) -> Ledger:
    """The ledger of a run whose every block is done.

    Raises:
        TilesMissingError: there is no such run, or a block of it is not done.
    """
    run = connection.execute(select(ScreeningRun.__table__).where(ScreeningRun.id == run_id)).one_or_none()
    blocks = connection.execute(
        select(PairBlock.run_id, PairBlock.block, PairBlock.state, PairBlock.digest, PairBlock.n_matched,
               PairBlock.n_candidates)
        .join(ScreeningRun, ScreeningRun.id == PairBlock.run_id)
        .where(
            ScreeningRun.space_id == (run.space_id if run else None),
            ScreeningRun.id <= run_id,
            ScreeningRun.state != RunState.FAILED,
        )
        .order_by(PairBlock.run_id, PairBlock.block)
    ).all()  # fmt: skip
    if run is None or not blocks or any(block.state != BlockState.DONE for block in blocks):
        raise TilesMissingError(f"Run {run_id} is not finished.", hint="Go on with it: stackscreen screen")
    hasher = hashlib.sha256(run.inputs_digest)
    for block in blocks:
        hasher.update(block.block.to_bytes(4, "little") + block.digest)
    layout = PairLayout(run.n_monolayers, run.n_surfaces)
    n_matched = {(block.run_id, block.block): block.n_matched or 0 for block in blocks}
    n_candidates = run.n_candidates
    if n_candidates is None:  # every block is done, and nobody has published it yet
        n_candidates = sum(block.n_candidates or 0 for block in blocks if block.run_id == run_id)
    return Ledger(RunKey(run_id, run.space_id), layout, limits_of_run(run), hasher.hexdigest(), n_matched, n_candidates)


class CachedPairs(NamedTuple):
    """All pairs of a run, mapped read-only."""

    tiles: Tiles
    levels: Levels


def open_cache(connection: Connection, folder: Path, run_id: int) -> CachedPairs:
    """The pairs of a run, mapped read-only; filled first if there is no cache that can be trusted.

    Args:
        connection: of a transaction that sees the run; the filling reads the tiles through it.
        folder: the folder of all caches, which exists.
        run_id: a run whose blocks are all done.

    Raises:
        TilesMissingError: the database does not hold the tiles that its ledger speaks of.
        StoreChangedError, OSError: see `stackscreen.scan.store.open_columns`.
    """
    ledger = read_ledger(connection, run_id)
    wanted = Wanted(
        f"run-{run_id}",
        ledger.digest,
        COLUMNS,
        ledger.layout.n_pairs,
        {_KEPT + name: kind for name, kind in KEPT.items()},
    )
    columns = open_columns(folder, wanted, lambda files: _write(connection, files, ledger))
    return CachedPairs(
        Tiles(**{name: columns[name] for name in COLUMNS}),
        Levels(ledger.limits, Kept(**{name: columns[_KEPT + name] for name in KEPT})),
    )


def _write(connection: Connection, files: ColumnFiles, ledger: Ledger) -> None:
    """The files, a few megabytes at a time.

    Raises:
        TilesMissingError: the tiles do not cover every pair once, or match other numbers than the ledger's.
    """
    members, seen = Places.of(connection, ledger.run), Seen({})
    levels = ledger.limits.strain_levels
    starts = [0]
    for row in read_rows(connection, ledger.run, members, np.arange(len(members)), seen, levels):
        for name in COLUMNS:
            files.append(name, row.columns[name].tobytes())
        starts.append(starts[-1] + _append_kept(files, row))
    files.append(_KEPT + "start", np.array(starts, KEPT["start"]).tobytes())
    # Rows of members that are gone are not read: then there are fewer.
    whole = len(members) == members.n_founding and ledger.run.id == ledger.run.space_id
    counted = ledger.n_matched
    wrong = [
        block for block, count in seen.matched.items()
        if count > counted.get(block, -1) or (whole and count < counted[block])
    ]  # fmt: skip
    if wrong:
        raise TilesMissingError(
            f"Block {wrong[0][1]} of run {wrong[0][0]} matches other pairs than were counted.",
            hint="The tiles come back with a restored database, or when everything is screened anew.",
        )


def _append_kept(files: ColumnFiles, row: RowOfPairs) -> int:
    """What the levels keep of a row; how many elements."""
    if not any(level.at.size for level in row.levels):
        return 0
    widest_first = row.levels[::-1]
    at = np.concatenate([level.at for level in widest_first])
    order = np.argsort(at, kind="stable")
    files.append(_KEPT + "column", (row.first + at[order]).astype(KEPT["column"]).tobytes())
    for name in COLUMNS:
        values = np.concatenate([level.columns[name] for level in widest_first])
        files.append(_KEPT + name, values[order].tobytes())
    return int(at.size)


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
            overtaken = aliased(ScreeningRun)
            rows = select(ScreeningRun.id).where(
                ScreeningRun.id == run_id,
                exists().where(kept.run_id == ScreeningRun.space_id),
                # Every night may bring a run of one space: only the newest is worth a copy.
                ~exists().where(
                    overtaken.space_id == ScreeningRun.space_id,
                    overtaken.id > run_id,
                    overtaken.state == RunState.PUBLISHED,
                ),
            )
            # A number that the database cannot hold is no run of it.
            if run_id >= 2**31 or connection.execute(rows).first() is None:
                remove(path)
                gone.add(run_id)
    return sorted(gone)
