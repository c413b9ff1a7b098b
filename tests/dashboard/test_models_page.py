"""The page of models and its twin in JSON, without a browser."""

from __future__ import annotations

import json
from typing import Any

import pytest
from made_up_rows import TARGET, made_up_rows
from plain_methods import Line, Mean
from sqlalchemy import Engine

from dashboard.app import create_app
from dashboard.components.model_plots import calibration_figure, kinds_figure, learning_figure, parity_figure
from dashboard.pages import models
from ml.evaluation import evaluate
from ml.learning import learning_curve
from ml.registry import Shipped, register
from ml.report import Curve, Figure, Report
from ml.splits import Split
from schema.quantities import ALIGNMENT_TYPE
from schema.vocabulary import CurveKind
from stackscreen.query.models import UnknownModelVersionError
from stackscreen.settings import load_settings

pytestmark = pytest.mark.services


def text_of(page: Any) -> str:
    """All that a page holds, as text."""
    return json.dumps(page.to_plotly_json(), default=lambda part: part.to_plotly_json(), ensure_ascii=False)


@pytest.fixture(scope="module")
def report() -> Report:
    rows = made_up_rows(60, 1200)
    model = Line(("physics", "mean_1", "mean_2"), "model")
    physics = Line(("physics",), "physics, calibrated")
    found = evaluate(rows, TARGET, [model], Split.BOTH_UNSEEN, baselines=[Mean(), physics])
    curve = learning_curve(rows, TARGET, model, Split.BOTH_UNSEEN, fractions=(0.5, 1.0))
    return Report.of(found, "model", learning={"model": curve}, truth=rows.targets[TARGET])


@pytest.fixture
def served(engine: Engine, report: Report) -> int:
    with engine.begin() as connection:
        return register(
            connection,
            Shipped(
                TARGET, "heterobilayer", "lightgbm-residual", "made up v1", "both-unseen-v1", b"x", b"\0" * 32, {},
                {"unit": "meV/Å²", "data": {"rows": 1200, "materials": 60, "source": "made up"}}, (report,),
            ),
        )  # fmt: skip


def test_every_served_model_has_a_card_with_its_error_beside_the_baselines(
    engine: Engine, served: int, report: Report
) -> None:
    page = text_of(models.index(engine))
    assert "binding energy · heterobilayer" in page
    assert f"{report.judged.mae:.3g} meV" in page
    assert f"{report.best_baseline.mae:.3g} meV" in page
    assert f"/models/{served}" in page
    both = report.judged.coverage, report.judged.coverage_by_material
    rows, pairs = (f"{100 * share:.1f} %" for share in both if share is not None)
    assert f"both-unseen; 90 % intervals cover {rows} of rows, {pairs} of materials" in page


def test_a_models_page_shows_every_split_and_every_plot(engine: Engine, served: int, report: Report) -> None:
    page = text_of(models.detail(engine, served))
    for name in ("model-parity", "model-learning", "model-calibration", "model-kinds"):
        assert name in page
    assert "decides what is served" in page
    with pytest.raises(UnknownModelVersionError, match="no model 999"):
        models.detail(engine, 999)


def test_without_models_the_page_says_what_to_do(engine: Engine) -> None:
    page = text_of(models.index(engine))
    assert "stackscreen models register" in page


def test_the_twin_in_json_holds_the_reports(engine: Engine, served: int, report: Report) -> None:
    client = create_app(load_settings(), engine).server.test_client()
    (one,) = client.get("/api/models.json").get_json()["models"]
    assert (one["version"], one["unit"], one["served"]) == (served, "meV/Å²", True)
    found = Report.from_json(one["reports"][0])
    assert found.judged == report.judged
    assert client.get(f"/api/models/{served}.json").get_json() == one
    missing = client.get("/api/models/999.json")
    assert (missing.status_code, missing.get_json()["error"][:21]) == (404, "There is no model 999")
    assert client.get("/api/models/x.json").status_code == 400


def test_what_a_report_does_not_hold_is_not_drawn(report: Report) -> None:
    bare = Report(**{**vars(report), "curves": [], "figures": report.figures[:3]})
    assert parity_figure(bare, "E_b", "meV/Å²") is None
    assert learning_figure(bare, "meV/Å²") is None
    assert calibration_figure(bare) is None
    assert kinds_figure(bare, "meV/Å²") is None


def test_the_axis_of_a_learning_curve_has_its_ticks_where_it_was_measured(report: Report) -> None:
    drawn = learning_figure(report, "meV/Å²")
    assert drawn is not None
    assert list(drawn.layout.xaxis.tickvals) == list(drawn.data[0].x)
    assert list(drawn.layout.xaxis.ticktext) == [f"{x:.0f}" for x in drawn.data[0].x]


def test_a_model_of_classes_shows_which_are_taken_for_which_and_what_its_probabilities_are_worth(
    engine: Engine,
) -> None:
    curves = [
        Curve("model", CurveKind.PARITY.value, [1.0, 1.0, 2.0], [1.0, 2.0, 2.0], [40, 10, 50]),
        Curve("model", CurveKind.CALIBRATION.value, [0.6, 0.9], [0.55, 0.92], [50, 50]),
    ]
    figures = [Figure("model", 100, accuracy=0.9, coverage=0.91), Figure("rule", 100, accuracy=0.8)]
    report = Report(
        ALIGNMENT_TYPE.key, "heterobilayer", "hetml", Split.BOTH_UNSEEN.value, "", "00" * 32, 100, 1, "model", ["rule"],
        figures, curves,
    )  # fmt: skip
    scores = {"n": 100, "brier": 0.287, "log_loss": 0.531, "coverage": 0.894, "set_size": 1.29}
    frequent = {"n": 100, "brier": 0.622, "log_loss": 1.02, "coverage": 0.9, "set_size": 2.4}
    rule = {"n": 100, "brier": 0.315, "log_loss": 0.573, "coverage": 0.887, "set_size": 1.43}
    worth = {"model": scores, "most frequent class": frequent, "rule": rule}
    answers = {"both-unseen": {"method": "model", "probabilities": worth}}
    drawn = parity_figure(report, "type", "")
    assert drawn is not None
    assert list(drawn.data[0].x) == ["I", "II"]
    assert [list(row) for row in drawn.data[0].text] == [[40, 10], [0, 50]]
    shipped = Shipped(
        ALIGNMENT_TYPE.key, "heterobilayer", "lightgbm-classes", "types v1", "", b"types", b"\0" * 32, {},
        {"unit": "", "answers": answers}, (report,),
    )  # fmt: skip
    with engine.begin() as connection:
        number = register(connection, shipped)
    page = text_of(models.detail(engine, number))
    for words in ("90.0 % right", "80.0 % right", "90 % sets hold the class of 91.0 %", "What probabilities are worth",
                  "Brier score", "0.287", "0.315", "0.531", "0.573", "89.4 %", "1.29"):  # fmt: skip
        assert words in page
