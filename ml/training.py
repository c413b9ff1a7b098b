"""From training rows to models that may be served: evaluate strictly, gate, calibrate, fit on all, describe."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml import baselines, pair_features, splits
from ml.artefact import Fallback, PairModel, sha256
from ml.baselines import Calibrated
from ml.bilayer_evaluation import REGISTRY_KNOWN, REGISTRY_UNKNOWN, Evaluation, evaluate
from ml.datasets import CLEANING_RULE, TARGETS, TrainingTable
from ml.domain import Domain
from ml.metrics import group_numbers
from ml.models import lightgbm_pair
from ml.models.lightgbm_pair import ResidualModel
from ml.splits import Split
from ml.uncertainty import Conformal
from schema.errors import StackscreenError
from schema.quantities import GAP, QUANTITIES
from schema.vocabulary import InterfaceKind

DOMAIN = InterfaceKind.HOMOBILAYER.value
MIN_ROWS = 400
"""Fewer rows give no honest folds."""

DIFFERENT: dict[str, Fallback] = {GAP.key: Fallback("gap_aligned", 0.72)}
"""What is served for two different layers where the model does not win there.

On the 549 semiconducting heterobilayers of HetML (Willhelm et al., ACS Appl. Mater. Interfaces 14, 25907 (2022)) the
gap of the aligned bands, as it is, errs by 0.31 eV on average and by 0.72 eV at the 90th percentile; the model trained
on homobilayers errs by 0.34 eV. `python -m benchmarks heterobilayers` repeats it.
"""


class TooFewRowsError(StackscreenError):
    """There is not enough to train on."""


@dataclass(frozen=True)
class Trained:
    """A model with everything that its row in the registry says.

    Attributes:
        model: the model.
        metrics: by split, then by method.
        card: what else the model card says.
        data_digest: SHA-256 of the training rows.
        split: name and version of the folds behind the gate.
    """

    model: PairModel
    metrics: dict[str, Any]
    card: dict[str, Any]
    data_digest: bytes
    split: str

    @property
    def artefact(self) -> bytes:
        """The model's document."""
        return self.model.to_bytes()


def beats(evaluation: Evaluation) -> bool:
    """Whether the trees beat calibrated physics where it counts: registry unknown, materials unseen."""
    physics = evaluation.metrics[f"{baselines.PHYSICS[evaluation.target]}, calibrated"]
    return evaluation.metrics[REGISTRY_UNKNOWN].mae < physics.mae


def train(
    table: TrainingTable,
    materials: dict[str, NDArray[np.floating]],
    *,
    targets: tuple[str, ...] = TARGETS,
    on_step: Callable[[str], None] | None = None,
) -> list[Trained]:
    """Train, judge and describe a model of each target.

    Args:
        table: training rows.
        materials: feature vectors of the layers in it, by uid.
        targets: quantity keys.
        on_step: called with a line of text as the work goes on.

    Raises:
        TooFewRowsError: a target has fewer than `MIN_ROWS` labelled rows.
    """
    return [_train_one(table, materials, target, on_step or (lambda _: None)) for target in targets]


def steps(targets: tuple[str, ...] = TARGETS) -> int:
    """How often `train` calls `on_step`."""
    return len(targets) * (len(splits.SPLITS[DOMAIN]) * splits.N_FOLDS + 1)


def _train_one(
    table: TrainingTable,
    materials: dict[str, NDArray[np.floating]],
    target: str,
    on_step: Callable[[str], None],
) -> Trained:
    truth = table.targets.get(target, np.array([]))
    labelled = np.isfinite(truth)
    if labelled.sum() < MIN_ROWS:
        raise TooFewRowsError(
            f"There are {int(labelled.sum())} homobilayers with {target}, and training needs {MIN_ROWS}.",
            hint="Import C2DB and BiDB first (stackscreen import c2db PATH, stackscreen import bidb PATH).",
        )
    evaluations = {
        split: evaluate(table, target, split, on_fold=partial(on_step, f"{target}: {split.value}"))
        for split in splits.SPLITS[DOMAIN]
    }
    strict = evaluations[Split.MATERIAL]
    served_trees = beats(strict)
    groups = group_numbers(table.groups)
    physics = f"{baselines.PHYSICS[target]}, calibrated"
    methods = (REGISTRY_KNOWN, REGISTRY_UNKNOWN) if served_trees else (physics, physics)
    known = Conformal.fit(strict.out_of_fold[methods[0]], truth)
    unknown = Conformal.fit(strict.out_of_fold[methods[1]], truth, groups)
    if served_trees:
        fitted = ResidualModel.fit(target, table.known, truth)
        baseline, trees, names = fitted.baseline, fitted.trees, fitted.features
    else:
        column = table.known[:, pair_features.COLUMN[baselines.PHYSICS[target]]]
        baseline = Calibrated.fit(baselines.PHYSICS[target], column, truth, floor=baselines.FLOORS[target])
        trees, names = None, ()
    trained_on = sorted({uid for uid, has in zip(table.groups, labelled, strict=True) if has})
    domain = Domain.fit(np.array([materials[uid] for uid in trained_on]))
    on_step(f"{target}: fitted on all rows")
    model = PairModel(
        target,
        QUANTITIES[target].unit,
        DOMAIN,
        baseline,
        trees,
        names,
        known,
        unknown,
        domain,
        DIFFERENT.get(target),
    )
    metrics = {
        split.value: {method: m.as_json() for method, m in evaluation.metrics.items()}
        for split, evaluation in evaluations.items()
    }
    card = _card(table, target, model, served_trees, len(trained_on), int(labelled.sum()))
    return Trained(
        model, metrics, card, table.digest, f"{Split.MATERIAL.value}-v{splits.VERSION}, {splits.N_FOLDS} folds"
    )


def _card(
    table: TrainingTable, target: str, model: PairModel, served_trees: bool, n_materials: int, n_rows: int
) -> dict[str, Any]:
    quantity = QUANTITIES[target]
    return {
        "target": target,
        "symbol": quantity.symbol,
        "unit": quantity.unit,
        "meaning": quantity.meaning,
        "domain": model.domain_name,
        "family": model.family,
        "digest": sha256(model.to_bytes()).hex(),
        "beats_calibrated_physics": served_trees,
        "physics": baselines.PHYSICS[target],
        "calibration": model.baseline.as_json(),
        "data": {
            "source": "BiDB (Pakdel et al., Nat. Commun. 15, 932 (2024)) with the isolated layers of C2DB "
            "(Haastrup et al., 2D Mater. 5, 042002 (2018); Gjerding et al., 2D Mater. 8, 044002 (2021))",
            "rows": n_rows,
            "materials": n_materials,
            "cleaning_rule": CLEANING_RULE,
            "left_out": dict(sorted(table.left_out.items())),
            "rows_without_registry": table.registry_unknown,
            "digest": table.digest.hex(),
        },
        "folds": {"rule": f"SHA-256 of names, version {splits.VERSION}", "number": splits.N_FOLDS},
        "features": {
            "set": f"{pair_features.KEY} v{pair_features.VERSION}",
            "names": list(model.features),
        },
        "parameters": {**lightgbm_pair.PARAMETERS, "rounds": lightgbm_pair.ROUNDS} if served_trees else {},
        "different_layers": None if model.different is None else asdict(model.different),
        "interval_half_widths": {"known": model.known.as_json(), "unknown": model.unknown.as_json()},
        "versions": {"lightgbm": version("lightgbm"), "numpy": version("numpy")},
    }
