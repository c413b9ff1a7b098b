"""Small files in the containers of the real databases, with made-up but physical content."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.db import connect


def dichalcogenide(kind: str = "H", metal: str = "Mo", chalcogen: tuple[str, str] = ("S", "S"), a: float = 3.18,
              height: float = 1.56, vacuum: float = 15.0) -> Atoms:  # fmt: skip
    """An MX2 layer, 2H (trigonal prismatic) or 1T (octahedral); `chalcogen` is (bottom, top)."""
    top = (2 / 3, 1 / 3) if kind == "T" else (1 / 3, 2 / 3)
    cell = np.array([[a, 0, 0], [-a / 2, a * np.sqrt(3) / 2, 0], [0, 0, 2 * height + vacuum]])
    fractional = np.array([[0, 0, 0], [1 / 3, 2 / 3, 0], [*top, 0]])
    positions = fractional @ cell
    positions[:, 2] = np.array([0, -height, height]) + cell[2, 2] / 2
    return Atoms([metal, *chalcogen], positions=positions, cell=cell, pbc=(True, True, False))


def graphene(a: float = 2.46, vacuum: float = 15.0) -> Atoms:
    """Graphene."""
    cell = np.array([[a, 0, 0], [-a / 2, a * np.sqrt(3) / 2, 0], [0, 0, vacuum]])
    positions = np.array([[0, 0, 0.5], [1 / 3, 2 / 3, 0.5]]) @ cell
    return Atoms("C2", positions=positions, cell=cell, pbc=(True, True, False))


def bilayer(layer: Atoms, distance: float = 3.0, shift: tuple[float, float] = (0.0, 0.0)) -> Atoms:
    """A layer on itself at an interlayer distance."""
    top = layer.copy()
    thickness = np.ptp(layer.positions[:, 2])
    top.positions[:, 2] += thickness + distance
    top.positions[:, :2] += np.array(shift) @ np.array(layer.cell[:2, :2])
    both = layer + top
    both.cell[2, 2] = layer.cell[2, 2] + thickness + distance
    return both


def write_ase(path: Path, rows: list[tuple[Atoms, dict[str, Any]]]) -> Path:
    """An ASE database as `ase.db` itself writes it."""
    with connect(path, serial=True) as database:
        for atoms, keys in rows:
            database.write(atoms, key_value_pairs=keys)
    return path


def many_layers(path: Path, n: int) -> Path:
    """`n` layers that differ in lattice constant: one row written by ASE, the others made of it in SQL, for speed."""
    write_ase(path, [(dichalcogenide(), c2db_keys("layer0"))])
    with closing(sqlite3.connect(path)) as connection:
        columns = [row[1] for row in connection.execute("PRAGMA table_info(systems)")]
        first = dict(zip(columns, connection.execute("SELECT * FROM systems").fetchone(), strict=True))
        rows = []
        for i in range(1, n):
            layer = dichalcogenide(a=3 + i / (2 * n))
            row = {
                **first,
                "id": None,
                "unique_id": f"{i:032x}",
                "positions": layer.positions.astype("<f8").tobytes(),
                "cell": np.array(layer.cell).astype("<f8").tobytes(),
                "key_value_pairs": json.dumps(c2db_keys(f"layer{i}")),
            }
            rows.append([row[column] for column in columns])
        places = ",".join("?" * len(columns))
        connection.executemany(f"INSERT INTO systems VALUES ({places})", rows)
        connection.commit()
    return path


def c2db_keys(uid: str, **keys: Any) -> dict[str, Any]:
    """2021 keys of a semiconductor whose two faces are alike."""
    edges = {"vbm": -1.0, "cbm": 0.6, "evac": 4.5, "evacdiff": 0.0, "efermi": -0.2, "workfunction": 4.7}
    return {"uid": uid, "gap": 1.6, "hform": -0.9, "ehull": 0.0, "magstate": "NM", **edges, **keys}


def c2db_file(folder: Path, name: str = "c2db.db", **changes: Any) -> Path:
    """MoS2 (2H and 1T), WSe2, MoSSe and graphene; `changes` are keys of the first row."""
    rows = [
        (dichalcogenide("H"), c2db_keys("1MoS2-1", olduid="MoS2-b3b4685fb6e1", **changes)),
        (dichalcogenide("T"), c2db_keys("1MoS2-2", gap=0.0)),
        (dichalcogenide("H", "W", ("Se", "Se"), 3.32, 1.67), c2db_keys("1WSe2-1")),
        (dichalcogenide("H", "Mo", ("Se", "S"), 3.25, 1.62), c2db_keys("1MoSSe-1", evacdiff=-0.75)),
        (graphene(), c2db_keys("2C-1", gap=0.0)),
    ]
    return write_ase(folder / name, rows)


def bidb_keys(uid: str, parent: str, **keys: Any) -> dict[str, Any]:
    """Keys of a bilayer; the binding energy is in eV/Å², as in the file."""
    stated = {"binding_energy_gs": 0.02, "interlayer_distance": 3.0, "gap_pbe": 1.1, "magnetic": "No"}
    return {"number_of_layers": 2, "bilayer_uid": uid, "monolayer_uid": parent, "slide_stability": "Stable",
            **stated, **keys}  # fmt: skip


def bidb_file(folder: Path, *more: tuple[Atoms, dict[str, Any]], name: str = "bidb.db") -> Path:
    """Two registries of MoS2 on MoS2, the second under the parent's old uid, and whatever else is given."""
    layer = dichalcogenide("H")
    rows = [
        (bilayer(layer), bidb_keys("1MoS2-1-2-1_0_0_1-0_0", "1MoS2-1")),
        (
            bilayer(layer, shift=(1 / 3, 2 / 3)),
            bidb_keys("1MoS2-1-2--1_0_0_-1-Iz-0.33_-0.67", "MoS2-b3b4685fb6e1"),
        ),
        *more,
    ]
    return write_ase(folder / name, rows)


def structure_dict(atoms: Atoms) -> dict[str, Any]:
    """The atoms as pymatgen's `Structure.as_dict()` writes them."""
    cell = np.array(atoms.cell)
    fractional = atoms.positions @ np.linalg.inv(cell)
    return {
        "@class": "Structure",
        "charge": 0.0,
        "lattice": {"matrix": cell.tolist(), "pbc": [True, True, True]},
        "sites": [
            {"species": [{"element": symbol, "occu": 1}], "abc": row.tolist(), "label": symbol}
            for symbol, row in zip(atoms.get_chemical_symbols(), fractional, strict=True)
        ],
    }


def matpedia_line(identity: str, atoms: Atoms, **values: Any) -> str:
    """One line of 2DMatPedia's db.json."""
    stated = {"bandgap": 1.7, "energy": -22.0, "energy_vdw": -20.0, "exfoliation_energy_per_atom": 0.08}
    return json.dumps({"material_id": identity, **stated, **values, "structure": structure_dict(atoms)})


def film_on_gold(downwards: bool = False) -> dict[str, Any]:
    """2H-MoS2 on two layers of Au, 2.5 Å apart, as Hetero2d writes it; `downwards` has the third vector point down."""
    film = dichalcogenide("H", a=3.18)
    z = film.positions[:, 2].min()
    cell = np.array([[3.18, 0, 0], [-1.59, 2.754, 0], [0, 0, 30.0]])
    gold = np.array([[0.0, 0.0, 2.0], [0.0, 1.836, 4.4]])
    layer = film.positions.copy()
    layer[:, 2] += 4.4 + 2.5 - z
    positions = np.vstack([gold, layer])
    if downwards:
        # Mirrored in z and with the third vector reversed: a left-handed description of the mirror image.
        positions[:, 2] *= -1
        cell[2, 2] *= -1
    atoms = Atoms(["Au", "Au", "Mo", "S", "S"], positions=positions, cell=cell, pbc=True)
    uv = cell[:2].tolist()
    return {
        "final_structure": structure_dict(atoms),
        "initial_structure": structure_dict(atoms),
        "iface_idx": {"2d_layer_1": [2], "2d_layer_2": [3], "2d_layer_3": [4], "sub_layer_1": [1], "num_2d_layer": 3},
        "final_energy": -30.6,
        "analysis_data": {"E_2d": -22.0, "E_sub": -8.0, "N_2d": 3},
        "Binding_Energy": {"E_bind": 0.2, "fu_2d": 1, "fu_sub": 1},
        "film_composition": "MoS2",
        "substrate_composition": "Au",
        "substrate_spacegroup": {"number": 225},
        "surface_plane": "111",
        "alignment_info": {"opt_uv1": uv, "opt_uv2": [[3.2118, 0, 0], [-1.6059, 2.7815, 0]], "u": 0.01, "v": 0.01,
                           "tm1": [[1, 0], [0, 1]], "tm2": [[1, 0], [0, 1]]},
    }  # fmt: skip
