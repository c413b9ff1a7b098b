"""Models that name a class: physics first, trees on it, probabilities that mean what they say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ml_helpers import layers
from plain_methods import Mean

from ml import pair_features
from ml.artefact import ArtefactError, sha256
from ml.class_artefact import PHYSICS_FAMILY, TREES_FAMILY, Category, ClassModel
from ml.class_calibration import MOST_FREQUENT, ClassCalibration, honest_scores, log_loss, scores_by_method
from ml.class_explain import class_importance
from ml.domain import Domain
from ml.features import compute
from ml.gate import judge
from ml.heads import HETERO, HOMO
from ml.models.class_physics import CalibratedAnderson, Frequencies, OneFeature, PhysicsAlone, physics_from_json
from ml.models.tree_classes import ClassTrees, FittedClasses
from ml.models.tree_settings import Settings, same
from ml.pair_features import COLUMN, NAMES, PairFeatures
from ml.report import Figure, Report, confusion
from ml.rows import InterfaceRows
from ml.splits import Partition, Split
from schema.quantities import ALIGNMENT_TYPE, SLIDE_STABILITY

FEW = Settings(rounds=20, rate=0.1, leaves=4, min_rows=10)
FAST = same(2, FEW)
TARGET = ALIGNMENT_TYPE.key
READ = ("nosoc_gap_overlap", "facing_electronegativity")


def aligned(n: int = 400, seed: int = 0) -> InterfaceRows:
    """Pairs that Anderson's rule gets right, except that gaps break only where bands overlap by 0.5 eV."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, len(NAMES))).astype(np.float32)
    overlap = rng.uniform(-2.0, 2.0, n)
    margin = rng.normal(size=n)
    for name, values in (
        ("nosoc_gap_overlap", overlap), ("nosoc_straddling_margin", margin),
        ("nosoc_valence_offset", rng.uniform(0.3, 2, n)), ("nosoc_conduction_offset", rng.uniform(0.3, 2, n)),
        ("nosoc_alignment_type", np.where(overlap <= 0, 3.0, np.where(margin >= 0, 1.0, 2.0))),
    ):  # fmt: skip
        features[:, COLUMN[name]] = values
    kind = np.where(overlap < -0.5, 3.0, np.where(margin >= 0, 1.0, 2.0))
    names = [f"hetml:{k:03d}" for k in range(n)]
    return InterfaceRows(HETERO, "hetml", names, names, names, names, names, features, NAMES, {TARGET: kind})


def everything(rows: InterfaceRows) -> np.ndarray:
    return np.ones(len(rows), bool)


def share_right(fitted: object, rows: InterfaceRows) -> float:
    return float((fitted.predict(rows, everything(rows)) == rows.targets[TARGET]).mean())  # type: ignore[attr-defined]


def model(rows: InterfaceRows, *, trees: bool = True, target: str = TARGET, needs_registry: bool = False) -> ClassModel:
    fitted = ClassTrees(READ, CalibratedAnderson.fit, FAST).fit(rows, TARGET, everything(rows))
    calibration = ClassCalibration(1.2, 0.3)
    categories = {0: Category(trees, calibration), 2: Category(False, calibration)}
    domain = Domain.fit(compute(layers()))
    return ClassModel(target, HETERO, "hetml", fitted, categories, needs_registry, domain, ("a", "b"))


def test_calibration_learns_how_far_bands_must_overlap_before_a_gap_is_gone() -> None:
    rows, fresh = aligned(), aligned(seed=1)
    anderson = float((fresh.column("nosoc_alignment_type") == fresh.targets[TARGET]).mean())
    fitted = PhysicsAlone(CalibratedAnderson.fit, "calibrated").fit(rows, TARGET, everything(rows))
    assert share_right(fitted, fresh) > anderson + 0.08
    assert share_right(fitted, fresh) > 0.95


def test_physics_survives_being_written_and_read() -> None:
    rows = aligned()
    two = replace(rows, targets={TARGET: np.where(rows.targets[TARGET] == 3, 3.0, 1.0)})
    for physics in (
        CalibratedAnderson.fit(rows, rows.targets[TARGET]),
        Frequencies.fit(rows, rows.targets[TARGET]),
        OneFeature.of("nosoc_gap_overlap")(two, two.targets[TARGET]),
    ):
        again = physics_from_json(physics.as_json())
        np.testing.assert_array_equal(again.probabilities(rows), physics.probabilities(rows))
        np.testing.assert_allclose(physics.probabilities(rows).sum(axis=1), 1.0)
    with pytest.raises(KeyError):
        physics_from_json({"kind": "guess"})


def test_trees_start_from_physics_and_learn_what_it_misses() -> None:
    rows, fresh = aligned(800), aligned(400, seed=1)
    # What physics cannot know: one kind of face turns staggered into straddling.
    for one in (rows, fresh):
        odd = one.column("facing_electronegativity") > 1.0
        kind = one.targets[TARGET]
        one.targets[TARGET] = np.where(odd & (kind == 2.0), 1.0, kind)
    fitted = ClassTrees(READ, CalibratedAnderson.fit, same(2, replace(FEW, rounds=60))).fit(
        rows, TARGET, everything(rows)
    )
    assert share_right(fitted, fresh) > share_right(fitted.without_trees, fresh) + 0.02
    again = FittedClasses.from_json(fitted.as_json())
    every = everything(fresh)
    np.testing.assert_array_equal(again.probabilities(fresh, every), fitted.probabilities(fresh, every))


def test_what_the_trees_of_a_class_go_by_is_found_out() -> None:
    rows = aligned(800)
    odd = rows.column("facing_electronegativity") > 0.5
    rows.targets[TARGET] = np.where(odd & (rows.targets[TARGET] == 2.0), 1.0, rows.targets[TARGET])
    read = ("facing_electronegativity", "facing_column", "facing_row")
    fitted = ClassTrees(read, CalibratedAnderson.fit, FAST).fit(rows, TARGET, everything(rows))
    assert class_importance(fitted, rows)[0][0] == "facing_electronegativity"


def test_a_temperature_takes_back_what_probabilities_promise_too_much() -> None:
    rng = np.random.default_rng(0)
    honest = rng.dirichlet((1.0, 1.0, 1.0), 3000)
    true = np.array([rng.choice(3, p=p) for p in honest])
    sure = honest**2 / (honest**2).sum(axis=1, keepdims=True)
    calibration = ClassCalibration.fit(sure, true)
    assert calibration.temperature == pytest.approx(2.0, rel=0.15)
    assert log_loss(calibration.probabilities(sure), true) < log_loss(sure, true)


def test_sets_of_classes_hold_the_right_one_nine_times_in_ten_on_rows_that_did_not_calibrate() -> None:
    rng = np.random.default_rng(1)
    raw = rng.dirichlet((0.7, 0.7, 0.7), 4000)
    true = np.array([rng.choice(3, p=p) for p in raw])
    half = np.arange(4000) % 2 == 0
    scores = honest_scores(raw, true, [Partition(half, ~half), Partition(~half, half)])
    assert scores.n == 4000
    assert scores.coverage == pytest.approx(0.9, abs=0.02)
    assert 1.0 < scores.set_size < 3.0
    for stated, found, n in scores.reliability:
        assert found == pytest.approx(stated, abs=3.5 * np.sqrt(0.25 / n))


def test_methods_that_give_probabilities_are_scored_beside_the_frequencies_of_the_classes() -> None:
    rows, half = aligned(), np.arange(400) % 2 == 0
    parts = [Partition(half, ~half), Partition(~half, half)]
    physics = PhysicsAlone(CalibratedAnderson.fit, "physics")
    found = scores_by_method(rows, TARGET, [Mean(), physics, ClassTrees(READ, CalibratedAnderson.fit, FAST)], parts)
    assert list(found) == [MOST_FREQUENT, "physics", "model"]
    assert {one.n for one in found.values()} == {400}
    shares = np.bincount(rows.targets[TARGET].astype(int))[1:] / 400
    # Tempered a little, but what saying nothing but frequencies must come to.
    assert found[MOST_FREQUENT].brier == pytest.approx(1 - (shares**2).sum(), abs=0.03)
    assert found["physics"].brier < 0.3 * found[MOST_FREQUENT].brier
    assert found["physics"].set_size < found[MOST_FREQUENT].set_size


def test_an_artefact_reads_back_as_what_it_was_and_nothing_else_does() -> None:
    made = model(aligned())
    data = made.to_bytes()
    again = ClassModel.from_bytes(data, digest=sha256(data))
    assert again.to_bytes() == data
    rows, unseen = aligned(50, seed=2), np.arange(50) % 3
    np.testing.assert_array_equal(again.predict(rows, unseen).probability, made.predict(rows, unseen).probability)
    with pytest.raises(ArtefactError, match="changed or damaged"):
        ClassModel.from_bytes(data + b" ", digest=sha256(data))
    other = data.replace(b'"version":%d' % pair_features.VERSION, b'"version":99', 1)
    with pytest.raises(ArtefactError, match="v99"):
        ClassModel.from_bytes(other)
    for bad in (b"", b"{}", b"[1]", data[:-5]):
        with pytest.raises(ArtefactError):
            ClassModel.from_bytes(bad)


def test_physics_alone_answers_where_trees_did_not_win() -> None:
    rows = aligned()
    made, without = model(rows), model(rows, trees=False)
    assert (made.family, without.family) == (TREES_FAMILY, PHYSICS_FAMILY)
    known, strangers = np.zeros(len(rows), int), np.full(len(rows), 2)
    assert not np.array_equal(made.predict(rows, known).probability, made.predict(rows, strangers).probability)
    np.testing.assert_array_equal(
        made.predict(rows, strangers).probability, without.predict(rows, known).probability
    )  # fmt: skip


def test_the_named_class_lies_in_its_set_and_a_metal_is_one_by_definition() -> None:
    rows = aligned(60)
    rows.features[5, COLUMN["nosoc_alignment_type"]] = 4.0
    rows.features[6, COLUMN["nosoc_gap_overlap"]] = np.nan
    # Of many a metal no more is known than that it has no gap.
    rows.features[7, [COLUMN["nosoc_gap_overlap"], COLUMN["nosoc_alignment_type"]]] = np.nan
    rows.features[7, COLUMN["nosoc_gap_min"]] = 0.0
    found = model(aligned()).predict(rows, np.full(60, 2))
    for metal in (5, 7):
        assert (found.value[metal], found.lower[metal], found.upper[metal]) == (4.0, 4.0, 4.0)
        assert np.isnan(found.probability[metal])
    assert np.isnan(found.value[6])
    rest = np.setdiff1d(np.arange(60), [5, 6, 7])
    assert ((found.lower <= found.value) & (found.value <= found.upper))[rest].all()
    assert ((found.probability >= 1 / 3) & (found.probability <= 1))[rest].all()


def test_a_class_of_one_registry_is_not_named_where_there_is_none() -> None:
    rows = aligned(20)
    rows.features[:10, COLUMN[pair_features.REGISTRY[0]]] = np.nan
    found = model(aligned(), target=SLIDE_STABILITY.key, needs_registry=True).predict(rows, np.zeros(20, int))
    assert np.isnan(found.value[:10]).all()
    assert np.isfinite(found.value[10:]).all()


def test_exchanging_the_layers_changes_no_class() -> None:
    pairs = PairFeatures(compute(layers()))
    a, b = (index.ravel() for index in np.meshgrid(np.arange(3), np.arange(3)))
    top, bottom = np.ones(9, bool), np.zeros(9, bool)
    made = model(aligned())
    found = []
    for features in (pairs(a, b, top_a=top, top_b=bottom), pairs(b, a, top_a=bottom, top_b=top)):
        names = [f"x:{k}" for k in range(9)]
        rows = InterfaceRows(HOMO, "x", names, names, names, names, names, features, NAMES, {})
        found.append(made.predict(rows, np.zeros(9, int)))
    np.testing.assert_allclose(found[0].probability, found[1].probability, rtol=1e-5)
    np.testing.assert_array_equal(found[0].value, found[1].value)


def test_the_gate_lets_through_what_answers_by_the_best_baseline_itself() -> None:
    figures = [
        Figure(name, 100, accuracy=accuracy) for name, accuracy in (("frequent", 0.4), ("rule", 0.8), ("model", 0.79))
    ]
    report = Report(
        TARGET, HETERO, "hetml", Split.BOTH_UNSEEN.value, "", "", 100, 1, "rule", ["frequent", "rule"], figures
    )  # fmt: skip
    assert judge([report], HETERO, "").served
    assert "rule itself" in judge([report], HETERO, "").why
    assert not judge([replace(report, method="model")], HETERO, "").served


def test_a_confusion_matrix_counts_every_row_once() -> None:
    curve = confusion("model", np.array([1, 1, 2, 3, np.nan]), np.array([1, 2, 2, np.nan, 1]))
    assert sorted(zip(curve.x, curve.y, curve.n or [], strict=True)) == [(1, 1, 1), (1, 2, 1), (2, 2, 1)]
