"""The members of a run as a scan asks for them: by name, by element, and as the two sides of a pair."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, select

from schema import ScreeningMember
from stackscreen.query.conditions import spellings
from stackscreen.scan.kernel import Sides
from stackscreen.scan.layout import PairLayout
from stackscreen.screening.describe import facing_edges, hull_energies
from stackscreen.screening.members import BY_PLACE, MemberTable, load_members
from stackscreen.screening.spaces import of_run, run_key

# As in `stackscreen.query.conditions`: the plane of a surface's uid, and the number of its termination.
_PLANE: Final = re.compile(r"\([^()]*\)[-0-9]*$")

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Directory:
    """Everything about the N+S members of a run that a filter can speak of; masks have shape (N+S,).

    Attributes:
        table: the numbers.
        uids, formulas: by member.
        by_name: members by uid, by formula, and by formula and plane of a surface, in small letters: au(111).
        searched: the texts in which words are looked for: formula, plane and uid, in small letters.
        by_element: which members contain an element, by symbol.
        hull: eV/atom that count for a pair; 0 for surfaces, NaN unknown.
        bottom: all members as the lower side.
        top: the monolayers as the upper side.
    """

    table: MemberTable
    uids: list[str]
    formulas: list[str]
    by_name: dict[str, list[int]]
    searched: list[str]
    by_element: dict[str, Mask]
    hull: NDArray[np.float64]
    bottom: Sides
    top: Sides

    @classmethod
    def load(cls, connection: Connection, run_id: int) -> Directory:
        """Read the members of a run."""
        table = load_members(connection, run_id)
        rows = connection.execute(
            select(ScreeningMember.uid, ScreeningMember.formula, ScreeningMember.elements)
            .where(of_run(ScreeningMember, run_key(connection, run_id)))
            .order_by(*BY_PLACE)
        ).all()
        return cls.of(table, [(row.uid, row.formula, row.elements) for row in rows])

    @classmethod
    def of(cls, table: MemberTable, described: Iterable[tuple[str, str, list[str]]]) -> Directory:
        """From the numbers and the uid, formula and elements of each member."""
        uids, formulas, searched = [], [], []
        by_name: dict[str, list[int]] = {}
        by_element: dict[str, Mask] = {}
        for member, (uid, formula, elements) in enumerate(described):
            plane = _PLANE.search(uid)
            uids.append(uid)
            formulas.append(formula)
            name = (formula + (plane[0] if plane else "")).lower()
            searched.append(f"{name} {uid.lower()}")
            for one in {name, formula.lower(), uid.lower()}:
                by_name.setdefault(one, []).append(member)
            for symbol in elements:
                by_element.setdefault(symbol, np.zeros(len(table), bool))[member] = True
        return cls(
            table, uids, formulas, by_name, searched, by_element, hull_energies(table), _sides(table, "top"),
            _sides(table, "bottom").take(np.arange(table.n_monolayers)),
        )  # fmt: skip

    @property
    def layout(self) -> PairLayout:
        """How the run's pairs are laid out."""
        return PairLayout(self.table.n_monolayers, len(self.table) - self.table.n_monolayers)

    def with_element(self, symbol: str) -> Mask:
        """Members that contain an element."""
        return self.by_element.get(symbol, np.zeros(len(self.table), bool))

    def named(self, names: Iterable[str]) -> Mask:
        """Members by uid, by formula, or, for a surface, by formula and plane."""
        wanted = {spelling.lower() for name in names for spelling in spellings(name)}
        mask = np.zeros(len(self.table), bool)
        mask[[member for name in wanted for member in self.by_name.get(name, ())]] = True
        return mask

    def containing(self, word: str) -> Mask:
        """Members with a word in their formula, plane or uid."""
        parts = [spelling.lower() for spelling in spellings(word)]
        found = [np.fromiter((part in text for text in self.searched), bool, len(self.table)) for part in parts]
        return np.asarray(np.logical_or.reduce(found))


def _sides(table: MemberTable, face: str) -> Sides:
    """All members with the given face turned to the other side."""
    valence, conduction = facing_edges(table, face)
    return Sides(
        table.n_atoms.astype(np.int32),
        np.exp(table.ln_area),
        valence,
        conduction,
        np.ascontiguousarray(table.columns[f"work_function_{face}"]),
        np.ascontiguousarray(table.columns["stiffness"]),
    )
