"""Trees that span their grid, beside trees whose every setting is chosen on inner folds.

    python -m benchmarks nested --data FOLDER [--sources hetml,hetdb,hetero2d]

FOLDER holds the files as `benchmarks.model_data.FILES` names them. How the shipped trees are grown is chosen on no fold
(`ml.models.tree_settings`), but what they read and the physics below them was settled by people who had seen errors on
the folds that the tables are made of. Here nothing of that is used: physics, features and size of the trees are chosen
anew within the training part of each fold (`ml.selection`). If the shipped trees err less by more than the spread
between draws, what they read has been fitted to the test folds.
"""

from __future__ import annotations

import argparse
from itertools import product
from pathlib import Path

import numpy as np

from benchmarks import hardware, model_data
from ml import baselines, heads
from ml.catalogue import lineup
from ml.evaluation import evaluate, repeated
from ml.models.tree_ensemble import Trees
from ml.models.tree_settings import Settings, same
from ml.pair_features import MATCH, NAMES, REGISTRY, STACKING, STRUCTURAL
from ml.rows import InterfaceRows
from ml.selection import Chosen
from ml.splits import STRICT, Split
from schema.quantities import BINDING_ENERGY, BINDING_ENERGY_PER_ATOM, GAP, INTERLAYER_DISTANCE, QUANTITIES

LEAVES = (7, 15, 31)
ROUNDS, RATE, MEMBERS = 120, 0.08, 5
FEATURES = {
    "all": tuple(name for name in NAMES if name not in STACKING + MATCH),
    "structural": STRUCTURAL,
}
TARGETS = (BINDING_ENERGY.key, INTERLAYER_DISTANCE.key, GAP.key, BINDING_ENERGY_PER_ATOM.key)
SPLIT = {heads.HETERO: Split.PAIR}
"""By domain, where not the strict one: both-unseen has ten parts with ten inner ones each, which would take hours."""


def grid(rows: InterfaceRows, target: str) -> tuple[Trees, ...]:
    """Trees of every physics that the rows have, set of features and size, the plainest first."""
    floor = baselines.FLOORS.get(target, float("-inf"))
    known = [
        name
        for name in ("", *baselines.CANDIDATES.get(target, ()))
        if not name or np.isfinite(rows.column(name)[rows.labelled(target)]).all()
    ]
    return tuple(
        Trees(physics, features, floor, grid=same(MEMBERS, Settings("huber", ROUNDS, leaves, rate=RATE, columns=0.4)),
              name=f"{physics or 'mean'}, {called}, {leaves} leaves")
        for physics, (called, features), leaves in product(known, FEATURES.items(), LEAVES)
    )  # fmt: skip


def main(arguments: list[str]) -> None:
    """Run it and print Markdown."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks nested", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the published files")
    parser.add_argument("--sources", default="hetml,hetdb,hetero2d")
    parser.add_argument("--repeats", type=int, default=3, help="draws of folds and seeds for the spread")
    options = parser.parse_args(arguments)
    rows = model_data.read_all(options.data, only=tuple(options.sources.split(",")))
    print(f"{hardware.describe()}\n")
    print("| source | target | split | rows | best estimate | as served | ± | all chosen on inner folds | of |")
    print("|---|---|---|---:|---:|---:|---:|---:|---:|")
    for source, found in rows.items():
        known = bool(np.isfinite(found.columns(REGISTRY[:1])).mean() > 0.5)
        split = SPLIT.get(found.domain, STRICT[found.domain])
        for target in TARGETS:
            head = heads.head(found.domain, target, registry_known=known)
            if head is not None and found.labelled(target).any():
                print(_line(source, found, target, split, head.method, options.repeats), flush=True)


def _line(source: str, rows: InterfaceRows, target: str, split: Split, served: Trees, repeats: int) -> str:
    candidates = grid(rows, target)
    chosen = Chosen("chosen", candidates, split, steps=1)
    evaluation = evaluate(rows, target, [served, chosen], split, baselines=lineup(rows, target).baselines)
    spread = repeated(evaluation, rows, [served], split, repeats).spread[served.name] if repeats > 1 else float("nan")
    best, ours, theirs = (evaluation.metrics[name] for name in (evaluation.best_baseline, served.name, chosen.name))
    what = f"{source} | {target}, {QUANTITIES[target].unit} | {split.value} | {ours.n}"
    errors = f"{best.error:.3g} | {ours.error:.3g} | {spread:.2g} | {theirs.error:.3g}"
    return f"| {what} | {errors} | {len(candidates)} |"
