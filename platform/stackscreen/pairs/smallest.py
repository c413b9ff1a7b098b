"""The smallest match of two layers, without a run."""

from __future__ import annotations

import numpy as np

from ml.descriptors.slab import Slab
from schema.plane_lattice import PlaneLattice
from stackscreen.pairs.limits import PairLimits
from stackscreen.pairs.match import match_row
from stackscreen.pairs.shapes import ShapeTable
from stackscreen.pairs.solution import NoCoincidenceError


def smallest_match(bottom: Slab, top: Slab, limits: PairLimits) -> tuple[int, int]:
    """Cells (n, m) of the smallest supercell within limits.

    Args:
        bottom, top: the two layers.
        limits: strain, area and atoms.

    Raises:
        NoCoincidenceError: there is none.
    """
    lattices = [PlaneLattice.from_vectors(*slab.cell[:, :2]) for slab in (bottom, top)]
    table = ShapeTable.build(
        np.array([lattice.ln_area for lattice in lattices]),
        np.array([lattice.tau for lattice in lattices]),
        np.array([len(bottom), len(top)]),
        limits,
    )
    found = match_row(table, 0, np.array([1]))
    n, m = int(found.n[0]), int(found.m[0])
    if n == 0:
        raise NoCoincidenceError(
            f"The two layers have no coincidence lattice within {100 * limits.max_strain:g} % of misfit, "
            f"{limits.max_area:g} Å² and {limits.max_atoms} atoms.",
            hint="Allow more misfit (--max-strain), or say which cell to build (--n, --m).",
        )
    return n, m
