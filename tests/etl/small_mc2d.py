"""Small files of MC2D's two releases."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from small_files import dichalcogenide

RELAXED, EXTRACTED = "ba8bbdd9-0000-4292-af7d-ed3eb73f778e", "47e2d50c-0000-4500-aab8-97bffca3fce6"


def mounet(uuid: str = RELAXED, **changes: Any) -> dict[str, Any]:
    """MoS2 as in the file of 2018; energies in meV/Å²."""
    atoms = dichalcogenide()
    symbols = atoms.get_chemical_symbols()
    stated = {
        "relaxed_2D_structure_uuid": uuid,
        "number_of_atoms": 3,
        "cell": [[f"a{i + 1}", *row] for i, row in enumerate(atoms.cell[:].tolist())],
        "atomic_positions": [
            [f"{symbol}1", *xyz, symbol] for symbol, xyz in zip(symbols, atoms.positions.tolist(), strict=True)
        ],
        "band_gap": 1.7,
        "be_df2": 20.3,
        "be_rvv10": "-",
        "magnetic_state": "FM",
        "tot_magnetization": 2.0,
        "all_3D_parents": [{"db_id": "1", "be_df2": 20.3, "be_rvv10": "-"}, {"db_id": "2", "be_df2": 25.0}],
    }
    return {**stated, **changes}


def parent(df2: float | None = None, rvv10: float | None = None) -> dict[str, Any]:
    given = {"binding_energy_df2": df2, "binding_energy_rvv10": rvv10}
    return {"source_db": "ICSD", **{k: {"uuid": "x", "value": v} for k, v in given.items() if v is not None}}


def campi(uuid: str | None = RELAXED, **changes: Any) -> dict[str, Any]:
    """MoS2 as in the file of 2023: no coordinates, energies in eV/Å²."""
    stated: dict[str, Any] = {"as_extracted_2D_structure_uuid": EXTRACTED, "formula": "MoS2",
                              "band_gap": {"uuid": "y", "value": 1.72},
                              "all_3D_parents": [parent(0.0251), parent(0.0203, 0.0289)]}  # fmt: skip
    if uuid is not None:
        stated["optimized_2D_structure_uuid"] = uuid
    return {**stated, **changes}


def write(folder: Path, *content: Any, name: str = "mc2d.json") -> Path:
    path = folder / name
    path.write_text(json.dumps(content))
    return path
