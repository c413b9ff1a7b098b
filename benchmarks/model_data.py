"""The published files as the rows that models are fitted on, without a database.

Layers of BiDB and HetDB are those of C2DB by their uid; a parent that C2DB's file does not hold is the upper layer of
the first of its bilayers, without properties. Layers of HetML are its own. Films and substrates of Hetero2d are those
of the unrelaxed structures.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from etl.formula import formulas
from etl.records import Atoms, Record
from etl.source import get_source
from etl.sources.hetdb import cell_of_uid
from ml import interfaces, on_bulk
from ml.alignment import MIN_MARGIN, alignment_class
from ml.descriptors.slab import NotASlabError, Slab
from ml.features import Layer
from ml.interfaces import Interface, LayerTable, assemble
from ml.rows import InterfaceRows
from schema.quantities import (
    ALIGNMENT_TYPE,
    CBM,
    CBM_NOSOC,
    FORMATION_ENERGY,
    GAP,
    GAP_NOSOC,
    HULL_ENERGY,
    INTERLAYER_DISTANCE,
    POLARIZABILITY_X,
    POLARIZABILITY_Y,
    POLARIZABILITY_Z,
    VACUUM_STEP,
    VBM,
    VBM_NOSOC,
    WORK_FUNCTION,
)
from schema.vocabulary import Face, InterfaceKind, Method

FILES = {
    "c2db": "c2db/c2db.db",
    "bidb": "bidb/bidb.db",
    "hetdb": "hetdb/hetdb.db",
    "hetml": "hetml",
    "hetero2d": "aihd/2d_substrate_heterostructures.json",
}
"""Where the files lie in a folder of data, by source."""
LAYER_QUANTITIES = frozenset(
    q.key
    for q in (
        GAP, VBM, CBM, GAP_NOSOC, VBM_NOSOC, CBM_NOSOC, WORK_FUNCTION, VACUUM_STEP, FORMATION_ENERGY, HULL_ENERGY,
        POLARIZABILITY_X, POLARIZABILITY_Y, POLARIZABILITY_Z,
    )
)  # fmt: skip


def records(folder: Path, key: str) -> Iterator[Record]:
    """All readable records of a source."""
    source, path = get_source(key), folder / FILES[key]
    source.check(path)
    for item in source.records(path):
        if isinstance(item, Record):
            yield item


def layer_of(record: Record) -> Layer:
    """An isolated layer with its PBE properties.

    Raises:
        NotASlabError: the record's atoms are no layer.
    """
    if record.atoms is None:
        raise NotASlabError(f"{record.external_id} has no structure.", hint="Give a record with atoms.")
    properties: dict[tuple[str, Face | None], float] = {
        (fact.quantity.key, fact.face): float(fact.value)
        for fact in record.facts
        if fact.method is Method.PBE and fact.quantity.key in LAYER_QUANTITIES
    }
    return Layer(slab_of(record.atoms), properties)


def slab_of(atoms: Atoms) -> Slab:
    """The slab of some atoms."""
    return Slab.from_cell(atoms.numbers, atoms.positions, atoms.cell)


def labels_of(record: Record) -> dict[str, float]:
    """Labels of a stack, band edges as the mean of its two faces, classes as numbers."""
    doubted = {doubt.property_key for doubt in record.doubts}
    found: dict[str, list[float]] = {}
    for fact in record.facts:
        value = interfaces.label(fact.quantity.key, fact.value)
        if value is not None and fact.quantity.key not in doubted:
            found.setdefault(fact.quantity.key, []).append(value)
    return {key: float(np.mean(values)) for key, values in found.items()}


def edges_of(record: Record) -> dict[tuple[str, Face | None], float]:
    """Gap and band edges of a stack by quantity and face."""
    wanted = {GAP.key, VBM.key, CBM.key}
    return {(f.quantity.key, f.face): float(f.value) for f in record.facts if f.quantity.key in wanted}


def read_all(
    folder: Path, *, only: tuple[str, ...] = ("bidb", "hetml", "hetdb", "hetero2d")
) -> dict[str, InterfaceRows]:
    """Rows of every source, by its key.

    Args:
        folder: holds `FILES`.
        only: keys of the sources that are wanted.
    """
    readers = {"bidb": bidb, "hetml": hetml, "hetdb": hetdb, "hetero2d": hetero2d}
    c2db = C2DB(folder)
    return {key: readers[key](folder, c2db) for key in only}


class C2DB:
    """The layers of C2DB by any of their names; read when first asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._records: dict[str, Record] = {}

    def get(self, name: str) -> Record | None:
        """The layer of that uid or older uid."""
        if not self._records:
            for record in records(self._folder, "c2db"):
                for known in (*record.names, record.external_id):
                    self._records[known] = record
        return self._records.get(name)


def _table(layers: dict[str, Layer]) -> LayerTable:
    return LayerTable.of(layers, {name: formulas(layer.slab.numbers)[1] for name, layer in layers.items()})


def _stack_slabs(record: Record) -> tuple[Slab, Slab] | None:
    """The two layers of a stack with coordinates, in one frame."""
    if record.atoms is None or record.stack is None or record.stack.top_atoms is None:
        return None
    try:
        whole = slab_of(record.atoms)
    except NotASlabError:
        return None
    upper = np.asarray(record.stack.top_atoms)
    lower = np.setdiff1d(np.arange(len(whole)), upper)
    below, above = (Slab(whole.numbers[part], whole.positions[part], whole.cell) for part in (lower, upper))
    return (below, above) if above.positions[:, 2].mean() > below.positions[:, 2].mean() else (above, below)


def bidb(folder: Path, c2db: C2DB) -> InterfaceRows:
    """Homobilayers of BiDB."""
    layers: dict[str, Layer] = {}
    found = []
    for record in records(folder, "bidb"):
        stack, slabs = record.stack, _stack_slabs(record)
        if stack is None or slabs is None:
            continue
        parent = c2db.get(stack.bottom_name)
        name = parent.external_id if parent is not None else stack.bottom_name
        if name not in layers:
            layers[name] = layer_of(parent) if parent is not None else Layer(slabs[1])
        labels = labels_of(record)
        labels[INTERLAYER_DISTANCE.key] = distance(*slabs)
        found.append(
            Interface(
                record.external_id,
                name,
                name,
                labels,
                *slabs,
                flip=stack.flip,
                operation=stack.top_operation,
                shift=None if stack.shift_a is None or stack.shift_b is None else (stack.shift_a, stack.shift_b),
                matrices=(interfaces.IDENTITY, interfaces.IDENTITY),
            )
        )
    return assemble(InterfaceKind.HOMOBILAYER.value, "bidb", found, _table(layers))


def distance(lower: Slab, upper: Slab) -> float:
    """Lowest nucleus of the upper layer minus highest of the lower, Å."""
    return float(upper.positions[:, 2].min() - lower.positions[:, 2].max())


def hetml(folder: Path, _: C2DB | None = None, *, margin: float = MIN_MARGIN) -> InterfaceRows:
    """Heterobilayers of HetML.

    Args:
        folder: of the data.
        margin: of the types of alignment, eV: see `ml.alignment`.
    """
    layers: dict[str, Layer] = {}
    found = []
    for record in records(folder, "hetml"):
        stack = record.stack
        if stack is None:
            layers[record.external_id] = layer_of(record)
            continue
        labels = labels_of(record)
        if stack.distance is not None:
            labels[INTERLAYER_DISTANCE.key] = stack.distance
        if {stack.bottom_name, stack.top_name} <= layers.keys():
            below, above = layers[stack.bottom_name], layers[stack.top_name]
            kind = alignment_class(edges_of(record), below, above, margin=margin)
            if kind is not None:
                labels[ALIGNMENT_TYPE.key] = kind
        found.append(
            Interface(
                record.external_id,
                stack.bottom_name,
                stack.top_name,
                labels,
                stacktype=str(record.payload.get("stacktype", "")) or None,
                matrices=(interfaces.IDENTITY, interfaces.IDENTITY),
                twist=0.0,
            )
        )
    used = {name for one in found for name in (one.bottom, one.top)}
    table = _table({name: layer for name, layer in layers.items() if name in used})
    return assemble(InterfaceKind.HETEROBILAYER.value, "hetml", found, table)


def hetdb(folder: Path, c2db: C2DB) -> InterfaceRows:
    """Moiré heterobilayers of HetDB."""
    layers: dict[str, Layer] = {}
    found = []
    for record in records(folder, "hetdb"):
        stack, slabs = record.stack, _stack_slabs(record)
        if stack is None or slabs is None or stack.bottom_name == stack.top_name:
            continue
        for name in (stack.bottom_name, stack.top_name):
            parent = c2db.get(name)
            if parent is not None:
                layers[name] = layer_of(parent)
        cells = (sum(cell_of_uid(stack.bottom_name).values()), sum(cell_of_uid(stack.top_name).values()))
        whole = all(
            round(abs(np.linalg.det(np.reshape(matrix, (2, 2))))) * n == len(slab)
            for matrix, n, slab in zip((stack.bottom_matrix, stack.top_matrix), cells, slabs, strict=True)
        )
        found.append(
            Interface(
                record.external_id,
                stack.bottom_name,
                stack.top_name,
                labels_of(record) | {INTERLAYER_DISTANCE.key: distance(*slabs)},
                *slabs,
                matrices=(stack.bottom_matrix, stack.top_matrix) if whole else None,
                twist=stack.twist,
            )
        )
    return assemble(InterfaceKind.HETEROBILAYER.value, "hetdb", found, _table(layers))


def hetero2d(folder: Path, _: C2DB) -> InterfaceRows:
    """Layers on elemental metals of Hetero2d."""
    payloads: list[tuple[str, dict[str, Any], dict[str, float]]] = []
    for record in records(folder, "hetero2d"):
        slabs = _stack_slabs(record)
        if slabs is not None:
            labels = labels_of(record) | {INTERLAYER_DISTANCE.key: distance(*slabs)}
            payloads.append((record.external_id, orjson.loads(orjson.dumps(record.payload)), labels))
    return on_bulk.rows_of("hetero2d", payloads)
