"""Criteria as SQLAlchemy Core conditions on `candidate`: one renderer an operator, in a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import REAL, ColumnElement, Select, Text, and_, cast, func, or_, select, type_coerce
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import InstrumentedAttribute

from schema import Candidate, ScreeningMember
from stackscreen.query.criteria import Condition, Criteria, Operator
from stackscreen.query.fields import FIELDS
from stackscreen.screening.spaces import RunKey, of_run

# A uid is a formula, a dash and eight hexadecimal digits, with the plane behind it for a surface: Au-1f0c22ab(111),
# and the number of its termination where there are several.
_NAME = ScreeningMember.formula + func.coalesce(func.substring(ScreeningMember.uid, r"\([^()]*\)[-0-9]*$"), "")
_SEARCHED = _NAME + " " + ScreeningMember.uid
_ELEMENTS = type_coerce(ScreeningMember.elements, ARRAY(Text))


def _members(space_id: int, condition: ColumnElement[bool]) -> Select[Any]:
    # Gone members may be among them: no candidate of the run has one.
    return select(ScreeningMember.member).where(ScreeningMember.run_id == space_id, condition)


def _either(space_id: int, condition: ColumnElement[bool]) -> ColumnElement[bool]:
    members = _members(space_id, condition)
    return or_(Candidate.bottom.in_(members), Candidate.top.in_(members))


def _both(space_id: int, condition: ColumnElement[bool]) -> ColumnElement[bool]:
    members = _members(space_id, condition)
    return and_(Candidate.bottom.in_(members), Candidate.top.in_(members))


def spellings(name: str) -> set[str]:
    """The name as written, and, if it is a formula, as the database orders its elements: MoTe2 is Te2Mo there."""
    from pymatgen.core import Composition

    try:
        return {name, Composition(name).reduced_formula}
    except ValueError:
        return {name}


def _is_layer(names: tuple[str, ...]) -> ColumnElement[bool]:
    """A member by uid, by formula, or, for a surface, by formula and plane: Au(111)."""
    lowered = sorted({spelling.lower() for name in names for spelling in spellings(name)})
    return or_(
        func.lower(ScreeningMember.uid).in_(lowered),
        func.lower(ScreeningMember.formula).in_(lowered),
        func.lower(_NAME).in_(lowered),
    )


def _column(field: str) -> ColumnElement[Any] | InstrumentedAttribute[Any]:
    expression = FIELDS[field].expression
    assert expression is not None  # noqa: S101 - `condition` gives these operators to columns only
    return expression


def _is_word(field: str, words: Any) -> ColumnElement[bool]:
    column = _column(field)
    enumeration = getattr(column.type, "enum_class")  # noqa: B009 - every WORD column is an enumeration
    return column.in_([enumeration(word) for word in words])


def _limit(value: float) -> ColumnElement[float]:
    # Columns are single precision: a limit compared in double precision would miss the value that it names.
    return cast(max(min(value, 3.4e38), -3.4e38), REAL)


def _all_elements(space_id: int, value: Any) -> ColumnElement[bool]:
    return and_(*(_either(space_id, _ELEMENTS.contains([symbol])) for symbol in value))


def _no_elements(space_id: int, value: Any) -> ColumnElement[bool]:
    return _both(space_id, ~_ELEMENTS.overlap(list(value)))


def _has_text(space_id: int, value: Any) -> ColumnElement[bool]:
    words = [
        or_(*(_SEARCHED.icontains(spelling, autoescape=True) for spelling in sorted(spellings(word))))
        for word in value.split()
    ]
    return and_(*(_either(space_id, word) for word in words))


_RENDER: Mapping[Operator, Callable[[int, Condition], ColumnElement[bool]]] = {
    Operator.MIN: lambda run, one: _column(one.field) >= _limit(one.value),  # type: ignore[arg-type]
    Operator.MAX: lambda run, one: _column(one.field) <= _limit(one.value),  # type: ignore[arg-type]
    Operator.IN: lambda run, one: _is_word(one.field, one.value),
    Operator.EITHER: lambda run, one: _either(run, _is_layer(one.value)),  # type: ignore[arg-type]
    Operator.BOTH: lambda run, one: _both(run, _is_layer(one.value)),  # type: ignore[arg-type]
    Operator.ALL: lambda run, one: _all_elements(run, one.value),
    Operator.NONE: lambda run, one: _no_elements(run, one.value),
    Operator.HAS: lambda run, one: _has_text(run, one.value),
}


def where(criteria: Criteria, run: RunKey) -> ColumnElement[bool]:
    """The condition on `candidate` that selects what `criteria` asks for in one run.

    A number that is not known satisfies no limit.
    """
    rendered = (_RENDER[one.operator](run.space_id, one) for one in criteria.conditions)
    return and_(of_run(Candidate, run), *rendered)
