"""The shipped pair models on heterobilayers that they were not trained on, beside one-line physics.

    python -m benchmarks heterobilayers --hetml FOLDER [--write]

The 628 heterobilayers of HetML (M. Willhelm et al., ACS Appl. Mater. Interfaces 14, 25907 (2022)) come from another
code and functional than the homobilayers of the training data, so that part of the error is theirs. No model is fitted
on them; that Anderson's gap is served for different layers, and its interval, follow from this very comparison.
`--write` puts the figures into the shipped cards.
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from ml import baselines, pair_features
from ml.artefact import PairModel
from ml.cards import card_markdown
from ml.descriptors.slab import Slab
from ml.evaluation import Metrics
from ml.features import Layer, compute
from ml.pair_features import PairFeatures
from ml.registry import CARD_FILE, shipped
from schema.quantities import BINDING_ENERGY, CBM, GAP, INTERLAYER_DISTANCE, VBM, WORK_FUNCTION

COLUMNS = {BINDING_ENERGY.key: "Ebind", INTERLAYER_DISTANCE.key: "ILD", GAP.key: "Egap"}
WHAT = (
    "628 heterobilayers of HetML (Willhelm et al., ACS Appl. Mater. Interfaces 14, 25907 (2022)), another code and "
    "functional; layers of C2DB 2019. No model was fitted on them. Registry unknown to the model. Coverage is that of "
    "the intervals calibrated on homobilayers."
)


def layer_of(entry: dict[str, Any]) -> Layer:
    """One monolayer of HetML's JSON, band edges against the mean vacuum level."""
    structure = entry["structure"]
    box = np.array(structure["lattice_matrix"], float)
    from ase.data import atomic_numbers

    numbers = [atomic_numbers[site["element"]] for site in structure["sites"]]
    xyz = np.array([site["frac"] for site in structure["sites"]], float) @ box
    values = {(GAP.key, None): entry["gap"]}
    for quantity, name in ((VBM, "vbm"), (CBM, "cbm")):
        if entry.get(name) is not None:
            values[(quantity.key, None)] = entry[name] - entry["evacmean"]
    if entry.get("work_function") is not None:
        values[(WORK_FUNCTION.key, None)] = entry["work_function"]
    return Layer(Slab.from_cell(numbers, xyz, box), {k: float(v) for k, v in values.items() if v is not None})


def main(arguments: list[str]) -> None:
    """Run it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks heterobilayers", description=__doc__)
    parser.add_argument("--hetml", type=Path, required=True)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args(arguments)
    entries = json.loads((options.hetml / "c2db2019_monolayers_376.json").read_text())
    row_of = {str(entry["UID"]): row for row, entry in enumerate(entries)}
    pairs = PairFeatures(compute([layer_of(entry) for entry in entries]))
    with (options.hetml / "bilayer_target_properties.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["uid_bot"] in row_of and row["uid_top"] in row_of]
    a = np.array([row_of[row["uid_bot"]] for row in rows])
    b = np.array([row_of[row["uid_top"]] for row in rows])
    features = pairs(a, b)
    for model in shipped():
        if model.target not in COLUMNS:
            continue
        truth = np.array([float(row[COLUMNS[model.target]] or "nan") for row in rows])
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
