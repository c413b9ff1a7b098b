"""A named class is taken apart without remainder: physics, trees, temperature, and the neighbours that it leans on."""

from __future__ import annotations

import numpy as np
import pytest
from ml_helpers import layers
from test_class_models import FEW, READ, TARGET, aligned, everything

from ml import pair_features
from ml.class_artefact import Category, ClassModel
from ml.class_calibration import ClassCalibration
from ml.class_explain import NoClassError, explain_class
from ml.domain import Domain
from ml.features import compute
from ml.heads import HETERO
from ml.interfaces import LayerTable
from ml.models.class_physics import CalibratedAnderson, Frequencies
from ml.models.tree_classes import ClassTrees
from ml.models.tree_settings import same
from ml.neighbours import nearest_classes
from ml.pair_features import COLUMN, NAMES
from ml.rows import InterfaceRows
from schema.quantities import SLIDE_STABILITY

TEMPERATURE = 1.3


def model(members: int, *, trees: bool = True, needs_registry: bool = False) -> ClassModel:
    rows = aligned(600)
    odd = rows.column("facing_electronegativity") > 0.5
    rows.targets[TARGET] = np.where(odd & (rows.targets[TARGET] == 2.0), 1.0, rows.targets[TARGET])
    fitted = ClassTrees(READ, CalibratedAnderson.fit, same(members, FEW)).fit(rows, TARGET, everything(rows))
    categories = {2: Category(trees, ClassCalibration(TEMPERATURE, 0.25))}
    domain = Domain.fit(compute(layers()))
    return ClassModel(TARGET, HETERO, "hetml", fitted, categories, needs_registry, domain)


def rows_of(n: int = 30) -> list[InterfaceRows]:
    rows = aligned(n, seed=3)
    return [rows.take(np.array([k])) for k in range(n)]


def test_physics_and_contributions_of_one_member_add_up_to_the_odds_without_remainder() -> None:
    made = model(1)
    for row in rows_of():
        found = explain_class(made, row)
        (probability,) = made.predict(row, np.array([2])).probability
        first, second, *_ = found.classes
        assert (first.word, second.word) == (found.named, found.against)
        assert first.probability == pytest.approx(probability)
        assert found.odds == pytest.approx(np.log(first.probability / second.probability))
        whole = found.physics + found.typical + sum(part.shap for part in found.contributions)
        # A probability that rounds to nothing is lifted to the least one, on which no tree has a say.
        if second.probability > 1e-3:
            assert whole == pytest.approx(found.odds, abs=1e-5)
            assert found.rest == pytest.approx(0.0, abs=1e-5)


def test_what_averaging_probabilities_makes_is_said_and_small() -> None:
    for row in rows_of():
        found = explain_class(model(3), row)
        whole = found.physics + found.typical + sum(part.shap for part in found.contributions) + found.rest
        assert whole == pytest.approx(found.odds)
        if found.classes[1].probability > 1e-3:
            assert abs(found.rest) < 0.3
        sizes = [abs(part.shap) for part in found.contributions]
        assert sizes == sorted(sizes, reverse=True)


def test_probabilities_and_set_are_those_of_the_prediction() -> None:
    made = model(2)
    for row in rows_of():
        found, predicted = explain_class(made, row), made.predict(row, np.array([2]))
        assert sum(share.probability for share in found.classes) == pytest.approx(1.0)
        assert sum(share.physics for share in found.classes) == pytest.approx(1.0)
        numbers = {"I": 1, "II": 2, "III": 3}
        held = [numbers[share.word] for share in found.classes if share.held]
        assert numbers[found.named] == predicted.value[0]
        assert (min(held), max(held)) == (predicted.lower[0], predicted.upper[0])


def test_where_physics_answers_alone_the_odds_are_its_own() -> None:
    made = model(2, trees=False)
    for row in rows_of(10):
        found = explain_class(made, row)
        assert found.contributions == ()
        assert (found.typical, found.rest) == (0.0, pytest.approx(0.0, abs=1e-12))
        assert found.odds == pytest.approx(found.physics)
        by_physics = {share.word: share.physics for share in found.classes}
        odds = by_physics[found.named] / max(by_physics[found.against], 1e-4)
        assert found.odds == pytest.approx(np.log(odds) / TEMPERATURE, abs=1e-3)
        assert "physics answers alone" in found.note
        assert [name for name, _, _ in found.inputs][:2] == ["nosoc_alignment_type", "nosoc_gap_overlap"]


def test_beside_a_metal_the_type_is_a_definition_and_has_no_odds() -> None:
    (row,) = rows_of(1)
    row.features[0, COLUMN["nosoc_gap_min"]] = 0.0
    found = explain_class(model(1), row)
    assert (found.named, found.classes, found.contributions) == ("metal", (), ())
    assert "definition" in found.note


def test_where_no_class_is_named_it_is_said_what_is_missing() -> None:
    (row,) = rows_of(1)
    row.features[0, COLUMN["nosoc_gap_overlap"]] = np.nan
    with pytest.raises(NoClassError, match="Anderson's rule, calibrated, needs"):
        explain_class(model(1), row)
    (row,) = rows_of(1)
    row.features[0, COLUMN[pair_features.REGISTRY[0]]] = np.nan
    with pytest.raises(NoClassError, match="one registry"):
        explain_class(model(1, needs_registry=True), row)


def test_frequencies_are_physics_that_reads_nothing() -> None:
    rows = aligned()
    found = Frequencies.fit(rows, rows.targets[TARGET])
    assert found.reads == ()
    assert "frequent" in found.says


def test_the_nearest_pairs_come_with_how_many_of_their_stackings_are_of_which_class() -> None:
    table = LayerTable.of(dict(zip("abcd", layers(), strict=True)), {})
    below, above = ["a", "a", "a", "c", "d"], ["b", "b", "b", "d", "c"]
    rows = InterfaceRows(
        HETERO, "hetml", list("12345"), below, above, below, above, np.zeros((5, len(NAMES)), np.float32), NAMES,
        {SLIDE_STABILITY.key: np.array([1.0, 0.0, 1.0, 1.0, np.nan])}, layers=table,
    )  # fmt: skip
    # Asked the other way round: b lies below a.
    sides = table.features[[table.row["b"], table.row["a"]]]
    first, second = nearest_classes([rows], Domain.fit(table.features), SLIDE_STABILITY.key, sides)
    assert (first.bottom_uid, first.top_uid, first.distance) == ("a", "b", 0.0)
    assert first.classes == {0: 1, 1: 2}
    assert (second.bottom_uid, second.classes) == ("c", {1: 1})
    assert second.distance > 0
