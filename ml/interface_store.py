"""Rows that models are fitted on, from the database: computed interfaces with the isolated layers they are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sqlalchemy import Connection, select, text

from ml import interfaces, on_bulk
from ml.alignment import alignment_class
from ml.descriptors.slab import NotASlabError, Slab
from ml.feature_store import load_layers
from ml.features import Layer
from ml.interfaces import Interface, LayerTable, assemble
from ml.rows import InterfaceRows
from ml.stacks import part
from schema.materials import Material
from schema.quantities import ALIGNMENT_TYPE, CBM, GAP, VBM
from schema.vocabulary import Face, InterfaceKind

SOURCES: dict[str, tuple[str, ...]] = {
    InterfaceKind.HOMOBILAYER.value: ("bidb",),
    InterfaceKind.HETEROBILAYER.value: ("hetml", "hetdb"),
    InterfaceKind.ON_BULK.value: ("hetero2d",),
}
"""Sources that are learned from, by domain: each of one functional throughout. Approximate starter values are not
among them."""

_INTERFACES = text("""
    SELECT i.id, s.key AS source, r.external_id, i.bottom_material_id AS bottom, i.top_material_id AS top,
           st.numbers, st.positions, st.cell, k.bottom_matrix, k.top_matrix, k.top_operation, k.flip, k.shift_a,
           k.shift_b, k.twist, r.payload, v.labels
    FROM interface i
    JOIN source_record r ON r.id = i.source_record_id AND r.state = 'accepted'
    JOIN source s ON s.id = r.source_id
    LEFT JOIN structure st ON st.id = i.structure_id
    LEFT JOIN stacking k ON k.interface_id = i.id
    LEFT JOIN LATERAL (
        SELECT jsonb_agg(jsonb_build_array(p.key, pv.value, pv.label, pv.face)) AS labels
        FROM property_value pv
        JOIN property p ON p.id = pv.property_id
        WHERE pv.source_record_id = r.id
    ) v ON true
    WHERE i.kind = :kind AND s.key = :source
    ORDER BY r.external_id
""")


def load_rows(connection: Connection, domain: str, *, sources: Sequence[str] | None = None) -> list[InterfaceRows]:
    """The labelled interfaces of a domain, one table a source that has any.

    Features are computed from the layers as they are now, not taken from `feature_vector`, so that training cannot
    lag behind the data; both go through the same function and the same precision.

    Args:
        connection: to read with.
        domain: value of `InterfaceKind`.
        sources: keys of the sources; those of `SOURCES` if None.
    """
    found = []
    for source in SOURCES[domain] if sources is None else sources:
        rows = connection.execute(_INTERFACES, {"kind": domain, "source": source}).all()
        if rows:
            if domain == InterfaceKind.ON_BULK.value:
                # Films and substrates are those of the unrelaxed structures, which the source's records hold.
                found.append(on_bulk.rows_of(source, [(row.external_id, row.payload, _labels(row)) for row in rows]))
            else:
                found.append(_bilayers(connection, domain, source, rows))
    return [rows for rows in found if len(rows)]


def _bilayers(connection: Connection, domain: str, source: str, rows: Sequence[Any]) -> InterfaceRows:
    wanted = sorted({number for row in rows for number in (row.bottom, row.top) if number is not None})
    layers = load_layers(connection, wanted)
    query = select(Material.id, Material.uid, Material.formula_anonymous).where(Material.id.in_(wanted))
    names = {row.id: (row.uid, row.formula_anonymous) for row in connection.execute(query)}
    table = LayerTable.of(
        {names[number][0]: layer for number, layer in layers.items()},
        {names[number][0]: names[number][1] for number in layers},
    )
    unknown = ("", "")
    found = []
    for row in rows:
        bottom, top = names.get(row.bottom, unknown)[0], names.get(row.top, unknown)[0]
        slabs = _slabs(row, layers) if row.bottom in layers and row.top in layers else None
        stacktype = row.payload.get("stacktype")
        labels = _labels(row)
        if slabs is None and row.bottom in layers and row.top in layers:
            kind = alignment_class(_edges(row), layers[row.bottom], layers[row.top])
            if kind is not None:
                labels[ALIGNMENT_TYPE.key] = kind
        found.append(
            Interface(
                row.external_id,
                bottom,
                top,
                labels,
                None if slabs is None else slabs[0],
                None if slabs is None else slabs[1],
                stacktype=stacktype if stacktype in ("AA", "AB") else None,
                flip=row.flip if row.top_operation is not None else None,
                operation=row.top_operation,
                shift=None if row.shift_a is None or row.shift_b is None else (row.shift_a, row.shift_b),
                matrices=None if row.bottom_matrix is None else (row.bottom_matrix, row.top_matrix),
                twist=row.twist,
            )
        )
    return assemble(domain, source, found, table)


def _labels(row: Any) -> dict[str, float]:
    """Labels of a stack: the mean of a quantity's faces, classes as numbers."""
    found: dict[str, list[float]] = {}
    for key, value, word, _ in row.labels or []:
        number = interfaces.label(key, word if value is None else value)
        if number is not None:
            found.setdefault(key, []).append(number)
    return {key: float(np.mean(values)) for key, values in found.items()}


def _edges(row: Any) -> dict[tuple[str, Face | None], float]:
    """Gap and band edges of a stack by quantity and face."""
    wanted = {GAP.key, VBM.key, CBM.key}
    return {
        (key, Face(face) if face else None): float(value)
        for key, value, _, face in row.labels or []
        if key in wanted and value is not None
    }


def _slabs(row: Any, layers: dict[int, Layer]) -> tuple[Slab, Slab] | None:
    """The two layers as they lie in the stack; None without coordinates or where the atoms do not divide so."""
    if row.numbers is None:
        return None
    try:
        stack = Slab.from_cell(row.numbers, np.reshape(row.positions, (-1, 3)), np.reshape(row.cell, (3, 3)))
    except NotASlabError:
        return None
    bottom, top = layers[row.bottom].slab, layers[row.top].slab
    cells = [1, 1]
    if row.bottom_matrix is not None:
        cells = [round(abs(np.linalg.det(np.reshape(m, (2, 2))))) for m in (row.bottom_matrix, row.top_matrix)]
    order = np.argsort(stack.positions[:, 2], kind="stable")
    for first, second, n in ((bottom, top, cells[0]), (top, bottom, cells[1])):
        below, above = order[: n * len(first)], order[n * len(first) :]
        if len(above) and _consists(stack.numbers[below], first) and _consists(stack.numbers[above], second):
            return part(stack, below), part(stack, above)
    return None


def _consists(numbers: Any, layer: Slab) -> bool:
    """Whether atoms are whole cells of a layer."""
    cells, rest = divmod(len(numbers), len(layer))
    return not rest and np.array_equal(np.sort(numbers), np.sort(np.repeat(layer.numbers, cells)))
