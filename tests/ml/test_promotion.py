"""Only what beats its baseline on the stored folds is served, and a model says what it was judged by."""

from __future__ import annotations

from dataclasses import replace

import pytest
from made_up_rows import TARGET, made_up_rows
from plain_methods import Line, Mean
from sqlalchemy import Engine, select

from ml import evaluation_store, listing, registry
from ml.cards import card_markdown
from ml.evaluation import evaluate
from ml.registry import NotServedError, Shipped, UnknownModelError, promote, register
from ml.report import Report
from ml.splits import Split
from schema.features import ModelVersion

pytestmark = pytest.mark.services


def model(artefact: bytes, report: Report | None, *, family: str = "lightgbm-residual") -> Shipped:
    """A version of no particular contents, judged by a report."""
    card = {
        "unit": "meV/Å²", "digest": "0" * 64, "physics": "physics", "beats_calibrated_physics": True,
        "data": {"source": "made up", "rows": 1, "materials": 1, "cleaning_rule": "none", "left_out": {}, "digest": ""},
        "features": {"names": ["physics"], "set": "pair v2"},
        "states": {
            "unknown": {
                "source": "made-up", "rows": 1200, "trees": 30,
                "physics": {"feature": "physics", "intercept": 0.0, "slope": 1.0},
            }
        },
    }  # fmt: skip
    return Shipped(
        TARGET, "heterobilayer", family, "made up v1", "both-unseen-v1", artefact, b"\0" * 32, {}, card,
        () if report is None else (report,),
    )  # fmt: skip


@pytest.fixture(scope="module")
def report() -> Report:
    rows = made_up_rows(60, 1200)
    good = Line(("physics", "mean_1", "mean_2"), "model")
    physics = Line(("physics",), "physics, calibrated")
    found = evaluate(rows, TARGET, [good], Split.BOTH_UNSEEN, baselines=[Mean(), physics])
    return Report.of(found, "model", truth=rows.targets[TARGET])


def served(engine: Engine) -> list[int]:
    with engine.connect() as connection:
        return list(connection.execute(select(ModelVersion.id).where(ModelVersion.served)).scalars())


def test_a_version_that_beats_its_baseline_takes_the_place_of_the_served_one(engine: Engine, report) -> None:
    with engine.begin() as connection:
        old = register(connection, model(b"old", report))
        new = register(connection, model(b"new", report), serve=False)
    assert served(engine) == [old]
    with engine.begin() as connection:
        why = promote(connection, new)
    assert served(engine) == [new]
    assert "Under both-unseen it beats physics, calibrated" in why


def test_a_version_that_loses_is_refused_with_the_figures_and_what_is_served_stays(engine: Engine, report) -> None:
    loser = replace(report, method="mean", baselines=["physics, calibrated"])
    with engine.begin() as connection:
        old = register(connection, model(b"old", report))
        new = register(connection, model(b"new", loser), serve=False)
    with engine.begin() as connection, pytest.raises(NotServedError, match="does not beat physics, calibrated") as told:
        promote(connection, new)
    assert f"stackscreen models show {new}" in told.value.hint
    assert f"{loser.judged.mae:.3g}" in told.value.message
    assert served(engine) == [old]


def test_a_version_that_was_never_judged_strictly_is_refused(engine: Engine, report) -> None:
    easy = replace(report, split=Split.RANDOM.value)
    with engine.begin() as connection:
        numbers = [register(connection, model(name, one), serve=False) for name, one in ((b"a", None), (b"b", easy))]
    for number in numbers:
        with engine.begin() as connection, pytest.raises(NotServedError, match="never evaluated under both-unseen"):
            promote(connection, number)


def test_the_calibrated_baseline_itself_may_always_be_served(engine: Engine) -> None:
    with engine.begin() as connection:
        number = register(connection, model(b"line", None, family=registry.BASELINE_FAMILY), serve=False)
        assert "baseline itself" in promote(connection, number)
    assert served(engine) == [number]


def test_what_is_no_model_of_a_property_is_refused_in_a_sentence(engine: Engine, report) -> None:
    encoder = replace(model(b"weights", None), target=registry.EMBEDDING, domain=registry.ENCODER_DOMAIN)
    with engine.begin() as connection:
        number = register(connection, encoder, serve=False)
    with engine.begin() as connection:
        with pytest.raises(NotServedError, match="predicts no property"):
            promote(connection, number)
        with pytest.raises(UnknownModelError, match="no model version 999"):
            promote(connection, 999)


def test_registering_again_replaces_the_evaluations_of_a_version_and_keeps_those_of_others(
    engine: Engine, report
) -> None:
    with engine.begin() as connection:
        evaluation_store.store(connection, report)
        number = register(connection, model(b"one", report))
        assert register(connection, model(b"one", report)) == number
        found = evaluation_store.of_model(connection, number)
        assert [one.split for one in found] == ["both-unseen"]
        assert found[0].judged == report.judged
        assert evaluation_store.latest(connection, TARGET, "heterobilayer", "both-unseen") is not None


def test_the_list_and_the_card_show_the_error_beside_the_baselines(engine: Engine, report) -> None:
    with engine.begin() as connection:
        number = register(connection, model(b"one", report))
        (entry,) = listing.entries(connection)
        content = listing.card_content(connection, f"{TARGET}/heterobilayer")
    assert (entry.id, entry.domain, entry.split) == (number, "heterobilayer", "both-unseen")
    assert entry.error == f"{report.judged.mae:.3g}"
    assert entry.baseline_error == f"{report.best_baseline.mae:.3g}"
    card = card_markdown(content, {"parity": "plots/parity.svg"})
    assert f"| **model** | {report.n} | {report.judged.mae:.3f} |" in card
    assert "![Predicted against calculated](plots/parity.svg)" in card
    assert "neither layer of a test row is in training" in card
    assert "By kind of interface" in card
