"""Results of ASR as C2DB keeps them in a row's `data`, made of a small tight-binding model."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from ase import Atoms
from ase.dft.kpoints import BandPath
from small_files import c2db_keys

EVAC = 4.5
K = 30


def path_of(layer: Atoms) -> BandPath:
    """Γ-M-K-Γ of a hexagonal layer."""
    special = {"G": [0, 0, 0], "M": [0.5, 0, 0], "K": [1 / 3, 1 / 3, 0]}
    corners = [np.array(special[name], float) for name in "GMKG"]
    parts = [a + (b - a) * np.arange(K // 3)[:, None] / (K // 3) for a, b in pairwise(corners)]
    points = np.vstack([*parts, corners[-1:]])
    return BandPath(cell=layer.cell, kpts=points, special_points={k: np.array(v, float) for k, v in special.items()},
                    path="GMKG")  # fmt: skip


def bands_of(points: np.ndarray, vbm: float, cbm: float) -> np.ndarray:
    """A valence and a conduction band, shape (k, 2), whose edges lie at K."""
    phase = 2 * np.pi * points[:, :2]
    # 0 at K, 9 at Γ, so that K, where the path passes exactly, is the edge.
    hopping = 3 + 2 * (np.cos(phase[:, 0]) + np.cos(phase[:, 1]) + np.cos(phase[:, 0] + phase[:, 1]))
    return np.stack([vbm - hopping / 10, cbm + hopping / 10], axis=1).astype(np.float32)


def asr_data(layer: Atoms, *, spins: int = 1, unstable: bool = False, **edges: float) -> dict[str, Any]:
    """Results by file name; `edges` are vbm, cbm, efermi, eV on the calculation's scale."""
    levels = {"vbm": -1.0, "cbm": 0.6, "efermi": -0.2, **edges}
    path, n = path_of(layer), len(layer)
    plain = bands_of(path.kpts, levels["vbm"] - 0.05, levels["cbm"])
    # With spin-orbit coupling the valence band is split by 0.1 eV.
    split = np.stack([plain[:, 0] - 0.05, plain[:, 0] + 0.05, plain[:, 1], plain[:, 1]])
    grid = np.linspace(levels["vbm"] - 3, levels["cbm"] + 3, 50, dtype=np.float32)
    shape = np.where((grid < levels["vbm"]) | (grid > levels["cbm"]), 0.5, 0).astype(np.float32)
    symbols = layer.get_chemical_symbols()
    syl = {f"{s},{y},{o}": (1 + s) * shape for s in range(spins) for y in dict.fromkeys(symbols) for o in "sp"}
    pdos = {"pdos_syl": syl, "symbols": symbols, "energies": grid, "efermi": levels["efermi"] + 0.01}
    frequencies = np.tile(np.linspace(0, 0.05, 3 * n), (4, 1))
    frequencies[0, :3] = 1e-9
    if unstable:
        frequencies[2, 0] = -0.03
    interpolated = np.tile(frequencies[1], (len(path.kpts), 1))
    interpolated[1, 0] = -0.004
    q = np.array([[0, 0, 0], [0, 0.5, 0], [0.5, 0, 0], [0.5, 0.5, 0]], float)
    bs = {"path": path, "reference": 0.0}
    kwargs = {
        "pdos": {"pdos_nosoc": pdos, "pdos_soc": pdos},
        "bandstructure": {
            "bs_nosoc": {**bs, "energies": np.stack([plain] * spins), "efermi": levels["efermi"] + 0.01},
            "bs_soc": {**bs, "energies": split.astype(np.float32), "efermi": levels["efermi"]},
        },
        "hse": {"bandstructure": {"path": path, "e_int_mk": (split - 0.3).astype(np.float32)},
                "efermi_hse_soc": levels["efermi"] - 0.3},
        "phonons": {"omega_kl": frequencies, "q_qc": q, "interp_freqs_kl": interpolated, "path": path,
                    "minhessianeig": -9.0 if unstable else 0.0},
        "stiffness": {"stiffness_tensor": np.array([[131.0, 33.0, 0], [33.0, 131.0, 0], [0, 0, 98.0]])},
    }  # fmt: skip
    # Some results lie in a class of ASR's, some, of older recipes, are plain.
    return {
        f"results-asr.{name}.json": data if name == "stiffness" else {"object_id": "x", "kwargs": {"data": data}}
        for name, data in kwargs.items()
    }


def asr_keys(uid: str, **keys: Any) -> dict[str, Any]:
    """Keys of the same layer."""
    return c2db_keys(uid, vbm=-1.0, cbm=0.55 + 0.05, efermi=-0.2, evac=EVAC, c_11=131.0, c_22=131.0, c_12=33.0, **keys)
