"""What a screen will take before it runs: pairs, blocks, bytes and hours, by a model of measured rates. Pure.

The time of a run is that of its rows (`blocks.row_costs`, in units of one measured rate) and of writing its pairs; its
size on disk is that of its pairs and candidates. Nothing here is a constant of somebody's machine: every rate is in
`Rates`, which says where it was measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from stackscreen.screening.blocks import cut, row_costs, row_pairs

WORKERS: Final = (1, 2, 8, 32, 128)
"""Worker processes for which hours are shown, beside those that there are."""
_FULL: Final = 0.9
"""Part of a free disk that a screen may fill: indexes are built and the write-ahead log is kept beside it."""
_INDEX_BYTES: Final = 100
"""Bytes of a superlattice shape in a worker while its grid is built; 40 of them stay."""


@dataclass(frozen=True, slots=True)
class Rates:
    """What computing and keeping pairs costs, as measured.

    Attributes:
        seconds_per_cost: s of one worker process to compute one unit of `row_costs`.
        write_seconds_per_pair: s of one connection to write a pair, its share of candidates included.
        matched: part of the pairs that have a coincidence lattice.
        candidates: part of the pairs that are candidates.
        candidates_by_atoms: atoms in the supercell, and the part of the pairs that are candidates of at most so many.
        kept: strain levels, and the part of the pairs that have another supercell there than within the next wider one.
        tile_bytes_per_pair, candidate_bytes: on disk, with indexes; tiles with what the levels keep.
        cache_bytes_per_pair: of the copy that scans read.
        shapes_per_layer: superlattice shapes within the limits, mean.
        computing: where the rates of computing were measured, as words.
        writing: the same for writing and bytes.
    """

    seconds_per_cost: float
    write_seconds_per_pair: float
    matched: float
    candidates: float
    candidates_by_atoms: dict[int, float]
    kept: dict[float, float]
    tile_bytes_per_pair: float
    candidate_bytes: float
    cache_bytes_per_pair: float
    shapes_per_layer: float
    computing: str
    writing: str


@dataclass(frozen=True, slots=True)
class Kept:
    """One choice of what to keep, and its bytes in the database.

    Attributes:
        what: in words.
        bytes: tiles, candidates and their indexes.
        fits: whether the free disk holds it; None where that is not known.
    """

    what: str
    bytes: float
    fits: bool | None


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a screen of a space will take.

    Attributes:
        n_monolayers, n_surfaces, n_pairs: the space.
        n_blocks: tasks, and rows of the ledger.
        block_seconds: s, of a block of average cost.
        matched, candidates: pairs expected.
        tile_bytes, candidate_bytes: in Postgres; the first choice of `kept` is their sum.
        cache_bytes: of the copy that scans read, in the data folder of each machine that scans.
        worker_bytes: of the superlattices in each worker process, beside what every process needs.
        workers, hours: worker processes there are, and hours from the first to the last block with them.
        hours_by_workers: the same for other numbers; no less than what one connection needs to write everything.
        disk_free: bytes free where the database is; None where that is not known.
        kept: choices of what to keep, the widest first.
        advice: sentences on what to do where it does not fit.
        rates: what all this follows from.
    """

    n_monolayers: int
    n_surfaces: int
    n_pairs: int
    n_blocks: int
    block_seconds: float
    matched: float
    candidates: float
    tile_bytes: float
    candidate_bytes: float
    cache_bytes: float
    worker_bytes: float
    workers: int
    hours: float
    hours_by_workers: dict[int, float]
    disk_free: int | None
    kept: list[Kept]
    advice: list[str]
    rates: Rates

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Space:
    """A pair space by the superlattices of its members, monolayers first.

    Attributes:
        n_monolayers: N.
        n_shapes: superlattice shapes of each of the N + S members within the limits, shape (N+S,).
    """

    n_monolayers: int
    n_shapes: NDArray[np.int64]

    @property
    def n_surfaces(self) -> int:
        """S."""
        return len(self.n_shapes) - self.n_monolayers

    @property
    def n_pairs(self) -> int:
        """N(N+1)/2 + S·N."""
        return int(row_pairs(len(self.n_shapes), self.n_monolayers).sum())

    @property
    def costs(self) -> NDArray[np.float64]:
        """See `row_costs`."""
        return row_costs(self.n_shapes, self.n_monolayers)

    def resized(self, n_monolayers: int) -> Space:
        """A space of another number of layers like these: as many superlattices each, in the same proportions."""
        layers = self.n_shapes[: self.n_monolayers]
        # Spread over the whole list, whose order is not chance: sources come one after another.
        again = layers[(np.arange(n_monolayers) * len(layers)) // n_monolayers]
        return Space(n_monolayers, np.concatenate([again, self.n_shapes[self.n_monolayers :]]))


def forecast(
    space: Space, rates: Rates, *, pairs_per_block: int, workers: int, disk_free: int | None, max_atoms: int
) -> Forecast:
    """What a screen of a space will take, from nothing: what an earlier run already has is not taken off.

    Args:
        space: what is screened.
        rates: measured.
        pairs_per_block: the setting `screen.block_pairs`.
        workers: worker processes that there are.
        disk_free: bytes free where the database is, or None.
        max_atoms: the setting `screen.candidate_max_atoms`.
    """
    pairs, costs = space.n_pairs, space.costs
    blocks = cut(space.n_monolayers, space.n_surfaces, pairs_per_block, costs)
    computing = float(costs.sum()) * rates.seconds_per_cost
    writing = pairs * rates.write_seconds_per_pair

    def hours(processes: int) -> float:
        return max((computing + writing) / min(processes, len(blocks)), writing) / 3600

    tiles, candidates = pairs * rates.tile_bytes_per_pair, pairs * rates.candidates * rates.candidate_bytes
    choices = [(f"all pairs, and candidates of at most {max_atoms} atoms", tiles + candidates)]
    for atoms, part in sorted(rates.candidates_by_atoms.items(), reverse=True):
        if atoms < max_atoms:
            fewer = pairs * part * rates.candidate_bytes
            choices.append((f"all pairs, and candidates of at most {atoms} atoms", tiles + fewer))
    choices.append((f"candidates of at most {max_atoms} atoms alone", candidates))
    room = None if disk_free is None else _FULL * disk_free
    kept = [Kept(what, size, None if room is None else size <= room) for what, size in choices]
    return Forecast(
        n_monolayers=space.n_monolayers,
        n_surfaces=space.n_surfaces,
        n_pairs=pairs,
        n_blocks=len(blocks),
        block_seconds=(computing + writing) / len(blocks),
        matched=pairs * rates.matched,
        candidates=pairs * rates.candidates,
        tile_bytes=tiles,
        candidate_bytes=candidates,
        cache_bytes=pairs * rates.cache_bytes_per_pair,
        worker_bytes=float(space.n_shapes.sum()) * _INDEX_BYTES,
        workers=workers,
        hours=hours(workers),
        hours_by_workers={number: hours(number) for number in WORKERS},
        disk_free=disk_free,
        kept=kept,
        advice=_advice(kept, tiles + candidates, pairs, space, room),
        rates=rates,
    )


def _advice(kept: Sequence[Kept], size: float, pairs: int, space: Space, room: float | None) -> list[str]:
    """What to do where the widest choice does not fit."""
    if room is None or kept[0].fits:
        return []
    fitting = pairs * room / size
    # N(N+1)/2 + S·N pairs, solved for N.
    linear = space.n_surfaces + 0.5
    layers = int(np.sqrt(linear * linear + 2 * fitting) - linear)
    advice = [
        f"All pairs do not fit: a database with {size / _FULL / 1e9:,.0f} GB free holds them, and this disk {layers:,} "
        "layers."
    ]
    narrower = next((choice for choice in kept[1:] if choice.fits and choice.what.startswith("all pairs")), None)
    if narrower is not None:
        advice.append(f"With fewer candidates it fits: {narrower.what} (screen.candidate_max_atoms).")
    elif kept[-1].fits:
        advice.append(
            "The candidates alone would fit, but a run keeps all pairs, which scans, analyst.pairs_of and later runs "
            "read: it needs the larger disk, or fewer layers."
        )
    else:
        advice.append(
            "Not even the candidates fit: lower screen.candidate_max_atoms or screen.candidate_max_strain as well."
        )
    return advice
