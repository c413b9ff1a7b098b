"""BiDB, the van der Waals bilayers database: ASE SQLite, binding energies in eV/Å²."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from etl.errors import RecordError
from etl.records import Atoms, Doubt, Fact, Record, Stack
from etl.source import Raw, Row, Source, SourceInfo, register
from etl.sources.ase_sqlite import ase_cut, ase_is_whole, ase_kept, ase_row, atoms_of, check_ase
from etl.sources.values import number, word
from schema import quantities as q
from schema.vocabulary import InterfaceKind, Method, Subject

MEV_PER_EV = 1000.0

# <monolayer>[-<formula>]-2-<m11>_<m12>_<m21>_<m22>-[Iz-]<shift a>_<shift b>; numbers may carry their own minus sign,
# so that "--1_0_0_-1-0.41_-0.18" is the operation -1 0 0 -1 and the shift 0.41, -0.18.
_NUMBER = r"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?"
_UID = re.compile(
    rf"^(?P<parent>.+?)-2-(?P<operation>-?\d+_-?\d+_-?\d+_-?\d+)-(?P<flip>Iz-)?(?P<a>{_NUMBER})_(?P<b>{_NUMBER})$"
)


@dataclass(frozen=True, slots=True)
class BilayerName:
    """What a `bilayer_uid` says.

    Attributes:
        parent: the part before the stacking: the monolayer's uid, for some followed by its formula.
        operation: in-plane operation on the second layer in its lattice basis, rows flattened.
        flip: whether the second layer is mirrored in z.
        shift: fractional shift of the second layer along a and b.
    """

    parent: str
    operation: tuple[int, int, int, int]
    flip: bool
    shift: tuple[float, float]


def parse_bilayer_uid(uid: str) -> BilayerName:
    """Read the stacking out of a `bilayer_uid`.

    Raises:
        RecordError: it does not follow the pattern.
    """
    match = _UID.match(uid)
    if match is None:
        raise RecordError("unparsable", f"bilayer_uid {uid!r} does not name a stacking.")
    m11, m12, m21, m22 = (int(part) for part in match["operation"].split("_"))
    shift = (float(match["a"]), float(match["b"]))
    return BilayerName(match["parent"], (m11, m12, m21, m22), match["flip"] is not None, shift)


@register("bidb")
class BiDB(Source):
    """BiDB, .db file: homobilayers, and single layers where the file holds them."""

    info = SourceInfo(
        key="bidb",
        database="BiDB",
        release="2024",
        method="GPAW, PBE-D3 structures and binding energies, PBE gaps",
        licence="as stated by BiDB's authors",
        citation="Pakdel et al., Nat. Commun. 15, 932 (2024)",
        precedence=20,
        names_from="c2db",
    )
    version = "1"

    def check(self, path: Path) -> int:
        """See `Source.check`."""
        keys = frozenset({"bilayer_uid", "monolayer_uid", "number_of_layers"})
        return check_ase(path, "BiDB", keys, key_hints={"magstate": "c2db", "gap": "c2db"})

    def cut(self, path: Path) -> Iterator[Raw]:
        """See `Source.cut`."""
        return ase_cut(path)

    def row(self, raw: Raw) -> Row:
        """See `Source.row`."""
        return ase_row(raw)

    def kept(self, external_id: str, payload: dict[str, Any]) -> Row:
        """See `Source.kept`."""
        return ase_kept(external_id, payload)

    def is_whole(self, payload: dict[str, Any]) -> bool:
        """See `Source.is_whole`."""
        return ase_is_whole(payload)

    def name(self, row: Row) -> str:
        """The bilayer's uid, the monolayer's, or the row."""
        return word(row.content["key_value_pairs"], "bilayer_uid", "monolayer_uid", "uid") or row.position

    def record(self, row: Row) -> Record:
        """One bilayer, or one single layer of a file that lists those too."""
        keys: dict[str, Any] = row.content["key_value_pairs"]
        layers = keys.get("number_of_layers", 2)
        if layers == 1:
            uid = word(keys, "monolayer_uid", "uid")
            if uid is None:
                raise RecordError("unknown_keys", f"{row.position} is a single layer without monolayer_uid or uid.")
            return self._with_values(Record(uid, Subject.MONOLAYER, row.content, row.atoms), keys)
        uid = word(keys, "bilayer_uid")
        if uid is None:
            shown = ", ".join(sorted(keys)[:6]) or "none"
            raise RecordError("unknown_keys", f"{row.position} has no bilayer_uid; its keys: {shown}.")
        if layers != 2:
            raise RecordError("unknown_keys", f"{uid} has number_of_layers = {layers!r}, and not 1 or 2.")
        named = parse_bilayer_uid(uid)
        parent = word(keys, "monolayer_uid") or named.parent
        stack = None
        if row.atoms is not None:
            n = len(row.atoms.numbers)
            half = n // 2
            if n % 2 or sorted(row.atoms.numbers[:half]) != sorted(row.atoms.numbers[half:]):
                reason = f"The two halves of {uid} are not two layers of one material."
                raise RecordError("mass_or_charge_nonsense", reason)
            stack = Stack(
                kind=InterfaceKind.HOMOBILAYER,
                bottom_name=parent,
                top_name=parent,
                top_atoms=np.arange(half, n),
                method=Method.PBE_D3,
                top_operation=named.operation,
                flip=named.flip,
                shift_a=named.shift[0],
                shift_b=named.shift[1],
                distance=number(keys, "interlayer_distance"),
            )
        return self._with_values(Record(uid, Subject.INTERFACE, row.content, row.atoms, stack=stack), keys)

    def film(self, payload: dict[str, Any]) -> Atoms | None:
        """The upper layer of a bilayer: some parents are named by an old uid that no list holds any more."""
        atoms = atoms_of(payload)
        half = len(atoms.numbers) // 2
        return Atoms(atoms.numbers[half:], atoms.positions[half:], atoms.cell, atoms.periodic)

    @staticmethod
    def _with_values(record: Record, keys: dict[str, Any]) -> Record:
        binding, gap = number(keys, "binding_energy_gs"), number(keys, "gap_pbe")
        if binding is not None and record.subject is Subject.INTERFACE:
            record.facts.append(Fact(q.BINDING_ENERGY, binding * MEV_PER_EV, Method.PBE_D3))
        if gap is not None:
            record.facts.append(Fact(q.GAP, gap, Method.PBE))
        magnetic = word(keys, "magnetic")
        if magnetic in {"Yes", "No"}:
            label = "magnetic" if magnetic == "Yes" else "NM"
            record.facts.append(Fact(q.MAGNETIC_STATE, label, Method.PBE_D3))
        elif magnetic is not None:
            detail = f"magnetic is {magnetic!r}, and neither Yes nor No."
            record.doubts.append(Doubt("unknown_label", q.MAGNETIC_STATE.key, detail))
        slide = word(keys, "slide_stability")
        if slide is not None and record.subject is Subject.INTERFACE:
            record.facts.append(Fact(q.SLIDE_STABILITY, slide, Method.PBE_D3))
        return record
