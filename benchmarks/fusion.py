"""Graph-fusion heads beside the trees, on the same folds of the published files.

    python -m benchmarks fusion --data FOLDER [--sources bidb,hetml,hetdb] [--targets gap,...]
                                [--fusions concatenation,low-rank,gated] [--without-graph] [--nested] [--json FILE]

FOLDER is as for `python -m benchmarks encoder`, with BiDB, HetML and HetDB beside C2DB. The shipped slab encoder gives
the embeddings; it has seen isolated layers with their properties, which are inputs of every model here, and no stack.
"mean of ..." is the plain mean of the trees and a head, which is what is served (`ml.models.stack`): nothing is chosen.
`--nested` lets inner folds of the training part weigh trees and heads instead, at four times the cost: whether equal
weights are a lucky choice.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from benchmarks.model_data import read_all
from ml import heads
from ml.catalogue import lineup
from ml.encoder_training import held_out
from ml.evaluation import evaluate
from ml.method import Method
from ml.metrics import ClassMetrics, Metrics
from ml.models.fusion import FusionMethod
from ml.models.fusion_net import Fusion
from ml.models.layer_inputs import COMPOSITION, PROPERTIES, LayerInputs, inputs_of
from ml.models.slab_encoder import from_bytes
from ml.pair_features import REGISTRY
from ml.registry import EMBEDDING, shipped
from ml.rows import InterfaceRows
from ml.selection import Chosen
from ml.splits import STRICT, Split
from schema.quantities import BINDING_ENERGY, GAP, INTERLAYER_DISTANCE

TARGETS = (BINDING_ENERGY.key, INTERLAYER_DISTANCE.key, GAP.key)
SPLITS = {"bidb": (Split.MATERIAL,), "hetml": (Split.PAIR, Split.BOTH_UNSEEN), "hetdb": (Split.PAIR, Split.BOTH_UNSEEN)}


def competitors(
    rows: InterfaceRows, target: str, inputs: LayerInputs, fusions: Sequence[Fusion], *, without_graph: bool
) -> tuple[Method | None, list[FusionMethod]]:
    """The trees of a target, and the fusion heads on the same physics."""
    known = bool(np.isfinite(rows.columns(REGISTRY[:1])).any())
    head = heads.head(rows.domain, target, registry_known=known)
    physics = None if head is None else head.method.physics
    found = [
        FusionMethod(inputs, fusion, physics=physics, features=heads.graph_features(rows.domain)) for fusion in fusions
    ]
    if without_graph:
        found.append(
            FusionMethod(
                inputs,
                fusions[0],
                (COMPOSITION, PROPERTIES),
                physics=physics,
                features=heads.graph_features(rows.domain),
            )
        )
    return None if head is None else head.method, found


def judge(
    rows: InterfaceRows, target: str, split: Split, methods: Sequence[Method], trees: Method | None, *, nested: bool
) -> tuple[dict[str, Metrics | ClassMetrics], dict[str, float]]:
    """Errors of the baselines, of every method, and of the mean of the trees and each other method.

    Returns:
        Metrics by method; and by competing method the mean absolute error on rows of whose layers the encoder was
        shown no composition, in the target's unit: whether the graph knows by heart or by insight.
    """
    line = lineup(rows, target)
    asked = [*methods] if trees is None else [trees, *methods]
    if nested and trees is not None:
        asked.append(Chosen("weighed on inner folds", tuple(asked), STRICT[rows.domain]))
    evaluation = evaluate(rows, target, asked, split, baselines=line.baselines, views=line.views)
    found: dict[str, Metrics | ClassMetrics] = dict(evaluation.metrics)
    truth, strangers = rows.targets[target], strange(rows)
    for view in line.views:
        suffix = f", {view}" if view else ""
        for method in methods if trees is not None else ():
            both = [evaluation.out_of_fold[f"{one.name}{suffix}"] for one in (trees, method) if one is not None]
            found[f"mean of {trees.name if trees else ''} and {method.name}{suffix}"] = Metrics.of(
                truth, 0.5 * (both[0] + both[1])
            )
    apart = {
        name: Metrics.of(truth[strangers], values[strangers]).mae
        for name, values in evaluation.out_of_fold.items()
        if strangers.any() and any(name.startswith(method.name) for method in asked)
    }
    return found, apart


def strange(rows: InterfaceRows) -> NDArray[np.bool_]:
    """Whether the encoder has been shown the composition of neither layer, shape (rows,)."""
    layers = {} if rows.layers is None else rows.layers.layers
    unseen = {name: held_out(layer.slab.numbers) for name, layer in layers.items()}
    return np.array([unseen[a] and unseen[b] for a, b in zip(rows.bottom, rows.top, strict=True)], bool)


def main(arguments: list[str]) -> None:
    """Run it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks fusion", description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sources", default="bidb,hetml,hetdb")
    parser.add_argument("--targets", default=",".join(TARGETS))
    parser.add_argument("--fusions", default=",".join(Fusion))
    parser.add_argument("--without-graph", action="store_true")
    parser.add_argument("--nested", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    fusions = [Fusion(name) for name in options.fusions.split(",")]
    encoder = from_bytes(next(model.artefact for model in shipped() if model.target == EMBEDDING))
    out: list[dict[str, Any]] = []
    for source, rows in read_all(options.data, only=tuple(options.sources.split(","))).items():
        inputs = inputs_of(rows, encoder)
        for split in SPLITS[source]:
            for target in options.targets.split(","):
                if not rows.labelled(target).any():
                    continue
                trees, methods = competitors(rows, target, inputs, fusions, without_graph=options.without_graph)
                start = time.process_time()
                found, apart = judge(rows, target, split, methods, trees, nested=options.nested)
                print(f"\n{source}, {target}, {split.value} ({time.process_time() - start:.0f} s of processor time)")
                for name, error in apart.items():
                    print(f"  {name:<75} MAE {error:.4f} where the encoder has seen neither layer's composition")
                for name, metrics in found.items():
                    print(f"  {name:<75} {metrics.as_json()}", flush=True)
                    out.append(
                        {"source": source, "target": target, "split": split.value, "method": name, **metrics.as_json()}
                    )
    if options.json is not None:
        options.json.write_bytes(orjson.dumps(out, option=orjson.OPT_INDENT_2))
