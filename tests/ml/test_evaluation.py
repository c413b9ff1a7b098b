"""Evaluation: nothing of a test row is learned, choices are nested, intervals cover what they say."""

from dataclasses import replace

import numpy as np
import pytest
from made_up_rows import TARGET, made_up_rows
from plain_methods import Line, Mean

from ml.evaluation import evaluate, repeated
from ml.learning import learning_curve
from ml.metrics import ClassMetrics, Metrics
from ml.parts import block, parts_of
from ml.selection import Chosen, best_weights, described
from ml.splits import Partition, Split, of_folds, partitions
from ml.uncertainty import ByUnseen, Conformal, honest_half_widths, unseen_partners
from schema.vocabulary import PartKind

PHYSICS = Line(("physics",), "physics, calibrated")
FULL = Line(("physics", "mean_0", "mean_1", "mean_2", "mean_3", "registry"), "full line")


@pytest.fixture(scope="module")
def rows():
    return made_up_rows(60, 2400)


@pytest.fixture(scope="module")
def strict(rows):
    return evaluate(rows, TARGET, [FULL], Split.BOTH_UNSEEN, baselines=[Mean(), PHYSICS])


def test_a_method_is_judged_beside_its_baselines(strict) -> None:
    assert strict.best_baseline == "physics, calibrated"
    assert strict.beats_baseline("full line")
    assert not strict.beats_baseline("mean")
    assert strict.metrics["full line"].n == strict.n == 2400
    assert strict.metrics["mean"].r2 < 0.05 < strict.metrics["full line"].r2
    assert strict.folds == "both-unseen-v1, 4 folds"


def test_a_method_never_learns_from_a_row_that_it_is_tested_on(rows) -> None:
    spy = Line(("physics",), "spy")
    evaluate(rows, TARGET, [spy], Split.BOTH_UNSEEN)
    assert len(spy.learned_from) == 10
    for learned, part in zip(spy.learned_from, partitions(rows, Split.BOTH_UNSEEN), strict=True):
        assert not (learned & part.test).any()
        np.testing.assert_array_equal(learned, part.train)


def test_rows_without_a_label_are_neither_learned_from_nor_judged(rows) -> None:
    truth = rows.targets[TARGET].copy()
    truth[::3] = np.nan
    found = evaluate(replace(rows, targets={TARGET: truth}), TARGET, [FULL], Split.PAIR)
    assert found.n == 1600
    assert np.isnan(found.out_of_fold["full line"][::3]).all()
    assert np.isfinite(found.out_of_fold["full line"][1::3]).all()


@pytest.mark.parametrize("split", [Split.BOTH_UNSEEN, Split.ONE_UNSEEN, Split.PAIR])
def test_intervals_cover_ninety_per_cent_of_rows_that_they_were_not_calibrated_on(split: Split) -> None:
    covered = [
        evaluate(made_up_rows(60, 2400, seed=seed), TARGET, [FULL], split).metrics["full line"].coverage
        for seed in range(4)
    ]
    assert np.mean(covered) == pytest.approx(0.9, abs=0.02)


def test_intervals_of_a_part_follow_from_what_the_part_learned_from_alone(rows) -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(size=len(rows))
    parts = partitions(rows, Split.BOTH_UNSEEN)
    before = honest_half_widths(np.zeros(len(rows)), truth, parts)
    part = parts[1]
    # What lies outside the part's training rows may be anything: the part's own intervals stay.
    truth[~part.train] += 100
    after = honest_half_widths(np.zeros(len(rows)), truth, parts)
    np.testing.assert_array_equal(before[part.test], after[part.test])
    assert (before[parts[-1].test] != after[parts[-1].test]).any()


def test_intervals_cover_alike_where_one_fold_is_left_out_and_where_two_are() -> None:
    rng = np.random.default_rng(0)
    covered = []
    for _ in range(20):
        fold = rng.integers(0, 4, (1600, 2))
        parts = []
        for i in range(4):
            for j in range(i, 4):
                test = np.isin(fold, (i, j)).all(axis=1) & ((fold == i).any(axis=1) & (fold == j).any(axis=1))
                parts.append(Partition(~np.isin(fold, (i, j)).any(axis=1), test, len({i, j})))
        # What learned without two folds errs more than what learned without one.
        two = fold[:, 0] != fold[:, 1]
        truth = rng.normal(size=1600) * np.where(two, 2.0, 1.0)
        inside = np.abs(truth) <= honest_half_widths(np.zeros(1600), truth, parts)
        covered.append([inside[two].mean(), inside[~two].mean()])
    assert np.mean(covered, axis=0) == pytest.approx(0.9, abs=0.015)


def test_of_few_materials_as_many_are_covered_as_asked_for() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(25), 20)
    covered = []
    for _ in range(2000):
        # The rows of a material err together: there are 25 errors, not 500.
        width = Conformal.fit(np.zeros(500), np.repeat(rng.normal(size=25), 20), groups, n_bins=1).half_width[0]
        covered.append(np.abs(rng.normal(size=100)) <= width)
    assert np.mean(covered) == pytest.approx(24 / 26, abs=0.01)


def test_intervals_stand_half_way_between_ninety_per_cent_of_rows_and_of_materials() -> None:
    rng = np.random.default_rng(0)
    counts = np.tile([1, 16], 2000)
    groups = np.repeat(np.arange(4000), counts)
    # Materials with few rows err more.
    truth = rng.normal(size=len(groups)) * np.where(counts[groups] == 1, 2.0, 1.0)
    inside = np.abs(truth) <= Conformal.fit(np.zeros(len(truth)), truth, groups, n_bins=1).half_width[0]
    by_row, by_material = inside.mean(), np.mean([inside[counts[groups] == n].mean() for n in (1, 16)])
    assert by_row > 0.9
    assert np.average(inside, weights=1 / np.sqrt(counts[groups])) == pytest.approx(0.9, abs=0.002)
    # Counting one way alone would miss by more when counted the other way.
    width = np.quantile(np.abs(truth), 0.9)
    few, many = (np.mean(np.abs(truth[counts[groups] == n]) <= width) for n in (1, 16))
    assert (few + many) / 2 < by_material < 0.9


def test_the_calibration_curve_rises_through_what_is_asked_for(strict) -> None:
    curve = strict.calibration["full line"]
    assert [level for level, _ in curve] == [0.5, 0.6, 0.7, 0.8, 0.9, 0.95]
    for level, covered in curve:
        assert covered == pytest.approx(level, abs=0.05)


def test_a_view_hides_features_from_a_fitted_method_only(rows) -> None:
    def hidden(shown):
        features = shown.features.copy()
        features[:, shown.names.index("registry")] = np.nan
        return replace(shown, features=features)

    views = {"": lambda shown: shown, "registry unknown": hidden}
    found = evaluate(rows, TARGET, [FULL], Split.PAIR, views=views)
    assert found.metrics["full line"].mae < found.metrics["full line, registry unknown"].mae
    assert set(found.metrics) == {"full line", "full line, registry unknown"}


def test_repeats_say_how_much_an_error_owes_to_folds_and_seeds(rows) -> None:
    methods = [replace(FULL, jitter=0.3), PHYSICS]
    once = evaluate(rows, TARGET, methods, Split.PAIR)
    again = repeated(once, rows, methods, Split.PAIR, 3)
    assert again.metrics == once.metrics
    assert again.repeats == 3
    assert again.spread["full line"] > again.spread["physics, calibrated"] > 0
    assert repeated(once, rows, methods, Split.PAIR, 3).spread == again.spread


def test_more_training_materials_make_smaller_errors() -> None:
    rows = made_up_rows(60, 900, noise=1.0, material_effect=0.0)
    many = Line(("physics", "mean_0", "mean_1", "mean_2", "mean_3", "registry"), "many")
    curve = learning_curve(rows, TARGET, many, Split.BOTH_UNSEEN, fractions=(0.01, 0.5, 1.0))
    assert [point.fraction for point in curve] == [0.5, 1.0]
    assert curve[0].rows < curve[1].rows
    assert curve[0].materials < curve[1].materials
    assert curve[0].error > curve[1].error
    whole = evaluate(rows, TARGET, [many], Split.BOTH_UNSEEN).metrics["many"].mae
    assert curve[-1].error == pytest.approx(whole)


def test_parts_of_ones_own_are_judged_too(rows) -> None:
    fold = np.where(np.arange(len(rows)) % 4 == 3, -1, np.arange(len(rows)) % 2)
    found = evaluate(rows, TARGET, [FULL], of_folds(fold), own=b"id,fold\n")
    assert found.split == "own folds"
    assert found.folds.startswith("own folds, SHA-256 ")
    assert np.isnan(found.out_of_fold["full line"][3::4]).all()


def test_a_choice_is_made_on_inner_folds_of_the_training_rows_alone(rows) -> None:
    spies = (Line(("physics",), "a"), Line(("physics", "mean_1", "mean_2"), "b"))
    part = partitions(rows, Split.BOTH_UNSEEN)[1]
    Chosen("chosen", spies, Split.BOTH_UNSEEN).fit(rows, TARGET, part.train)
    for spy in spies:
        # The inner fits see the training rows only, cut out; the last sees all of them.
        for learned in spy.learned_from:
            if len(learned) == len(rows):
                np.testing.assert_array_equal(learned, part.train)
            else:
                assert len(learned) == part.train.sum()


def test_the_better_candidate_is_chosen_and_a_blend_is_no_worse(rows) -> None:
    candidates = (PHYSICS, FULL)
    found = evaluate(rows, TARGET, [Chosen("chosen", candidates, Split.PAIR), FULL], Split.PAIR, baselines=[PHYSICS])
    assert found.metrics["chosen"].mae <= found.metrics["full line"].mae * 1.01
    assert found.metrics["chosen"].mae < found.metrics["physics, calibrated"].mae


def test_weights_are_on_a_grid_and_lean_on_the_first_among_equals() -> None:
    rng = np.random.default_rng(0)
    true = rng.normal(size=4000)
    noise = rng.normal(size=(2, 4000))
    assert best_weights(true + noise, true) == pytest.approx((0.5, 0.5), abs=0.11)
    assert best_weights(np.array([true, true]), true) == (1.0, 0.0)
    assert best_weights(np.array([true + 1, true]), true, blend=False) == (0.0, 1.0)
    assert described((0.7, 0.0, 0.3), ("a", "b", "c")) == "0.7 a + 0.3 c"


def test_where_nothing_can_be_chosen_the_first_candidate_is_taken() -> None:
    rows = made_up_rows(2, 30)
    chosen = Chosen("chosen", (PHYSICS, FULL), Split.BOTH_UNSEEN, splits_if_not=())
    assert chosen.weights(rows, TARGET, np.ones(30, bool)) == (1.0, 0.0)


def test_classes_are_judged_by_how_many_and_which_are_named_rightly(rows) -> None:
    kinds = np.digitize(rows.targets[TARGET], [13.0, 17.0]).astype(float)
    classed = replace(rows, targets={"alignment": kinds})
    found = evaluate(classed, "alignment", [FULL], Split.PAIR, baselines=[Mean()], classes=True)
    ours = found.metrics["full line"]
    assert isinstance(ours, ClassMetrics)
    assert ours.accuracy > found.metrics["mean"].accuracy
    assert set(ours.recall) == {0, 1, 2}
    assert found.beats_baseline("full line")
    named = {part.name for part, _ in found.by_part["full line"] if part.kind is PartKind.CLASS}
    assert named == {"0", "1", "2"}


def test_errors_are_told_apart_by_family_and_by_block(strict, rows) -> None:
    by_part = strict.by_part["full line"]
    families = [metrics for part, metrics in by_part if part.kind is PartKind.FAMILY]
    assert sum(metrics.n for metrics in families) == strict.n
    mae = sum(metrics.n * metrics.mae for metrics in families) / strict.n
    assert mae == pytest.approx(strict.metrics["full line"].mae)
    for _, mask in parts_of(rows):
        assert mask.any()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("1MoS2-1", "with d-block"), ("2C-1", "s- and p-block only"), ("EuS", "with f-block"),
        ("WSe2 Ag(111)", "with d-block"), ("starter", "unknown"),
    ],
)  # fmt: skip
def test_the_block_of_a_material_follows_from_the_elements_in_its_name(name: str, expected: str) -> None:
    assert block(name) == expected


def test_more_strangers_make_wider_intervals() -> None:
    rng = np.random.default_rng(0)
    predicted = rng.uniform(size=600)
    by_unseen = ByUnseen(
        {k: Conformal.fit(predicted, predicted + scale * rng.normal(size=600)) for k, scale in ((0, 1.0), (2, 3.0))}
    )
    half = by_unseen.half_widths(np.full(3, 0.5), np.array([0, 1, 2]))
    assert half[0] < half[1] == half[2]
    assert ByUnseen.from_json(by_unseen.as_json()) == by_unseen
    assert unseen_partners(["a", "a", "c"], ["a", "c", "d"], frozenset("ab")).tolist() == [0, 1, 2]


def test_where_members_disagree_more_the_interval_is_wider_and_covers_alike() -> None:
    rng = np.random.default_rng(0)
    spread = rng.uniform(0.1, 2.0, 20_000)
    true = spread * rng.normal(size=20_000)
    predicted = np.zeros(20_000)
    half = Conformal.fit(predicted[:10_000], true[:10_000], spread=spread[:10_000])
    widths = half.half_widths(predicted[10_000:], spread[10_000:])
    inside = np.abs(true[10_000:]) <= widths
    assert inside.mean() == pytest.approx(0.9, abs=0.01)
    plain = Conformal.fit(predicted[:10_000], true[:10_000]).half_widths(predicted[10_000:])
    calm = spread[10_000:] < 0.5
    assert widths[calm].mean() < plain[calm].mean()
    assert Conformal.from_json(half.as_json()) == half


def test_nothing_predicted_is_said_as_no_rows() -> None:
    nothing = np.full(3, np.nan)
    assert Metrics.of(nothing, nothing).n == 0
    assert ClassMetrics.of(nothing, nothing).n == 0
