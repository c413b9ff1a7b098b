"""The benchmark behind the grids compares losses and steps, and nothing else of them."""

import numpy as np
import pytest

from benchmarks.grid import LOSSES, STEPS, relative, variants
from ml.models.tree_settings import MANY_ROWS, of_values


@pytest.mark.parametrize("rows", [80, MANY_ROWS])
def test_variants_keep_sizes_and_shares_and_change_loss_and_rate(rows: int) -> None:
    grid = of_values(rows)
    shapes = {(one.leaves, one.rounds, one.columns, one.rows, one.min_rows) for one in grid}
    found = dict(variants(grid))
    assert set(found) == {(loss, step) for loss in LOSSES for step in STEPS}
    for (loss, step), changed in found.items():
        assert len(set(changed)) == len(changed) == len(shapes)
        assert {(one.leaves, one.rounds, one.columns, one.rows, one.min_rows) for one in changed} == shapes
        assert {one.loss for one in changed} == {loss}
        assert {one.rate for one in changed} == {one.rate * step for one in grid}


def test_errors_are_told_over_hubers_and_both_losses_are_averaged_before_they_err() -> None:
    truth = np.array([0.0, 0.0, np.nan])
    predicted = {(loss, step): np.full(3, {"huber": 2.0, "l1": -1.0}[loss] * step) for loss in LOSSES for step in STEPS}
    found = relative(predicted, truth)
    assert found["huber", 1.0] == 1.0
    assert found["huber", 1.5] == pytest.approx(1.5)
    assert found["l1", 1.0] == pytest.approx(0.5)
    assert found["both", 1.0] == pytest.approx(0.25)
