"""C2DB, the Computational 2D Materials Database: ASE SQLite, keys of the 2021 (ASR) and 2024 releases.

Band edges against vacuum. C2DB gives band edges, Fermi level and `evac` on the calculation's own scale; `evac` is the
mean of the vacuum levels of the two faces (so `workfunction` = `evac` − `efermi`, which holds on every row), and
`evacdiff` = 4π p_z / A with the physical dipole p_z, which points from negative to positive charge. A positive dipole
lowers the electron's potential energy on the upper side, so

    E_vac(top) = evac − evacdiff/2,    E_vac(bottom) = evac + evacdiff/2.

Janus MoSSe bears it out: against these levels its valence band lies at −5.95 eV on the S face (MoS2: −5.89) and at
−5.20 eV on the Se face (MoSe2: −5.23).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from etl.errors import RecordError
from etl.records import Doubt, Fact, Record
from etl.source import Raw, Row, Source, SourceInfo, register
from etl.sources.ase_sqlite import ase_cut, ase_kept, ase_row, check_ase
from etl.sources.values import number, word
from schema import quantities as q
from schema.vocabulary import Face, Method, Subject

SAME_LEVEL = 0.01
"""eV: faces whose vacuum levels differ by less are called equal; the files carry three decimals."""
_WORK_FUNCTION_TOLERANCE = 0.02
"""eV, between `workfunction` and `evac` − `efermi`: their rounding in the file."""

_PLAIN = (
    ("gap", q.GAP, Method.PBE),
    ("gap_hse", q.GAP, Method.HSE06),
    ("gap_gw", q.GAP, Method.G0W0),
    ("gap_dir", q.GAP_DIRECT, Method.PBE),
    ("gap_dir_hse", q.GAP_DIRECT, Method.HSE06),
    ("gap_dir_gw", q.GAP_DIRECT, Method.G0W0),
    ("hform", q.FORMATION_ENERGY, Method.PBE),
    ("ehull", q.HULL_ENERGY, Method.PBE),
    ("c_11", q.STIFFNESS_11, Method.PBE),
    ("c_22", q.STIFFNESS_22, Method.PBE),
    ("c_12", q.STIFFNESS_12, Method.PBE),
    ("alphax_el", q.POLARIZABILITY_X, Method.PBE),
    ("alphay_el", q.POLARIZABILITY_Y, Method.PBE),
    ("alphaz_el", q.POLARIZABILITY_Z, Method.PBE),
)
_EDGES = (
    ("vbm", q.VBM, Method.PBE),
    ("cbm", q.CBM, Method.PBE),
    ("vbm_hse", q.VBM, Method.HSE06),
    ("cbm_hse", q.CBM, Method.HSE06),
    ("vbm_gw", q.VBM, Method.G0W0),
    ("cbm_gw", q.CBM, Method.G0W0),
)
_MAGNETIC_STATES = frozenset({"NM", "FM", "AFM", "FIM"})
_STABLE = {"yes": "Yes", "no": "No", "unknown": "Unknown"}


@register("c2db")
class C2DB(Source):
    """C2DB, .db file of any release since 2021."""

    info = SourceInfo(
        key="c2db",
        database="C2DB",
        release="2021-2024",
        method="GPAW, PBE with spin-orbit coupling; HSE06 and G0W0 where stated",
        licence="as stated by C2DB's authors (CC BY 4.0 for the published releases)",
        citation="Haastrup et al., 2D Mater. 5, 042002 (2018); Gjerding et al., 2D Mater. 8, 044002 (2021)",
        precedence=10,
    )
    version = "1"

    def check(self, path: Path) -> int:
        """See `Source.check`."""
        return check_ase(path, "C2DB", frozenset({"uid"}), key_hints={"bilayer_uid": "bidb"})

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
        """The uid, or the row."""
        return word(row.content["key_value_pairs"], "uid") or row.position

    def record(self, row: Row) -> Record:
        """One monolayer, band edges against vacuum, one value a face where the faces differ."""
        keys: dict[str, Any] = row.content["key_value_pairs"]
        uid = word(keys, "uid")
        if uid is None:
            shown = ", ".join(sorted(keys)[:6]) or "none"
            raise RecordError("unknown_keys", f"{row.position} has no uid; its keys: {shown}.")
        record = Record(uid, Subject.MONOLAYER, row.content, row.atoms)
        for name, quantity, method in _PLAIN:
            value = number(keys, name)
            if value is not None:
                record.facts.append(Fact(quantity, value, method))
        older = word(keys, "olduid")
        if older is not None and older != uid:
            record.names.append(older)
        total = next((e for e in (number(keys, "etot"), number(row.content, "energy")) if e is not None), None)
        if total is not None:
            record.facts.append(Fact(q.TOTAL_ENERGY, total, Method.PBE))
        _levels(keys, record)
        _magnetism(keys, record)
        _stability(keys, record)
        return record


def _levels(keys: dict[str, Any], record: Record) -> None:
    """Band edges and work function against the vacuum of each face."""
    evac, step = number(keys, "evac"), number(keys, "evacdiff")
    fermi, work = number(keys, "efermi"), number(keys, "workfunction")
    if evac is None:
        for name, quantity, _ in _EDGES:
            if keys.get(name) is not None:
                detail = f"{name} is on the calculation's own energy scale and evac, the vacuum level, is not given."
                record.doubts.append(Doubt("no_vacuum_level", quantity.key, detail))
        if work is not None:
            record.facts.append(Fact(q.WORK_FUNCTION, work, Method.PBE))
        return
    polar = step is not None and abs(step) >= SAME_LEVEL
    # (face, shift of its vacuum level against the mean), signs as the module says.
    faces: tuple[tuple[Face | None, float], ...] = ((None, 0.0),)
    if step is not None:
        level = abs(step) < SAME_LEVEL
        record.facts.append(Fact(q.VACUUM_STEP, 0.0 if level else -step, Method.PBE))
        if polar:
            faces = ((Face.BOTTOM, step / 2), (Face.TOP, -step / 2))
    for name, quantity, method in _EDGES:
        value = number(keys, name)
        if value is not None:
            record.facts.extend(Fact(quantity, value - (evac + shift), method, face) for face, shift in faces)
    if work is None and fermi is not None:
        work = evac - fermi
    if work is not None:
        if fermi is not None and abs(work - (evac - fermi)) > _WORK_FUNCTION_TOLERANCE:
            detail = f"workfunction is {work} eV, but evac − efermi is {evac - fermi:.3f} eV."
            record.doubts.append(Doubt("inconsistent", q.WORK_FUNCTION.key, detail))
            return
        record.facts.extend(Fact(q.WORK_FUNCTION, work + shift, Method.PBE, face) for face, shift in faces)


def _magnetism(keys: dict[str, Any], record: Record) -> None:
    state = word(keys, "magstate")
    if state is None and isinstance(keys.get("is_magnetic"), bool):
        state = "magnetic" if keys["is_magnetic"] else "NM"
        record.facts.append(Fact(q.MAGNETIC_STATE, state, Method.PBE))
    elif state is not None and state.upper() in _MAGNETIC_STATES:
        record.facts.append(Fact(q.MAGNETIC_STATE, state.upper(), Method.PBE))
    elif state is not None:
        detail = f"magstate is {state!r}, and not one of {', '.join(sorted(_MAGNETIC_STATES))}."
        record.doubts.append(Doubt("unknown_label", q.MAGNETIC_STATE.key, detail))
    moment = next((m for m in (number(keys, "magmom_cell"), number(record.payload, "magmom")) if m is not None), None)
    if moment is not None:
        record.facts.append(Fact(q.MAGNETIC_MOMENT, moment, Method.PBE))


def _stability(keys: dict[str, Any], record: Record) -> None:
    """`dyn_stab` of 2024, or the two levels of 2021: stable if both are high, unstable if one is low."""
    stated = word(keys, "dyn_stab")
    if stated is not None:
        label = _STABLE.get(stated.lower())
        if label is None:
            detail = f"dyn_stab is {stated!r}, and not Yes, No or Unknown."
            record.doubts.append(Doubt("unknown_label", q.DYNAMIC_STABILITY.key, detail))
            return
        record.facts.append(Fact(q.DYNAMIC_STABILITY, label, Method.PBE))
        return
    levels = (word(keys, "dynamic_stability_phonons"), word(keys, "dynamic_stability_stiffness"))
    if levels == (None, None):
        return
    label = "No" if "low" in levels else "Yes" if levels == ("high", "high") else "Unknown"
    record.facts.append(Fact(q.DYNAMIC_STABILITY, label, Method.PBE))
