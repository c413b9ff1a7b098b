"""Small JSON files of JARVIS, OPTIMADE and the Materials Project, with made-up but physical content."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import bulk
from small_files import dichalcogenide, graphene, structure_dict

HEADER = {"x-optimade": {"meta": {"api_version": "1.1.0", "provider": {"prefix": "mp", "name": "MP"}}}}
INFO = {"type": "info", "id": "structures", "properties": {}}


def entry(identity: str, atoms: Atoms, periodic: tuple[int, int, int] = (1, 1, 1), **more: Any) -> dict[str, Any]:
    symbols = atoms.get_chemical_symbols()
    attributes = {
        "lattice_vectors": np.array(atoms.cell).tolist(),
        "cartesian_site_positions": atoms.positions.tolist(),
        "species_at_sites": symbols,
        "species": [
            {"name": s, "chemical_symbols": [s], "concentration": [1.0]} for s in sorted(set(symbols))
        ],
        "nsites": len(atoms),
        "dimension_types": list(periodic),
        "nperiodic_dimensions": sum(periodic),
        "chemical_formula_reduced": atoms.symbols.formula.reduce()[0].format("hill"),
        "structure_features": [],
        "last_modified": "2024-01-01T00:00:00Z",
        **more,
    }  # fmt: skip
    return {"id": identity, "type": "structures", "attributes": attributes}


def jarvis_atoms(atoms: Atoms, *, cartesian: bool = False) -> dict[str, Any]:
    """The atoms as `jarvis.core.atoms.Atoms.to_dict()` writes them."""
    cell = np.array(atoms.cell)
    coordinates = atoms.positions if cartesian else atoms.positions @ np.linalg.inv(cell)
    return {
        "lattice_mat": cell.tolist(), "coords": coordinates.tolist(), "elements": atoms.get_chemical_symbols(),
        "abc": atoms.cell.lengths().tolist(), "angles": atoms.cell.angles().tolist(), "cartesian": cartesian,
        "props": [""] * len(atoms),
    }  # fmt: skip


def dft_2d(jid: str = "JVASP-664", **keys: Any) -> dict[str, Any]:
    stated = {
        "optb88vdw_bandgap": 1.7, "mbj_bandgap": 2.0, "hse_gap": "na", "formation_energy_peratom": -0.84,
        "ehull": 0.0, "exfoliation_energy": 78.8, "magmom_oszicar": 0.0, "optb88vdw_total_energy": -4.5,
    }  # fmt: skip
    return {"jid": jid, "formula": "MoS2", "atoms": jarvis_atoms(dichalcogenide()), **stated, **keys}


def jarvis_file(folder: Path) -> Path:
    """Three records of JARVIS's dft_2d."""
    path = folder / "d2.json"
    path.write_text(json.dumps([dft_2d(f"JVASP-{i}") for i in range(3)]))
    return path


def optimade_file(folder: Path) -> Path:
    """A dump with its header, a layer and a crystal."""
    path = folder / "dump.jsonl"
    content = [HEADER, INFO, entry("mp-1", graphene()), entry("mp-2", bulk("Cu"))]
    path.write_text("".join(json.dumps(line) + "\n" for line in content))
    return path


def document(identity: object = "mp-30", **keys: Any) -> dict[str, Any]:
    stated = {
        "band_gap": 0.0, "formation_energy_per_atom": 0.0, "energy_above_hull": 0.0, "is_metal": True,
        "is_gap_direct": False, "total_magnetization": 0.0, "ordering": "NM", "theoretical": False,
        "symmetry": {"number": 225, "symbol": "Fm-3m"},
    }  # fmt: skip
    return {"material_id": identity, "structure": structure_dict(bulk("Cu")), **stated, **keys}


def materials_project_file(folder: Path) -> Path:
    """Two summary documents."""
    path = folder / "mp.json"
    path.write_text(json.dumps([document(), document("mp-81", structure=structure_dict(bulk("Au")))]))
    return path
