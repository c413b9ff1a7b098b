"""How far two calculations of one thing differ, before any model is asked: the floor below which no error can fall.

    python -m benchmarks noise --data FOLDER [--write FILE]

FOLDER is as for `python -m benchmarks models`, with 2DMatPedia and MC2D where they are there. Layers of two sources are
one where deduplication says so, and stacks where both of their layers are. Nothing is fitted: these are differences of
published numbers. The first table also gives the margin of `ml/alignment.py`, and the third says what it costs.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks import hardware, model_data
from benchmarks.dedupe import as_layer
from etl.dedupe.decide import compare
from etl.dedupe.layers import Layer as Structure
from etl.errors import RecordError
from etl.records import Record
from etl.source import get_source
from ml.alignment import MIN_MARGIN, alignment_class
from ml.features import Layer
from ml.rows import InterfaceRows
from schema.quantities import CBM, CBM_NOSOC, GAP, INTERLAYER_DISTANCE, QUANTITIES, VBM, VBM_NOSOC, WORK_FUNCTION
from schema.vocabulary import Face, Method, Subject

FILES = {**model_data.FILES, "2dmatpedia": "2dmatpedia/db.json", "mc2d": "mc2d"}
COMPARED = (GAP.key, VBM.key, CBM.key, WORK_FUNCTION.key)
METHODS = frozenset({Method.PBE, Method.OPTB88})
"""Functionals without a share of exact exchange: another kind of gap is no noise."""
LARGE_COUPLING = 0.1
"""eV: where coupling moves the smaller gap of the layers by more, their stack can tell if it was calculated with it."""
CLEAR = 0.5
"""eV: an edge that is ahead of the other layer's by more is taken to be its layer's."""
MARGINS = (0.0, 0.05, MIN_MARGIN, 0.2, 0.3)
"""eV, for what a margin leaves out."""


@dataclass(frozen=True)
class Found:
    """A layer of a source.

    Attributes:
        structure: for deduplication.
        values: by quantity key: mean over the faces, in the quantity's unit.
    """

    structure: Structure
    values: Mapping[str, float]


def layers_of(folder: Path, key: str) -> dict[str, Found]:
    """The layers of a source by name; none where its file is not there."""
    where = folder / FILES[key]
    files = sorted(where.glob("*.json")) if key == "mc2d" else [where]
    found: dict[str, Found] = {}
    for file in files:
        found |= dict(_layers(key, file)) if file.exists() else {}
    return found


def _layers(key: str, path: Path) -> Iterator[tuple[str, Found]]:
    source = get_source(key)
    source.check(path)
    for record in source.records(path):
        if not isinstance(record, Record) or record.atoms is None or record.subject is not Subject.MONOLAYER:
            continue
        labels = [str(f.value) for f in record.facts if f.quantity.key == "magnetic_state"]
        try:
            structure = as_layer(record.atoms, record.external_id, labels[0] if labels else None)
        except RecordError:
            continue
        doubted = {doubt.property_key for doubt in record.doubts}
        values = defaultdict(list)
        for fact in record.facts:
            known = fact.quantity.key in COMPARED and fact.quantity.key not in doubted
            if known and fact.method in METHODS and not isinstance(fact.value, str):
                values[fact.quantity.key].append(float(fact.value))
        yield record.external_id, Found(structure, {name: float(np.mean(many)) for name, many in values.items()})


def same(ours: Mapping[str, Found], theirs: Mapping[str, Found]) -> dict[str, str]:
    """Name of the layer of `theirs` that each of `ours` is, the nearest of several; without those that are none."""
    by_formula = defaultdict(list)
    for name, one in theirs.items():
        by_formula[one.structure.formula].append(name)
    pairs = {}
    for name, one in ours.items():
        verdicts = [
            (compare(theirs[other].structure, one.structure), other) for other in by_formula[one.structure.formula]
        ]
        nearest = min(((verdict.distance, other) for verdict, other in verdicts if verdict.same), default=None)
        if nearest is not None:
            pairs[name] = nearest[1]
    return pairs


def layer_lines(key: str, ours: Mapping[str, Found], c2db: Mapping[str, Found], pairs: Mapping[str, str]) -> list[str]:
    """A line of the table for each quantity that both sources have of some layers."""
    lines = []
    for quantity in COMPARED:
        apart = np.array(
            [
                ours[a].values[quantity] - c2db[b].values[quantity]
                for a, b in pairs.items()
                if quantity in ours[a].values and quantity in c2db[b].values
            ]
        )
        if len(apart):
            lines.append(_line(f"{key} against c2db", quantity, apart))
    return lines


def _line(what: str, quantity: str, apart: NDArray[np.floating]) -> str:
    size = np.abs(apart)
    return (
        f"| {what} | {quantity}, {QUANTITIES[quantity].unit} | {len(apart)} | {apart.mean():+.3f} | "
        f"{np.median(size):.3f} | {size.mean():.3f} | {np.sqrt((apart**2).mean()):.3f} |"
    )


def stack_lines(rows: Mapping[str, InterfaceRows], names: Mapping[str, str]) -> list[str]:
    """Distances and gaps of HetDB's moirés beside those of HetML's single registries of the same two layers.

    Args:
        rows: of "hetdb" and "hetml".
        names: C2DB's name of HetML's layers.
    """
    lines = []
    for target in (INTERLAYER_DISTANCE.key, GAP.key):
        moire = _by_pair(rows["hetdb"], target, {})
        single = _by_pair(rows["hetml"], target, names)
        both = sorted(moire.keys() & single.keys())
        if both:
            apart = np.array([np.mean(single[pair]) - np.mean(moire[pair]) for pair in both])
            lines.append(_line("hetml (mean of its registries) against hetdb (moiré)", target, apart))
        spread = [values for values in single.values() if len(values) > 1]
        apart = np.array([values[0] - values[1] for values in spread])
        lines.append(_line("hetml, AA against AB of one pair", target, apart))
    return lines


def _by_pair(rows: InterfaceRows, target: str, names: Mapping[str, str]) -> dict[tuple[str, str], list[float]]:
    found = defaultdict(list)
    for bottom, top, value in zip(rows.bottom, rows.top, rows.targets[target], strict=True):
        if np.isfinite(value):
            low, high = sorted((names.get(bottom, bottom), names.get(top, top)))
            found[low, high].append(float(value))
    return dict(found)


def coupling_lines(folder: Path, rows: Mapping[str, InterfaceRows]) -> list[str]:
    """Whether a source's stacks are calculated with spin-orbit coupling: their levels beside those of their layers.

    Of HetML a stack's edges beside those of the layer that they clearly belong to; of the others the stack's gap beside
    the smaller one of its layers, which it can hardly exceed. Only where coupling moves the layer's level can be told.

    Args:
        folder: of the data.
        rows: by source.
    """
    layers: dict[str, Layer] = {}
    apart: dict[str, list[list[float]]] = {VBM.key: [], CBM.key: []}
    for record in model_data.records(folder, "hetml"):
        if record.stack is None:
            layers[record.external_id] = model_data.layer_of(record)
            continue
        edges = model_data.edges_of(record)
        bottom, top = layers[record.stack.bottom_name], layers[record.stack.top_name]
        for key, without, sign in ((VBM.key, VBM_NOSOC.key, 1.0), (CBM.key, CBM_NOSOC.key, -1.0)):
            # The facing levels say whose the edge is; the outer faces, which the stack's vacuum is at, where it lies.
            lead = sign * (bottom.value(key, Face.TOP) - top.value(key, Face.BOTTOM))
            face, layer = (Face.BOTTOM, bottom) if lead > 0 else (Face.TOP, top)
            levels = np.array([layer.value(key, face), layer.value(without, face)])
            if abs(lead) > CLEAR and abs(levels[0] - levels[1]) > LARGE_COUPLING:
                found = edges.get((key, face), edges.get((key, None), np.nan)) - levels
                apart[key] += [found.tolist()] if np.isfinite(found).all() else []
    lines = [_coupling(f"hetml: {key} less its layer's", np.array(values)) for key, values in apart.items() if values]
    for source in ("bidb", "hetdb"):
        if source in rows:
            gap, known = rows[source].targets[GAP.key], rows[source].columns(("gap_min", "nosoc_gap_min")).astype(float)
            moved = np.abs(known[:, 0] - known[:, 1]) > LARGE_COUPLING
            lines.append(
                _coupling(f"{source}: gap less the smaller layer's", (gap[:, None] - known)[moved & (gap > 0)])
            )
    return lines


def _coupling(what: str, apart: NDArray[np.floating]) -> str:
    """The differences from the level with coupling and without, shape (stacks, 2), eV, as a line of the table."""
    cells = [f"{values.mean():+.3f} | {np.median(np.abs(values)):.3f}" for values in apart.T]
    return f"| {what} | {len(apart)} | {' | '.join(cells)} |"


def alignment_lines(folder: Path, rng: np.random.Generator, noise: float) -> list[str]:
    """What a margin leaves out of HetML's types, and how often noise of the levels would give the rest another type.

    Args:
        folder: of the data.
        rng: draws the noise.
        noise: eV, standard deviation of a difference of two levels; of one level it is 1/√2 of that.
    """
    layers: dict[str, Layer] = {}
    stacks = []
    for record in model_data.records(folder, "hetml"):
        if record.stack is None:
            layers[record.external_id] = model_data.layer_of(record)
        else:
            stacks.append((model_data.edges_of(record), record.stack.bottom_name, record.stack.top_name))
    lines = []
    for margin in MARGINS:
        kept = same_type = drawn = 0
        for edges, bottom, top in stacks:
            kind = alignment_class(edges, layers[bottom], layers[top], margin=margin)
            if not kind:
                continue
            kept += 1
            for _ in range(20):
                moved = {
                    key: value + rng.normal(0, noise / np.sqrt(2)) * (key[0] != GAP.key) for key, value in edges.items()
                }
                # The margin has been passed: whatever the moved edges are nearer to is their type.
                sides = [_moved(layers[name], rng, noise / np.sqrt(2)) for name in (bottom, top)]
                again = alignment_class(moved, *sides, margin=0.0)
                same_type, drawn = same_type + (again == kind), drawn + 1
        lines.append(f"| {margin:g} | {kept} | {100 * same_type / max(drawn, 1):.1f} % |")
    return lines


def _moved(layer: Layer, rng: np.random.Generator, noise: float) -> Layer:
    """The layer with each of its edges moved by noise, both faces alike."""
    valence, conduction = rng.normal(0, noise), rng.normal(0, noise)
    shift = {VBM.key: valence, VBM_NOSOC.key: valence, CBM.key: conduction, CBM_NOSOC.key: conduction}
    return Layer(layer.slab, {key: value + shift.get(key[0], 0.0) for key, value in layer.properties.items()})


def main(arguments: list[str]) -> None:
    """Run it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks noise", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the published files")
    parser.add_argument("--write", type=Path, help="also write the tables to this file, as Markdown")
    options = parser.parse_args(arguments)
    head = "| the same thing twice | what | pairs | mean | median size | mean size | root mean square |"
    lines = [hardware.describe(), "", head, "| --- | --- | ---: | ---: | ---: | ---: | ---: |"]
    c2db = layers_of(options.data, "c2db")
    names: dict[str, str] = {}
    noise = float("nan")
    for key in ("hetml", "2dmatpedia", "mc2d"):
        ours = layers_of(options.data, key)
        pairs = same(ours, c2db)
        lines += layer_lines(key, ours, c2db, pairs)
        if key == "hetml":
            names = pairs
        if key == "2dmatpedia":
            gaps = [
                ours[a].values[GAP.key] - c2db[b].values[GAP.key]
                for a, b in pairs.items()
                if GAP.key in ours[a].values and GAP.key in c2db[b].values
            ]
            noise = float(np.sqrt(np.mean(np.square(gaps))))
    rows = model_data.read_all(options.data, only=("hetdb", "hetml", "bidb"))
    lines += stack_lines(rows, names)
    lines += [
        "",
        f"Where spin-orbit coupling moves a layer's level by more than {LARGE_COUPLING:g} eV: a stack's level less the "
        "layer's with coupling and without, eV:",
        "",
        "| what | stacks | with: mean | median size | without: mean | median size |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    lines += coupling_lines(options.data, rows)
    lines += [
        "",
        f"Types of HetML's stacks, every level moved by {noise / np.sqrt(2):.3f} eV (standard deviation):",
        "",
    ]
    lines += ["| margin, eV | stacks with a type | keep it |", "| ---: | ---: | ---: |"]
    lines += alignment_lines(options.data, np.random.default_rng(0), noise)
    print("\n".join(lines))
    if options.write is not None:
        options.write.write_text("\n".join(lines) + "\n", encoding="utf-8")
