"""Training rows from the database: computed homobilayers with the isolated layers that they are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, select, text

from ml import features
from ml.datasets import TARGETS, Bilayer, TrainingTable, build
from ml.descriptors.slab import NotASlabError, Slab
from ml.feature_store import load_layers
from schema.materials import Material

_BILAYERS = text("""
    SELECT i.id, s.key || ':' || r.external_id AS name, i.bottom_material_id AS material_id, st.numbers, st.positions,
           st.cell, v.targets
    FROM interface i
    JOIN source_record r ON r.id = i.source_record_id AND r.state = 'accepted'
    JOIN source s ON s.id = r.source_id
    JOIN structure st ON st.id = i.structure_id
    JOIN LATERAL (
        SELECT jsonb_object_agg(p.key, pv.value) AS targets
        FROM property_value pv
        JOIN property p ON p.id = pv.property_id
        WHERE pv.source_record_id = r.id AND p.key = ANY(:targets) AND pv.value IS NOT NULL
    ) v ON true
    WHERE i.kind = 'homobilayer' AND s.key = ANY(:sources)
    ORDER BY name
""")


@dataclass(frozen=True)
class TrainingSet:
    """Everything that training takes from the database.

    Attributes:
        table: training rows.
        materials: feature vectors of the layers, by uid.
    """

    table: TrainingTable
    materials: dict[str, NDArray[np.floating]]


SOURCES = ("bidb",)
"""Sources that are trained on: one functional, computed throughout. Approximate starter values are not among them."""


def load_training_set(connection: Connection, *, sources: Sequence[str] = SOURCES) -> TrainingSet:
    """The homobilayers of the database as training rows.

    Features are computed from the layers as they are now, not taken from `feature_vector`, so that training cannot
    lag behind the data; both go through the same function and the same precision.

    Args:
        connection: to read with.
        sources: keys of the sources whose bilayers are taken.
    """
    rows = connection.execute(_BILAYERS, {"targets": list(TARGETS), "sources": list(sources)}).all()
    wanted = sorted({row.material_id for row in rows if row.material_id is not None})
    layers = load_layers(connection, wanted)
    names = {
        row.id: (row.uid, row.formula_anonymous)
        for row in connection.execute(
            select(Material.id, Material.uid, Material.formula_anonymous).where(Material.id.in_(wanted))
        )
    }
    order = [number for number in wanted if number in layers]
    vectors = features.compute([layers[number] for number in order])
    materials = {names[number][0]: vectors[row] for row, number in enumerate(order)}
    bilayers = []
    for row in rows:
        try:
            slab = Slab.from_cell(row.numbers, np.reshape(row.positions, (-1, 3)), np.reshape(row.cell, (3, 3)))
        except NotASlabError:
            continue
        uid = names[row.material_id][0] if row.material_id in layers else ""
        bilayers.append(Bilayer(row.name, uid, slab, row.targets or {}))
    table = build(
        bilayers,
        {names[number][0]: layers[number].slab for number in order},
        materials,
        {names[number][0]: names[number][1] for number in order},
    )
    return TrainingSet(table, materials)
