"""HetML, DFT of commensurate heterobilayers and the C2DB layers that they are made of: CSV and JSON.

Three kinds of file, told apart by their content; a folder of them is read as one:

    layers (JSON)        376 layers of C2DB 2018-2019 under its keys of that time, named by a number, `UID`
    bilayers (CSV)       628 calculated stacks of two of them, without coordinates
    candidates (CSV)     6,694 pairs that nobody has calculated, with Anderson's gap: not records of anything

A list of candidates alone is refused, and in a folder it is passed over. `band_alignment` and `anderson_gap` of the
calculated stacks are the same columns, value for value: a prediction from the free layers, and not a result of the
stack. They stay in the payload.

**Faces.** `Evac0` and `Evac1` are not bottom and top: `Evac0` is the lower of the two levels in all 628 rows. Which
face has it follows from `total_dipole` p (e Å). Its ionic part counts nuclei and its electronic part electrons with
their physical signs, so p points from negative to positive charge along +z, and

    E_vac(top) − E_vac(bottom) = −p / (ε₀ A),

whose size is `Evac1` − `Evac0` to 11 meV in 624 rows; the others are doubted. The layers bear the sign out: of the 120
stacks whose layers' own dipoles (C2DB's `evacdiff`) sum to more than 0.3 eV, 115 have a p of that sign. They also say
that `uid_bot` is the lower one: p points from the layer whose mid-gap level is deeper, which draws the electrons, to
the other one in 169 of the 198 stacks of unpolar layers whose mid-gap levels are more than 1 eV apart.

The functional is not stated in the files, and the energies of the stacks are those of neither PBE nor optB88-vdW; two
different total energies are given, which therefore stay in the payload.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import atomic_numbers

from etl.errors import ImportFileError, RecordError, UnknownKeysError
from etl.records import Atoms, Doubt, Fact, RawFailure, Record, Stack
from etl.source import Raw, Row, Source, SourceInfo, register, require_file
from etl.sources.c2db_keys import SAME_LEVEL, WORK_FUNCTION_TOLERANCE, add_layer, keys_of_2018
from etl.sources.csv_rows import header, rows
from etl.sources.json_stream import array_items, line_row, open_text
from etl.sources.values import number, word
from schema import quantities as q
from schema.quantities import Quantity
from schema.vocabulary import Face, InterfaceKind, Method, Subject

LAYERS, BILAYERS, CANDIDATES = "layers", "bilayers", "candidates"
_BEGINNING = 1000
"""Characters in which the first one that is no white space must come."""
_WHAT = "HetML's bilayer_target_properties.csv, its JSON of monolayers, or the folder that holds them"
_LAYER_KEYS = frozenset({"UID", "structure"})
_PAIR_KEYS = frozenset({"uid_bot", "uid_top"})
_BILAYER_KEYS = _PAIR_KEYS | {"Ebind", "ILD"}
_NAMES = ("", "huid", "hhuid")
"""Columns of a stack's own name: the published file leaves the header of its first column empty."""

VOLT_PER_DIPOLE = 180.9512801
"""e/ε₀ in V Å: the step of the vacuum level in eV across a sheet of 1 e Å of dipole per Å²."""
STEP_TOLERANCE = 0.02
"""eV, between the step of the vacuum levels and the one that the dipole makes: at most 0.011 in 624 of 628 rows."""
_EDGE_TOLERANCE = 0.01
"""eV, between a gap and the difference of its band edges."""
_ENERGY_TOLERANCE = 0.05
"""meV/Å², between the binding energy and the total energies and area that it is made of."""
MEV_PER_EV = 1000.0


@register("hetml")
class HetML(Source):
    """HetML, heterobilayers (.csv) and their layers (.json), or the folder of both."""

    info = SourceInfo(
        key="hetml",
        database="HetML",
        release="2022",
        method="DFT, functional not stated in the files; layers: GPAW, PBE, HSE06 and G0W0, as in C2DB 2018-2019",
        licence="MIT",
        citation="Willhelm et al., ACS Appl. Mater. Interfaces 14, 25907 (2022); layers: Haastrup et al., 2D Mater. 5, "
        "042002 (2018)",
        precedence=25,
        names_from="hetml",
    )
    version = "3"

    def check(self, path: Path) -> int | None:
        """See `Source.check`."""
        kinds = [kind for _, kind in _files(path)]
        if kinds and set(kinds) <= {CANDIDATES}:
            raise ImportFileError(
                f"{path} is HetML's list of candidate pairs, none of which has been calculated.",
                hint="Import the calculated bilayers and the layers; Stackscreen works out Anderson's gap of every "
                "pair itself.",
            )
        if not kinds:
            raise UnknownKeysError(f"{path} holds no file of HetML.", hint=f"Give {_WHAT}.")
        return None

    def cut(self, path: Path) -> Iterator[Raw | RawFailure]:
        """See `Source.cut`. Layers come first."""
        files = _files(path)
        for file, kind in files:
            if kind == LAYERS:
                yield from array_items(file)
        for file, kind in files:
            if kind == BILAYERS:
                yield from rows(file)

    def row(self, raw: Raw) -> Row:
        """See `Source.row`."""
        return line_row(raw)

    def name(self, row: Row) -> str:
        """The stack's huid or the layer's number, or the place in the file."""
        uid = row.content.get("UID")
        return word(row.content, *_NAMES) or (str(uid) if uid is not None else row.position)

    def stacking_label(self, payload: dict[str, Any]) -> str | None:
        """`stacktype`, AA or AB."""
        return word(payload, "stacktype")

    def record(self, row: Row) -> Record:
        """One stack or one layer."""
        content = row.content
        if set(content) >= _BILAYER_KEYS:
            return _bilayer(self.name(row), row)
        if set(content) >= _LAYER_KEYS and isinstance(content["UID"], (int, str)):
            return _layer(row)
        shown = ", ".join(sorted(map(str, content))[:6]) or "none"
        raise RecordError("unknown_keys", f"{row.position} is neither a layer nor a calculated stack; keys: {shown}.")


# -- files -------------------------------------------------------------------------------------------------------


def _files(path: Path) -> list[tuple[Path, str]]:
    """The files of HetML at a path and their kinds.

    Raises:
        ImportFileError: the path cannot be read.
    """
    files = sorted(f for f in path.iterdir() if f.suffix.lower() in {".csv", ".json"}) if path.is_dir() else [path]
    return [(file, kind) for file in files if (kind := _kind(file)) is not None]


def _kind(file: Path) -> str | None:
    require_file(file, _WHAT)
    with open_text(file) as text:
        begin = text.read(_BEGINNING).lstrip()[:1]
    if begin == "[":
        first = next(array_items(file), None)
        is_layer = isinstance(first, Raw) and isinstance(first.content, dict) and set(first.content) >= _LAYER_KEYS
        return LAYERS if is_layer else None
    if begin == "{":
        return None
    columns = set(header(file, _WHAT))
    if columns >= _BILAYER_KEYS:
        return BILAYERS
    return CANDIDATES if columns >= _PAIR_KEYS | {"anderson_gap"} else None


# -- layers ------------------------------------------------------------------------------------------------------


def _layer(row: Row) -> Record:
    content = row.content
    record = Record(str(content["UID"]), Subject.MONOLAYER, content, atoms_of_layer(content["structure"]))
    older = word(content, "uid")
    if older is not None:
        record.names.append(older)
    add_layer(keys_of_2018(content), record)
    return record


def atoms_of_layer(structure: Any) -> Atoms:
    """Atoms of a `structure` as HetML writes it: `lattice_matrix`, and `sites` with `element` and `frac`.

    Raises:
        RecordError: it is not of that form.
    """
    try:
        cell = np.array(structure["lattice_matrix"], float).reshape(3, 3)
        sites = structure["sites"]
        fractional = np.array([site["frac"] for site in sites], float).reshape(-1, 3)
        numbers = np.array([atomic_numbers[site["element"]] for site in sites], np.int64)
    except (KeyError, TypeError, ValueError) as error:
        reason = f"The structure has no readable lattice_matrix and sites: {type(error).__name__} {error}."
        raise RecordError("missing_structure", reason) from error
    return Atoms(numbers, fractional @ cell, cell)


# -- stacks ------------------------------------------------------------------------------------------------------


def _bilayer(name: str, row: Row) -> Record:
    values = {key: value for key, value in row.content.items() if value != ""}
    below, above = word(values, "uid_bot"), word(values, "uid_top")
    if below is None or above is None:
        raise RecordError("unknown_keys", f"{name} does not name both of its layers.")
    if word(values, "converged") == "False":
        raise RecordError("not_converged", f"The calculation of {name} did not converge, says its source.")
    record = Record(name, Subject.INTERFACE, row.content, None)
    record.stack = Stack(
        kind=InterfaceKind.HOMOBILAYER if below == above else InterfaceKind.HETEROBILAYER,
        bottom_name=below,
        top_name=above,
        top_atoms=None,
        method=Method.UNSTATED,
        distance=number(values, "ILD"),
    )
    _binding(values, record)
    _gaps(values, record)
    _levels(values, record)
    charge = number(values, "charge_transfer")
    if charge is not None:
        record.facts.append(Fact(q.CHARGE_TRANSFER, charge, Method.UNSTATED))
    return record


def _add(record: Record, quantity: Quantity, value: float, face: Face | None = None) -> None:
    record.facts.append(Fact(quantity, value, Method.UNSTATED, face))


def _doubt(record: Record, quantity: Quantity, detail: str, rule: str = "inconsistent") -> None:
    record.doubts.append(Doubt(rule, quantity.key, detail))


def _binding(values: dict[str, Any], record: Record) -> None:
    stated, area = number(values, "Ebind"), number(values, "surf_area")
    parts = [number(values, key) for key in ("Eml0", "Eml1", "Ehet")]
    if stated is None:
        return
    if area and None not in parts:
        first, second, whole = parts
        computed = (first + second - whole) / area * MEV_PER_EV  # type: ignore[operator]
        if abs(stated - computed) > _ENERGY_TOLERANCE:
            detail = f"Ebind is {stated} meV/Å², but the energies and the area give {computed:.3f} meV/Å²."
            _doubt(record, q.BINDING_ENERGY, detail)
            return
    _add(record, q.BINDING_ENERGY, stated)


def _gaps(values: dict[str, Any], record: Record) -> None:
    """The gap, unless its edges contradict it; what is called a metal has none."""
    gap, direct = number(values, "Egap"), number(values, "Egap_dir")
    is_metal = word(values, "is_metal") == "True"
    low, high = number(values, "Evbm"), number(values, "Ecbm")
    if gap is None and is_metal:
        gap = 0.0
    if gap is None:
        return
    if is_metal and gap > 0:
        _doubt(record, q.GAP, f"is_metal is True, but Egap is {gap} eV.")
        return
    if low is not None and high is not None and abs(high - low - gap) > _EDGE_TOLERANCE:
        _doubt(record, q.GAP, f"Egap is {gap} eV, but Ecbm − Evbm is {high - low:.4f} eV.")
        return
    _add(record, q.GAP, gap)
    if direct is not None and direct < gap - _EDGE_TOLERANCE:
        _doubt(record, q.GAP_DIRECT, f"Egap_dir is {direct} eV, less than the smallest gap, {gap} eV.")
    elif direct is not None:
        _add(record, q.GAP_DIRECT, direct)


def _levels(values: dict[str, Any], record: Record) -> None:
    """Band edges and work function against the vacuum of each face."""
    edges = [(quantity, number(values, key)) for quantity, key in ((q.VBM, "Evbm"), (q.CBM, "Ecbm"))]
    fermi = number(values, "Efermi")
    wanted = [quantity for quantity, value in (*edges, (q.WORK_FUNCTION, fermi)) if value is not None]
    faces = _vacuum(values, record, wanted)
    for face, vacuum in faces:
        for quantity, edge in edges:
            if edge is not None:
                _add(record, quantity, edge - vacuum, face)
    if fermi is None or not faces:
        return
    stated = [number(values, key) for key in ("wf0", "wf1")]
    computed = sorted(number(values, key) - fermi for key in ("Evac0", "Evac1"))  # type: ignore[operator]
    if None not in stated and not np.allclose(np.sort(np.array(stated, float)), computed, atol=WORK_FUNCTION_TOLERANCE):
        detail = f"wf0, wf1 are {stated} eV, but the vacuum levels minus Efermi are {computed} eV."
        _doubt(record, q.WORK_FUNCTION, detail)
        return
    for face, vacuum in faces:
        _add(record, q.WORK_FUNCTION, vacuum - fermi, face)


def _vacuum(values: dict[str, Any], record: Record, wanted: list[Quantity]) -> list[tuple[Face | None, float]]:
    """The vacuum level of each face on the calculation's scale; of both in one where they do not differ.

    Empty where it is not known, which is then a doubt about each wanted quantity and about the step.
    """
    levels = [level for level in (number(values, "Evac0"), number(values, "Evac1")) if level is not None]
    if len(levels) < 2 or not all(math.isfinite(level) for level in levels):
        for quantity in wanted:
            _doubt(record, quantity, "The vacuum levels of the two faces are not both given.", "no_vacuum_level")
        return []
    lower, upper = sorted(levels)
    step, mean = upper - lower, (lower + upper) / 2
    dipole, area = number(values, "total_dipole"), number(values, "surf_area")
    made = -VOLT_PER_DIPOLE * dipole / area if dipole is not None and area else None
    if made is not None and not abs(abs(made) - step) <= STEP_TOLERANCE:
        detail = f"The vacuum levels differ by {step:.3f} eV, but the dipole makes a step of {made:.3f} eV."
        for quantity in (*wanted, q.VACUUM_STEP):
            _doubt(record, quantity, detail)
        return []
    if step < SAME_LEVEL:
        _add(record, q.VACUUM_STEP, 0.0)
        return [(None, mean)]
    if made is None:
        for quantity in (*wanted, q.VACUUM_STEP):
            _doubt(record, quantity, "Without the dipole it is not known which face is which.", "no_vacuum_level")
        return []
    bottom, top = (lower, upper) if made > 0 else (upper, lower)
    _add(record, q.VACUUM_STEP, top - bottom)
    return [(Face.BOTTOM, bottom), (Face.TOP, top)]
