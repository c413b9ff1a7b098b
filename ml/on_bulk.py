"""Layers on substrates as Hetero2d writes them: film and substrate before either has relaxed.

The unrelaxed structure holds the substrate as cut from its bulk and the film strained to it: what a screen knows. Each
stack is described by its own two sides, as `stackscreen predict` describes one that it is given, so that a row that
trains and a row that is predicted are the same row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from ase.data import atomic_numbers, chemical_symbols
from ase.formula import Formula

from ml.descriptors.slab import NotASlabError, Slab
from ml.features import Layer
from ml.interfaces import Interface, LayerTable, assemble
from ml.rows import InterfaceRows
from ml.stacks import settled
from schema.two_layers import film_atoms
from schema.vocabulary import InterfaceKind

FACE_DEPTH = 6.0
"""Å: a crystal is described by what lies no deeper than this below its face, however thick the slab that was cut."""

_UNREADABLE = "no unrelaxed structure of a whole film on a substrate"


def rows_of(source: str, records: Iterable[tuple[str, Mapping[str, Any], Mapping[str, float]]]) -> InterfaceRows:
    """Rows of the layers on substrates of a source.

    Args:
        source: its key.
        records: name, payload and labels of each. The payload holds `initial_structure` as pymatgen writes it,
            `iface_idx`, `film_composition`, `substrate_composition`, `surface_plane` and `alignment_info`.

    Returns:
        A row of each record with a readable unrelaxed structure whose film is whole cells of its formula. Rows are
        called by the kind of substrate ("Ag(111)") and of film; the layers are of the least strained stack of a kind.
    """
    left_out: Counter[str] = Counter()
    sides: dict[str, Layer] = {}
    stacks: list[Interface] = []
    kinds: dict[str, tuple[str, str]] = {}
    least: dict[str, tuple[float, str]] = {}
    for name, payload, labels in sorted(records, key=lambda record: record[0]):
        try:
            lower, upper = unrelaxed(payload)
        except (KeyError, TypeError, ValueError, NotASlabError):
            left_out[_UNREADABLE] += 1
            continue
        stack = Interface(name, f"{name}, substrate", f"{name}, film", labels)
        sides[stack.bottom], sides[stack.top] = Layer(crystal_face(lower)), Layer(settled(upper))
        stacks.append(stack)
        film = str(payload["film_composition"])
        kinds[name] = f"{payload['substrate_composition']}({payload.get('surface_plane', '')})", film
        match = payload.get("alignment_info") or {}
        misfit = max(abs(float(match.get(key) or 0.0)) for key in ("u", "v"))
        for kind, side in zip(kinds[name], (stack.bottom, stack.top), strict=True):
            least[kind] = min(least.get(kind, (np.inf, "")), (misfit, side))
    own = LayerTable.of(sides, {})
    rows = assemble(InterfaceKind.ON_BULK.value, source, stacks, own)
    families = {kind: _anonymous(sides[side].slab) for kind, (_, side) in least.items()}
    layers = {kind: sides[side] for kind, (_, side) in least.items()}
    table = LayerTable(layers, families, {kind: own.row[side] for kind, (_, side) in least.items()}, own.features)
    bottom, top = ([kinds[stack.id][side] for stack in stacks] for side in (0, 1))
    return replace(
        rows,
        bottom=bottom,
        top=top,
        bottom_family=[families[name] for name in bottom],
        top_family=[families[name] for name in top],
        left_out=dict(sorted((left_out + Counter(rows.left_out)).items())),
        layers=table,
    )


def unrelaxed(payload: Mapping[str, Any]) -> tuple[Slab, Slab]:
    """Substrate and film of `initial_structure`, the film above.

    Raises:
        KeyError, TypeError, ValueError: the payload does not hold it in pymatgen's form, or its film is not whole
            formula units (`schema.two_layers.film_atoms`).
        NotASlabError: it is no slab.
    """
    structure = payload["initial_structure"]
    cell = np.array(structure["lattice"]["matrix"], float)
    fractional = np.array([site["abc"] for site in structure["sites"]], float)
    numbers = np.array([atomic_numbers[site["species"][0]["element"]] for site in structure["sites"]], np.int64)
    index = payload["iface_idx"]
    listed = sorted({int(i) for key, members in index.items() if key.startswith("2d_layer_") for i in members})
    whole = Slab.from_cell(numbers, fractional @ cell, cell)
    units = (_formula_unit(payload[key]) for key in ("film_composition", "substrate_composition"))
    upper = film_atoms(whole.numbers, whole.positions[:, 2], np.array(listed, np.int64), *units)
    if upper is None:
        raise ValueError("the film is not whole formula units")
    lower = np.setdiff1d(np.arange(len(whole)), upper)
    below, above = (Slab(whole.numbers[part], whole.positions[part], whole.cell) for part in (lower, upper))
    if above.positions[:, 2].mean() < below.positions[:, 2].mean():
        # Half a turn about x, and not a mirror: the handedness of the two stays.
        turn = np.array([1.0, -1.0, -1.0])
        cell_turned = whole.cell * turn[:2]
        below, above = (Slab(s.numbers, s.positions * turn, cell_turned) for s in (below, above))
    return below, above


def crystal_face(slab: Slab) -> Slab:
    """What a crystal shows of itself to a layer above: the slab down to `FACE_DEPTH` below its top."""
    shown = np.flatnonzero(slab.depth(True) <= FACE_DEPTH)
    return settled(Slab(slab.numbers[shown], slab.positions[shown], slab.cell))


def _formula_unit(formula: object) -> Counter[int]:
    """Atoms of one formula unit, by atomic number.

    Raises:
        ValueError, KeyError: it is no formula.
    """
    unit = Counter({atomic_numbers[symbol]: count for symbol, count in Formula(str(formula)).count().items()})
    if not unit:
        raise ValueError(f"{formula!r} is no formula")
    return unit


def _anonymous(slab: Slab) -> str:
    """Anonymous formula of a layer: A, AB2."""
    from pymatgen.core import Composition

    numbers, counts = np.unique(slab.numbers, return_counts=True)
    elements = {chemical_symbols[number]: int(count) for number, count in zip(numbers, counts, strict=True)}
    return str(Composition(elements).anonymized_formula)
