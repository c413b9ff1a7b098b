"""The keys by which C2DB describes a layer, in the names of 2021 and 2024, and what they say in our units.

Band edges against vacuum. C2DB gives band edges, Fermi level and `evac` on the calculation's own scale; `evac` is the
mean of the vacuum levels of the two faces (so `workfunction` = `evac` − `efermi`, which holds on every row), and
`evacdiff` = 4π p_z / A with the physical dipole p_z, which points from negative to positive charge. A positive dipole
lowers the electron's potential energy on the upper side, so

    E_vac(top) = evac − evacdiff/2,    E_vac(bottom) = evac + evacdiff/2.

Janus MoSSe bears it out: against these levels its valence band lies at −5.95 eV on the S face (MoS2: −5.89) and at
−5.20 eV on the Se face (MoSe2: −5.23).
"""

from __future__ import annotations

from typing import Any

from etl.records import Doubt, Fact, Record
from etl.sources.values import number, word
from schema import quantities as q
from schema.vocabulary import Face, Method

SAME_LEVEL = 0.01
"""eV: faces whose vacuum levels differ by less are called equal; the files carry three decimals."""
WORK_FUNCTION_TOLERANCE = 0.02
"""eV, between a work function and the vacuum level − Fermi level that it should be: their rounding in the file."""

_PLAIN = (
    ("gap", q.GAP, Method.PBE),
    ("gap_nosoc", q.GAP_NOSOC, Method.PBE),
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
    ("vbm_nosoc", q.VBM_NOSOC, Method.PBE),
    ("cbm_nosoc", q.CBM_NOSOC, Method.PBE),
    ("vbm_hse", q.VBM, Method.HSE06),
    ("cbm_hse", q.CBM, Method.HSE06),
    ("vbm_gw", q.VBM, Method.G0W0),
    ("cbm_gw", q.CBM, Method.G0W0),
)
_NAMES_OF_2018 = {
    "dir_gap": "gap_dir",
    "dir_gap_hse": "gap_dir_hse",
    "dir_gap_gw": "gap_dir_gw",
    "work_function": "workfunction",
    "alphax": "alphax_el",
    "alphay": "alphay_el",
    "alphaz": "alphaz_el",
}
_DYNAMIC_STABILITY_OF_2018 = {1.0: "No", 2.0: "Unknown", 3.0: "Yes"}
"""Levels low, medium and high: the later release calls a layer stable whose two levels are high."""
_MAGNETIC_STATES = frozenset({"NM", "FM", "AFM", "FIM"})
_STABLE = {"yes": "Yes", "no": "No", "unknown": "Unknown"}


def keys_of_2018(keys: dict[str, Any]) -> dict[str, Any]:
    """Keys of the release of 2018-2019 under the names of later ones; a key that never changed keeps its name.

    That release gives band edges against the mean vacuum level already: MoS2's valence band lies at −5.89 eV in it, and
    Anderson's gap of any two of its layers is, to the last digit, HetML's own. They are put on the calculation's scale
    here, as later releases have them, so that everything after this is shared.
    """
    renamed = {_NAMES_OF_2018.get(name, name): value for name, value in keys.items()}
    evac = number(keys, "evac")
    for name, _, _ in _EDGES:
        edge = number(keys, name)
        if edge is not None and evac is not None:
            renamed[name] = edge + evac
    level = number(keys, "dynamic_stability_level")
    if level is not None:
        # What is no level is handed on as it stands, to be doubted by its label.
        renamed["dyn_stab"] = _DYNAMIC_STABILITY_OF_2018.get(level, str(keys["dynamic_stability_level"]))
    return renamed


def add_layer(keys: dict[str, Any], record: Record) -> None:
    """Add to a record what the keys say of its layer: facts in our units, and doubts."""
    for name, quantity, method in _PLAIN:
        value = number(keys, name)
        if value is not None:
            record.facts.append(Fact(quantity, value, method))
    _levels(keys, record)
    _magnetism(keys, record)
    _stability(keys, record)


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
        if fermi is not None and abs(work - (evac - fermi)) > WORK_FUNCTION_TOLERANCE:
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
    if isinstance(keys.get("dyn_stab"), bool):
        # In the tree of files it is whether both levels are known to be high: false may be a lack of knowledge.
        stated = "Yes" if keys["dyn_stab"] else "Unknown"
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
