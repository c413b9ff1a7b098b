"""The lattices of materials and faces that a person names, as they are today; no run is needed."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, bindparam, text

from schema.errors import StackscreenError
from stackscreen.pairs.misfit import mean_stiffness

_SHOWN = 6


class UnknownSideError(StackscreenError):
    """No layer and no face of a crystal has this name, or several have it."""


@dataclass(frozen=True, slots=True)
class NamedSide:
    """One side of a pair.

    Attributes:
        uid: of the material, or of the face, e.g. Ag-1f0c22ab(111).
        formula: reduced.
        basis: in-plane vectors of the stored structure, rows, Å, shape (2, 2), in its own frame.
        n_atoms: atoms per cell.
        is_surface: whether it is the face of a bulk crystal.
        stiffness: N/m: see `stackscreen.pairs.misfit.mean_stiffness`; None where unknown.
    """

    uid: str
    formula: str
    basis: NDArray[np.float64]
    n_atoms: int
    is_surface: bool
    stiffness: float | None


# The same names of faces as a screening run gives.
_FIND = text("""
    WITH side AS (
        SELECT m.id AS material_id, NULL::integer AS surface_id, m.uid, m.formula, m.n_atoms, s.cell
        FROM material m JOIN monolayer l ON l.material_id = m.id JOIN structure s ON s.id = m.structure_id
        WHERE m.withdrawn_at IS NULL
        UNION ALL
        SELECT m.id, f.id,
               m.uid || '(' || f.miller_h || f.miller_k || f.miller_l || ')'
                   || CASE WHEN f.termination > 0 THEN '-' || f.termination ELSE '' END,
               m.formula, f.n_atoms, f.cell
        FROM surface f JOIN material m ON m.id = f.material_id
        WHERE m.withdrawn_at IS NULL
    ), named AS (
        SELECT uid AS name, 1 AS rank, material_id, surface_id FROM side WHERE uid IN :names
        UNION
        SELECT m.uid, 2, side.material_id, side.surface_id
        FROM material m JOIN side ON side.material_id = m.id WHERE m.uid IN :names
        UNION
        SELECT r.external_id, 2, side.material_id, side.surface_id
        FROM source_record r
        JOIN material_member mm ON mm.source_record_id = r.id
        JOIN side ON side.material_id = mm.material_id
        WHERE r.state = 'accepted' AND r.external_id IN :names
        UNION
        SELECT formula, 3, material_id, surface_id FROM side WHERE :by_formula AND formula IN :names
    )
    SELECT named.name, named.rank, side.*
    FROM named JOIN side ON side.material_id = named.material_id
                        AND side.surface_id IS NOT DISTINCT FROM named.surface_id
    ORDER BY named.name, named.rank, side.uid
""").bindparams(bindparam("names", expanding=True))

_HULL = text("""
    SELECT v.material_id, v.value
    FROM analyst.material_values v
    WHERE v.preference = 1 AND v.method = 'PBE' AND v.material_id IN :materials AND v.property = 'hull_energy'
""").bindparams(bindparam("materials", expanding=True))

_STIFFNESS = text("""
    SELECT v.material_id, v.property, v.value
    FROM analyst.material_values v
    WHERE v.preference = 1 AND v.method = 'PBE' AND v.material_id IN :materials
      AND v.property IN ('stiffness_11', 'stiffness_22')
""").bindparams(bindparam("materials", expanding=True))


def find_sides(
    connection: Connection, names: Iterable[str], *, by_formula: bool = False
) -> dict[str, NamedSide | UnknownSideError]:
    """Look names up: uids first, then external ids of accepted records, then formulas if they may be used.

    Args:
        connection: the database.
        names: what a person wrote.
        by_formula: whether a formula is a name, where only one side has it.

    Returns:
        For each name its side, or the error that says why there is none.
    """
    wanted = sorted(set(names))
    if not wanted:
        return {}
    found = _named(connection, wanted, by_formula)
    stiffness = _stiffness(connection, [row["material_id"] for rows in found.values() for row in rows])
    return {name: _side(name, found[name], stiffness, by_formula) for name in wanted}


def _named(connection: Connection, names: list[str], by_formula: bool) -> dict[str, list[Any]]:
    """The sides that each name may mean, by the best kind of name that any has."""
    found: dict[str, list[Any]] = defaultdict(list)
    for row in connection.execute(_FIND, {"names": names, "by_formula": by_formula}).mappings():
        if not found[row["name"]] or found[row["name"]][0]["rank"] == row["rank"]:
            found[row["name"]].append(row)
    return found


def one_side(connection: Connection, name: str) -> NamedSide:
    """The side of a uid, an external id or a formula.

    Raises:
        UnknownSideError: nothing is called so, or more than one.
    """
    side = find_sides(connection, [name], by_formula=True)[name]
    if isinstance(side, UnknownSideError):
        raise side
    return side


@dataclass(frozen=True, slots=True)
class Chosen:
    """A side that a name was taken to mean.

    Attributes:
        uid: of the side.
        others: uids of the layers that it may mean as well.
    """

    uid: str
    others: tuple[str, ...] = ()


def most_stable(connection: Connection, name: str) -> Chosen:
    """The side of a uid, an external id or a formula; of several layers of a formula the one of least hull energy.

    Layers go before faces of crystals. A layer whose energy above the hull is unknown comes last.

    Raises:
        UnknownSideError: nothing is called so, or several faces and no layer.
    """
    rows = _named(connection, [name], True)[name]
    layers = [row for row in rows if row["surface_id"] is None]
    if len(layers) < 2:
        side = _side(name, layers or rows, {}, True)
        if isinstance(side, UnknownSideError):
            raise side
        return Chosen(side.uid)
    ids = [row["material_id"] for row in layers]
    hull = {row.material_id: row.value for row in connection.execute(_HULL, {"materials": ids})}
    first, *others = sorted(layers, key=lambda row: (hull.get(row["material_id"], math.inf), row["uid"]))
    return Chosen(first["uid"], tuple(row["uid"] for row in others))


def _stiffness(connection: Connection, materials: Sequence[int]) -> dict[int, float | None]:
    if not materials:
        return {}
    parts: dict[int, dict[str, float]] = defaultdict(dict)
    for material, key, value in connection.execute(_STIFFNESS, {"materials": sorted(set(materials))}):
        parts[material][key] = value
    return {key: mean_stiffness(known.get("stiffness_11"), known.get("stiffness_22")) for key, known in parts.items()}


def _side(
    name: str, rows: Sequence[Any], stiffness: dict[int, float | None], by_formula: bool
) -> NamedSide | UnknownSideError:
    if not rows:
        kinds = "uid, external id or formula" if by_formula else "uid or external id"
        return UnknownSideError(
            f"No layer and no face of a crystal has the {kinds} {name!r}.",
            hint="Names are in analyst.monolayers and analyst.bulk_phases; faces are called e.g. Ag-1f0c22ab(111), and "
            "are made by the first `stackscreen screen`.",
        )
    if len(rows) > 1:
        shown = ", ".join(row["uid"] for row in rows[:_SHOWN])
        more = f" and {len(rows) - _SHOWN} more" if len(rows) > _SHOWN else ""
        return UnknownSideError(f"{name!r} may be {shown}{more}.", hint="Say which by its uid.")
    (row,) = rows
    return NamedSide(
        row["uid"],
        row["formula"],
        np.array(row["cell"], float).reshape(3, 3)[:2, :2],
        row["n_atoms"],
        row["surface_id"] is not None,
        stiffness.get(row["material_id"]) if row["surface_id"] is None else None,
    )
