"""Trees, splits, intervals and artefacts, on made-up rows."""

import lightgbm
import numpy as np
import pytest

from ml import pair_features, splits
from ml.artefact import ArtefactError, PairModel, sha256
from ml.baselines import Calibrated
from ml.bilayer_evaluation import REGISTRY_KNOWN, REGISTRY_UNKNOWN, evaluate
from ml.datasets import TrainingTable, rejection
from ml.domain import Domain
from ml.features import NAMES
from ml.models.forest import Forest
from ml.splits import FoldFileError, Split, fold_of, folds, read_folds, write_all
from ml.uncertainty import Conformal
from schema.quantities import BINDING_ENERGY, GAP, INTERLAYER_DISTANCE


def made_up(n_materials: int = 150, per_material: int = 5, seed: int = 0) -> TrainingTable:
    """Rows whose target is physics, plus something of the material, plus something of the registry."""
    rng = np.random.default_rng(seed)
    n = n_materials * per_material
    material = np.repeat(np.arange(n_materials), per_material)
    rows = rng.normal(size=(n_materials, len(pair_features.NAMES)))[material].astype(np.float32)
    registry = [pair_features.COLUMN[name] for name in pair_features.REGISTRY]
    rows[:, registry] = rng.normal(size=(n, len(registry)))
    x = rows[:, pair_features.COLUMN["dispersion_energy"]]
    y = 15 + 3 * x + 2 * rows[:, pair_features.COLUMN["mean_thickness"]] + rows[:, registry[0]] + rng.normal(0, 0.3, n)
    ids = [f"row-{k:05d}" for k in range(n)]
    groups = [f"material-{m}" for m in material]
    families = [f"family-{m % 9}" for m in material]
    return TrainingTable(ids, groups, families, rows, {BINDING_ENERGY.key: y.astype(float)})


@pytest.fixture(scope="module")
def evaluation():
    return evaluate(made_up(), BINDING_ENERGY.key, Split.MATERIAL)


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


def test_no_material_is_on_both_sides_of_a_fold() -> None:
    table = made_up()
    fold = folds(table, Split.MATERIAL)
    for k in range(splits.N_FOLDS):
        inside = {g for g, f in zip(table.groups, fold, strict=True) if f == k}
        outside = {g for g, f in zip(table.groups, fold, strict=True) if f != k}
        assert inside
        assert not inside & outside


def test_a_fold_follows_from_the_name_alone() -> None:
    # Fixed for ever: another number here means another split under the same version.
    assert [fold_of(f"MoS2-{k}", Split.MATERIAL) for k in range(6)] == [1, 3, 1, 1, 3, 0]


def test_fold_files_are_read_back_and_checked(tmp_path) -> None:
    table = made_up()
    path = next(file for file in write_all(tmp_path / "folds", table) if "family" in file.name)
    np.testing.assert_array_equal(read_folds(path, table.ids), folds(table, Split.FAMILY))
    with pytest.raises(FoldFileError, match="no fold for 1 rows"):
        read_folds(path, ["stranger"])
    path.write_text("name,number\n")
    with pytest.raises(FoldFileError, match="begins with"):
        read_folds(path, [])
    with pytest.raises(FoldFileError, match="cannot be read"):
        read_folds(tmp_path / "absent.csv", [])


def test_the_model_beats_calibrated_physics_on_unseen_materials(evaluation) -> None:
    physics = evaluation.metrics["dispersion_energy, calibrated"]
    assert evaluation.metrics[REGISTRY_KNOWN].mae < evaluation.metrics[REGISTRY_UNKNOWN].mae < physics.mae
    assert physics.mae < evaluation.metrics["mean"].mae


def test_intervals_cover_what_they_promise_on_materials_not_calibrated_on(evaluation) -> None:
    assert evaluation.metrics[REGISTRY_KNOWN].coverage == pytest.approx(0.9, abs=0.05)
    assert evaluation.metrics[REGISTRY_UNKNOWN].coverage_by_material == pytest.approx(0.9, abs=0.05)


def test_the_same_rows_give_the_same_predictions(evaluation) -> None:
    again = evaluate(made_up(), BINDING_ENERGY.key, Split.MATERIAL)
    for method, values in evaluation.out_of_fold.items():
        np.testing.assert_array_equal(values, again.out_of_fold[method])


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
def test_the_cleaning_rule_is_the_stated_one(energy: float, distance: float, kept: bool) -> None:
    reason = rejection({BINDING_ENERGY.key: energy, INTERLAYER_DISTANCE.key: distance})
    assert (reason is None) is kept


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
    line, conformal = Calibrated("gap_aligned", 0.1, 0.9, 0.0), Conformal((1.0,), (0.2, 0.4))
    return PairModel(GAP.key, "eV", "homobilayer", line, None, (), conformal, conformal, domain)


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
