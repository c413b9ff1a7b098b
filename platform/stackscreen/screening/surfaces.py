"""Low-index faces of bulk phases: what a layer may lie on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from pymatgen.core import Element, Lattice, Structure
from pymatgen.core.surface import Slab, SlabGenerator, get_symmetrically_distinct_miller_indices
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer
from sqlalchemy import Engine, exists, select
from sqlalchemy.dialects.postgresql import insert

from schema import BulkPhase, Material, Surface
from schema import Structure as StructureRow
from schema.plane_lattice import PlaneLattice

MAX_INDEX: Final = 1
"""Largest Miller index of the faces that are made."""
SLAB_THICKNESS: Final = 6.0
"""Å: at least three close-packed atomic layers of a metal, enough for the potential that a layer feels."""


def _to_row(slab: Slab, miller: tuple[int, int, int], termination: int, material_id: int) -> dict[str, object]:
    """A slab in the house's frame: a along +x, normal along +z, highest nucleus at z = 0."""
    upright = slab.get_orthogonal_c_slab()
    a, b, c, *_ = upright.lattice.parameters
    lattice = Lattice.from_parameters(a, b, c, 90, 90, upright.lattice.gamma)
    positions = lattice.get_cartesian_coords(upright.frac_coords)
    if np.linalg.det(upright.lattice.matrix) < 0:
        # from_parameters always makes a right-handed cell: put the mirrored slab back as it was.
        positions[:, 2] *= -1
    positions[:, 2] -= positions[:, 2].max()
    plane = PlaneLattice.from_vectors(lattice.matrix[0], lattice.matrix[1])
    return {
        "material_id": material_id,
        "miller_h": miller[0],
        "miller_k": miller[1],
        "miller_l": miller[2],
        "termination": termination,
        "ln_area": plane.ln_area,
        "tau_re": plane.tau.real,
        "tau_im": plane.tau.imag,
        "basis": plane.basis.ravel().tolist(),
        "cell": lattice.matrix.ravel().tolist(),
        "numbers": [site.specie.Z for site in upright],
        "positions": positions.ravel().tolist(),
        "n_atoms": len(upright),
    }


def low_index_slabs(crystal: Structure) -> list[tuple[tuple[int, int, int], int, Slab]]:
    """The distinct faces of a crystal with Miller indices up to 1, with all their terminations.

    Args:
        crystal: any cell of the crystal.

    Returns:
        (Miller indices of the conventional cell, number of the termination, slab with its primitive surface cell).
    """
    conventional = SpacegroupAnalyzer(crystal, symprec=0.01).get_conventional_standard_structure()
    found = []
    for miller in get_symmetrically_distinct_miller_indices(conventional, MAX_INDEX):
        generator = SlabGenerator(
            conventional,
            miller,
            min_slab_size=SLAB_THICKNESS,
            min_vacuum_size=15.0,
            primitive=True,
            max_normal_search=1,
        )
        h, k, ell = miller
        found += [((h, k, ell), number, slab) for number, slab in enumerate(generator.get_slabs())]
    return found


def ensure_surfaces(engine: Engine, progress: Callable[[int, int], None] | None = None) -> int:
    """Make the low-index faces of every bulk phase that has none; each phase in its own transaction.

    Args:
        engine: the database.
        progress: called with (phases done, phases in all).

    Returns:
        Number of surfaces made.
    """
    with engine.connect() as connection:
        todo = connection.execute(
            select(BulkPhase.material_id, StructureRow.cell, StructureRow.numbers, StructureRow.positions)
            .join(Material, Material.id == BulkPhase.material_id)
            .join(StructureRow, StructureRow.id == Material.structure_id)
            .where(~exists().where(Surface.material_id == BulkPhase.material_id), Material.withdrawn_at.is_(None))
            .order_by(BulkPhase.material_id)
        ).all()
    made = 0
    for done, (material_id, cell, numbers, positions) in enumerate(todo, 1):
        crystal = Structure(
            np.reshape(cell, (3, 3)),
            [Element.from_Z(number) for number in numbers],
            np.reshape(positions, (-1, 3)),
            coords_are_cartesian=True,
        )
        rows = [_to_row(slab, miller, number, material_id) for miller, number, slab in low_index_slabs(crystal)]
        with engine.begin() as connection:
            if rows:
                connection.execute(insert(Surface).on_conflict_do_nothing(), rows)
        made += len(rows)
        if progress is not None:
            progress(done, len(todo))
    return made
