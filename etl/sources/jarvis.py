"""JARVIS (NIST): its own 2D calculations, and 2DMatPedia and C2DB in JARVIS's form.

`jarvis-tools` keeps each data set as one JSON array, in a .zip or unpacked. Three of them hold layers:

    dft_2d      JARVIS-DFT, keyed by `jid`: VASP, optB88-vdW; TB-mBJ and HSE06 gaps where given
    twod_matpd  2DMatPedia, keyed by `material_id`: structures optB88-vdW, gaps and energies PBE
    c2db        C2DB of 2018-2019, keyed by `id`: GPAW, PBE

What is missing is the word "na". `exfoliation_energy` of JARVIS-DFT is in meV/atom, `optb88vdw_total_energy` and
2DMatPedia's `energy_per_atom` are energies per atom, and `wf` is the work function.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import atomic_numbers

from etl.errors import ImportFileError, RecordError, UnknownKeysError
from etl.records import Atoms, Fact, RawFailure, Record
from etl.source import Raw, Row, Source, SourceInfo, register, require_file
from etl.sources.json_stream import array_items, line_row
from etl.sources.values import number, word
from schema import quantities as q
from schema.quantities import Quantity
from schema.vocabulary import Method, Subject

_MISSING = "na"
_EV_PER_MEV = 1e-3

_Value = tuple[str, Quantity, Method, float]
"""Key, quantity, method, and the factor to the quantity's unit."""


@dataclass(frozen=True, slots=True)
class _DataSet:
    """One of JARVIS's data sets.

    Attributes:
        key: the record's own name stands under it.
        values: what is read.
        energies_per_atom: total energies that are given per atom, and their method.
    """

    key: str
    info: SourceInfo
    values: tuple[_Value, ...]
    energies_per_atom: tuple[tuple[str, Method], ...] = ()


_JARVIS_CITATION = "Choudhary et al., npj Comput. Mater. 6, 173 (2020)"
_DATA_SETS = (
    _DataSet(
        key="jid",
        info=SourceInfo(
            key="jarvis-dft-2d",
            database="JARVIS-DFT (2D)",
            release="as in the file",
            method="VASP, optB88-vdW; TB-mBJ and HSE06 gaps where stated",
            licence="as stated by NIST (public domain, or CC BY 4.0 on figshare)",
            citation=_JARVIS_CITATION,
            precedence=35,
        ),
        values=(
            ("optb88vdw_bandgap", q.GAP, Method.OPTB88, 1.0),
            ("mbj_bandgap", q.GAP, Method.TB_MBJ, 1.0),
            ("hse_gap", q.GAP, Method.HSE06, 1.0),
            ("formation_energy_peratom", q.FORMATION_ENERGY, Method.OPTB88, 1.0),
            ("ehull", q.HULL_ENERGY, Method.OPTB88, 1.0),
            ("exfoliation_energy", q.EXFOLIATION_ENERGY, Method.OPTB88, _EV_PER_MEV),
            ("magmom_oszicar", q.MAGNETIC_MOMENT, Method.OPTB88, 1.0),
        ),
        energies_per_atom=(("optb88vdw_total_energy", Method.OPTB88),),
    ),
    _DataSet(
        key="material_id",
        info=SourceInfo(
            key="jarvis-2dmatpedia",
            database="2DMatPedia (through JARVIS)",
            release="2019",
            method="VASP, optB88-vdW structures, PBE gaps and energies",
            licence="as stated by 2DMatPedia's authors",
            citation=f"Zhou et al., Sci. Data 6, 86 (2019); {_JARVIS_CITATION}",
            precedence=36,
        ),
        values=(
            ("bandgap", q.GAP, Method.PBE, 1.0),
            ("exfoliation_energy_per_atom", q.EXFOLIATION_ENERGY, Method.OPTB88, 1.0),
            ("decomposition_energy", q.HULL_ENERGY, Method.PBE, 1.0),
            ("total_magnetization", q.MAGNETIC_MOMENT, Method.PBE, 1.0),
        ),
        energies_per_atom=(("energy_per_atom", Method.PBE),),
    ),
    _DataSet(
        key="id",
        info=SourceInfo(
            key="jarvis-c2db",
            database="C2DB (through JARVIS)",
            release="2018-2019",
            method="GPAW, PBE",
            licence="as stated by C2DB's authors (CC BY 4.0 for the published releases)",
            citation=f"Haastrup et al., 2D Mater. 5, 042002 (2018); {_JARVIS_CITATION}",
            precedence=15,
        ),
        values=(
            ("gap", q.GAP, Method.PBE, 1.0),
            ("gap_hse", q.GAP, Method.HSE06, 1.0),
            ("gap_gw", q.GAP, Method.G0W0, 1.0),
            ("wf", q.WORK_FUNCTION, Method.PBE, 1.0),
            ("hform", q.FORMATION_ENERGY, Method.PBE, 1.0),
            ("ehull", q.HULL_ENERGY, Method.PBE, 1.0),
            ("etot", q.TOTAL_ENERGY, Method.PBE, 1.0),
        ),
    ),
)


@register("jarvis")
class Jarvis(Source):
    """JARVIS `dft_2d`, `twod_matpd` or `c2db`, .json or .zip as jarvis-tools keeps it.

    Each of the three is a source of its own; the file tells which it is.
    """

    info = _DATA_SETS[0].info
    version = "1"

    def __init__(self, data_set: _DataSet | None = None) -> None:
        self._only = data_set
        if data_set is not None:
            self.info = data_set.info

    def check(self, path: Path) -> None:
        """See `Source.check`. The number of records is not known before the array ends."""
        require_file(path, "a JARVIS .json or .zip file")
        _data_set_in(path)

    def for_file(self, path: Path) -> Source:
        """See `Source.for_file`: 2DMatPedia and C2DB keep their own names."""
        return Jarvis(_data_set_in(path))

    def cut(self, path: Path) -> Iterator[Raw | RawFailure]:
        """See `Source.cut`."""
        return array_items(path)

    def row(self, raw: Raw) -> Row:
        """See `Source.row`."""
        return line_row(raw)

    def name(self, row: Row) -> str:
        """The record's own name, or its place."""
        data_set = _data_set_of(row.content)
        identity = _identity(row.content, data_set.key) if data_set is not None else None
        return identity or row.position

    def record(self, row: Row) -> Record:
        """One monolayer."""
        data_set = _data_set_of(row.content)
        identity = _identity(row.content, data_set.key) if data_set is not None else None
        if data_set is None or identity is None:
            shown = ", ".join(sorted(map(str, row.content))[:6]) or "none"
            raise RecordError("unknown_keys", f"{row.position} has no jid, material_id or id; its keys: {shown}.")
        if self._only not in (None, data_set):
            reason = f"{identity} belongs to {data_set.info.database}, in a file of {self.info.database}."
            raise RecordError("unknown_keys", reason)
        content = {key: value for key, value in row.content.items() if value != _MISSING}
        atoms = atoms_from_jarvis(content["atoms"]) if content.get("atoms") else None
        record = Record(identity, Subject.MONOLAYER, row.content, atoms)
        for key, quantity, method, factor in data_set.values:
            value = number(content, key)
            if value is not None:
                record.facts.append(Fact(quantity, value * factor, method))
        for key, method in data_set.energies_per_atom:
            value = number(content, key)
            if value is not None and atoms is not None:
                record.facts.append(Fact(q.TOTAL_ENERGY, value * len(atoms.numbers), method))
        return record


def _data_set_in(path: Path) -> _DataSet:
    """The data set that a file's first record belongs to; raises ImportFileError if it is none of the three."""
    first = next(array_items(path), None)
    if not isinstance(first, Raw):
        raise ImportFileError(
            f"{path} is not a JSON array of records, as jarvis-tools keeps them.",
            hint="Give the .zip or .json that `jarvis.db.figshare.data` has downloaded.",
        )
    content = first.content if isinstance(first.content, dict) else {}
    found = _data_set_of(content)
    if found is None or "atoms" not in content:
        shown = ", ".join(sorted(map(str, content))[:8]) or "none"
        raise UnknownKeysError(
            f"The first record of {path} is not of JARVIS's dft_2d, twod_matpd or c2db; its keys: {shown}.",
            hint="Give one of these three; other data sets of JARVIS hold no layers.",
        )
    return found


def _data_set_of(content: dict[str, Any]) -> _DataSet | None:
    return next((data_set for data_set in _DATA_SETS if data_set.key in content), None)


def _identity(content: dict[str, Any], key: str) -> str | None:
    value = content.get(key)
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else word(content, key)


def atoms_from_jarvis(atoms: Any) -> Atoms:
    """Atoms of a `jarvis.core.atoms.Atoms.to_dict()`.

    Raises:
        RecordError: it is no such dictionary, or names what is no element.
    """
    try:
        lattice = np.array(atoms["lattice_mat"], float).reshape(3, 3)
        coordinates = np.array(atoms["coords"], float).reshape(-1, 3)
        symbols = [str(symbol).strip() for symbol in atoms["elements"]]
        cartesian = atoms.get("cartesian", False)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        reason = f"The structure is not a JARVIS dictionary: {type(error).__name__} {error}."
        raise RecordError("missing_structure", reason) from error
    if len(symbols) != len(coordinates):
        raise RecordError("missing_structure", f"There are {len(symbols)} elements for {len(coordinates)} positions.")
    unknown = next((symbol for symbol in symbols if not atomic_numbers.get(symbol)), None)
    if unknown is not None:
        raise RecordError("mass_or_charge_nonsense", f"{unknown!r} is no element.")
    if not isinstance(cartesian, bool):
        raise RecordError("missing_structure", f"cartesian is {cartesian!r}, and not true or false.")
    numbers = np.array([atomic_numbers[symbol] for symbol in symbols], np.int64)
    return Atoms(numbers, coordinates if cartesian else coordinates @ lattice, lattice)
