"""Densities of states from the database, as the fusion heads take them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, text

from ml.descriptors.states import BINS, states_descriptor
from schema.vocabulary import EnergyReference, Method

# Without spin-orbit coupling first, as most sources give it so; then the oldest, so that the choice is always the same.
_STATES = text("""
    SELECT DISTINCT ON (uid) uid, reference, fermi_energy, energies, total, density_of_states_id
    FROM analyst.densities_of_states
    WHERE method = :method AND (fermi_energy IS NOT NULL OR reference = :fermi)
    ORDER BY uid, spin_orbit, density_of_states_id
""")
_PROJECTIONS = text("""
    SELECT density_of_states_id, orbital IS NULL AS is_sum, density
    FROM analyst.dos_projections
    WHERE density_of_states_id = ANY(:ids)
""")


def load_states(connection: Connection) -> dict[str, NDArray[np.float32]]:
    """`ml.descriptors.states.states_descriptor` of every material that has a PBE density of states, by uid.

    Where a source gives projections alone, their sum stands for the total. There are few: most databases publish none.
    What is not here is unknown, and the heads are told so.
    """
    parameters = {"method": Method.PBE.value, "fermi": EnergyReference.FERMI.value}
    rows = connection.execute(_STATES, parameters).all()
    summed = _sums(connection, [row.density_of_states_id for row in rows if row.total is None])
    found = {}
    for row in rows:
        total = summed.get(row.density_of_states_id) if row.total is None else row.total
        if total is None:
            continue
        zero = 0.0 if row.reference == EnergyReference.FERMI.value else float(row.fermi_energy)
        shares = states_descriptor(row.energies, total, zero)
        if np.isfinite(shares).all():
            found[row.uid] = shares
    return found


def _sums(connection: Connection, ids: list[int]) -> dict[int, NDArray[np.float64]]:
    """Sum of the projections of each density of states: over orbitals, or over elements where none are told apart."""
    parts: dict[tuple[int, bool], NDArray[np.float64]] = {}
    for number, is_sum, density in connection.execute(_PROJECTIONS, {"ids": ids}):
        parts[number, is_sum] = parts.get((number, is_sum), 0.0) + np.array(density, float)
    return {number: parts.get((number, False), density) for (number, _), density in parts.items()}


def states_table(names: list[str], known: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32] | None:
    """Descriptors in the order of some materials, shape (materials, BINS), NaN where unknown; None if all are."""
    table = np.array([known.get(name, np.full(BINS, np.nan, np.float32)) for name in names], np.float32)
    return table if np.isfinite(table).any() else None
