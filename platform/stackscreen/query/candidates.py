"""Pages, counts and pictures of the candidates of the published run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import REAL, BigInteger, ColumnElement, Connection, Row, Select, and_, cast, func, or_, select
from sqlalchemy.orm import aliased

from schema import Candidate, ScreeningMember, ScreeningRun
from schema.errors import StackscreenError
from schema.vocabulary import RunState
from stackscreen.query.conditions import where
from stackscreen.query.criteria import Criteria, CriteriaError
from stackscreen.query.fields import FIELDS
from stackscreen.screening.spaces import RunKey

MAX_PAGE = 1000
MAX_OFFSET = 10_000_000
SCATTER_POINTS = 3000
"""Points of a scatter: enough to show the shape of a cloud, few enough for a browser to draw at once."""

BOTTOM = aliased(ScreeningMember, name="bottom_member")
TOP = aliased(ScreeningMember, name="top_member")

_SIDES = {
    "bottom_uid": BOTTOM.uid,
    "bottom_formula": BOTTOM.formula,
    "top_uid": TOP.uid,
    "top_formula": TOP.formula,
}
_INTERVALS = {
    f"{of}_{end}": getattr(Candidate, f"{of}_{end}")
    for of in ("gap", "binding_energy", "distance")
    for end in ("lower", "upper")
}
COLUMNS: Mapping[str, Any] = {
    **_SIDES,
    **{key: field.expression for key, field in FIELDS.items() if field.expression is not None},
    **_INTERVALS,
}
"""Every column of a candidate's row, by name."""


class NoPublishedRunError(StackscreenError):
    """There is nothing to show yet."""


@dataclass(frozen=True, slots=True)
class Run:
    """The published run: what every reader sees."""

    id: int
    space_id: int
    n_monolayers: int
    n_surfaces: int
    n_pairs: int
    n_candidates: int | None
    max_strain: float
    published_at: datetime
    candidate_rule: dict[str, Any] = field(hash=False)

    @property
    def key(self) -> RunKey:
        """Its number and its space's."""
        return RunKey(self.id, self.space_id)


@dataclass(frozen=True, slots=True)
class Order:
    """The order of a list. Unknown values come last; ties are broken by the pair."""

    field: str = "score"
    descending: bool = True

    @classmethod
    def parse(cls, text: str | None) -> Order:
        """From `-score` (descending) or `strain` (ascending); None or empty is the default.

        Raises:
            CriteriaError: candidates have no such column.
        """
        if not text:
            return cls()
        name = text.removeprefix("-")
        if name not in FIELDS or FIELDS[name].expression is None:
            known = ", ".join(key for key, one in FIELDS.items() if one.expression is not None)
            raise CriteriaError(f"Candidates cannot be sorted by {name!r}.", hint=f"Choose from {known}.")
        return cls(name, text.startswith("-"))

    def __str__(self) -> str:
        return f"-{self.field}" if self.descending else self.field

    @property
    def expression(self) -> ColumnElement[Any]:
        """The SQL expression that is sorted by."""
        expression = FIELDS[self.field].expression
        assert expression is not None  # noqa: S101 - parse allows no other
        return expression


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows of a list, in order, and the address of the next: its `after`, or None at the end."""

    rows: list[dict[str, Any]]
    after: str | None


def published_run(connection: Connection) -> Run:
    """The run that readers see.

    Raises:
        NoPublishedRunError: none has been published yet.
    """
    names = Run.__slots__
    row = connection.execute(
        select(*(getattr(ScreeningRun, name) for name in names)).where(ScreeningRun.state == RunState.PUBLISHED)
    ).first()
    if row is None:
        raise NoPublishedRunError(
            "No screening run has been published yet.",
            hint="Run `stackscreen up`, or import data and run `stackscreen screen`.",
        )
    return Run(*row)


def count(connection: Connection, run: Run, criteria: Criteria) -> int:
    """How many candidates the filter selects, exactly."""
    return connection.execute(select(func.count()).select_from(Candidate).where(where(criteria, run.key))).scalar_one()


def listing(run: Run, criteria: Criteria, order: Order) -> Select[Any]:
    """The whole list as a statement: what pages, exports and saved screens take their rows from."""
    key = order.expression.desc() if order.descending else order.expression.asc()
    if getattr(order.expression, "nullable", True):
        # Only where there can be one: said of a column without, it keeps Postgres from using the column's index.
        key = key.nulls_last()
    return (
        select(*(column.label(name) for name, column in COLUMNS.items()), Candidate.bottom, Candidate.top)
        .join(BOTTOM, and_(BOTTOM.run_id == Candidate.run_id, BOTTOM.member == Candidate.bottom))
        .join(TOP, and_(TOP.run_id == Candidate.run_id, TOP.member == Candidate.top))
        .where(where(criteria, run.key))
        .order_by(key, Candidate.bottom, Candidate.top)
    )


def page(
    connection: Connection,
    run: Run,
    criteria: Criteria,
    order: Order,
    *,
    limit: int,
    offset: int = 0,
    after: str | None = None,
) -> Page:
    """Some rows of the list.

    Args:
        connection: from `reading`.
        run: the published run.
        criteria, order: what to show, and in which order.
        limit: rows, up to `MAX_PAGE`.
        offset: rows to skip from the start, or from `after`.
        after: the `after` of the page before; keeps its cost constant however deep the list is.

    Raises:
        CriteriaError: limit or offset out of range, or an `after` that no page has given.
    """
    if not 1 <= limit <= MAX_PAGE or not 0 <= offset <= MAX_OFFSET:
        raise CriteriaError(
            f"A page of {limit} rows from {offset} cannot be had.",
            hint=f"Ask for 1 to {MAX_PAGE} rows, from 0 to {MAX_OFFSET}.",
        )
    statement = listing(run, criteria, order).limit(limit + 1).offset(offset)
    if after:
        statement = statement.where(_after(order, after))
    found = connection.execute(statement).all()
    rows = [row_values(row) for row in found[:limit]]
    return Page(rows, _token(order, found[limit - 1]) if len(found) > limit else None)


def row_values(row: Row[Any]) -> dict[str, Any]:
    """A row of `listing` as plain values."""
    mapping = row._mapping
    return {name: _plain(mapping[name]) for name in COLUMNS}


def _plain(value: Any) -> Any:
    return getattr(value, "value", value)


def _token(order: Order, row: Row[Any]) -> str:
    value = row._mapping[order.field]
    shown = "" if value is None else repr(value) if isinstance(value, float) else getattr(value, "value", value)
    return f"{row._mapping['bottom']}~{row._mapping['top']}~{shown}"


def _after(order: Order, token: str) -> ColumnElement[bool]:
    """The condition for the rows behind the one that `token` names; nulls are last in either direction."""
    try:
        bottom, top, shown = token.split("~", 2)
        pair = or_(Candidate.bottom > int(bottom), and_(Candidate.bottom == int(bottom), Candidate.top > int(top)))
        value: Any = _typed(order, shown)
    except ValueError as error:
        raise CriteriaError(f"after = {token!r} is not the end of a page.", hint="Start again without it.") from error
    column = order.expression
    if shown == "":
        return and_(column.is_(None), pair)
    beyond = column < value if order.descending else column > value
    return or_(beyond, column.is_(None), and_(column == value, pair))


def _typed(order: Order, shown: str) -> Any:
    enumeration = getattr(order.expression.type, "enum_class", None)
    if shown == "":
        return None
    if enumeration is not None:
        return enumeration(shown)
    number = float(shown)
    if not math.isfinite(number) or abs(number) > 3e38:
        raise ValueError(shown)
    return cast(number, REAL)


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
    names = (*_SIDES, "alignment", "kind", "strain", "n_atoms", "score")
    statement = (
        select(COLUMNS[x].label("x"), COLUMNS[y].label("y"), *(COLUMNS[name].label(name) for name in names))
        .join(BOTTOM, and_(BOTTOM.run_id == Candidate.run_id, BOTTOM.member == Candidate.bottom))
        .join(TOP, and_(TOP.run_id == Candidate.run_id, TOP.member == Candidate.top))
        .where(known)
        .order_by(Candidate.bottom, Candidate.top)
    )
    sampled = total > points
    if sampled:
        pair = cast(Candidate.bottom, BigInteger) * 1_000_003 + Candidate.top
        statement = statement.where(func.hashint8(pair).op("&")(0xFFFFF) < math.ceil(points / total * 0x100000))
    found = connection.execute(statement.limit(2 * points))
    return Scatter([{key: _plain(value) for key, value in row._mapping.items()} for row in found], total, sampled)


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
    bucket = func.least(func.width_bucket(column, low, high, bins), bins)
    found = connection.execute(
        select(bucket.label("bin"), func.count()).where(selected, column.is_not(None)).group_by("bin")
    ).all()
    counts = {int(number): int(how_many) for number, how_many in found}
    step = (high - low) / bins
    return Histogram(
        [low + step * k for k in range(bins + 1)], [counts.get(k + 1, 0) for k in range(bins)], every - known
    )
