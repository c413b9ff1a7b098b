"""HetDB, relaxed moiré cells of two different layers: ASE SQLite, layers named by their C2DB uid.

`uid_b` lies below `uid_a` in all 269 published records; which atoms are whose follows from the formulas that the uids
begin with (`2InSe-1`: In2Se2) and from the heights. `layer_center_distance` is the difference of the two layers' mean
heights, every nucleus counted once: it agrees with all 269 structures to the three decimals of the file. The
interlayer distance, nucleus to nucleus, is taken from the structure. The supercells, which the file does not tell, are
found from the layers' own periods; `twist_angle` is without sign, and fits them in all but three records.

`maxstrain` stays in the payload: it belongs to the cell before its relaxation. The relaxed cells differ from those of
C2DB's free layers by up to 2.5 % in length, while no `maxstrain` exceeds 1 %, and neither its sign nor the layer that
bears it is told.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ase.data import atomic_numbers

from etl.canonical import Canonical, canonical_slab
from etl.errors import RecordError
from etl.records import Doubt, Fact, Record, Stack
from etl.source import Raw, Row, Source, SourceInfo, register
from etl.sources.ase_sqlite import ase_cut, ase_kept, ase_row, check_ase
from etl.sources.moire import LayerLattice, layer_lattice, split_by_height
from etl.sources.values import number, word
from schema import quantities as q
from schema.two_layers import Divided
from schema.vocabulary import InterfaceKind, Method, Subject

CENTRE_TOLERANCE = 0.002
"""Å, between `layer_center_distance` and the structure's mean heights: the file's three decimals."""
TWIST_TOLERANCE = 1.0
"""Degrees, between `twist_angle` and the turn of the relaxed lattices: a strain of 1 % turns a vector by up to 0.6."""

# <formula units><reduced formula>-<number>: "2InSe-1" is In2Se2.
_UID = re.compile(r"^(?P<units>[1-9]\d{0,2})(?P<formula>(?:[A-Z][a-z]?\d{0,3})+)-\d+$")
_ELEMENT = re.compile(r"([A-Z][a-z]?)(\d*)")


def cell_of_uid(uid: str) -> Counter[int]:
    """Atoms of one cell of a C2DB layer by atomic number, as its uid tells them.

    Raises:
        RecordError: it does not follow C2DB's pattern of 2024.
    """
    match = _UID.match(uid)
    cell = Counter[int]()
    for symbol, count in _ELEMENT.findall(match["formula"]) if match else ():
        cell[atomic_numbers.get(symbol, 0)] += int(match["units"]) * int(count or 1) if match else 0
    if not cell.total() or 0 in cell:
        raise RecordError("unparsable", f"The layer's uid {uid!r} does not begin with a formula, as those of C2DB do.")
    return cell


@register("hetdb")
class HetDB(Source):
    """HetDB, .db file of twisted heterobilayers."""

    info = SourceInfo(
        key="hetdb",
        database="HetDB",
        release="2025",
        method="DFT, relaxed moiré cells; functionals not stated in the file",
        licence="as stated by HetDB's authors",
        citation="Sauer et al., Phys. Rev. Mater. 9 (2025)",
        precedence=20,
        names_from="c2db",
    )
    version = "1"

    def check(self, path: Path) -> int:
        """See `Source.check`."""
        hints = {"monolayer_uid": "bidb", "magstate": "c2db"}
        return check_ase(path, "HetDB", frozenset({"uid_a", "uid_b"}), key_hints=hints)

    def cut(self, path: Path) -> Iterator[Raw]:
        """See `Source.cut`."""
        return ase_cut(path)

    def row(self, raw: Raw) -> Row:
        """See `Source.row`."""
        return ase_row(raw)

    def kept(self, external_id: str, payload: dict[str, Any]) -> Row:
        """See `Source.kept`."""
        return ase_kept(external_id, payload)

    def name(self, row: Row) -> str:
        """The bilayer's uid, or the row."""
        return word(row.content["key_value_pairs"], "bilayer_uid") or row.position

    def record(self, row: Row) -> Record:
        """One heterobilayer, or a twisted homobilayer where both sides have one name."""
        keys: dict[str, Any] = row.content["key_value_pairs"]
        uid, above, below = (word(keys, name) for name in ("bilayer_uid", "uid_a", "uid_b"))
        if uid is None or above is None or below is None:
            shown = ", ".join(sorted(keys)[:6]) or "none"
            raise RecordError("unknown_keys", f"{row.position} lacks bilayer_uid, uid_a or uid_b; its keys: {shown}.")
        if row.atoms is None:
            raise RecordError("missing_structure", f"{uid} has no atoms.")
        record = Record(uid, Subject.INTERFACE, row.content, row.atoms)
        # The stack that is stored, so that its matrices are those of the structure beside them.
        stack = canonical_slab(row.atoms)
        split = split_by_height(stack, cell_of_uid(below), cell_of_uid(above))
        if split is None:
            # The file's own order is a habit, and not a promise.
            below, above = above, below
            split = split_by_height(stack, cell_of_uid(below), cell_of_uid(above))
        if split is None:
            reason = f"No height divides the atoms of {uid} into whole cells of {below} and {above}."
            raise RecordError("mass_or_charge_nonsense", reason)
        record.stack = _stack(keys, below, above, stack, split, record)
        _check_centres(keys, stack, split, record)
        gap = number(keys, "gap")
        if gap is not None:
            record.facts.append(Fact(q.GAP, gap, Method.UNSTATED))
        return record


def _stack(keys: dict[str, Any], below: str, above: str, stack: Canonical, split: Divided, record: Record) -> Stack:
    lattices = (
        layer_lattice(stack, split.below, split.n_below),
        layer_lattice(stack, split.above, split.n_above),
    )
    bottom, top = lattices
    for uid, lattice, n in zip((below, above), lattices, (split.n_below, split.n_above), strict=True):
        if lattice is None:
            detail = f"The {n} cells of {uid} in the moiré cell have no common period: its supercell is unknown."
            record.doubts.append(Doubt("inconsistent", "stacking", detail))
    return Stack(
        kind=InterfaceKind.HOMOBILAYER if below == above else InterfaceKind.HETEROBILAYER,
        bottom_name=below,
        top_name=above,
        top_atoms=split.above,
        method=Method.UNSTATED,
        bottom_matrix=_flat(bottom),
        top_matrix=_flat(top),
        twist=_twist(number(keys, "twist_angle"), bottom, top, record),
    )


def _flat(lattice: LayerLattice | None) -> tuple[int, int, int, int]:
    if lattice is None:
        return (1, 0, 0, 1)
    (a, b), (c, d) = lattice.matrix.tolist()
    return a, b, c, d


def _twist(stated: float | None, bottom: LayerLattice | None, top: LayerLattice | None, record: Record) -> float | None:
    """The stated twist with the sign that the lattices give it, degrees, counter-clockwise, top against bottom.

    The lattices tell the twist up to the turns that take one of them onto itself; which of these the atoms need, only
    the stated angle says. Of a lattice that is neither hexagonal nor square, the file does not say which vector the
    angle counts from: it stands as it is.
    """
    if stated is None or bottom is None or top is None or not math.isfinite(stated):
        return None
    turn = math.gcd(bottom.turn, top.turn)
    if 180 in (bottom.turn, top.turn):
        return stated
    seen = top.direction - bottom.direction
    misses = {sign: abs(math.remainder(seen - sign * stated, turn)) for sign in (1, -1)}
    sign = min(misses, key=lambda s: round(misses[s], 2))
    if misses[sign] > TWIST_TOLERANCE:
        detail = (
            f"twist_angle is {stated}°, but the lattices of the layers are turned by {seen % turn:.2f}° of {turn}°."
        )
        record.doubts.append(Doubt("inconsistent", "twist", detail))
        return None
    return sign * stated


def _check_centres(keys: dict[str, Any], stack: Canonical, split: Divided, record: Record) -> None:
    stated = number(keys, "layer_center_distance")
    heights = stack.positions[:, 2]
    apart = float(heights[split.above].mean() - heights[split.below].mean())
    if stated is not None and not abs(stated - apart) <= CENTRE_TOLERANCE:
        detail = f"layer_center_distance is {stated} Å, but the mean heights of the layers are {apart:.3f} Å apart."
        record.doubts.append(Doubt("inconsistent", q.INTERLAYER_DISTANCE.key, detail))
