"""What a whole filter looks like: points of two columns, and how one column is spread."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, Connection, and_, cast, func, select

from schema import Candidate
from stackscreen.query.candidates import BOTTOM, COLUMNS, SIDES, TOP, Run, plain
from stackscreen.query.conditions import where
from stackscreen.query.criteria import Criteria

SCATTER_POINTS = 3000
"""Points of a scatter: enough to show the shape of a cloud, few enough for a browser to draw at once."""
SAMPLE_RANGE = 1 << 20
SAMPLE = func.hashint8(cast(Candidate.bottom, BigInteger) * 1_000_003 + Candidate.top).op("&")(SAMPLE_RANGE - 1)
"""A number below `SAMPLE_RANGE` that says nothing of its pair: those below a limit are an even sample."""
POINT_FIELDS = ("alignment", "kind", "strain", "n_atoms", "score")
"""What is told of each point of a scatter, beside its coordinates and the names of its sides."""


@dataclass(frozen=True, slots=True)
class Scatter:
    """Points of a filter.

    Attributes:
        points: rows with x, y and what is needed to name and colour them.
        total: candidates of the filter for which both are known.
        sampled: whether `points` is a sample of them.
    """

    points: list[dict[str, Any]]
    total: int
    sampled: bool


def scatter(
    connection: Connection, run: Run, criteria: Criteria, x: str, y: str, *, points: int = SCATTER_POINTS
) -> Scatter:
    """Points for a scatter of two columns; where there are too many, an even sample of the whole filter.

    The sample is taken by a hash of the pair: it favours no part of the cloud, and the same filter shows the same
    points every time. Its size is `points` up to chance.
    """
    known = and_(where(criteria, run.key), COLUMNS[x].is_not(None), COLUMNS[y].is_not(None))
    total = connection.execute(select(func.count()).select_from(Candidate).where(known)).scalar_one()
    names = (*SIDES, *POINT_FIELDS)
    statement = (
        select(COLUMNS[x].label("x"), COLUMNS[y].label("y"), *(COLUMNS[name].label(name) for name in names))
        .join(BOTTOM, and_(BOTTOM.run_id == Candidate.run_id, BOTTOM.member == Candidate.bottom))
        .join(TOP, and_(TOP.run_id == Candidate.run_id, TOP.member == Candidate.top))
        .where(known)
        .order_by(Candidate.bottom, Candidate.top)
    )
    limit = sample_limit(total, points)
    if limit is not None:
        statement = statement.where(limit > SAMPLE)
    found = connection.execute(statement.limit(2 * points))
    rows = [{key: plain(value) for key, value in row._mapping.items()} for row in found]
    return Scatter(rows, total, limit is not None)


def sample_limit(total: int, points: int) -> int | None:
    """The limit of `SAMPLE` below which about `points` of `total` lie; None where all are wanted."""
    return math.ceil(points / total * SAMPLE_RANGE) if total > points else None


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts of one column in equal bins: `edges` has one more than `counts`; in the column's unit."""

    edges: list[float]
    counts: list[int]
    unknown: int


def histogram(connection: Connection, run: Run, criteria: Criteria, name: str, *, bins: int = 40) -> Histogram:
    """How one numeric column of the filter is distributed."""
    column = COLUMNS[name]
    selected = where(criteria, run.key)
    low, high, known, every = connection.execute(
        select(func.min(column), func.max(column), func.count(column), func.count())
        .select_from(Candidate)
        .where(selected)
    ).one()
    if not known:
        return Histogram([], [], every)
    high = high if high > low else low + max(abs(low), 1.0) * 1e-6
    # The ends are rounded to what single precision tells apart: a value may lie just beyond them.
    bucket = func.greatest(func.least(func.width_bucket(column, low, high, bins), bins), 1)
    found = connection.execute(
        select(bucket.label("bin"), func.count()).where(selected, column.is_not(None)).group_by("bin")
    ).all()
    counts = {int(number): int(how_many) for number, how_many in found}
    step = (high - low) / bins
    return Histogram(
        [low + step * k for k in range(bins + 1)], [counts.get(k + 1, 0) for k in range(bins)], every - known
    )
