"""Small files of the three kinds that HetML has: layers, calculated stacks, candidate pairs."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from small_files import dichalcogenide

from etl.sources.hetml import VOLT_PER_DIPOLE

AREA = 9.0
STEP = 0.5


def layer(uid: int = 1, metal: str = "Mo", a: float = 3.18, **changes: Any) -> dict[str, Any]:
    """MX2 as HetML's JSON gives it, keys of C2DB 2018-2019."""
    atoms = dichalcogenide("H", metal, a=a)
    sites = [
        {"element": symbol, "frac": fractional.tolist()}
        for symbol, fractional in zip(atoms.get_chemical_symbols(), atoms.get_scaled_positions(), strict=True)
    ]
    stated = {
        "gap": 1.6, "dir_gap": 1.7, "vbm": -5.5, "cbm": -3.9, "evac": 4.5, "evacmean": 4.5, "evacdiff": 0.0,
        "work_function": None, "vbm_gw": None, "hform": -0.9, "ehull": 0.0, "alphax": 6.0, "magstate": "NM",
        "dynamic_stability_level": 3.0,
    }  # fmt: skip
    structure = {"lattice_matrix": atoms.cell[:].tolist(), "sites": sites}
    return {"UID": uid, "uid": f"{metal}S2-MoS2-NM", "structure": structure, **stated, **changes}


def stack(name: str = "huid-1-AA", *, dipole: float = -STEP * AREA / VOLT_PER_DIPOLE, **changes: Any) -> dict[str, Any]:
    """A calculated stack, whose lower vacuum level is 2.0 and whose upper one is 2.5 eV."""
    stated = {
        "": name, "formula": "MoS2-WS2", "stacktype": name[-2:], "uid_bot": "1", "uid_top": "2", "converged": "True",
        "ILD": 3.1, "surf_area": AREA, "is_metal": "False", "Egap_dir": 1.3, "Egap": 1.2, "Evbm": -3.4, "Ecbm": -2.2,
        "Evac0": 2.0, "Evac1": 2.0 + STEP, "Efermi": -3.0, "wf0": 5.0, "wf1": 5.0 + STEP, "Ehet": -40.18,
        "Eml0": -19.0, "Eml1": -21.0, "Ebind": 20.0, "band_alignment": "II", "anderson_gap": 0.9,
        "charge_transfer": 0.02, "total_dipole": dipole,
    }  # fmt: skip
    return {key: "" if cell is None else str(cell) for key, cell in {**stated, **changes}.items()}


def write_layers(folder: Path, *content: dict[str, Any]) -> Path:
    path = folder / "layers.json"
    path.write_text(json.dumps(content or (layer(1), layer(2, "W"))))
    return path


def write_stacks(folder: Path, *rows: dict[str, Any], name: str = "stacks.csv") -> Path:
    path = folder / name
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_candidates(folder: Path) -> Path:
    row = {"": "0", "hhuid": "huid-0-AA", "uid_bot": "1", "uid_top": "2", "band_alignment": "II", "anderson_gap": "0.4"}
    return write_stacks(folder, row, name="candidates.csv")


def hetml_folder(folder: Path) -> Path:
    """Two layers, and both stackings of one on the other."""
    path = folder / "hetml"
    path.mkdir(exist_ok=True)
    write_layers(path)
    write_stacks(path, stack(), stack("huid-1-AB"))
    return path
