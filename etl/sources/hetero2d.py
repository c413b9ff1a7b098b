"""Hetero2d and aiHD: 2D layers on substrates, as JSON (an object keyed by id, or JSON lines).

    E_bind = (fu_2d E_2d + fu_sub E_sub − E) / (fu_2d N_2d)    eV per atom of the 2D layer, positive = bound

is recomputed from the energies and compared with the stated value. The distance between the layers is not in the
file: it follows from `final_structure` and `iface_idx`. `opt_uv1`, `opt_uv2` are the matched cells of substrate and
film, `tm1`, `tm2` their supercells; the film carries the misfit, so its strain along an in-plane vector is
|uv1| / |uv2| − 1, while the file's `u`, `v` are |uv2| / |uv1| − 1. `iface_idx` is believed only where it names whole
formula units of the film (in the two NbO2 on Mn it names seven oxygens): else composition and height tell.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Composition

from etl.canonical import canonical_slab
from etl.errors import ImportFileError, RecordError
from etl.formula import formulas
from etl.records import Atoms, Doubt, Fact, RawFailure, Record, Stack
from etl.source import Raw, Row, Source, SourceInfo, register, require_file
from etl.sources.json_stream import count_lines, first_object, line_row, lines, object_items
from etl.sources.pymatgen_dict import atoms_from_dict
from etl.sources.values import number, word
from schema import quantities as q
from schema.two_layers import film_atoms
from schema.vocabulary import InterfaceKind, Method, Subject

_KEY = "final_structure"
_ENERGY_TOLERANCE = 1e-3
"""eV/atom, between the stated binding energy and the one that follows from the energies."""
_STRAIN_TOLERANCE = 1e-3


@register("hetero2d")
class Hetero2d(Source):
    """Hetero2d / aiHD 2D-on-substrate interfaces."""

    info = SourceInfo(
        key="hetero2d",
        database="aiHD / Hetero2d",
        release="2022-2025",
        method="VASP, optB88-vdW",
        licence="GPL-3.0 (example data of Hetero2d)",
        citation="Boland & Singh, Comput. Mater. Sci. 207, 111238 (2022); aiHD: arXiv:2502.04603",
        precedence=20,
    )
    version = "2"

    def check(self, path: Path) -> int | None:
        """See `Source.check`."""
        require_file(path, "a Hetero2d JSON file")
        kind, value = first_object(path)
        if kind == "other":
            raise ImportFileError(
                f"{path} is neither a JSON object nor JSON lines, as Hetero2d writes.",
                hint="Give the JSON file as Hetero2d or aiHD distribute it.",
            )
        return count_lines(path) if kind == "lines" and isinstance(value, dict) and _KEY in value else None

    def cut(self, path: Path) -> Iterator[Raw | RawFailure]:
        """See `Source.cut`."""
        kind, value = first_object(path)
        if kind == "lines" and isinstance(value, dict) and _KEY in value:
            yield from lines(path)
            return
        for item in object_items(path):
            yield item if isinstance(item, RawFailure) else Raw(*item)

    def row(self, raw: Raw) -> Row:
        """See `Source.row`."""
        return line_row(raw)

    def name(self, row: Row) -> str:
        """The key in the object; for JSON lines an id field, or the line."""
        if not row.position.startswith("line "):
            return row.position
        stated = row.content.get("_id", row.content.get("id"))
        if isinstance(stated, dict):
            stated = stated.get("$oid")
        return str(stated) if stated is not None else row.position

    def record(self, row: Row) -> Record:
        """One layer on a substrate."""
        content = row.content
        if not {_KEY, "iface_idx"} <= set(content):
            shown = ", ".join(sorted(content)[:6]) or "none"
            reason = f"{row.position} lacks final_structure or iface_idx; its keys: {shown}."
            raise RecordError("unknown_keys", reason)
        name = self.name(row)
        atoms = atoms_from_dict(content[_KEY])
        film = _film_atoms(content, atoms)
        record = Record(name, Subject.INTERFACE, content, _film_up(atoms, film))
        record.stack = _stack(content, film, record)
        _binding(content, record)
        return record

    def film(self, payload: dict[str, Any]) -> Atoms | None:
        """The film's atoms of `initial_structure`: strained to the substrate, not yet deformed by it."""
        if not payload.get("initial_structure"):
            return None
        atoms = atoms_from_dict(payload["initial_structure"])
        film = _film_atoms(payload, atoms)
        return Atoms(atoms.numbers[film], atoms.positions[film], atoms.cell, atoms.periodic)

    def substrate_space_group(self, payload: dict[str, Any]) -> int | None:
        """`substrate_spacegroup.number`."""
        group = number(payload.get("substrate_spacegroup") or {}, "number")
        return int(group) if group is not None and 1 <= group <= 230 else None


def _film_atoms(content: dict[str, Any], atoms: Atoms) -> NDArray[np.int64]:
    """Indices of the film's atoms.

    Raises:
        RecordError: `iface_idx` names no film, or none of whole formula units where no height divides the atoms either.
    """
    n, index = len(atoms.numbers), content["iface_idx"]
    members = sorted({int(i) for key, value in index.items() if key.startswith("2d_layer_") for i in value})
    if not members or members[0] < 0 or members[-1] >= n or len(members) == n:
        raise RecordError("mass_or_charge_nonsense", f"iface_idx does not split the {n} atoms into two sides.")
    listed = np.array(members, np.int64)
    stated = word(content, "film_composition"), word(content, "substrate_composition")
    unit, below = (_formula_unit(name) for name in stated)
    if unit is None or below is None:
        return listed
    stack = canonical_slab(atoms)
    film = film_atoms(stack.numbers, stack.positions[:, 2], listed, unit, below)
    if film is None:
        named = formulas(atoms.numbers[listed].tolist())[0]
        reason = f"iface_idx names {len(listed)} atoms, {named}, as the film, which is {stated[0]} on {stated[1]}."
        raise RecordError("inconsistent", f"{reason} No height divides the {n} atoms so either.")
    return film


def _formula_unit(name: str | None) -> Counter[int] | None:
    try:
        found = Composition(name or "")
    except ValueError:
        return None
    return Counter({int(element.Z): round(amount) for element, amount in found.items()}) or None


def _film_up(atoms: Atoms, film: NDArray[np.int64]) -> Atoms:
    """The same atoms, with the third vector pointing from substrate to film: half a turn about the first vector.

    A turn, and not a mirror: the handedness of the layers stays.
    """
    rest = np.setdiff1d(np.arange(len(atoms.numbers)), film)
    normal = np.cross(atoms.cell[0], atoms.cell[1])
    normal = normal / np.linalg.norm(normal)
    if normal @ atoms.cell[2] < 0:
        normal = -normal
    height = atoms.positions @ normal
    if height[film].mean() > height[rest].mean():
        return atoms
    # Half a turn about the first vector sends everything perpendicular to it to its negative; with the third vector
    # reversed as well, "up" is again along it.
    axis = atoms.cell[0] / np.linalg.norm(atoms.cell[0])
    turn = 2 * np.outer(axis, axis) - np.eye(3)
    cell = atoms.cell @ turn
    cell[2] = -cell[2]
    return Atoms(atoms.numbers, atoms.positions @ turn, cell, atoms.periodic)


def _stack(content: dict[str, Any], film: NDArray[np.int64], record: Record) -> Stack:
    match = content.get("alignment_info") or {}
    strains: list[float | None] = [None, None]
    if {"opt_uv1", "opt_uv2"} <= set(match):
        under = np.linalg.norm(np.array(match["opt_uv1"], float), axis=1)
        over = np.linalg.norm(np.array(match["opt_uv2"], float), axis=1)
        stated = [number(match, "u"), number(match, "v")]
        misfit = over / under - 1
        if all(s is None or abs(abs(s) - abs(m)) <= _STRAIN_TOLERANCE for s, m in zip(stated, misfit, strict=True)):
            strains = [float(x) for x in under / over - 1]
        else:
            detail = f"u, v are {stated}, but the matched cells give {misfit.round(4).tolist()}."
            record.doubts.append(Doubt("inconsistent", "strain", detail))
    return Stack(
        kind=InterfaceKind.ON_BULK,
        bottom_name=word(content, "substrate_composition") or "unnamed substrate",
        top_name=word(content, "film_composition") or "unnamed film",
        top_atoms=film,
        method=Method.OPTB88,
        surface=word(content, "surface_plane"),
        bottom_matrix=_matrix(match.get("tm1")),
        top_matrix=_matrix(match.get("tm2")),
        strain_aa=strains[0],
        strain_bb=strains[1],
    )


def _matrix(rows: Any) -> tuple[int, int, int, int]:
    if rows is None:
        return (1, 0, 0, 1)
    (a, b), (c, d) = rows
    return int(a), int(b), int(c), int(d)


def _binding(content: dict[str, Any], record: Record) -> None:
    stated_in = content.get("Binding_Energy") or {}
    stated = number(stated_in, "E_bind")
    energies = content.get("analysis_data") or {}
    total, film, substrate = number(content, "final_energy"), number(energies, "E_2d"), number(energies, "E_sub")
    n_film = number(energies, "N_2d")
    fu_film, fu_substrate = number(stated_in, "fu_2d"), number(stated_in, "fu_sub")
    computed = None
    if None not in (total, film, substrate, n_film, fu_film, fu_substrate) and n_film and fu_film:
        computed = (fu_film * film + fu_substrate * substrate - total) / (fu_film * n_film)  # type: ignore[operator]
    value = stated if stated is not None else computed
    if value is not None:
        if computed is not None and abs(value - computed) > _ENERGY_TOLERANCE:
            detail = f"E_bind is {value} eV/atom, but the energies give {computed:.4f} eV/atom."
            record.doubts.append(Doubt("inconsistent", q.BINDING_ENERGY_PER_ATOM.key, detail))
        else:
            record.facts.append(Fact(q.BINDING_ENERGY_PER_ATOM, value, Method.OPTB88))
    if total is not None:
        record.facts.append(Fact(q.TOTAL_ENERGY, total, Method.OPTB88))
