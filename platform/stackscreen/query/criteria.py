"""The filter of a screen: parsed once from an address or JSON into a small typed tree, rendered to either and to SQL.

A filter is a set of conditions that all hold; a condition is a field, an operator and a value. In an address,
`gap.min=1.1&gap.max=1.6&alignment.in=II&elements.none=Pb,Cd`; in JSON (and in `saved_screen.criteria`),
`{"all": [{"field": "gap", "operator": "min", "value": 1.1}, ...]}`. Values are in the stored units.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, urlencode

from schema.errors import StackscreenError
from stackscreen.query.fields import FIELDS, Field, FieldKind

Value: TypeAlias = float | str | tuple[str, ...]
MAX_VALUES = 200
"""Values in one condition: an address longer than this is not a filter that a person made."""


class CriteriaError(StackscreenError):
    """A filter that cannot be understood."""


class Operator(StrEnum):
    """How a field is compared."""

    MIN = "min"
    MAX = "max"
    IN = "in"
    EITHER = "either"
    BOTH = "both"
    ALL = "all"
    NONE = "none"
    HAS = "has"


OPERATORS: Mapping[FieldKind, Mapping[Operator, str]] = {
    FieldKind.NUMBER: {Operator.MIN: "at least", Operator.MAX: "at most"},
    FieldKind.WORD: {Operator.IN: "is one of"},
    FieldKind.LAYERS: {Operator.EITHER: "either layer is one of", Operator.BOTH: "both layers are among"},
    FieldKind.ELEMENTS: {Operator.ALL: "contain all of", Operator.NONE: "contain none of"},
    FieldKind.TEXT: {Operator.HAS: "contains"},
}
"""The operators that each kind of field takes, in words."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition; made by `condition`, which checks it."""

    field: str
    operator: Operator
    value: Value

    @property
    def key(self) -> str:
        """Name in an address, e.g. `gap.min`."""
        return f"{self.field}.{self.operator}"

    def describe(self) -> str:
        """The condition in words, with its unit."""
        field = FIELDS[self.field]
        words = OPERATORS[field.kind][self.operator]
        if isinstance(self.value, tuple):
            subject = "" if field.kind is FieldKind.LAYERS else f"{field.label} "
            return f"{subject}{words} {', '.join(self.value)}"
        if isinstance(self.value, str):
            return f"{field.label} {words} “{self.value}”"
        number = self.value * 100 if field.per_cent else self.value
        return f"{field.label} {words} {number:.6g} {field.shown_unit}".rstrip()


@cache
def _symbols() -> frozenset[str]:
    from ase.data import chemical_symbols

    return frozenset(chemical_symbols[1:])


def _number(field: Field, key: str, given: Any) -> float:
    try:
        number = float(given)
    except (TypeError, ValueError):
        number = math.nan
    if isinstance(given, bool) or not math.isfinite(number):
        unit = f", in {field.unit}" if field.unit != "1" else ""
        raise CriteriaError(f"{key} = {given!r} is not a number.", hint=f"Give a finite number{unit}, e.g. {key}=1.2.")
    return number


def _names(field: Field, key: str, given: Any) -> tuple[str, ...]:
    parts = given.split(",") if isinstance(given, str) else given
    if not isinstance(parts, list | tuple) or not all(isinstance(part, str) for part in parts):
        raise CriteriaError(f"{key} = {given!r} is not a list of names.", hint=f"Write {key}=A,B.")
    names = tuple(sorted({part.strip() for part in parts} - {""}))
    if not names:
        raise CriteriaError(f"{key} has no value.", hint=f"Leave {key} out, or name at least one.")
    if len(names) > MAX_VALUES:
        raise CriteriaError(f"{key} lists {len(names)} names, and {MAX_VALUES} is the most.", hint="Split the filter.")
    broken = [name for name in names if "," in name or "\x00" in name]
    if broken:
        raise CriteriaError(f"{key} = {broken[0]!r} is not a name.", hint="Names hold no commas.")
    return names


def _words(field: Field, key: str, given: Any) -> tuple[str, ...]:
    names = _names(field, key, given)
    unknown = [name for name in names if name not in field.words]
    if unknown:
        raise CriteriaError(f"{key} = {unknown[0]!r} is not known.", hint=f"Choose from {', '.join(field.words)}.")
    return names


def _elements(field: Field, key: str, given: Any) -> tuple[str, ...]:
    names = _names(field, key, given)
    unknown = [name for name in names if name not in _symbols()]
    if unknown:
        raise CriteriaError(f"{key} = {unknown[0]!r} is not an element.", hint="Write symbols, e.g. Mo,S.")
    return names


def _text(field: Field, key: str, given: Any) -> str:
    if not isinstance(given, str) or not given.strip() or "\x00" in given or len(given) > MAX_VALUES:
        raise CriteriaError(
            f"{key} = {given!r} is not a search text.", hint=f"Give up to {MAX_VALUES} characters, or leave it out."
        )
    return " ".join(given.split())


_READ: Mapping[FieldKind, Callable[[Field, str, Any], Value]] = {
    FieldKind.NUMBER: _number,
    FieldKind.WORD: _words,
    FieldKind.LAYERS: _names,
    FieldKind.ELEMENTS: _elements,
    FieldKind.TEXT: _text,
}
_ORDER = {key: rank for rank, key in enumerate(FIELDS)}


def condition(field: str, operator: str, value: Any) -> Condition:
    """A checked condition.

    Args:
        field: key of `FIELDS`.
        operator: one that the field's kind takes.
        value: number in the stored unit, list or comma-separated names, or text.

    Raises:
        CriteriaError: unknown field or operator, or a value that the field cannot have.
    """
    known = FIELDS.get(field)
    if known is None:
        raise CriteriaError(f"{field!r} is not a field of candidates.", hint=f"Fields: {', '.join(FIELDS)}.")
    takes = OPERATORS[known.kind]
    if operator not in takes:
        allowed = ", ".join(f"{field}.{name}" for name in takes)
        named = f"{field}.{operator}" if operator else field
        raise CriteriaError(f"{named} is not a filter.", hint=f"Use {allowed}.")
    key = f"{field}.{operator}"
    return Condition(field, Operator(operator), _READ[known.kind](known, key, value))


@dataclass(frozen=True, slots=True)
class Criteria:
    """A whole filter: conditions that all hold, in canonical order. Made by `Criteria.of`."""

    conditions: tuple[Condition, ...] = ()

    @classmethod
    def of(cls, conditions: Iterable[Condition]) -> Criteria:
        """Put conditions together.

        Raises:
            CriteriaError: the same filter twice, or a minimum above its maximum.
        """
        by_key: dict[str, Condition] = {}
        for one in conditions:
            if one.key in by_key:
                raise CriteriaError(f"{one.key} is given twice.", hint="Give it once; lists are separated by commas.")
            by_key[one.key] = one
        for one in by_key.values():
            high = by_key.get(f"{one.field}.{Operator.MAX}")
            if one.operator is Operator.MIN and high is not None and float(one.value) > float(high.value):  # type: ignore[arg-type]
                raise CriteriaError(
                    f"{one.key} ({one.value}) is above {high.key} ({high.value}).", hint="Swap the two limits."
                )
        ordered = sorted(by_key.values(), key=lambda one: (_ORDER[one.field], list(Operator).index(one.operator)))
        return cls(tuple(ordered))

    @classmethod
    def from_items(cls, items: Iterable[tuple[str, str]]) -> Criteria:
        """From decoded `key=value` pairs of an address; empty values are as if they were not there.

        Raises:
            CriteriaError: see `condition` and `of`.
        """
        parts = ((key.partition("."), value) for key, value in items if value.strip())
        return cls.of(condition(field, operator, value) for (field, _, operator), value in parts)

    @classmethod
    def from_query(cls, query: str) -> Criteria:
        """From an address's query string, with or without its question mark.

        Raises:
            CriteriaError: a part of it is no `key=value`, or see `condition` and `of`.
        """
        text = query.removeprefix("?")
        for part in text.split("&"):
            if part and "=" not in part:
                raise CriteriaError(f"{part!r} is no condition.", hint="Write field.operator=value, e.g. gap.min=1.1.")
        return cls.from_items(parse_qsl(text))

    @classmethod
    def from_json(cls, document: Any) -> Criteria:
        """From the JSON form, as `saved_screen.criteria` keeps it.

        Raises:
            CriteriaError: the document has another form, or see `condition` and `of`.
        """
        entries = document.get("all") if isinstance(document, dict) else None
        form = {"field", "operator", "value"}
        if not isinstance(entries, list) or any(not isinstance(one, dict) or set(one) != form for one in entries):
            raise CriteriaError(
                "The filter is not of the form of saved criteria.",
                hint='Write {"all": [{"field": "gap", "operator": "min", "value": 1.1}]}.',
            )
        return cls.of(condition(str(one["field"]), str(one["operator"]), one["value"]) for one in entries)

    def to_items(self) -> list[tuple[str, str]]:
        """As `key=value` pairs, numbers in their shortest exact form."""
        return [(one.key, _written(one.value)) for one in self.conditions]

    def to_query(self) -> str:
        """As a query string without its question mark; empty for no filter."""
        return urlencode(self.to_items(), safe=",()")

    def to_json(self) -> dict[str, Any]:
        """In the JSON form; `from_json` gives the same criteria back."""
        return {
            "all": [
                {
                    "field": one.field,
                    "operator": str(one.operator),
                    "value": list(one.value) if isinstance(one.value, tuple) else one.value,
                }
                for one in self.conditions
            ]
        }

    def value(self, field: str, operator: Operator) -> Value | None:
        """The value of one condition, or None where there is none."""
        key = f"{field}.{operator}"
        return next((one.value for one in self.conditions if one.key == key), None)

    def describe(self) -> list[str]:
        """Each condition in words."""
        return [one.describe() for one in self.conditions]


def _written(value: Value) -> str:
    if isinstance(value, tuple):
        return ",".join(value)
    if isinstance(value, str):
        return value
    return repr(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
