"""What the address of the list says: of what, which, and in which order."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import parse_qsl, urlencode

from stackscreen.query.candidates import Order
from stackscreen.query.criteria import Criteria, CriteriaError
from stackscreen.query.fields import FIELDS
from stackscreen.scan.selection import LIMITED, SORTED

SORT, OF = "sort", "of"


class Subject(StrEnum):
    """What is listed."""

    CANDIDATES = "candidates"
    PAIRS = "pairs"


def filtered_by(subject: Subject) -> frozenset[str]:
    """Keys of the fields that a filter of a subject may speak of."""
    return frozenset(FIELDS) if subject is Subject.CANDIDATES else LIMITED


def sorted_by(subject: Subject) -> frozenset[str]:
    """Keys of the fields that a list may be sorted by."""
    sortable = frozenset(key for key, one in FIELDS.items() if one.expression is not None)
    return sortable if subject is Subject.CANDIDATES else SORTED


@dataclass(frozen=True, slots=True)
class View:
    """One list: what an address of the list's page says."""

    criteria: Criteria = field(default_factory=Criteria)
    order: Order = field(default_factory=Order)
    subject: Subject = Subject.CANDIDATES

    @classmethod
    def read(cls, search: str | None) -> View:
        """The view of an address's query string.

        Raises:
            CriteriaError: it asks for what candidates, or pairs, do not have.
        """
        items = parse_qsl((search or "").removeprefix("?"))
        own = {key: value for key, value in reversed(items) if key in (SORT, OF)}
        word = own.get(OF, Subject.CANDIDATES)
        if word not in list(Subject):
            raise CriteriaError(f"{OF} = {word!r} is not known.", hint=f"Choose from {', '.join(Subject)}.")
        view = cls(
            Criteria.from_items(one for one in items if one[0] not in own), Order.parse(own.get(SORT)), Subject(word)
        )
        view.check()
        return view

    def check(self) -> None:
        """Refuse what is known of candidates only where all pairs are listed.

        Raises:
            CriteriaError: the filter or the order speaks of such a field.
        """
        unknown = [one.field for one in self.criteria.conditions if one.field not in filtered_by(self.subject)]
        unknown += [] if self.order.field in sorted_by(self.subject) else [self.order.field]
        if unknown:
            raise CriteriaError(
                f"{FIELDS[unknown[0]].label} ({unknown[0]}) is known of candidates only, not of every pair.",
                hint=f"List the candidates, or leave it out. Pairs are sorted by {', '.join(sorted(SORTED))}.",
            )

    def write(self) -> str:
        """The address's query string; what is as usual is left out."""
        items = self.criteria.to_items()
        items += [(SORT, str(self.order))] if self.order != Order() else []
        items += [(OF, str(self.subject))] if self.subject is not Subject.CANDIDATES else []
        return f"?{urlencode(items, safe=',()')}" if items else ""

    def turned_to(self, subject: Subject) -> View:
        """The same of another subject, without what is not known of it."""
        kept = Criteria.of(one for one in self.criteria.conditions if one.field in filtered_by(subject))
        return View(kept, self.order if self.order.field in sorted_by(subject) else Order(), subject)
