"""Members of an ensemble span a stated grid, which follows from the number of rows and from nothing else."""

from __future__ import annotations

from dataclasses import replace

import lightgbm
import numpy as np
import pytest

from ml import heads, pair_features
from ml.models.forest import MAX_LEAVES
from ml.models.tree_classes import ClassTrees
from ml.models.tree_ensemble import Trees
from ml.models.tree_settings import MANY_ROWS, Settings, as_json, of_classes, of_values, same
from ml.rows import InterfaceRows
from ml.training import TARGETS
from schema.quantities import GAP

READ = ("gap_min", "gap_aligned", "vacuum_mismatch", "mean_thickness")


def made(n: int = 300) -> InterfaceRows:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(n, len(pair_features.NAMES))).astype(np.float32)
    gap = 1 + features[:, pair_features.COLUMN["gap_aligned"]] + 0.5 * features[:, pair_features.COLUMN["gap_min"]]
    names = [f"hetml:{k:03d}" for k in range(n)]
    return InterfaceRows(
        heads.HETERO, "hetml", names, names, names, names, names, features, pair_features.NAMES,
        {GAP.key: gap.astype(float), "alignment_type": 1.0 + (gap > 1)},
    )  # fmt: skip


def grown(text: str) -> dict[str, str]:
    """What LightGBM says that a member was grown with."""
    lines = [line.strip("[]").split(": ", 1) for line in text.splitlines() if line.startswith("[") and ": " in line]
    return dict(lines)


def test_no_head_has_settings_of_its_own() -> None:
    for domain, targets in TARGETS.items():
        for target in targets:
            for known in (True, False):
                head = heads.head(domain, target, registry_known=known)
                assert head is not None
                assert head.method.grid is of_values
    assert all(method.grid is of_classes for method in heads.CLASSIFIED.values())


@pytest.mark.parametrize("rule", [of_values, of_classes])
def test_members_differ_in_size_and_features_and_fit_what_is_compiled(rule) -> None:  # type: ignore[no-untyped-def]
    for rows in (80, MANY_ROWS):
        grid = rule(rows)
        assert len(set(grid)) == len(grid) > 2
        assert len({settings.columns for settings in grid}) > 1
        assert max(settings.leaves for settings in grid) <= MAX_LEAVES
    assert rule(MANY_ROWS - 1) == rule(1) != rule(MANY_ROWS)


@pytest.mark.parametrize("rows", [80, MANY_ROWS])
def test_all_members_for_a_number_go_as_far_from_physics(rows: int) -> None:
    ways = {round(settings.rounds * settings.rate, 6) for settings in of_values(rows)}
    assert len(ways) == 1


def test_members_are_grown_as_the_grid_says_and_the_card_says_it_too() -> None:
    rows = made()
    fitted = Trees("", READ).fit(rows, GAP.key, np.ones(len(rows), bool))
    grid = of_values(len(rows))
    assert [text.count("Tree=") for text in fitted.members] == [settings.rounds for settings in grid]
    for text, settings in zip(fitted.members, grid, strict=True):
        said = grown(text)
        assert said["objective"].startswith({"l1": "regression_l1"}.get(settings.loss, settings.loss))
        assert int(said["num_leaves"]) == settings.leaves
        assert float(said["learning_rate"]) == pytest.approx(settings.rate)
        assert float(said["feature_fraction"]) == pytest.approx(settings.columns)
    assert [member["leaves"] for member in as_json(grid)["members"]] == [settings.leaves for settings in grid]


def test_compiled_trees_of_unlike_members_give_lightgbms_numbers() -> None:
    rows = made()
    grid = (Settings(rounds=7, leaves=4), Settings("l1", rounds=40, leaves=31), Settings(rounds=90, leaves=2))
    fitted = Trees("", READ, grid=lambda _: grid).fit(rows, GAP.key, np.ones(len(rows), bool))
    seen = rows.columns(READ)
    seen[::7, 1] = np.nan
    rows = replace(rows, features=rows.features.copy())
    rows.features[:, [pair_features.COLUMN[name] for name in READ]] = seen
    theirs = [lightgbm.Booster(model_str=text).predict(seen) for text in fitted.members]
    ours = fitted.each(rows.columns(pair_features.NAMES)) - fitted.baseline.intercept
    np.testing.assert_allclose(ours, theirs, atol=1e-9)


def test_members_of_one_setting_differ_by_their_seeds() -> None:
    rows, every = made(), np.ones(300, bool)
    settings = Settings(rounds=5, leaves=4)
    alone = Trees("", READ, grid=same(2, settings)).fit(rows, GAP.key, every)
    assert alone.members[0] != alone.members[1]
    # A member is the same whoever stands beside it: the rows are binned alike for all.
    beside = Trees("", READ, grid=lambda _: (settings, Settings(leaves=15, rounds=9))).fit(rows, GAP.key, every)
    assert alone.members[0] == beside.members[0]


def test_members_that_name_a_class_span_their_grid() -> None:
    rows = made()
    fitted = ClassTrees(READ).fit(rows, "alignment_type", np.ones(len(rows), bool))
    grid = of_classes(len(rows))
    assert [text.count("Tree=") for text in fitted.members] == [2 * settings.rounds for settings in grid]
    assert [int(grown(text)["num_leaves"]) for text in fitted.members] == [settings.leaves for settings in grid]
