"""The stacked supercell of two sides of the published run, from the atoms that the database holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import Connection, and_, select, text

from ml.descriptors.slab import Slab
from schema import Candidate, Material, ScreeningMember, ScreeningRun, Structure, Surface
from stackscreen.pairs import PairLimits
from stackscreen.pairs.common_cell import CommonCell, Orientation, common_cell
from stackscreen.pairs.misfit import MisfitPolicy, mean_stiffness
from stackscreen.pairs.smallest import smallest_match
from stackscreen.query.candidates import BOTTOM, TOP, Run
from stackscreen.screening.spaces import of_run
from stackscreen.structures import Gap, Sides, Stack, StackError, stack

_SHOWN = 8


class UnknownSideError(StackError):
    """The run has no side of that name, or several."""


@dataclass(frozen=True, slots=True)
class Side:
    """One side of the published run.

    Attributes:
        uid: its name.
        slab: its atoms: the canonical slab of a layer, or the cut slab of a surface.
        stiffness: N/m, mean of c₁₁ and c₂₂; None where unknown, and of a surface.
        material_id: the material, by its number in the database.
        surface: Miller indices such as "111" of the face of a crystal; None for a layer.
    """

    uid: str
    slab: Slab
    stiffness: float | None
    material_id: int
    surface: str | None


_STIFFNESS = text("""
    SELECT v.property, v.value
    FROM analyst.material_values v
    WHERE v.material_id = :material AND v.preference = 1 AND v.method = 'PBE'
      AND v.property IN ('stiffness_11', 'stiffness_22')
""")

# The best source's computed distance of the same layer on the same face.
_COMPUTED = text("""
    SELECT v.value, s.database || ' ' || s.release AS source, r.external_id
    FROM interface i
    JOIN source_record r ON r.id = i.source_record_id AND r.state = 'accepted'
    JOIN source s ON s.id = r.source_id
    JOIN property_value v ON v.source_record_id = r.id
    JOIN property p ON p.id = v.property_id AND p.key = 'interlayer_distance'
    WHERE i.kind = '2d-on-bulk' AND i.bottom_material_id = :bottom AND i.top_material_id = :top
      AND i.surface = :surface AND v.value > 0
    ORDER BY s.precedence, r.id
    LIMIT 1
""")


def side_of(connection: Connection, run: Run, name: str) -> Side:
    """A side of the run by its uid, or by a formula that only one side has.

    Raises:
        UnknownSideError: no side has that name, or several have the formula.
        StackError: its cell is not the one that the run matched.
    """
    columns = ScreeningMember
    found = connection.execute(
        select(columns.uid, columns.material_id, columns.surface_id, columns.ln_area)
        .where(of_run(columns, run.key), (columns.uid == name) | (columns.formula == name))
        .order_by(columns.uid != name, columns.member)
    ).all()
    if not found:
        raise UnknownSideError(
            f"The published run has no layer and no surface called {name!r}.",
            hint="The names are in the dashboard's list, and in SQL: SELECT uid, formula FROM analyst.monolayers.",
        )
    if len(found) > 1 and found[0].uid != name:
        names = ", ".join(row.uid for row in found[:_SHOWN])
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise UnknownSideError(f"{name!r} may be {names}{more}.", hint="Say which by its uid.")
    member = found[0]
    surface = None
    if member.surface_id is None:
        arrays = (
            select(Structure.cell, Structure.numbers, Structure.positions)
            .join(Material, Material.structure_id == Structure.id)
            .where(Material.id == member.material_id)
        )
        known = {row.property: row.value for row in connection.execute(_STIFFNESS, {"material": member.material_id})}
        stiffness = mean_stiffness(known.get("stiffness_11"), known.get("stiffness_22"))
    else:
        indices = select(Surface.miller_h, Surface.miller_k, Surface.miller_l).where(Surface.id == member.surface_id)
        surface = "".join(str(index) for index in connection.execute(indices).one())
        arrays = select(Surface.cell, Surface.numbers, Surface.positions).where(Surface.id == member.surface_id)
        stiffness = None
    cell, numbers, positions = connection.execute(arrays).one()
    vectors = np.array(cell, float).reshape(3, 3)[:2, :2]
    if abs(np.log(abs(np.linalg.det(vectors))) - member.ln_area) > 1e-3:
        raise StackError(
            f"The structure of {member.uid} has changed since the run that is published.",
            hint="Run `stackscreen screen` to match it anew.",
        )
    slab = Slab(np.array(numbers, np.int64), np.array(positions, float).reshape(-1, 3), vectors)
    return Side(member.uid, slab, stiffness, member.material_id, surface)


def check_order(bottom: Side, top: Side) -> None:
    """See that the upper side is a layer.

    Raises:
        StackError: it is the surface of a crystal.
    """
    if top.surface is not None:
        hint = (
            f"Put it below: {top.uid} first, then {bottom.uid}." if bottom.surface is None else "Name a layer second."
        )
        raise StackError(f"{top.uid} is the surface of a crystal, which can only lie below.", hint=hint)


def cell_of(
    bottom: Side,
    top: Side,
    n: int,
    m: int,
    *,
    policy: MisfitPolicy | None = None,
    orientation: Orientation | None = None,
) -> CommonCell:
    """Two sides strained into one cell.

    Args:
        bottom, top: the sides.
        n, m: their cells.
        policy: who carries the misfit; None: the film on a crystal, else by stiffness.
        orientation: how they are laid down.
    """
    return common_cell(
        bottom.slab,
        top.slab,
        n,
        m,
        policy=policy or MisfitPolicy.default(bottom.surface is not None),
        stiffness=(bottom.stiffness, top.stiffness),
        orientation=orientation,
    )


def match_of(
    connection: Connection, run: Run, bottom: Side, top: Side, max_strain: float | None = None
) -> tuple[int, int]:
    """The smallest match (n, m) of two sides: within the run's limits, or within another misfit.

    Args:
        connection: from `reading`.
        run: the published run.
        bottom, top: the sides.
        max_strain: largest principal Hencky strain of the whole misfit, dimensionless; None: the run's.

    Raises:
        NoCoincidenceError: there is none.
    """
    limits = connection.execute(
        select(ScreeningRun.max_strain, ScreeningRun.max_area, ScreeningRun.max_atoms).where(ScreeningRun.id == run.id)
    ).one()
    largest = limits.max_strain if max_strain is None else max_strain
    return smallest_match(bottom.slab, top.slab, PairLimits(largest, limits.max_area, limits.max_atoms))


def gap_of(connection: Connection, run: Run, bottom: Side, top: Side, cell: CommonCell) -> Gap:
    """The interlayer distance that is best known of two sides as they lie.

    The run's prediction for the faces that look at each other; else, on a crystal, the computed distance of the same
    layer on the same face; else the sum of van der Waals radii.
    """
    layers = bottom.surface is None
    known = _predicted(connection, run, bottom, top, cell) if layers else _computed(connection, bottom, top)
    return known or _radii_sum(bottom.slab, top.slab, cell.flips)


def _predicted(connection: Connection, run: Run, bottom: Side, top: Side, cell: CommonCell) -> Gap | None:
    if not any(cell.flips):
        kept = connection.execute(
            select(Candidate.distance)
            .join(BOTTOM, and_(BOTTOM.run_id == Candidate.run_id, BOTTOM.member == Candidate.bottom))
            .join(TOP, and_(TOP.run_id == Candidate.run_id, TOP.member == Candidate.top))
            .where(of_run(Candidate, run.key), BOTTOM.uid == bottom.uid, TOP.uid == top.uid)
        ).scalar()
        if kept is not None:
            return Gap(kept, "prediction of the run")
    from ml.scorer import PairScorer

    # A side shows the face that looks at the other one: the lower layer's upper face, unless it is turned over.
    pair = [bottom.material_id, top.material_id]
    scored = PairScorer.load(connection, run_id=run.id, only=pair).score(
        np.array([bottom.material_id]),
        np.array([top.material_id]),
        strain=np.array([cell.max_strain]),
        top_a=np.array([not cell.flips[0]]),
        top_b=np.array([cell.flips[1]]),
    )
    for key, origin in (
        ("interlayer_distance", "prediction of the run's model for the facing faces"),
        ("distance_vdw", "sum of van der Waals radii, as no model is served"),
    ):
        if np.isfinite(scored[key][0]):
            return Gap(float(scored[key][0]), origin)
    return None


def _computed(connection: Connection, bottom: Side, top: Side) -> Gap | None:
    found = connection.execute(
        _COMPUTED, {"bottom": bottom.material_id, "top": top.material_id, "surface": bottom.surface}
    ).first()
    if found is None:
        return None
    return Gap(found.value, f"computed for this layer on this face, {found.source} {found.external_id}")


def _radii_sum(bottom: Slab, top: Slab, flips: tuple[bool, bool]) -> Gap:
    """Sum of the van der Waals radii of the outermost facing atoms, Å (Alvarez, Dalton Trans. 42, 8617 (2013))."""
    from ase.data.vdw_alvarez import vdw_radii

    facing = (
        bottom.numbers[np.argmin(bottom.depth(top=not flips[0]))],
        top.numbers[np.argmin(top.depth(top=flips[1]))],
    )
    total = float(np.nansum([vdw_radii[number] for number in facing]))
    return Gap(total, "sum of van der Waals radii, an upper bound, as no model is served")


def stack_of(connection: Connection, run: Run, row: dict[str, Any]) -> Stack:
    """The stacked supercell of a candidate, at its predicted distance, or at the sum of van der Waals radii.

    Args:
        connection: from `reading`.
        run: the published run.
        row: the candidate, as `pair` or `page` gives it.

    Raises:
        StackError: a structure has changed since the run, or the atoms would overlap.
    """
    bottom, top = side_of(connection, run, row["bottom_uid"]), side_of(connection, run, row["top_uid"])
    cell = cell_of(bottom, top, row["n"], row["m"])
    if row["distance"] is not None:
        gap = Gap(row["distance"], "prediction of the run")
    elif row["distance_vdw"] is not None:
        gap = Gap(row["distance_vdw"], "sum of van der Waals radii, as no model is served")
    else:
        gap = _computed(connection, bottom, top) or _radii_sum(bottom.slab, top.slab, cell.flips)
    return stack(cell, gap, Sides(bottom.uid, top.uid, f"run {run.id}"))
