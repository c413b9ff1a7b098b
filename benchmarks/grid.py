"""Where the grids of trees come from: losses and steps beside each other, on tables that judge no model so grown.

    python -m benchmarks grid --data FOLDER [--draws 2]

FOLDER holds the files as `benchmarks.model_data.FILES` names them. `ml.models.tree_settings` spans sizes of trees and
shares of features; its losses and how far all trees together go (rounds times rate) were settled here. For few rows:
draws of BiDB as small as HetML, two stacks a material, against the same physics; HetML, HetDB and Hetero2d have no part
in it. For many rows: properties of C2DB's isolated layers from what they are made of and how, with no composition on
both sides. Figures are mean absolute errors over those of Huber's loss at the grid's own step, averaged over targets.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path

import lightgbm
import numpy as np
from numpy.typing import NDArray

from benchmarks import hardware, model_data
from etl.formula import formulas
from ml import features, heads
from ml.descriptors.slab import NotASlabError
from ml.evaluation import out_of_fold
from ml.features import Layer
from ml.models.tree_ensemble import SEED
from ml.models.tree_settings import MANY_ROWS, Grid, of_values
from ml.rows import InterfaceRows
from ml.splits import N_FOLDS, Split, fold_of, partitions
from schema.quantities import BINDING_ENERGY, GAP, INTERLAYER_DISTANCE

LOSSES = ("huber", "l1")
STEPS = (2 / 3, 1.0, 1.5)
"""Learning rates, of the grid's."""
ROWS = 620
A_MATERIAL = 2
TARGETS = (BINDING_ENERGY.key, INTERLAYER_DISTANCE.key, GAP.key)
SPLITS = (Split.RANDOM, Split.MATERIAL)
OF_LAYERS = ("gap", "formation_energy", "hull_energy", "polarizability_xy", "work_function_top")
ELECTRONIC = ("gap", "vbm", "cbm", "work_function", "vacuum", "formation", "hull", "polarizab")

Predicted = dict[tuple[str, float], NDArray[np.float64]]
"""By loss and step."""


def variants(grid: Grid) -> Iterator[tuple[tuple[str, float], Grid]]:
    """The same sizes and shares with another loss and step."""
    for loss, step in product(LOSSES, STEPS):
        changed = (replace(settings, loss=loss, rate=settings.rate * step) for settings in grid)
        yield (loss, step), tuple(dict.fromkeys(changed))


def few(rows: InterfaceRows, target: str, split: Split, draw: int) -> tuple[Predicted, NDArray[np.float64]]:
    """Out-of-fold predictions of a draw of stacks, and the truth."""
    head = heads.head(heads.HETERO, target, registry_known=True)
    if head is None:
        raise ValueError(f"no head of {target}")
    rng = np.random.default_rng(draw)
    known = rng.permutation(np.flatnonzero(rows.labelled(target) & np.isfinite(rows.column(head.method.physics))))
    names = np.array(rows.bottom)[known]
    taken = [known[names == name][:A_MATERIAL] for name in rng.permutation(np.unique(names))[: ROWS // A_MATERIAL]]
    drawn = rows.take(np.isin(np.arange(len(rows)), np.concatenate(taken)))
    methods = {key: replace(head.method, grid=_always(grid), name=str(key)) for key, grid in variants(of_values(0))}
    out, _ = out_of_fold(drawn, target, list(methods.values()), partitions(drawn, split, draw=draw))
    return {key: out[method.name] for key, method in methods.items()}, drawn.targets[target]


def _always(grid: Grid) -> Callable[[int], Grid]:
    return lambda _: grid


def many(table: NDArray[np.float32], compositions: list[str], target: str) -> tuple[Predicted, NDArray[np.float64]]:
    """Predictions of a property of layers of compositions that training lacks, two folds of them, and the truth."""
    read = [k for k, name in enumerate(features.NAMES) if not any(word in name for word in ELECTRONIC)]
    truth = table[:, features.COLUMN[target]].astype(float)
    known, fold = np.isfinite(truth), np.array([fold_of(name, Split.MATERIAL) for name in compositions])
    out: Predicted = {}
    for part in range(N_FOLDS // 2):
        train, test = known & (fold != part), known & (fold == part)
        residual = truth[train] - truth[train].mean()
        for key, grid in variants(of_values(MANY_ROWS)):
            data = lightgbm.Dataset(
                table[train][:, read], residual, params={"verbosity": -1, "min_data_in_leaf": grid[0].min_rows},
                free_raw_data=False,
            )  # fmt: skip
            each = [
                lightgbm.train(one.parameters(SEED + k) | one.objective(residual), data, one.rounds)
                for k, one in enumerate(grid)
            ]
            found = out.setdefault(key, np.full(len(truth), np.nan))
            found[test] = truth[train].mean() + np.mean([one.predict(table[test][:, read]) for one in each], axis=0)
    return out, truth


def relative(predicted: Predicted, truth: NDArray[np.float64]) -> dict[tuple[str, float], float]:
    """Errors over those of Huber's loss at step 1; of both losses together too."""
    both: Predicted = {("both", step): 0.5 * (predicted["huber", step] + predicted["l1", step]) for step in STEPS}
    errors = {key: float(np.nanmean(np.abs(values - truth))) for key, values in (predicted | both).items()}
    return {key: error / errors["huber", 1.0] for key, error in errors.items()}


def layers(folder: Path) -> tuple[NDArray[np.float32], list[str]]:
    """Feature vectors of C2DB's layers, and their formulas."""
    found: list[Layer] = []
    for record in model_data.records(folder, "c2db"):
        try:
            found.append(model_data.layer_of(record))
        except NotASlabError:
            continue
    return features.compute(found), [formulas(layer.slab.numbers)[0] for layer in found]


def main(arguments: list[str]) -> None:
    """Run it and print Markdown."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks grid", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the published files")
    parser.add_argument("--draws", type=int, default=2, help="draws of stacks for the tables of few rows")
    options = parser.parse_args(arguments)
    head = " | ".join(f"{loss}, {step:.2f}" for loss in (*LOSSES, "both") for step in STEPS)
    print(f"{hardware.describe()}\n\n| rows | {head} |\n|---|{'---:|' * 9}", flush=True)
    stacks = model_data.read_all(options.data, only=("bidb",))["bidb"]
    for split in SPLITS:
        found = [
            relative(*few(stacks, target, split, draw)) for target, draw in product(TARGETS, range(options.draws))
        ]  # fmt: skip
        print(_line(f"{ROWS} stacks, {split.value}", found), flush=True)
    table, compositions = layers(options.data)
    for target in OF_LAYERS:
        number = int(np.isfinite(table[:, features.COLUMN[target]]).sum())
        print(_line(f"{number} layers, {target}", [relative(*many(table, compositions, target))]), flush=True)


def _line(what: str, found: list[dict[tuple[str, float], float]]) -> str:
    cells = [f"{np.mean([one[loss, step] for one in found]):.3f}" for loss in (*LOSSES, "both") for step in STEPS]
    return f"| {what} | {' | '.join(cells)} |"
