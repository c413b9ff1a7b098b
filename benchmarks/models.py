"""Every figure that the models are held to, from the published files alone.

    python -m benchmarks models --data FOLDER [--only SOURCE] [--repeats 3] [--write FILE]

FOLDER holds the files as `benchmarks.model_data.FILES` names them. One line a target and split: what was published, the
mean of the training rows, the best one-line estimate, LightGBM on the same features without physics, trees and graph
fusion where the model is their stack, the model, the share that its 90 % intervals cover, and the bar. What competes is
given with the spread of its error over draws of folds and seeds. Where a bar is missed, the learning curve and the
noise of the labels themselves follow.

The rows are those of `stackscreen train`, but for two things that only the database does: layers that sources share are
not merged, and values of other sources do not fill gaps.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from benchmarks import hardware, model_data
from ml import heads
from ml.alignment import MIN_MARGIN
from ml.catalogue import REGISTRY_UNKNOWN, Lineup, hide_registry, lineup
from ml.evaluation import Evaluation, evaluate, out_of_fold, repeated
from ml.judging import judged_method
from ml.learning import learning_curve
from ml.method import Method, Seeded
from ml.metrics import ClassMetrics, Metrics
from ml.models.layer_inputs import LayerInputs, inputs_of
from ml.models.slab_encoder import from_bytes
from ml.models.stack import Stack
from ml.models.tree_classes import ClassTrees
from ml.models.tree_ensemble import Trees
from ml.models.tree_settings import Settings, same
from ml.pair_features import NAMES, REGISTRY
from ml.registry import EMBEDDING, shipped
from ml.rows import InterfaceRows
from ml.splits import Split, partitions
from schema.quantities import (
    ALIGNMENT_TYPE,
    BINDING_ENERGY,
    BINDING_ENERGY_PER_ATOM,
    CBM,
    GAP,
    INTERLAYER_DISTANCE,
    METALLIC,
    QUANTITIES,
    SLIDE_STABILITY,
    VBM,
)

PLAIN = "plain LightGBM"
HEAD = (
    "source", "target", "split", "rows", "published", "mean", "best estimate", PLAIN, "trees", "graph fusion", "model",
    "90 % cover, rows / pairs", "bar",
)  # fmt: skip
FORMER_MARGIN = 0.2
"""eV, for comparison: what was once left out of the types of alignment."""
BONDED = 35.0
"""meV/Å²: a stack that binds more strongly is no van der Waals contact any more."""


@dataclass(frozen=True)
class Aim:
    """One figure.

    Attributes:
        source, target, split: of what.
        published: what the literature states, as text.
        bar: error that is aimed at, in the target's unit (classes: share named wrongly); None to beat the baseline.
        hidden: whether the registry is hidden, as a moiré has none.
    """

    source: str
    target: str
    split: Split
    published: str = "–"
    bar: float | None = None
    hidden: bool = False


AIMS = (
    Aim("bidb", GAP.key, Split.MATERIAL, "0.126", 0.10),
    Aim("bidb", BINDING_ENERGY.key, Split.MATERIAL, bar=2.5),
    Aim("bidb", INTERLAYER_DISTANCE.key, Split.MATERIAL, bar=0.15),
    Aim("bidb", METALLIC.key, Split.MATERIAL),
    Aim("bidb", SLIDE_STABILITY.key, Split.MATERIAL),
    Aim("hetdb", GAP.key, Split.PAIR, "0.152", 0.12),
    Aim("hetdb", GAP.key, Split.BOTH_UNSEEN, bar=0.30),
    Aim("hetdb", INTERLAYER_DISTANCE.key, Split.PAIR),
    Aim("hetdb", INTERLAYER_DISTANCE.key, Split.BOTH_UNSEEN),
    Aim("hetml", INTERLAYER_DISTANCE.key, Split.PAIR, "0.11 (split not stated)", 0.10),
    Aim("hetml", INTERLAYER_DISTANCE.key, Split.BOTH_UNSEEN),
    Aim("hetml", BINDING_ENERGY.key, Split.PAIR, "1.4 (split not stated)", 1.3),
    Aim("hetml", BINDING_ENERGY.key, Split.BOTH_UNSEEN),
    Aim("hetml", BINDING_ENERGY.key, Split.BOTH_UNSEEN, hidden=True),
    Aim("hetml", GAP.key, Split.PAIR),
    Aim("hetml", GAP.key, Split.BOTH_UNSEEN),
    Aim("hetml", VBM.key, Split.BOTH_UNSEEN),
    Aim("hetml", CBM.key, Split.BOTH_UNSEEN),
    Aim("hetml", ALIGNMENT_TYPE.key, Split.PAIR, "0.13-0.15 (a larger set)", 0.12),
    Aim("hetml", ALIGNMENT_TYPE.key, Split.BOTH_UNSEEN),
    Aim("hetero2d", BINDING_ENERGY_PER_ATOM.key, Split.SUBSTRATE, "0.05 (aiHD, RMSE)"),
    Aim("hetero2d", INTERLAYER_DISTANCE.key, Split.SUBSTRATE, "0.14 (aiHD, RMSE)"),
)


def main(arguments: list[str]) -> None:
    """Run it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks models", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the published files")
    parser.add_argument("--only", choices=sorted({aim.source for aim in AIMS}), help="one source alone")
    parser.add_argument("--repeats", type=int, default=3, help="draws of folds and seeds for the spread")
    parser.add_argument("--write", type=Path, help="also write the tables to this file, as Markdown")
    options = parser.parse_args(arguments)
    aims = [aim for aim in AIMS if options.only in (None, aim.source)]
    rows = model_data.read_all(options.data, only=tuple(dict.fromkeys(aim.source for aim in aims)))
    lines = [
        hardware.describe(),
        "",
        f"| {' | '.join(HEAD)} |",
        f"| {' | '.join(['---'] * len(HEAD))} |",
    ]
    print("\n".join(lines), flush=True)
    notes: list[str] = []
    encoder = from_bytes(next(model.artefact for model in shipped() if model.target == EMBEDDING))
    stacked = {aim.source for aim in aims if heads.is_stacked(rows[aim.source].domain, aim.target)}
    inputs = {source: inputs_of(rows[source], encoder) for source in sorted(stacked)}
    for aim in aims:
        seen = hide_registry(rows[aim.source]) if aim.hidden else rows[aim.source]
        line, note = measure(aim, seen, options.repeats, inputs.get(aim.source))
        lines += line
        notes += note
        print("\n".join(line), flush=True)
    for source in rows:
        notes += [f"- {source}, left out: {count} {reason}" for reason, count in rows[source].left_out.items()]
    if any(aim.target == ALIGNMENT_TYPE.key for aim in aims):
        notes += by_margin(options.data, options.repeats)
    if "bidb" in rows:
        notes += twice(rows["bidb"])
    print("\n".join(["", *notes]))
    if options.write is not None:
        options.write.write_text("\n".join([*lines, "", *notes]) + "\n", encoding="utf-8")


def measure(
    aim: Aim, rows: InterfaceRows, repeats: int, inputs: LayerInputs | None = None
) -> tuple[list[str], list[str]]:
    """Lines of the table, and what there is to say below it.

    Args:
        aim: which figure.
        rows: of its source.
        repeats: draws of folds and seeds.
        inputs: the layers, encoded; None leaves stacks out.
    """
    line = lineup(rows, aim.target, inputs)
    method = judged_method(line)
    if method is None:
        return [f"| {aim.source} | {aim.target} | {aim.split.value} | no model competes |"], []
    line = replace(line, methods=(*line.methods, plain(line)))
    found = evaluate(
        rows, aim.target, line.methods, aim.split, baselines=line.baselines, classes=line.classes, views=line.views
    )
    if repeats > 1:
        competing = [*method.parts, method] if isinstance(method, Stack) else [method]
        found = repeated(found, rows, competing, aim.split, repeats, views=line.views)
    table = [_row(aim, found, method, view) for view in line.views]
    notes = []
    ours = found.metrics[method.name].error
    if aim.bar is not None and ours > aim.bar:
        points = learning_curve(rows, aim.target, method, aim.split, classes=line.classes)
        curve = ", ".join(f"{point.rows:.0f} rows {point.error:.3g}" for point in points)
        notes.append(f"- {aim.source} {aim.target}, {aim.split.value}: bar missed. Learning curve: {curve}.")
        if aim.target == BINDING_ENERGY.key:
            notes.append(_bonded(rows, found, method.name))
    return table, notes


def plain(line: Lineup) -> Trees | ClassTrees:
    """LightGBM on the same features without physics, without an ensemble, its settings as they come."""
    grid = same(1, Settings(loss="l2", rounds=100, leaves=31, min_rows=20, rate=0.1, columns=1.0, rows=1.0))
    features = tuple(name for name in NAMES if not name.startswith(("stacking_", "match_")))
    if line.classes:
        return ClassTrees(features, grid=grid, name=PLAIN)
    return Trees("", features, grid=grid, name=PLAIN)


def _row(aim: Aim, found: Evaluation, method: Method, view: str) -> str:
    def called(name: str) -> str:
        return f"{name}, {view}" if view else name

    def error(name: str) -> str:
        spread = found.spread.get(called(name))
        return f"{found.metrics[called(name)].error:.3g}" + (f" ± {spread:.2g}" if spread is not None else "")

    best, ours = found.best_baseline, found.metrics[called(method.name)]
    unit = QUANTITIES[aim.target].unit if aim.target in QUANTITIES else ""
    mean = next(found.metrics[b].error for b in found.baselines if b.startswith(("mean", "most frequent")))
    shares = (ours.coverage, ours.coverage_by_material) if isinstance(ours, Metrics) else ()
    cover = " / ".join(f"{100 * share:.1f} %" for share in shares if share is not None) or "–"
    r2 = f", R² {ours.r2:.3f}" if isinstance(ours, Metrics) else ""
    hidden = f", {REGISTRY_UNKNOWN}" if aim.hidden or view else ""
    bar = "–" if view or aim.bar is None else f"{aim.bar:g} {'reached' if ours.error <= aim.bar else 'missed'}"
    if not view and aim.bar is None:
        bar = f"best estimate: {'beaten' if ours.error < found.metrics[best].error else 'not beaten'}"
    what = "share wrong" if isinstance(ours, ClassMetrics) else f"MAE {unit}"
    parts = [error(part.name) for part in method.parts] if isinstance(method, Stack) else ["–", "–"]
    cells = (
        aim.source, f"{aim.target}, {what}", f"{aim.split.value}{hidden}", str(ours.n), aim.published, f"{mean:.3g}",
        f"{found.metrics[best].error:.3g} ({best})", error(PLAIN), *parts, f"**{error(method.name)}**{r2}", cover, bar,
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


def _bonded(rows: InterfaceRows, found: Evaluation, name: str) -> str:
    truth, predicted = rows.targets[found.target], found.out_of_fold[name]
    weak = truth <= BONDED
    few = Metrics.of(truth[weak], predicted[weak])
    return (
        f"- {found.source} {found.target}: {int((truth > BONDED).sum())} stacks are bound by more than {BONDED:g} "
        f"meV/Å²; on the other {few.n} the same predictions err by {few.mae:.3g}."
    )


def by_margin(folder: Path, draws: int) -> list[str]:
    """Types of alignment named rightly, by how near to belonging to either layer an edge may lie.

    Args:
        folder: of the data.
        draws: of folds and seeds, over which the shares are averaged.
    """
    lines = []
    for margin in (0.0, MIN_MARGIN, FORMER_MARGIN):
        rows = model_data.hetml(folder, margin=margin)
        rows = rows.take(rows.labelled(ALIGNMENT_TYPE.key))
        line = lineup(rows, ALIGNMENT_TYPE.key)
        for split in (Split.PAIR, Split.BOTH_UNSEEN):
            right: dict[str, list[float]] = {}
            for draw in range(draws):
                methods = [one.with_seed(draw) if isinstance(one, Seeded) else one for one in line.all]
                out, _ = out_of_fold(rows, ALIGNMENT_TYPE.key, methods, partitions(rows, split, draw=draw))
                for name, named in out.items():
                    right.setdefault(name, []).append(ClassMetrics.of(rows.targets[ALIGNMENT_TYPE.key], named).accuracy)
            said = ", ".join(f"{name} {100 * np.mean(shares):.1f} %" for name, shares in right.items())
            lines.append(
                f"- alignment_type, margin {margin:g} eV, {len(rows)} rows, {split.value}, named rightly: {said}."
            )
    return lines


def twice(rows: InterfaceRows) -> list[str]:
    """Noise of the labels: homobilayers of one material in registries that no registry descriptor tells apart."""
    registry = rows.columns(REGISTRY)
    facing = rows.columns(("facing_electronegativity", "vacuum_mismatch"))
    keys = [
        (name, *np.round(np.nan_to_num(row, nan=-1.0), 2).tolist(), *np.round(np.nan_to_num(face), 3).tolist())
        for name, row, face in zip(rows.bottom, registry, facing, strict=True)
    ]
    order = sorted(range(len(rows)), key=lambda i: keys[i])
    pairs = [(i, j) for i, j in pairwise(order) if keys[i] == keys[j]]
    lines = []
    for target, values in rows.targets.items():
        apart = np.array([abs(values[i] - values[j]) for i, j in pairs])
        apart = apart[np.isfinite(apart)]
        if len(apart) and target in QUANTITIES:
            unit = QUANTITIES[target].unit
            lines.append(
                f"- bidb {target}: {len(apart)} pairs of equivalent stacks differ by {apart.mean():.3g} {unit} on "
                f"average, {np.median(apart):.3g} in the median."
            )
    return lines
