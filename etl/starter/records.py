"""The records of each database, made from the literature tables: its own key names, its own units."""

import csv
from collections.abc import Iterator
from typing import Any, cast

import numpy as np
from ase import Atoms
from ase.build import bulk
from moyopy import Cell as MoyoCell
from moyopy import MoyoDataset
from pymatgen.core import Element, Structure
from pymatgen.io.ase import AseAtomsAdaptor
from pymatgen.io.vasp import Poscar
from pymatgen.symmetry.groups import SpaceGroup

from etl.starter import RELEASE
from etl.starter.containers import KeyValues
from etl.starter.prototypes import PROTOTYPES
from etl.starter.stacks import Cell, misfit, on_metal, rewritten
from etl.starter.tables import FOLDER, Bilayer, Interface, Metal, Monolayer

ENERGY_SCALE_OFFSET = 4.0
"""eV, the vacuum level on the scale of the written band edges: C2DB gives them on the calculation's own scale, the
tables against vacuum. An arbitrary choice of zero: only differences mean anything."""

SYMMETRY_TOLERANCE = 1e-3
"""Å. Loose against the six decimals of the coordinates, tight against any distortion."""


def space_group(atoms: Atoms, symprec: float = SYMMETRY_TOLERANCE) -> int:
    """International number of the space group of a structure, vacuum included, to `symprec` Å."""
    cell = MoyoCell(atoms.cell.array.tolist(), atoms.get_scaled_positions().tolist(), atoms.numbers.tolist())
    return int(MoyoDataset(cell, symprec=symprec).number)


def c2db_pairs(layer: Monolayer, atoms: Atoms) -> KeyValues:
    """C2DB's keys for a layer (2021 names): energies in eV on the calculation's own scale, `ehull` eV/atom, area Å².

    Raises:
        ValueError: if the structure has not the space group that its prototype states.
    """
    number = space_group(atoms)
    if number not in PROTOTYPES[layer.prototype].space_group:
        raise ValueError(
            f"{layer.uid}: built with space group {number}, stated {PROTOTYPES[layer.prototype].space_group}"
        )
    structure = to_pymatgen(atoms)

    def raw(level: float | None) -> float | None:
        return None if level is None else round(level + ENERGY_SCALE_OFFSET, 6)

    work_function = layer.workfunction
    return {
        "uid": layer.uid,
        "gap": layer.gap_pbe,
        "gap_dir": layer.gap_dir_pbe,
        "gap_nosoc": None if layer.spin_orbit else layer.gap_pbe,
        "gap_hse": layer.gap_hse,
        "vbm": raw(layer.vbm_pbe),
        "cbm": raw(layer.cbm_pbe),
        "evac": ENERGY_SCALE_OFFSET,
        "evacdiff": layer.evacdiff if layer.evacdiff is not None else 0.0,
        "workfunction": work_function,
        "efermi": None if work_function is None else raw(-work_function),
        "ehull": layer.ehull,
        "magstate": layer.magstate,
        "is_magnetic": None if layer.magstate is None else layer.magstate != "NM",
        "spgnum": number,
        "spacegroup": SpaceGroup.from_int_number(number).symbol,
        "stoichiometry": structure.composition.anonymized_formula,
        "cell_area": round(float(np.linalg.norm(np.cross(atoms.cell.array[0], atoms.cell.array[1]))), 6),
        "name": layer.name,
        "citation": layer.citation,
        "note": layer.note or None,
    }


def bidb_pairs(stack: Bilayer, layer: Monolayer, atoms: Atoms) -> KeyValues:
    """BiDB's keys for a stack: distances in Å, `binding_energy_gs` in eV/Å²."""
    energy = stack.binding_energy
    return {
        "number_of_layers": 2,
        "bilayer_uid": stack.uid,
        "monolayer_uid": stack.monolayer_uid,
        "binding_energy_gs": None if energy is None else round(energy / 1000, 6),
        "interlayer_distance": stack.interlayer_distance,
        "gap_pbe": stack.gap_pbe,
        "slide_stability": stack.slide_stability,
        "magnetic": None if layer.magstate is None else ("No" if layer.magstate == "NM" else "Yes"),
        "thickness": round(float(np.ptp(atoms.positions[:, 2])), 6),
        "stoichiometry": to_pymatgen(atoms).composition.anonymized_formula,
        "name": f"{layer.name}, {stack.stacking}",
        "citation": stack.citation,
        "note": stack.note or None,
    }


def to_pymatgen(atoms: Atoms) -> Structure:
    """The same cell as a pymatgen structure, periodic in all directions as both JSON databases write it."""
    periodic = atoms.copy()
    periodic.pbc = True
    return AseAtomsAdaptor.get_structure(periodic)


def structure_record(atoms: Atoms) -> dict[str, Any]:
    """A pymatgen structure dictionary with site coordinates to six decimals."""
    record = to_pymatgen(atoms).as_dict()
    record.pop("@version", None)
    for site in record["sites"]:
        site["abc"] = [round(float(part), 8) for part in site["abc"]]
        site["xyz"] = [round(float(part), 6) for part in site["xyz"]]
    lattice = record["lattice"]
    lattice["matrix"] = [[round(float(part), 6) for part in vector] for vector in lattice["matrix"]]
    for key in ("a", "b", "c", "alpha", "beta", "gamma", "volume"):
        if key in lattice:
            lattice[key] = round(float(lattice[key]), 6)
    return record


def _composition(structure: Structure) -> dict[str, Any]:
    composition = structure.composition
    return {
        "formula_pretty": composition.reduced_formula,
        "formula_reduced_abc": composition.reduced_composition.alphabetical_formula,
        "formula_anonymous": composition.anonymized_formula,
        "nelements": len(composition),
        "elements": sorted(element.symbol for element in composition.elements if isinstance(element, Element)),
        "chemsys": composition.chemical_system,
    }


def twodmatpedia_records(layers: dict[str, Monolayer], stacks: list[Bilayer]) -> Iterator[dict[str, Any]]:
    """2DMatPedia's records: some layers again, with another cell, vacuum and lattice constant."""
    energies = {
        stack.monolayer_uid: stack for stack in stacks if stack.slide_stability == "Stable" and stack.binding_energy
    }
    with (FOLDER / "redeterminations.csv").open(encoding="utf-8", newline="") as handle:
        for row in csv.DictReader(handle):
            layer = layers[row["uid"]]
            plain = layer.atoms(scale=float(row["lattice_scale"]), vacuum=float(row["vacuum"]))
            atoms = rewritten(plain, cast(Cell, row["cell"]), float(row["origin"]))
            number = space_group(atoms)
            record: dict[str, Any] = {
                "material_id": row["material_id"],
                **_composition(to_pymatgen(atoms)),
                "sg_number": number,
                "sg_symbol": SpaceGroup.from_int_number(number).symbol,
                "source_id": f"{RELEASE}-{layer.uid}",
                "creation_task_label": f"{RELEASE}: {layer.name}, lattice scaled by {row['lattice_scale']}",
                "discovery_process": "top-down",
                "citation": layer.citation,
            }
            if layer.gap_pbe is not None:
                record["bandgap"] = layer.gap_pbe
            if layer.magstate == "NM":
                record["total_magnetization"] = 0.0
            stack = energies.get(layer.uid)
            if stack is not None and stack.binding_energy is not None:
                area = float(np.linalg.norm(np.cross(plain.cell.array[0], plain.cell.array[1])))
                record["exfoliation_energy_per_atom"] = round(stack.binding_energy / 1000 * area / len(plain), 4)
                record["citation"] = f"{layer.citation}; {stack.citation}"
            yield {**record, "structure": structure_record(atoms)}


def hetero2d_record(interface: Interface, layer: Monolayer, metal: Metal) -> dict[str, Any]:
    """Hetero2d's record of a layer on a metal; energies in eV with the separated film and substrate as the zero."""
    film = layer.atoms()
    atoms = on_metal(film, metal, interface)
    structure = structure_record(atoms)
    fu_2d, fu_sub = (
        abs(round(np.linalg.det(np.reshape(m, (2, 2))))) for m in (interface.film_matrix, interface.substrate_matrix)
    )
    film_count = fu_2d * len(film)
    first_film = len(atoms) - film_count
    film_planes = _planes(atoms, range(first_film, len(atoms)))
    metal_planes = _planes(atoms, range(first_film))
    u, v = misfit(film, metal, interface)
    return {
        "compound": to_pymatgen(atoms).composition.reduced_formula,
        "task_label": f"Starter set: {layer.name} on {metal.symbol}(111)",
        "final_energy": round(-interface.binding_energy * film_count, 6),
        "energy_zero": "separated film and substrate",
        "initial_structure": structure,
        "final_structure": structure,
        "analysis_data": {"N_2d": len(film), "E_2d": 0.0, "E_sub": 0.0, "N_sub": first_film // fu_sub},
        "iface_idx": {
            **{f"2d_layer_{n}": plane for n, plane in enumerate(film_planes, start=1)},
            **{f"sub_layer_{n}": plane for n, plane in enumerate(metal_planes, start=1)},
            "num_2d_layer": len(film_planes),
            "num_sub_layer": len(metal_planes),
        },
        "metadata": {"nsites": len(atoms), **_composition(to_pymatgen(atoms))},
        "Binding_Energy": {"E_bind": interface.binding_energy, "fu_2d": fu_2d, "fu_sub": fu_sub},
        "film_composition": to_pymatgen(film).composition.reduced_formula,
        "substrate_composition": metal.symbol,
        "surface_plane": "111",
        "wf_name": f"Heterointerfaces-111: {layer.name}-on-{metal.symbol}",
        "film_spacegroup": {"number": space_group(film)},
        "substrate_spacegroup": {"number": 225},
        "natoms": len(film),
        "alignment_info": {"u": round(u, 6), "v": round(v, 6)},
        "film_elements": sorted(set(film.symbols)),
        "substrate_elements": [metal.symbol],
        "citation": interface.citation,
        "note": interface.note,
    }


def _planes(atoms: Atoms, indices: range) -> list[list[int]]:
    """Atom indices grouped by height, topmost plane first."""
    by_height: dict[float, list[int]] = {}
    for index in indices:
        by_height.setdefault(round(float(atoms.positions[index, 2]), 3), []).append(index)
    return [by_height[height] for height in sorted(by_height, reverse=True)]


def poscar(metal: Metal) -> str:
    """The metal's primitive cell as a POSCAR, its first line saying what it is."""
    ratio = None if metal.c is None else metal.c / metal.a
    atoms = bulk(metal.symbol, metal.structure, a=metal.a, covera=ratio)
    comment = f"{metal.symbol} {metal.structure}, starter set: experimental lattice constant; {metal.citation}"
    return Poscar(to_pymatgen(atoms), comment=comment).get_str(significant_figures=6)
