"""The in-plane lattices of real layers."""

from __future__ import annotations

import math
import sqlite3
from dataclasses import dataclass
from pathlib import Path

import numpy as np

NEAR = 1e-3
"""Relative: shapes nearer than this to a symmetric one have its symmetry."""


def bravais(tau: complex) -> str:
    """The Bravais lattice of a reduced shape (`schema.plane_lattice`), to 0.1 %."""
    if abs(tau.real) < NEAR:
        return "square" if abs(tau.imag - 1) < NEAR else "rectangular"
    if abs(tau.real - 0.5) < NEAR:
        return "hexagonal" if abs(tau.imag - math.sqrt(0.75)) < NEAR else "centred rectangular"
    return "centred rectangular" if abs(abs(tau) - 1) < NEAR else "oblique"


@dataclass(frozen=True, eq=False)
class FreeLayer:
    """A layer of a file: `cell` rows in Å, shape (3, 3); atomic `numbers`, shape (n,)."""

    uid: str
    cell: np.ndarray
    numbers: np.ndarray


def layers_of(path: Path) -> list[FreeLayer]:
    """The layers of a C2DB file (ASE SQLite)."""
    query = (
        "SELECT k.value, cell, numbers FROM systems JOIN text_key_values k ON k.id = systems.id AND k.key = 'uid' "
        "ORDER BY systems.id"
    )
    with sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True) as database:
        rows = database.execute(query).fetchall()
    return [
        FreeLayer(uid, np.frombuffer(cell, "<f8").reshape(3, 3), np.frombuffer(numbers, "<i4"))
        for uid, cell, numbers in rows
    ]
