"""`stackscreen evaluate`, `promote` and `models explain`: figures on the terminal, in the database and in files."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, text
from test_cli import run

from etl.api import import_file

pytestmark = pytest.mark.services


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Settings that keep what a command starts beside the database out of the user's own data folder."""
    settings = {
        "STACKSCREEN_DATA_DIR": str(tmp_path_factory.mktemp("elsewhere") / "data"),
        "STACKSCREEN_SERVICES__RUN_WORKERS": "false",
    }
    yield settings
    run("services", "destroy", "--yes", **settings)


def test_a_split_that_does_not_exist_is_a_usage_error_that_names_those_that_do(
    database_url: str, elsewhere: dict[str, str]
) -> None:
    result = run("evaluate", "--split", "leave-one-in", STACKSCREEN_DATABASE_URL=database_url, **elsewhere)
    assert result.returncode == 2
    assert "both-unseen" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("evaluate", "--target", "gap"), "No computed interfaces with gap are there to be judged"),
        (("promote", "999"), "There is no model version 999"),
        (
            ("models", "explain", "gap", "MoS2", "WSe2"),
            "No layer and no face of a crystal has the uid, external id or formula 'MoS2'",
        ),
        (("models", "show", "hardness"), "There is no model 'hardness'"),
    ],
)
def test_what_is_not_there_is_said_in_a_sentence(
    arguments: tuple[str, ...], says: str, database_url: str, elsewhere: dict[str, str]
) -> None:
    result = run(*arguments, STACKSCREEN_DATABASE_URL=database_url, **elsewhere)
    assert result.returncode == 1
    assert f"Error: {says}" in result.stderr
    assert "Traceback" not in result.stderr


def test_methods_are_judged_on_the_folds_of_a_file_and_stored(
    engine: Engine, database_url: str, elsewhere: dict[str, str], shared_data: Path, tmp_path: Path
) -> None:
    import_file(engine, "hetero2d", shared_data / "aihd" / "2d_substrate_heterostructures.json")
    written = run(
        "evaluate", "--write-folds", str(tmp_path / "folds"), STACKSCREEN_DATABASE_URL=database_url, **elsewhere
    )
    assert written.returncode == 0, written.stderr
    folds = tmp_path / "folds" / "hetero2d" / "2d-on-bulk-leave-substrate-out-v1.csv"
    arguments = ("--target", "binding_energy_per_atom", "--folds", str(folds), "--out", str(tmp_path / "judged"))
    result = run("evaluate", *arguments, STACKSCREEN_DATABASE_URL=database_url, **elsewhere, COLUMNS="200")
    assert result.returncode == 0, result.stderr
    told = re.search(r"(\d+) of (\d+) rows have a fold", result.stderr)
    assert told is not None
    n = int(told[1])
    assert n == int(told[2]) > 100
    assert "the best baseline" in result.stdout
    folder = tmp_path / "judged" / "binding_energy_per_atom-2d-on-bulk-hetero2d"
    assert (folder / "README.md").read_text(encoding="utf-8").startswith("# binding_energy_per_atom of hetero2d")
    with (folder / "own-folds.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == n
    assert {"id", "calculated", "mean", "model"} <= set(rows[0])
    with engine.connect() as connection:
        query = "SELECT split, folds, n, mae FROM analyst.model_metrics WHERE is_model AND part_kind = 'all'"
        (stored,) = connection.execute(text(query)).all()
    assert (stored.split, stored.n) == ("own folds", n)
    assert stored.folds.startswith("own folds, SHA-256 ")
    mae = sum(abs(float(row["model"]) - float(row["calculated"])) for row in rows) / n
    assert stored.mae == pytest.approx(mae, rel=1e-3)


def test_a_file_that_is_no_fold_file_is_refused(
    engine: Engine, database_url: str, elsewhere: dict[str, str], shared_data: Path, tmp_path: Path
) -> None:
    import_file(engine, "hetero2d", shared_data / "aihd" / "2d_substrate_heterostructures.json")
    wrong = tmp_path / "wrong.csv"
    wrong.write_text("name,number\n", encoding="utf-8")
    result = run("evaluate", "--folds", str(wrong), STACKSCREEN_DATABASE_URL=database_url, **elsewhere)
    assert result.returncode == 1
    assert "A fold file begins with `id,fold`." in result.stderr
