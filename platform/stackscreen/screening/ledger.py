"""The work ledger: who computes which block, and what is done.

The broker may deliver a task twice, late or, if it loses its disk, never. The ledger makes twice run once written: a
block is leased before it is computed, and its result is written in the transaction that marks it done, which succeeds
only for the holder of the newest lease (`attempts` is the fencing number). It counts leases, whatever became of them:
done, failed, or ended in silence by a kill.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import ColumnElement, Connection, func, or_, select, text, update

from schema import PairBlock
from schema.vocabulary import BlockState
from stackscreen.screening.blocks import Block, Rows

MAX_ATTEMPTS: Final = 3
"""Leases after which a block that fails stays failed: its error is the same for everyone. Those of workers that were
killed count; but a block whose worker went silent, and did not fail, is leased again however often that happens."""

# Blocks that had a worker and need another: whose last attempt failed, and whose lease ran out unrenewed.
_RETRYABLE = (PairBlock.state == BlockState.FAILED) & (PairBlock.attempts < MAX_ATTEMPTS)
_SILENT = (PairBlock.state == BlockState.LEASED) & (PairBlock.lease_until < func.now())


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to compute one block, until the lease ends or a newer one is given."""

    run_id: int
    block: int
    attempt: int
    area: Block


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run stands."""

    blocks: int
    done: int
    failed: int
    pairs: int
    pairs_done: int
    matched: int
    candidates: int
    error: str | None

    @property
    def finished(self) -> bool:
        """Whether nothing is left to compute."""
        return self.done + self.failed == self.blocks


def lease(
    connection: Connection,
    run_id: int,
    block: int,
    owner: str,
    seconds: int,
    n_monolayers: int,
    *,
    continues: bool = False,
) -> Lease | None:
    """Take a block, or return None if it is done, given up, or held by another whose lease has not ended.

    Args:
        connection: committed by the caller at once, so that others see the lease.
        owner: who takes it. The same owner may take it again: the broker gives a lost worker's task, with the same
            identifier, to another, who need not wait for the lease to end.
        seconds: length of the lease.
        n_monolayers: members below this number are monolayers.
        continues: whether the run continues a space, so that its blocks hold members that came later.
    """
    taken = connection.execute(
        update(PairBlock)
        .where(
            PairBlock.run_id == run_id,
            PairBlock.block == block,
            or_(
                PairBlock.state == BlockState.PENDING,
                _RETRYABLE,
                _SILENT,
                (PairBlock.state == BlockState.LEASED) & (PairBlock.lease_owner == owner),
            ),
        )
        .values(
            state=BlockState.LEASED,
            lease_owner=owner,
            lease_until=func.now() + func.make_interval(0, 0, 0, 0, 0, 0, seconds),
            attempts=PairBlock.attempts + 1,
            error=None,
        )
        .returning(PairBlock.attempts, PairBlock.row_from, PairBlock.row_to, PairBlock.col_from, PairBlock.col_to)
    ).one_or_none()
    if taken is None:
        return None
    rows = Rows.LATER if continues else Rows.LAYERS if taken.row_from < n_monolayers else Rows.SURFACES
    area = Block(taken.row_from, taken.row_to, taken.col_from, taken.col_to, rows)
    return Lease(run_id, block, taken.attempts, area)


def _newest(held: Lease) -> tuple[ColumnElement[bool], ...]:
    """That a lease is still the newest one of its block: the fence around every write of its holder."""
    return (
        PairBlock.run_id == held.run_id,
        PairBlock.block == held.block,
        PairBlock.state == BlockState.LEASED,
        PairBlock.attempts == held.attempt,
    )


def renew(connection: Connection, held: Lease, seconds: int) -> bool:
    """Lengthen a lease while its work goes on; False if another has taken the block."""
    changed = connection.execute(
        update(PairBlock)
        .where(*_newest(held))
        .values(lease_until=func.now() + func.make_interval(0, 0, 0, 0, 0, 0, seconds))
    )
    return changed.rowcount == 1


def complete(
    connection: Connection, held: Lease, *, n_matched: int, n_candidates: int, seconds: float, digest: bytes
) -> bool:
    """Mark a block done, if the lease is still the newest one; in the transaction that writes the block's rows.

    Returns:
        False if another took the block meanwhile: the caller must roll back.
    """
    changed = connection.execute(
        update(PairBlock)
        .where(*_newest(held))
        .values(
            state=BlockState.DONE,
            lease_until=None,
            n_matched=n_matched,
            n_candidates=n_candidates,
            seconds=seconds,
            digest=digest,
            done_at=func.now(),
        )
    )
    return changed.rowcount == 1


def give_up(connection: Connection, held: Lease, error: str) -> None:
    """Write down why an attempt failed, and let another try."""
    connection.execute(
        update(PairBlock).where(*_newest(held)).values(state=BlockState.FAILED, lease_until=None, error=error[:2000])
    )


def abandoned_blocks(connection: Connection, run_id: int) -> list[int]:
    """Blocks whose last attempt failed and that may be tried again, or whose worker went silent."""
    return list(
        connection.execute(
            select(PairBlock.block).where(
                PairBlock.run_id == run_id,
                or_(
                    _RETRYABLE,
                    _SILENT,
                ),
            )
        ).scalars()
    )


def open_blocks(connection: Connection, run_id: int) -> list[int]:
    """Blocks that someone should compute: pending, failed but not given up, or leased to someone who went silent."""
    return list(
        connection.execute(
            select(PairBlock.block)
            .where(
                PairBlock.run_id == run_id,
                or_(
                    PairBlock.state == BlockState.PENDING,
                    _RETRYABLE,
                    _SILENT,
                ),
            )
            .order_by(PairBlock.block)
        ).scalars()
    )


def progress(connection: Connection, run_id: int) -> Progress:
    """Where the run stands, by its ledger."""
    row = connection.execute(
        text("""
            SELECT count(*) AS blocks, count(*) FILTER (WHERE state = 'done') AS done,
                   count(*) FILTER (WHERE state = 'failed' AND attempts >= :most) AS failed,
                   coalesce(sum(n_pairs), 0) AS pairs,
                   coalesce(sum(n_pairs) FILTER (WHERE state = 'done'), 0) AS pairs_done,
                   coalesce(sum(n_matched), 0) AS matched, coalesce(sum(n_candidates), 0) AS candidates,
                   max(error) FILTER (WHERE state = 'failed') AS error
            FROM pair_block WHERE run_id = :run
        """),
        {"run": run_id, "most": MAX_ATTEMPTS},
    ).one()
    return Progress(
        int(row.blocks), int(row.done), int(row.failed), int(row.pairs), int(row.pairs_done), int(row.matched),
        int(row.candidates), row.error,
    )  # fmt: skip
