"""The materials of a screen, as numbers: a snapshot that a later import cannot change."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Connection, Double, LargeBinary, and_, cast, func, literal, select, text
from sqlalchemy.dialects.postgresql import aggregate_order_by

from schema import ScreeningMember
from schema.vocabulary import EdgeMethod
from stackscreen.pairs.misfit import mean_stiffness
from stackscreen.screening.spaces import of_run, run_key

_MONOLAYERS = text("""
    SELECT m.id AS material_id, m.uid, m.formula, m.elements, m.n_atoms, l.ln_area, l.tau_re, l.tau_im, l.polar,
           encode(s.digest, 'hex') AS structure
    FROM material m JOIN monolayer l ON l.material_id = m.id JOIN structure s ON s.id = m.structure_id
    WHERE m.withdrawn_at IS NULL AND (CAST(:only AS integer[]) IS NULL OR m.id = ANY(CAST(:only AS integer[])))
    ORDER BY m.id
""")

_SURFACES = text("""
    SELECT m.id AS material_id, f.id AS surface_id,
           m.uid || '(' || f.miller_h || f.miller_k || f.miller_l || ')'
               || CASE WHEN f.termination > 0 THEN '-' || f.termination ELSE '' END AS uid,
           m.formula, m.elements, f.n_atoms, f.ln_area, f.tau_re, f.tau_im, false AS polar,
           encode(s.digest, 'hex') AS structure
    FROM surface f JOIN material m ON m.id = f.material_id JOIN structure s ON s.id = m.structure_id
    WHERE m.withdrawn_at IS NULL AND (CAST(:only AS integer[]) IS NULL OR m.id = ANY(CAST(:only AS integer[])))
    ORDER BY m.id, f.id
""")

# One functional for all that is aligned, never mixed within a pair; energies above the hull and stiffness are PBE's,
# which are nobody else's.
_VALUES = text("""
    SELECT v.material_id, v.property, v.face, v.value
    FROM analyst.material_values v
    WHERE v.preference = 1 AND v.value IS NOT NULL
      AND (v.method = :edges AND v.property IN ('vbm', 'cbm', 'work_function', 'gap')
           OR v.method = 'PBE' AND v.property IN ('hull_energy', 'stiffness_11', 'stiffness_22'))
      AND (CAST(:only AS integer[]) IS NULL OR v.material_id = ANY(CAST(:only AS integer[])))
""")

# What the models see of each material, by digest: new features, and a layer that has now been encoded, are new inputs
# of a run.
_FEATURES = text("""
    SELECT material_id, string_agg(encode(inputs_digest, 'hex'), '' ORDER BY kind, id)
    FROM (
        SELECT material_id, 0 AS kind, feature_set_id AS id, inputs_digest FROM feature_vector
        UNION ALL
        SELECT material_id, 1, model_version_id, inputs_digest FROM embedding WHERE top IS NOT NULL
    ) seen
    WHERE CAST(:only AS integer[]) IS NULL OR material_id = ANY(CAST(:only AS integer[]))
    GROUP BY material_id
""")

# Hashes of the very rows that the snapshot is made of, and of some more: cheaper to make than the snapshot, and the
# same only if the snapshot is. XOR does not ask in which order the rows come.
_FINGERPRINTS = text("""
    WITH fact AS (
        SELECT source_record_id, bit_xor(hash_record_extended(
                   ROW(property_id, method::text, face::text, value, label), 0)) AS hash
        FROM property_value WHERE source_record_id IS NOT NULL GROUP BY source_record_id
    ), told AS (
        SELECT mm.material_id, bit_xor(hash_record_extended(
                   ROW(r.id, r.state::text, r.source_id, mm.evidence ->> 'flipped', fact.hash), 1)) AS hash
        FROM material_member mm
        JOIN source_record r ON r.id = mm.source_record_id
        LEFT JOIN fact ON fact.source_record_id = r.id
        GROUP BY mm.material_id
    ), described AS (
        SELECT material_id, bit_xor(hash) AS hash
        FROM (
            SELECT material_id, hash_record_extended(ROW(feature_set_id, inputs_digest), 2) AS hash FROM feature_vector
            UNION ALL
            SELECT material_id, hash_record_extended(ROW(model_version_id, inputs_digest), 6)
            FROM embedding WHERE top IS NOT NULL
        ) seen
        GROUP BY material_id
    ), face AS (
        SELECT f.material_id, bit_xor(hash_record_extended(ROW(f.*), 3)) AS hash FROM surface f GROUP BY f.material_id
    ), ranked AS (
        SELECT bit_xor(hash_record_extended(ROW(id, precedence), 4)) AS hash FROM source
    )
    SELECT m.id, hash_record_extended(ROW(
               m.uid, m.formula, m.elements, m.n_atoms, l.ln_area, l.tau_re, l.tau_im, l.polar, s.digest,
               told.hash, described.hash, face.hash, ranked.hash), 5) AS fingerprint
    FROM material m
    CROSS JOIN ranked
    JOIN structure s ON s.id = m.structure_id
    LEFT JOIN monolayer l ON l.material_id = m.id
    LEFT JOIN told ON told.material_id = m.id
    LEFT JOIN described ON described.material_id = m.id
    LEFT JOIN face ON face.material_id = m.id
    WHERE m.withdrawn_at IS NULL AND (l.material_id IS NOT NULL OR face.material_id IS NOT NULL)
""")

_FACED = ("vbm", "cbm", "work_function")
_NUMBERS = (*(f"{key}_{face}" for key in _FACED for face in ("bottom", "top")), "gap", "hull_energy", "stiffness")


@dataclass(frozen=True, slots=True)
class Lattices:
    """In-plane lattices of members by number: `ln_area` (ln of Å²), reduced shape `tau`, `n_atoms`, each shape (N,)."""

    ln_area: NDArray[np.float64]
    tau: NDArray[np.complex128]
    n_atoms: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class MemberTable:
    """The members of a run as arrays; NaN where a value is unknown. Monolayers first, then surfaces, oldest first.

    A *place* is a member's position in these arrays. In the run that founded a space it is the member's number; one
    that came later has a number behind all others, and its place among its kind.

    Attributes:
        n_monolayers: how many of the N members are monolayers.
        number: their numbers in the space, shape (N,).
        material_id, n_atoms: shape (N,), integers.
        ln_area: ln of the cell area in Å², shape (N,).
        tau: reduced shapes, shape (N,), complex.
        columns: other floats by name, eV, eV/atom or N/m, shape (N,): vbm_bottom, ..., gap, hull_energy, stiffness.
    """

    n_monolayers: int
    number: NDArray[np.int64]
    material_id: NDArray[np.int64]
    n_atoms: NDArray[np.int64]
    ln_area: NDArray[np.float64]
    tau: NDArray[np.complex128]
    columns: dict[str, NDArray[np.float64]]

    def __len__(self) -> int:
        return len(self.material_id)


def fingerprints(connection: Connection) -> dict[int, int]:
    """A hash of everything that the snapshot reads of each living material, by material id."""
    return {row.id: row.fingerprint for row in connection.execute(_FINGERPRINTS)}


def snapshot(connection: Connection, edges: EdgeMethod, *, only: Iterable[int] | None = None) -> list[dict[str, Any]]:
    """The rows of `screening_member` for today's materials, without run, numbers and fingerprint.

    Args:
        connection: in the transaction that will plan the run.
        edges: functional of the band edges, gaps and work functions.
        only: material ids; all living materials if None.

    Returns:
        Monolayers by material id, then surfaces by material id.
    """
    asked = {"only": None if only is None else [int(number) for number in only]}
    values: dict[int, dict[str, float]] = {}
    for material_id, key, face, value in connection.execute(_VALUES, {**asked, "edges": edges}):
        known = values.setdefault(material_id, {})
        known[f"{key}_{face}" if face else key] = value
    features = {row[0]: row[1] for row in connection.execute(_FEATURES, asked)}
    rows = []
    sides = [*connection.execute(_MONOLAYERS, asked).mappings(), *connection.execute(_SURFACES, asked).mappings()]
    for side in sides:
        row: dict[str, Any] = {"surface_id": None, **side}
        facts = values.get(side["material_id"], {}) if row["surface_id"] is None else {}
        for key in _FACED:
            for face in ("bottom", "top"):
                row[f"{key}_{face}"] = facts.get(f"{key}_{face}", facts.get(key))
        row["gap"] = facts.get("gap") if row["surface_id"] is None else 0.0
        row["hull_energy"] = facts.get("hull_energy")
        row["stiffness"] = mean_stiffness(facts.get("stiffness_11"), facts.get("stiffness_22"))
        seen = {**row, "features": features.get(side["material_id"], "")}
        row["inputs_digest"] = hashlib.sha256(orjson.dumps(seen, option=orjson.OPT_SORT_KEYS)).digest()
        del row["structure"]
        rows.append(row)
    return rows


BY_PLACE = (ScreeningMember.surface_id.is_not(None), ScreeningMember.material_id, ScreeningMember.surface_id)
"""The order of places."""
_WHOLE = ("member", "material_id", "n_atoms", "surface_id")
_LATTICE = ("ln_area", "tau_re", "tau_im")


def _columns(
    connection: Connection, names: Iterable[str], condition: ColumnElement[bool], order: tuple[Any, ...]
) -> dict[str, NDArray[Any]]:
    """Columns of `screening_member` as arrays: each comes as one value, many times faster than a row a member."""
    kinds = {name: ("int4", ">i4", -1) if name in _WHOLE else ("float8", ">f8", cast("NaN", Double)) for name in names}
    packed = [
        func.string_agg(
            getattr(func, f"{sent_as}send")(func.coalesce(getattr(ScreeningMember, name), missing)),
            aggregate_order_by(literal(b"", LargeBinary), *order),
        )
        for name, (sent_as, _, missing) in kinds.items()
    ]
    row = connection.execute(select(*packed).where(condition)).one()
    return {
        name: np.frombuffer(value or b"", kind).astype(np.int64 if name in _WHOLE else np.float64)
        for (name, (_, kind, _)), value in zip(kinds.items(), row, strict=True)
    }


def load_members(connection: Connection, run_id: int) -> MemberTable:
    """The members of a run, in the order of their places.

    Raises:
        UnknownRunError: there is no such run.
    """
    of = _columns(
        connection, (*_WHOLE, *_LATTICE, *_NUMBERS), of_run(ScreeningMember, run_key(connection, run_id)), BY_PLACE
    )
    return MemberTable(
        n_monolayers=int((of["surface_id"] < 0).sum()),
        number=of["member"],
        material_id=of["material_id"],
        n_atoms=of["n_atoms"],
        ln_area=of["ln_area"],
        tau=of["tau_re"] + 1j * of["tau_im"],
        columns={name: of[name] for name in _NUMBERS},
    )


def load_lattices(connection: Connection, space_id: int, *, founding: bool) -> Lattices:
    """The lattices of a space, by number, gone members included.

    Args:
        connection: to read with.
        space_id: the run that founded it.
        founding: those that it was founded with; else those that came later.
    """
    member = ScreeningMember
    when = member.since == space_id if founding else member.since > space_id
    names = ("n_atoms", *_LATTICE)
    of = _columns(connection, names, and_(member.run_id == space_id, when), (member.member,))
    return Lattices(of["ln_area"], of["tau_re"] + 1j * of["tau_im"], of["n_atoms"])


def table_of(rows: Sequence[Mapping[Any, Any]]) -> MemberTable:
    """Rows of a snapshot as arrays; their numbers are those that a run of them would give."""

    def column(name: str) -> NDArray[np.float64]:
        return np.array([np.nan if row[name] is None else row[name] for row in rows], float)

    return MemberTable(
        n_monolayers=sum(row["surface_id"] is None for row in rows),
        number=np.arange(len(rows)),
        material_id=np.array([row["material_id"] for row in rows], np.int64),
        n_atoms=np.array([row["n_atoms"] for row in rows], np.int64),
        ln_area=column("ln_area"),
        tau=column("tau_re") + 1j * column("tau_im"),
        columns={name: column(name) for name in _NUMBERS},
    )
