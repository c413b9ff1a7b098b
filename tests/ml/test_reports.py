"""What is kept of an evaluation: the same figures in a file, in the database and in plots, and a gate that reads it."""

from dataclasses import replace

import pytest
from made_up_rows import TARGET, made_up_rows
from plain_methods import Line, Mean
from sqlalchemy import Engine, text

from ml import evaluation_store, plots
from ml.evaluation import evaluate, repeated
from ml.gate import judge
from ml.learning import learning_curve
from ml.report import Report, parity
from ml.splits import Split
from schema.vocabulary import CurveKind

PHYSICS = Line(("physics",), "physics, calibrated")
FULL = Line(("physics", "mean_0", "mean_1", "mean_2", "mean_3", "registry"), "full line")


def report_of(split: Split = Split.BOTH_UNSEEN, judged: str = "full line") -> Report:
    rows = made_up_rows(60, 1500)
    methods = [FULL, Mean(), PHYSICS]
    found = evaluate(rows, TARGET, [FULL], split, baselines=[Mean(), PHYSICS])
    found = repeated(found, rows, methods, split, 2)
    curve = learning_curve(rows, TARGET, FULL, split, fractions=(0.5, 1.0))
    report = Report.of(found, judged, learning={FULL.name: curve}, truth=rows.targets[TARGET])
    return report.with_importance([("physics", 2.1), ("mean_0", 0.3)])


@pytest.fixture(scope="module")
def report() -> Report:
    return report_of()


def test_a_report_is_read_back_as_it_was_written(report) -> None:
    import orjson

    assert Report.from_json(orjson.loads(orjson.dumps(report.as_json()))) == report


def test_a_report_holds_no_row(report) -> None:
    grid = report.curve(CurveKind.PARITY)
    assert grid is not None
    assert grid.n is not None
    assert sum(grid.n) == 1500
    assert len(grid.x) <= 40 * 40
    assert "made-up:00" not in str(report.as_json())


def test_a_wild_prediction_is_counted_at_the_rim_of_the_parity_plot() -> None:
    import numpy as np

    true = np.linspace(0, 1, 50)
    predicted = true.copy()
    predicted[0] = 1e9
    curve = parity("m", true, predicted)
    assert max(curve.y) < 1
    assert sum(curve.n or []) == 50


def test_the_gate_lets_through_what_beats_every_baseline_under_the_strict_split(report) -> None:
    verdict = judge([report], "heterobilayer", "meV/Å²")
    assert verdict.served
    assert "Under both-unseen it beats physics, calibrated" in verdict.why
    assert f"{report.judged.mae:.3g} against {report.best_baseline.mae:.3g}" in verdict.why.replace(" meV/Å²", "")


def test_the_gate_stops_what_loses_or_was_judged_only_where_it_is_flattered(report) -> None:
    loser = replace(report, method="mean", baselines=["physics, calibrated"])
    assert not judge([loser], "heterobilayer", "meV/Å²").served
    assert "does not beat physics, calibrated" in judge([loser], "heterobilayer", "meV/Å²").why
    easy = replace(report, split=Split.RANDOM.value)
    assert "never evaluated under both-unseen" in judge([easy], "heterobilayer", "meV/Å²").why
    alone = replace(report, baselines=[])
    assert not judge([alone], "heterobilayer", "meV/Å²").served


def test_a_model_that_predicts_fewer_rows_than_the_baseline_does_not_beat_it(report) -> None:
    picky = replace(report, figures=[replace(f, n=f.n - 1) if f.method == report.method else f for f in report.figures])
    assert not picky.beats_baseline


def test_a_baseline_that_speaks_of_few_rows_is_no_yardstick(report) -> None:
    few = replace(report.figure("mean"), method="few", n=report.n // 2, mae=0.001)
    with_few = replace(report, baselines=[*report.baselines, "few"], figures=[*report.figures, few])
    assert with_few.best_baseline.method == "physics, calibrated"
    assert with_few.beats_baseline


def test_the_same_report_gives_the_same_plots(report, tmp_path) -> None:
    files = plots.write(report, tmp_path / "one")
    assert [file.stem for file in files] == list(plots.PLOTS)
    for file in files:
        content = file.read_bytes()
        assert content.startswith(b"<?xml")
        assert len(content) < 200_000
    again = plots.write(report, tmp_path / "two")
    assert [file.read_bytes() for file in again] == [file.read_bytes() for file in files]


@pytest.mark.services
def test_analysts_read_an_evaluation_row_by_row(engine: Engine, report) -> None:
    with engine.begin() as connection:
        number = evaluation_store.store(connection, report)
    with engine.connect() as connection:
        row = (
            connection.execute(
                text(
                    "SELECT * FROM analyst.model_metrics WHERE evaluation = :number AND is_model AND part_kind = 'all'"
                ),
                {"number": number},
            )
            .mappings()
            .one()
        )
        assert row["mae"] == report.judged.mae
        assert row["unit"] == "meV/Å²"
        assert (row["split"], row["beats_baseline"], row["repeats"]) == ("both-unseen", True, 2)
        assert row["spread"] == report.judged.spread
        assert row["data_sha256"] == report.data_digest
        families = connection.execute(
            text(
                "SELECT sum(n) FROM analyst.model_metrics WHERE evaluation = :number AND is_model "
                "AND part_kind = 'family'"
            ),
            {"number": number},
        ).scalar_one()
        assert families == report.n
        kinds = connection.execute(
            text("SELECT kind, count(*) FROM analyst.model_curves WHERE evaluation = :number GROUP BY kind"),
            {"number": number},
        ).all()
        assert dict(map(tuple, kinds))["learning"] == 2


@pytest.mark.services
def test_the_same_evaluation_again_replaces_the_former_and_comes_back_whole(engine: Engine, report) -> None:
    with engine.begin() as connection:
        evaluation_store.store(connection, report)
        evaluation_store.store(connection, report)
        count = connection.execute(text("SELECT count(*) FROM model_evaluation")).scalar_one()
        assert count == 1
        found = evaluation_store.latest(connection, TARGET, "heterobilayer", "both-unseen")
    assert found is not None
    assert found.judged == report.judged
    assert sorted(found.figures, key=repr) == sorted(report.figures, key=repr)
    assert sorted(found.curves, key=repr) == sorted(report.curves, key=repr)
    assert set(found.baselines) == set(report.baselines)
    assert found.importance == report.importance == [("physics", 2.1), ("mean_0", 0.3)]
