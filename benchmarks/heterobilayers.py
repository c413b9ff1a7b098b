"""The shipped pair models on heterobilayers that they were not trained on, beside one-line physics.

    python -m benchmarks heterobilayers --hetml FOLDER [--write]

The 628 heterobilayers of HetML (M. Willhelm et al., ACS Appl. Mater. Interfaces 14, 25907 (2022)) come from another
code and functional than the homobilayers of the training data, so that part of the error is theirs. No model is fitted
on them; that Anderson's gap is served for different layers, and its interval, follow from this very comparison.
`--write` puts the figures into the shipped cards.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from etl.records import Record
from etl.source import get_source
from ml import baselines, pair_features
from ml.artefact import PairModel
from ml.cards import card_markdown
from ml.descriptors.slab import Slab
from ml.features import Layer, compute
from ml.metrics import Metrics
from ml.pair_features import PairFeatures
from ml.registry import CARD_FILE, shipped
from schema.quantities import BINDING_ENERGY, CBM, GAP, INTERLAYER_DISTANCE, VBM, WORK_FUNCTION
from schema.vocabulary import Face, Method, Subject

TARGETS = frozenset({BINDING_ENERGY.key, INTERLAYER_DISTANCE.key, GAP.key})
LAYER_QUANTITIES = (GAP, VBM, CBM, WORK_FUNCTION)
WHAT = (
    "628 heterobilayers of HetML (Willhelm et al., ACS Appl. Mater. Interfaces 14, 25907 (2022)), another code and "
    "functional; layers of C2DB 2019. No model was fitted on them. Registry unknown to the model. Coverage is that of "
    "the intervals calibrated on homobilayers."
)


def layer_of(record: Record) -> Layer:
    """One monolayer of HetML, band edges against the mean of its two faces' vacuum levels."""
    atoms = record.atoms
    if atoms is None:
        raise ValueError(f"{record.external_id} has no structure")
    values: dict[str, list[float]] = {}
    for fact in record.facts:
        if fact.method is Method.PBE and fact.quantity in LAYER_QUANTITIES:
            values.setdefault(fact.quantity.key, []).append(float(fact.value))
    properties: dict[tuple[str, Face | None], float] = {
        (key, None): float(np.mean(faces)) for key, faces in values.items()
    }
    return Layer(Slab.from_cell(atoms.numbers, atoms.positions, atoms.cell), properties)


def truth_of(record: Record, target: str) -> float:
    """The calculated value of a heterobilayer; NaN where there is none, which the gap of a metal counts as."""
    if target == INTERLAYER_DISTANCE.key:
        distance = record.stack.distance if record.stack is not None else None
        return float("nan") if distance is None else distance
    value = next((float(fact.value) for fact in record.facts if fact.quantity.key == target), float("nan"))
    return float("nan") if target == GAP.key and value == 0 else value


def main(arguments: list[str]) -> None:
    """Run it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks heterobilayers", description=__doc__)
    parser.add_argument("--hetml", type=Path, required=True)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args(arguments)
    source = get_source("hetml")
    source.check(options.hetml)
    records = [record for record in source.records(options.hetml) if isinstance(record, Record)]
    layers = [record for record in records if record.subject is Subject.MONOLAYER]
    row_of = {record.external_id: row for row, record in enumerate(layers)}
    pairs = PairFeatures(compute([layer_of(record) for record in layers]))
    stacks = [
        (record.stack, record)
        for record in records
        if record.stack is not None and {record.stack.bottom_name, record.stack.top_name} <= set(row_of)
    ]
    a = np.array([row_of[stack.bottom_name] for stack, _ in stacks])
    b = np.array([row_of[stack.top_name] for stack, _ in stacks])
    features = pairs(a, b)
    for model in shipped():
        if model.target not in TARGETS:
            continue
        truth = np.array([truth_of(record, model.target) for _, record in stacks])
        metrics = measure(PairModel.from_bytes(model.artefact), features, truth)
        print(model.target)
        for name, values in metrics.items():
            print(f"  {name:<45} {values.as_json()}")
        if options.write:
            write(model.target, {name: values.as_json() for name, values in metrics.items()})


def measure(model: PairModel, features: np.ndarray, truth: np.ndarray) -> dict[str, Metrics]:
    """Errors of the model and of the one-line estimates."""
    out = {"mean of the heterobilayers": Metrics.of(truth, np.where(np.isfinite(truth), np.nanmean(truth), np.nan))}
    for name in baselines.CANDIDATES[model.target]:
        if name not in pair_features.REGISTRY:
            out[f"{name}, as it is"] = Metrics.of(truth, features[:, pair_features.COLUMN[name]])
    out[f"{model.baseline.feature}, calibrated on homobilayers"] = Metrics.of(truth, model.baseline.predict(features))
    predicted = model.predict(features)
    plain = Metrics.of(truth, predicted.value)
    ok = np.isfinite(truth) & np.isfinite(predicted.value)
    inside = (predicted.lower <= truth) & (truth <= predicted.upper)
    width = float(np.mean(0.5 * (predicted.upper - predicted.lower)[ok]))
    out["model, registry unknown"] = Metrics(
        plain.n, plain.mae, plain.rmse, plain.r2, coverage=float(inside[ok].mean()), width=width
    )
    if model.different is not None:
        served = model.predict(features, different=np.ones(len(features), bool))
        inside = (served.lower <= truth) & (truth <= served.upper)
        plain = Metrics.of(truth, served.value)
        out["served for different layers (half-width from these pairs)"] = Metrics(
            plain.n,
            plain.mae,
            plain.rmse,
            plain.r2,
            coverage=float(inside[ok].mean()),
            width=model.different.half_width,
        )
    return out


def write(target: str, metrics: dict[str, Any]) -> None:
    """Put the figures into a shipped card and its Markdown."""
    root = Path(__file__).parents[1]
    path = root / "ml" / "artefacts" / target / CARD_FILE
    content = orjson.loads(path.read_bytes())
    content["card"]["external_checks"] = {"what": WHAT, "metrics": metrics}
    path.write_bytes(orjson.dumps(content, option=orjson.OPT_INDENT_2) + b"\n")
    (root / "docs" / "models" / f"{target}.md").write_text(card_markdown(content), encoding="utf-8")
