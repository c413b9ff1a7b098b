"""Which of trees and physics names a class: trees only where they are ahead by more than chance."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ml_helpers import layers
from test_class_models import TARGET, aligned

from ml import class_training
from ml.evaluation import Evaluation
from ml.features import compute
from ml.gate import clearly_ahead
from ml.interfaces import LayerTable
from ml.metrics import ClassMetrics, Metrics
from ml.rows import InterfaceRows


def judged(truth: np.ndarray, trees: np.ndarray, physics: np.ndarray, spread: dict[str, float]) -> Evaluation:
    found = {"physics": physics, "trees": trees}
    metrics = {name: ClassMetrics.of(truth, one) for name, one in found.items()}
    return Evaluation(
        "heterobilayer", "hetml", TARGET, "both-unseen", "", b"", len(truth), ("physics",), metrics, {}, found, {}, {},
        spread,
    )  # fmt: skip


def named(n: int, wrong: slice) -> np.ndarray:
    out = np.ones(n)
    out[wrong] = 2.0
    return out


@pytest.mark.parametrize(("better", "worse", "ahead"), [(26, 20, False), (28, 20, True), (26, 30, False), (5, 0, True)])
def test_classes_named_differently_must_differ_by_more_than_a_coin_would_make_them(
    better: int, worse: int, ahead: bool
) -> None:
    # Of 500 rows `better` are named rightly by the trees alone, `worse` by physics alone: the difference is uncertain
    # by about √(better + worse), 6.8 of 46 rows and 6.9 of 48.
    truth = np.ones(500)
    found = judged(truth, named(500, slice(0, worse)), named(500, slice(100, 100 + better)), {})
    assert clearly_ahead(found, "trees", truth) is ahead


@pytest.mark.parametrize(("spread", "ahead"), [(0.0124, False), (0.0119, True)])
def test_where_folds_were_drawn_again_what_the_errors_move_by_decides(spread: float, ahead: bool) -> None:
    truth = np.ones(1000)
    for moved in ({"trees": spread, "physics": 0.001}, {"trees": 0.001, "physics": spread}):
        found = judged(truth, named(1000, slice(0, 0)), named(1000, slice(0, 12)), moved)
        assert clearly_ahead(found, "trees", truth) is ahead


def test_of_numbers_the_sizes_of_the_errors_are_compared() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(size=400)
    physics = truth + rng.normal(0, 1.0, 400)
    for scale, ahead in ((0.999, False), (0.7, True)):
        # Errors of their own: what is a little smaller on average may be so by chance.
        trees = truth + rng.permutation(physics - truth) * scale
        found = judged(truth, trees, physics, {})
        metrics = {"physics": Metrics.of(truth, physics), "trees": Metrics.of(truth, trees)}
        assert clearly_ahead(replace(found, metrics=metrics), "trees", truth) is ahead


@pytest.fixture(scope="module")
def pairs() -> InterfaceRows:
    """Pairs of layers of their own, whose gaps break as probably as a logistic line in the overlap says."""
    rows = aligned(500)
    broken = np.random.default_rng(5).random(500) < 1.0 / (1.0 + np.exp(4.0 * (rows.column("nosoc_gap_overlap") + 0.5)))
    kind = np.where(broken, 3.0, np.where(rows.column("nosoc_straddling_margin") >= 0, 1.0, 2.0))
    four = compute(layers())
    table = LayerTable({}, {}, {name: k for k, name in enumerate(rows.bottom)}, four[np.arange(500) % 4])
    return replace(rows, targets={TARGET: kind}, layers=table)


def test_trees_do_not_answer_for_strangers_where_physics_knows_all_that_is_to_be_known(pairs: InterfaceRows) -> None:
    (trained,) = class_training.train({"hetml": pairs}, repeats=3)
    assert not trained.model.categories[2].trees
    assert trained.card["answers"]["both-unseen"]["method"] == "nosoc_alignment_type, calibrated"
    assert trained.reports[0].method == "nosoc_alignment_type, calibrated"


def test_trees_answer_where_they_know_what_physics_does_not(pairs: InterfaceRows) -> None:
    odd = pairs.column("facing_electronegativity") > 0.0
    kind = pairs.targets[TARGET]
    taught = replace(pairs, targets={TARGET: np.where(odd & (kind == 2.0), 1.0, kind)})
    (trained,) = class_training.train({"hetml": taught})
    assert all(category.trees for category in trained.model.categories.values())
