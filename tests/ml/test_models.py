"""Trees, intervals, calibrated lines and artefacts, on made-up rows."""

from collections import Counter

import lightgbm
import numpy as np
import pytest
from made_up_rows import made_up_rows

from ml import pair_features
from ml.artefact import ArtefactError, PairModel, State, sha256
from ml.baselines import Calibrated
from ml.cleaning import clean
from ml.domain import Domain
from ml.features import NAMES
from ml.models.forest import Forest
from ml.models.tree_ensemble import TreeEnsemble
from ml.splits import FoldFileError, Split, fold_numbers, fold_of, read_folds, write_all
from ml.uncertainty import ByUnseen, Conformal
from schema.quantities import BINDING_ENERGY, GAP, INTERLAYER_DISTANCE


def test_compiled_trees_give_lightgbms_numbers_missing_values_included() -> None:
    rng = np.random.default_rng(3)
    rows = rng.normal(size=(3000, 12)).astype(np.float32)
    rows[rng.random(rows.shape) < 0.15] = np.nan
    rows[:, 4] = np.nan_to_num(rows[:, 4])
    wanted = np.nan_to_num(rows) @ rng.normal(size=12) + np.isnan(rows[:, 0])
    data = lightgbm.Dataset(rows, wanted)
    booster = lightgbm.train({"num_leaves": 31, "verbosity": -1, "num_threads": 1}, data, 60)
    test = rng.normal(size=(1000, 12)).astype(np.float32)
    test[rng.random(test.shape) < 0.3] = np.nan
    for n in (1000, 65, 64, 1):
        np.testing.assert_allclose(
            Forest.from_lightgbm(booster).predict(test[:n]), booster.predict(test[:n]), atol=1e-12
        )


def test_trees_with_too_many_leaves_are_refused() -> None:
    rng = np.random.default_rng(3)
    rows = rng.normal(size=(3000, 3))
    data = lightgbm.Dataset(rows, rows.sum(axis=1))
    booster = lightgbm.train({"num_leaves": 60, "verbosity": -1, "num_threads": 1}, data, 2)
    with pytest.raises(ValueError, match="more than 32"):
        Forest.from_lightgbm(booster)


def test_a_fold_follows_from_the_name_alone() -> None:
    # Fixed for ever: another number here means another split under the same version.
    assert [fold_of(f"MoS2-{k}", Split.MATERIAL) for k in range(6)] == [1, 3, 1, 1, 3, 0]


def test_fold_files_are_read_back_and_checked(tmp_path) -> None:
    rows = made_up_rows(domain="homobilayer")
    path = next(file for file in write_all(tmp_path / "folds", rows) if "family" in file.name)
    np.testing.assert_array_equal(read_folds(path, rows.ids), fold_numbers(rows, Split.FAMILY))
    with pytest.raises(FoldFileError, match="no fold for 1 rows"):
        read_folds(path, ["stranger"])
    path.write_text("name,number\n")
    with pytest.raises(FoldFileError, match="begins with"):
        read_folds(path, [])
    with pytest.raises(FoldFileError, match="cannot be read"):
        read_folds(tmp_path / "absent.csv", [])


def test_conformal_half_widths_cover_each_bin_alike() -> None:
    rng = np.random.default_rng(0)
    predicted = rng.uniform(0, 10, 20_000)
    true = predicted + rng.normal(0, 0.1 + 0.2 * predicted)
    fitted = Conformal.fit(predicted[:10_000], true[:10_000])
    half = fitted.half_widths(predicted[10_000:])
    inside = np.abs(true - predicted)[10_000:] <= half
    for low in range(0, 10, 2):
        chosen = (predicted[10_000:] >= low) & (predicted[10_000:] < low + 2)
        assert inside[chosen].mean() == pytest.approx(0.9, abs=0.03)
    assert np.isnan(fitted.half_widths(np.array([np.nan])))[0]


def test_a_line_is_calibrated_on_absolute_errors_and_kept_above_its_floor() -> None:
    x = np.linspace(0, 5, 200)
    y = 1 + 2 * x
    y[::20] += 50
    rows = np.full((200, len(pair_features.NAMES)), np.nan)
    rows[:, pair_features.COLUMN["gap_aligned"]] = x
    line = Calibrated.fit("gap_aligned", x, y, floor=2.0)
    assert line.intercept == pytest.approx(1.0, abs=0.05)
    assert line.slope == pytest.approx(2.0, abs=0.02)
    assert line.predict(rows)[0] == 2.0
    assert Calibrated.from_json(line.as_json()) == line


@pytest.mark.parametrize(
    ("energy", "distance", "kept"),
    [
        (20.0, 3.0, True), (60.0, 1.5, True), (0.0, 3.0, False), (60.1, 3.0, False), (20.0, 1.49, False),
        (np.nan, 3.0, False),
    ],
)  # fmt: skip
def test_the_cleaning_rule_is_the_stated_one_and_leaves_other_targets_alone(
    energy: float, distance: float, kept: bool
) -> None:
    labels = {BINDING_ENERGY.key: energy, INTERLAYER_DISTANCE.key: distance, GAP.key: 1.0}
    found = clean("bidb", labels, Counter())
    assert (BINDING_ENERGY.key in found) is kept
    assert found[GAP.key] == 1.0


def test_a_layer_like_the_training_layers_is_inside_the_domain_and_a_strange_one_is_not() -> None:
    rng = np.random.default_rng(0)
    table = rng.normal(size=(300, len(NAMES)))
    domain = Domain.fit(table)
    near, far = domain.distance(table[:1] + 0.01)[0], domain.distance(table[:1] + 20.0)[0]
    assert near < 1 < far
    again = Domain.from_json(domain.as_json())
    assert again.distance(table[:1])[0] == pytest.approx(domain.distance(table[:1])[0])


def model() -> PairModel:
    rng = np.random.default_rng(0)
    domain = Domain.fit(rng.normal(size=(30, len(NAMES))))
    line = TreeEnsemble(Calibrated("gap_aligned", 0.1, 0.9, 0.0))
    intervals = ByUnseen({0: Conformal((1.0,), (0.1, 0.2)), 2: Conformal((1.0,), (0.2, 0.4))})
    state = State(line, intervals, "bidb")
    return PairModel(GAP.key, "eV", "homobilayer", state, state, domain, ("MoS2",))


def test_an_artefact_is_read_back_as_it_was_written() -> None:
    data = model().to_bytes()
    again = PairModel.from_bytes(data, digest=sha256(data))
    assert again.to_bytes() == data
    assert again.family == "calibrated-baseline"
    rows = np.full((2, len(pair_features.NAMES)), np.nan, np.float32)
    rows[:, pair_features.COLUMN["gap_aligned"]] = [0.0, 2.0]
    predicted = again.predict(rows)
    np.testing.assert_allclose(predicted.value, [0.1, 1.9], rtol=1e-6)
    np.testing.assert_allclose(predicted.lower, [0.0, 1.5], atol=1e-6)
    # A pair whose layers training has seen is known better.
    np.testing.assert_allclose(again.predict(rows, unseen=np.array([0, 0])).upper, [0.2, 2.1], rtol=1e-6)


def test_a_changed_artefact_is_refused() -> None:
    data = model().to_bytes()
    changed = data.replace(b"0.9", b"0.8", 1)
    assert changed != data
    with pytest.raises(ArtefactError, match="changed or damaged"):
        PairModel.from_bytes(changed, digest=sha256(data))


def test_what_is_no_artefact_is_refused_in_a_sentence() -> None:
    for data in (b"", b"[]", b"{}", b'{"format": "other", "format_version": 1}'):
        with pytest.raises(ArtefactError, match="not a pair model"):
            PairModel.from_bytes(data)
