"""Pages and counts of the candidates of the published run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ARRAY,
    REAL,
    ColumnElement,
    Connection,
    Integer,
    Row,
    Select,
    Text,
    and_,
    cast,
    func,
    or_,
    select,
)
from sqlalchemy.orm import aliased

from schema import Candidate, ScreeningMember, ScreeningRun
from schema.errors import StackscreenError
from schema.vocabulary import EdgeMethod, RunState
from stackscreen.query.conditions import where
from stackscreen.query.criteria import Criteria, CriteriaError
from stackscreen.query.fields import FIELDS
from stackscreen.screening.spaces import RunKey, of_run

MAX_PAGE = 1000
MAX_OFFSET = 10_000_000

BOTTOM = aliased(ScreeningMember, name="bottom_member")
TOP = aliased(ScreeningMember, name="top_member")

SIDES = {
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
    **SIDES,
    **{key: field.expression for key, field in FIELDS.items() if field.expression is not None},
    **_INTERVALS,
    "alignments": Candidate.alignments,
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
    edges: EdgeMethod
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


def _described() -> Select[Any]:
    """Candidates with the names of both sides."""
    return (
        select(*(column.label(name) for name, column in COLUMNS.items()), Candidate.bottom, Candidate.top)
        .join(BOTTOM, and_(BOTTOM.run_id == Candidate.run_id, BOTTOM.member == Candidate.bottom))
        .join(TOP, and_(TOP.run_id == Candidate.run_id, TOP.member == Candidate.top))
    )


def listing(run: Run, criteria: Criteria, order: Order) -> Select[Any]:
    """The whole list as a statement: what pages, exports and saved screens take their rows from."""
    key = order.expression.desc() if order.descending else order.expression.asc()
    if getattr(order.expression, "nullable", True):
        # Only where there can be one: said of a column without, it keeps Postgres from using the column's index.
        key = key.nulls_last()
    return _described().where(where(criteria, run.key)).order_by(key, Candidate.bottom, Candidate.top)


def rows_of(connection: Connection, run: Run, bottom: Sequence[int], top: Sequence[int]) -> list[Row[Any]]:
    """Candidates by their two members' numbers, in the order given; rows as those of `listing`."""
    members = [cast(list(one), ARRAY(Integer)) for one in (bottom, top)]
    named = func.unnest(*members).table_valued("bottom", "top", with_ordinality="place").render_derived()
    statement = (
        _described()
        .join(named, and_(Candidate.bottom == named.c.bottom, Candidate.top == named.c.top))
        .where(Candidate.run_id == run.space_id)
        .order_by(named.c.place)
    )
    return list(connection.execute(statement).all())


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
    check_page(limit, offset)
    statement = listing(run, criteria, order).limit(limit + 1).offset(offset)
    if after:
        statement = statement.where(_after(order, after))
    return page_of(order, connection.execute(statement).all(), limit)


def check_page(limit: int, offset: int) -> None:
    """Refuse a page that is too large or too deep.

    Raises:
        CriteriaError: limit or offset out of range.
    """
    if not 1 <= limit <= MAX_PAGE or not 0 <= offset <= MAX_OFFSET:
        raise CriteriaError(
            f"A page of {limit} rows from {offset} cannot be had.",
            hint=f"Ask for 1 to {MAX_PAGE} rows, from 0 to {MAX_OFFSET}.",
        )


def page_of(order: Order, found: Sequence[Row[Any]], limit: int) -> Page:
    """The page of some rows of `listing`, of which one more than `limit` says that another page follows."""
    rows = [row_values(row) for row in found[:limit]]
    return Page(rows, _token(order, found[limit - 1]) if len(found) > limit else None)


def row_values(row: Row[Any]) -> dict[str, Any]:
    """A row of `listing` as plain values."""
    mapping = row._mapping
    return {name: plain(mapping[name]) for name in COLUMNS}


def plain(value: Any) -> Any:
    """A word instead of the member of an enumeration."""
    return getattr(value, "value", value)


def _token(order: Order, row: Row[Any]) -> str:
    value = row._mapping[order.field]
    shown = "" if value is None else repr(value) if isinstance(value, float) else getattr(value, "value", value)
    return f"{row._mapping['bottom']}~{row._mapping['top']}~{shown}"


def are_candidates(connection: Connection, run: Run, pairs: Sequence[tuple[str, str]]) -> list[bool]:
    """Which of some pairs, each the uids of its bottom and top, are candidates of the run."""
    uids = [cast(list(side), ARRAY(Text)) for side in zip(*pairs, strict=True)] if pairs else []
    if not uids:
        return []
    named = func.unnest(*uids).table_valued("bottom", "top", with_ordinality="place").render_derived()
    statement = (
        select(Candidate.run_id.is_not(None))
        .select_from(named)
        .outerjoin(BOTTOM, and_(of_run(BOTTOM, run.key), BOTTOM.uid == named.c.bottom))
        .outerjoin(TOP, and_(of_run(TOP, run.key), TOP.uid == named.c.top))
        .outerjoin(
            Candidate,
            and_(Candidate.run_id == run.space_id, Candidate.bottom == BOTTOM.member, Candidate.top == TOP.member),
        )
        .order_by(named.c.place)
    )
    return list(connection.execute(statement).scalars())


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page ended: the members of its last row, and what it was sorted by there; None where that is unknown."""

    bottom: int
    top: int
    value: float | str | None


def read_token(order: Order, token: str) -> Place:
    """The end of a page from its `after`.

    Raises:
        CriteriaError: no page in this order has given it.
    """
    try:
        bottom, top, shown = token.split("~", 2)
        place = Place(int(bottom), int(top), _value(order, shown))
        if max(abs(place.bottom), abs(place.top)) >= 2**31:
            raise ValueError(token)
    except ValueError as error:
        raise CriteriaError(f"after = {token!r} is not the end of a page.", hint="Start again without it.") from error
    return place


def _after(order: Order, token: str) -> ColumnElement[bool]:
    """The condition for the rows behind the one that `token` names; nulls are last in either direction."""
    place = read_token(order, token)
    pair = or_(Candidate.bottom > place.bottom, and_(Candidate.bottom == place.bottom, Candidate.top > place.top))
    column = order.expression
    if place.value is None:
        return and_(column.is_(None), pair)
    enumeration = getattr(column.type, "enum_class", None)
    value: Any = enumeration(place.value) if enumeration is not None else cast(place.value, REAL)
    beyond = column < value if order.descending else column > value
    return or_(beyond, column.is_(None), and_(column == value, pair))


def _value(order: Order, shown: str) -> float | str | None:
    enumeration = getattr(order.expression.type, "enum_class", None)
    if shown == "":
        return None
    if enumeration is not None:
        return str(enumeration(shown).value)
    number = float(shown)
    if not math.isfinite(number) or abs(number) > 3e38:
        raise ValueError(shown)
    return number
