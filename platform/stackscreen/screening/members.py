"""The materials of a screen, as numbers: a snapshot that a later import cannot change."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray
from sqlalchemy import Connection, select, text

from schema import ScreeningMember
from schema.vocabulary import EdgeMethod
from stackscreen.pairs.misfit import mean_stiffness

_MONOLAYERS = text("""
    SELECT m.id AS material_id, m.uid, m.formula, m.elements, m.n_atoms, l.ln_area, l.tau_re, l.tau_im, l.polar,
           encode(s.digest, 'hex') AS structure
    FROM material m JOIN monolayer l ON l.material_id = m.id JOIN structure s ON s.id = m.structure_id
    WHERE m.withdrawn_at IS NULL
    ORDER BY m.id
""")

_SURFACES = text("""
    SELECT m.id AS material_id, f.id AS surface_id,
           m.uid || '(' || f.miller_h || f.miller_k || f.miller_l || ')'
               || CASE WHEN f.termination > 0 THEN '-' || f.termination ELSE '' END AS uid,
           m.formula, m.elements, f.n_atoms, f.ln_area, f.tau_re, f.tau_im, false AS polar,
           encode(s.digest, 'hex') AS structure
    FROM surface f JOIN material m ON m.id = f.material_id JOIN structure s ON s.id = m.structure_id
    WHERE m.withdrawn_at IS NULL
    ORDER BY f.id
""")

# One functional for all that is aligned, never mixed within a pair; energies above the hull and stiffness are PBE's,
# which are nobody else's.
_VALUES = text("""
    SELECT v.material_id, v.property, v.face, v.value
    FROM analyst.material_values v
    WHERE v.preference = 1 AND v.value IS NOT NULL
      AND (v.method = :edges AND v.property IN ('vbm', 'cbm', 'work_function', 'gap')
           OR v.method = 'PBE' AND v.property IN ('hull_energy', 'stiffness_11', 'stiffness_22'))
""")

# What the models see of each material, by digest: new features are new inputs of a run.
_FEATURES = text("""
    SELECT material_id, string_agg(encode(inputs_digest, 'hex'), '' ORDER BY feature_set_id)
    FROM feature_vector GROUP BY material_id
""")

_FACED = ("vbm", "cbm", "work_function")
_NUMBERS = (*(f"{key}_{face}" for key in _FACED for face in ("bottom", "top")), "gap", "hull_energy", "stiffness")


@dataclass(frozen=True, slots=True)
class MemberTable:
    """The members of a run as arrays; NaN where a value is unknown. Monolayers first, then surfaces.

    Attributes:
        n_monolayers: how many of the N members are monolayers.
        material_id, n_atoms: shape (N,), integers.
        ln_area: ln of the cell area in Å², shape (N,).
        tau: reduced shapes, shape (N,), complex.
        columns: other floats by name, eV, eV/atom or N/m, shape (N,): vbm_bottom, ..., gap, hull_energy, stiffness.
    """

    n_monolayers: int
    material_id: NDArray[np.int64]
    n_atoms: NDArray[np.int64]
    ln_area: NDArray[np.float64]
    tau: NDArray[np.complex128]
    columns: dict[str, NDArray[np.float64]]

    def __len__(self) -> int:
        return len(self.material_id)


def snapshot(connection: Connection, edges: EdgeMethod) -> list[dict[str, Any]]:
    """The rows of `screening_member` for today's materials, without the run's number.

    Args:
        connection: in the transaction that will plan the run.
        edges: functional of the band edges, gaps and work functions.
    """
    values: dict[int, dict[str, float]] = {}
    for material_id, key, face, value in connection.execute(_VALUES, {"edges": edges}):
        known = values.setdefault(material_id, {})
        known[f"{key}_{face}" if face else key] = value
    features: dict[int, str] = dict(connection.execute(_FEATURES).tuples().all())
    rows = []
    sides = [*connection.execute(_MONOLAYERS).mappings(), *connection.execute(_SURFACES).mappings()]
    for number, side in enumerate(sides):
        row: dict[str, Any] = {"surface_id": None, **side}
        facts = values.get(side["material_id"], {}) if row["surface_id"] is None else {}
        for key in _FACED:
            for face in ("bottom", "top"):
                row[f"{key}_{face}"] = facts.get(f"{key}_{face}", facts.get(key))
        row["gap"] = facts.get("gap") if row["surface_id"] is None else 0.0
        row["hull_energy"] = facts.get("hull_energy")
        row["stiffness"] = mean_stiffness(facts.get("stiffness_11"), facts.get("stiffness_22"))
        row["member"] = number
        seen = {**row, "features": features.get(side["material_id"], "")}
        del seen["member"]
        digest = orjson.dumps(seen, option=orjson.OPT_SORT_KEYS)
        row["inputs_digest"] = hashlib.sha256(digest).digest()
        del row["structure"]
        rows.append(row)
    return rows


def load_members(connection: Connection, run_id: int) -> MemberTable:
    """The members of a run, in the order of their numbers."""
    table = ScreeningMember.__table__.c
    rows = connection.execute(
        select(
            table.material_id, table.surface_id, table.n_atoms, table.ln_area, table.tau_re, table.tau_im,
            *(table[name] for name in _NUMBERS),
        )
        .where(table.run_id == run_id)
        .order_by(table.member)
    ).mappings().all()  # fmt: skip
    return table_of(rows)


def table_of(rows: Sequence[Mapping[Any, Any]]) -> MemberTable:
    """Rows of `screening_member`, of a run or of a snapshot, as arrays."""

    def column(name: str) -> NDArray[np.float64]:
        return np.array([np.nan if row[name] is None else row[name] for row in rows], float)

    return MemberTable(
        n_monolayers=sum(row["surface_id"] is None for row in rows),
        material_id=np.array([row["material_id"] for row in rows], np.int64),
        n_atoms=np.array([row["n_atoms"] for row in rows], np.int64),
        ln_area=column("ln_area"),
        tau=column("tau_re") + 1j * column("tau_im"),
        columns={name: column(name) for name in _NUMBERS},
    )
