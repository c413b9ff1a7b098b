"""A class of a pair is explained from the database: by the registry that is asked about, beside computed stacks."""

from __future__ import annotations

import numpy as np
import pytest
from sqlalchemy import Engine, select
from test_cli import run

from etl.api import import_file
from etl.dedupe.api import dedupe
from etl.starter import paths
from ml import feature_store
from ml.class_artefact import Category, ClassModel
from ml.class_calibration import ClassCalibration
from ml.class_explain import NoClassError
from ml.domain import Domain
from ml.heads import HOMO
from ml.interface_store import load_rows
from ml.models.tree_classes import ClassTrees
from ml.models.tree_settings import Settings, same
from ml.registry import Shipped, register
from schema.materials import Material
from schema.quantities import ALIGNMENT_TYPE, SLIDE_STABILITY
from stackscreen.predict.pairs import PairRow, predict_pairs
from stackscreen.predict.predictor import Predictor
from stackscreen.query.explain_class import explain_pair_class

pytestmark = pytest.mark.services
TARGET = SLIDE_STABILITY.key
READ = ("touching_excess", "registry_lateral_nearest", "facing_roughness")


@pytest.fixture
def filled(engine: Engine) -> Engine:
    """Layers, computed homobilayers with their classes, and a model that learned from them."""
    import_file(engine, "c2db", paths().c2db)
    import_file(engine, "bidb", paths().bidb)
    dedupe(engine)
    with engine.begin() as connection:
        feature_store.compute_and_store(connection, feature_store.monolayer_ids(connection))
        (rows,) = load_rows(connection, HOMO)
        labelled = rows.labelled(TARGET)
        trees = ClassTrees(READ, grid=same(2, Settings(rounds=10, rate=0.1, leaves=3, min_rows=3)))
        seen = tuple(sorted({name for name, has in zip(rows.bottom, labelled, strict=True) if has}))
        table = feature_store.load_table(connection).values
        model = ClassModel(
            TARGET, HOMO, "bidb", trees.fit(rows, TARGET, labelled), {2: Category(True, ClassCalibration(1.1, 0.3))},
            True, Domain.fit(table), seen,
        )  # fmt: skip
        shipped = Shipped(
            TARGET, HOMO, model.family, "slides v9", "", model.to_bytes(), b"\0" * 32, {}, {"unit": ""}
        )  # fmt: skip
        register(connection, shipped)
    return engine


@pytest.fixture
def mos2(filled: Engine) -> str:
    with filled.connect() as connection:
        query = select(Material.uid).where(Material.formula == "MoS2", Material.kind == "monolayer")
        return str(connection.execute(query.order_by(Material.id)).scalars().first())


def test_the_class_that_is_explained_is_the_one_that_is_predicted_of_that_registry(filled: Engine, mos2: str) -> None:
    with filled.connect() as connection:
        found = explain_pair_class(connection, mos2, mos2, target=TARGET, registry="AB")
        row = PairRow("1", {"bottom": mos2, "top": mos2, "registry": "AB"})
        (predicted,) = predict_pairs(Predictor(connection, (TARGET,)), [row], paths().c2db.parent)
    assert found is not None
    assert isinstance(predicted, list)
    by_target = {one.target: one for one in predicted}
    number = {"Unstable": 0.0, "Stable": 1.0}[found.explanation.named]
    assert by_target[TARGET].value == number
    assert by_target[f"{TARGET}_probability"].value == pytest.approx(found.explanation.classes[0].probability)
    assert by_target[TARGET].domain_distance == pytest.approx(max(found.domain_distance))
    assert found.explanation.contributions
    said = found.explanation
    whole = said.physics + said.typical + sum(part.shap for part in said.contributions) + said.rest
    assert whole == pytest.approx(np.log(said.classes[0].probability / said.classes[1].probability))


def test_the_nearest_computed_bilayer_is_its_own_with_the_classes_of_its_registries(filled: Engine, mos2: str) -> None:
    with filled.connect() as connection:
        found = explain_pair_class(connection, mos2, mos2, target=TARGET, registry="AA")
        (rows,) = load_rows(connection, HOMO)
    assert found is not None
    first = found.neighbours[0]
    assert (first.bottom_uid, first.top_uid, first.distance) == (mos2, mos2, 0.0)
    own = [value for name, value in zip(rows.bottom, rows.targets[TARGET], strict=True) if name == mos2]
    assert sum(first.classes.values()) == sum(map(np.isfinite, own))


def test_without_a_registry_or_a_model_it_is_said(filled: Engine, mos2: str) -> None:
    with filled.connect() as connection:
        with pytest.raises(NoClassError, match="one registry, and none is given"):
            explain_pair_class(connection, mos2, mos2, target=TARGET)
        assert explain_pair_class(connection, mos2, mos2, target=ALIGNMENT_TYPE.key) is None


def test_the_command_shows_odds_features_and_neighbours(
    filled: Engine, mos2: str, database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = {
        "STACKSCREEN_DATABASE_URL": database_url,
        "STACKSCREEN_DATA_DIR": str(tmp_path_factory.mktemp("elsewhere") / "data"),
        "STACKSCREEN_SERVICES__RUN_WORKERS": "false",
        "COLUMNS": "140",
    }
    try:
        shown = run("models", "explain", TARGET, mos2, mos2, "--registry", "AB", **elsewhere)
        without = run("models", "explain", TARGET, mos2, mos2, **elsewhere)
        number = run("models", "explain", "gap", mos2, mos2, "--registry", "AB", **elsewhere)
    finally:
        run("services", "destroy", "--yes", **elsewhere)
    assert shown.returncode == 0, shown.stderr
    for words in (
        f"{TARGET} of {mos2} / {mos2}: ", "probability", "the 90 % set holds", "ln odds of", "how frequent each class",
        "touching_excess", "nearest computed", "bidb",
    ):  # fmt: skip
        assert words in shown.stdout
    assert without.returncode == 1
    assert "--registry AB" in without.stderr
    assert number.returncode == 1
    assert "gap is a number" in number.stderr
