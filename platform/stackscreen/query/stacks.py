"""The stacked supercell of a candidate, from the atoms that the database holds."""

from __future__ import annotations

from typing import Any

import numpy as np
from sqlalchemy import Connection, select

from ml.descriptors.slab import Slab
from schema import Material, ScreeningMember, Structure, Surface
from schema.vocabulary import InterfaceKind
from stackscreen.query.candidates import Run
from stackscreen.structures import Stack, StackError, StrainSharing, build_stack


def slab_of(connection: Connection, run: Run, uid: str) -> Slab:
    """The atoms of one side: the canonical slab of a layer, or the cut slab of a surface.

    Raises:
        StackError: its cell is not the one that the run matched.
    """
    member = connection.execute(
        select(ScreeningMember.material_id, ScreeningMember.surface_id, ScreeningMember.ln_area).where(
            ScreeningMember.run_id == run.id, ScreeningMember.uid == uid
        )
    ).one()
    arrays = (
        select(Structure.cell, Structure.numbers, Structure.positions)
        .join(Material, Material.structure_id == Structure.id)
        .where(Material.id == member.material_id)
        if member.surface_id is None
        else select(Surface.cell, Surface.numbers, Surface.positions).where(Surface.id == member.surface_id)
    )
    cell, numbers, positions = connection.execute(arrays).one()
    vectors = np.array(cell, float).reshape(3, 3)[:2, :2]
    if abs(np.log(abs(np.linalg.det(vectors))) - member.ln_area) > 1e-3:
        raise StackError(
            f"The structure of {uid} has changed since the run that is published.",
            hint="Run `stackscreen screen` to match it anew.",
        )
    return Slab(np.array(numbers, np.int64), np.array(positions, float).reshape(-1, 3), vectors)


def stack_of(connection: Connection, run: Run, row: dict[str, Any]) -> Stack:
    """The stacked supercell of a candidate, at its predicted distance, or at the sum of van der Waals radii.

    Args:
        connection: from `reading`.
        run: the published run.
        row: the candidate, as `pair` or `page` gives it.

    Raises:
        StackError: a structure has changed since the run, or the atoms would overlap.
    """
    below, above = row["bottom_uid"], row["top_uid"]
    bottom, top = slab_of(connection, run, below), slab_of(connection, run, above)
    distance, origin = row["distance"], "prediction of the run"
    if distance is None:
        distance, origin = row["distance_vdw"], "sum of van der Waals radii, as no model is served"
    if distance is None:
        distance, origin = _radii_sum(bottom, top), "sum of van der Waals radii, an upper bound, as no model is served"
    on_bulk = row["kind"] == InterfaceKind.ON_BULK
    return build_stack(
        bottom,
        top,
        row["n"],
        row["m"],
        distance=distance,
        distance_origin=origin,
        sharing=StrainSharing.TOP_ONLY if on_bulk else StrainSharing.SHARED,
        label=f"{above} on {below}",
    )


def _radii_sum(bottom: Slab, top: Slab) -> float:
    """Sum of the van der Waals radii of the outermost facing atoms, Å (Alvarez, Dalton Trans. 42, 8617 (2013))."""
    from ase.data.vdw_alvarez import vdw_radii

    facing = (bottom.numbers[np.argmax(bottom.positions[:, 2])], top.numbers[np.argmin(top.positions[:, 2])])
    return float(np.nansum([vdw_radii[number] for number in facing]))
