"""What was set aside can be listed, explained, looked at and released on the command line."""

from __future__ import annotations

import getpass
import json
from pathlib import Path

import pytest
from small_files import bidb_file, bidb_keys, bilayer, c2db_keys, dichalcogenide, graphene, write_ase
from sqlalchemy import Engine
from typer.testing import CliRunner, Result

from etl.api import import_file
from etl.quarantine import UnknownRuleError, explain_rule, list_set_aside, show_record
from etl.validate import RULES
from schema.errors import StackscreenError
from stackscreen.cli import app
from stackscreen.settings import get_settings

pytestmark = pytest.mark.services


@pytest.fixture
def filled(engine: Engine, tmp_path: Path) -> Engine:
    """Two layers without vacuum, an unnamed one, and a bilayer that is not bound."""
    flat = dichalcogenide()
    flat.cell[2, 2] = 5.0
    rows = [(flat, c2db_keys("1MoS2-8")), (flat, c2db_keys("1MoS2-9")), (graphene(), {"name": "graphene", "gap": 0.0})]
    import_file(engine, "c2db", write_ase(tmp_path / "c.db", [(graphene(), c2db_keys("2C-1")), *rows]))
    keys = bidb_keys("2C-1-2-1_0_0_1-0_0", "2C-1", interlayer_distance=3.4, binding_energy_gs=-0.012)
    import_file(engine, "bidb", bidb_file(tmp_path, (bilayer(graphene(), 3.4), keys)))
    return engine


@pytest.fixture
def run(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Runs `stackscreen quarantine ...` in this process, on this test's database."""
    monkeypatch.setenv("STACKSCREEN_DATABASE_URL", database_url)
    monkeypatch.setenv("STACKSCREEN_DATA_DIR", str(tmp_path / "data"))
    # The database is the test's own, and running: nothing is to be started for it.
    monkeypatch.setattr("stackscreen.services.ensure_started", lambda *_: None)
    get_settings.cache_clear()

    def quarantine(*arguments: object) -> Result:
        return CliRunner().invoke(app, ["quarantine", *map(str, arguments)])

    yield quarantine
    get_settings.cache_clear()


def record_of(engine: Engine, name: str) -> int:
    return next(entry.record for entry in list_set_aside(engine) if entry.external_id == name)


@pytest.mark.parametrize("rule", sorted(RULES))
def test_every_rule_is_explained_with_its_limit_and_what_to_do(filled: Engine, rule: str) -> None:
    found = explain_rule(filled, rule)
    assert found["meaning"]
    assert found["threshold"]
    assert found["fix"]
    assert (found["example"] is not None) == (rule in {"not_2d", "unknown_keys", "not_bound"})


def test_a_rule_is_explained_in_words_with_an_example_of_this_database(filled: Engine, run) -> None:
    shown = run("explain", "not_2d").output
    assert "5.0 Å" in shown
    assert f"record {record_of(filled, '1MoS2-8')}, c2db 1MoS2-8: The largest empty gap is" in shown
    assert "none in this database" in run("explain", "not_3d").output
    with pytest.raises(UnknownRuleError, match="no rule called 'not_4d'") as caught:
        explain_rule(filled, "not_4d")
    assert "not_2d" in caught.value.hint


def test_each_record_tells_its_next_step(filled: Engine) -> None:
    flat, bound = record_of(filled, "1MoS2-8"), record_of(filled, "2C-1-2-1_0_0_1-0_0")
    unnamed = record_of(filled, "row 4")
    assert f"stackscreen quarantine release {flat} --note" in show_record(filled, flat)["next_step"]
    assert f"release {bound} --property binding_energy" in show_record(filled, bound)["next_step"]
    assert "release" not in show_record(filled, unnamed)["next_step"]
    assert "explain unknown_keys" in show_record(filled, unnamed)["next_step"]


def test_a_record_is_released_and_withdrawn_on_the_command_line(filled: Engine, run) -> None:
    flat = record_of(filled, "1MoS2-8")
    done = run("release", flat, "--note", "its paper says so", "--json")
    assert json.loads(done.stdout)["rules"] == ["not_2d"]
    shown = json.loads(run("show", flat).stdout)
    assert (shown["state"], shown["releases"][0]["author"]) == ("accepted", getpass.getuser())
    assert "1 released" in run("list", "--rule", "not_2d").stdout
    assert "is not in use" in run("withdraw-release", flat).stdout
    bound = record_of(filled, "2C-1-2-1_0_0_1-0_0")
    assert run("release", bound, "--property", "binding_energy", "--note", "n", "--author", "bo").exit_code == 0
    assert "not_bound (released): " in run("list").stdout
    assert run("release", bound, "--property", "binding_energy", "--undo").exit_code == 0
    assert json.loads(run("show", bound).stdout)["releases"] == []


def test_many_are_counted_before_they_are_released(filled: Engine, run) -> None:
    asked = run("release", "--rule", "not_2d", "--source", "c2db", "--note", "n")
    assert isinstance(asked.exception, StackscreenError)
    assert "add --yes" in asked.exception.hint
    assert "holds back 2 records and 0 values" in asked.stderr
    done = run("release", "--rule", "not_2d", "--source", "c2db", "--note", "n", "--yes", "--json")
    assert json.loads(done.stdout) == {"records": 2, "values": 0, "refused": {}}
    done = run("release", "--rule", "unknown_keys", "--source", "c2db", "--note", "n", "--yes", "--json")
    assert json.loads(done.stdout) == {"records": 0, "values": 0, "refused": {"nothing in it to use": 1}}
    nothing = run("release", "--rule", "not_2d", "--source", "c2db", "--note", "n", "--yes")
    assert "nothing to release" in str(nothing.exception)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "Say what to release"),
        ((1, "--rule", "not_2d", "--note", "n"), "Say what to release"),
        ((1,), "needs its reason"),
        (("--rule", "not_2d", "--note", "n"), "together"),
        (("--rule", "not_4d", "--source", "c2db", "--note", "n"), "no rule called"),
    ],
)
def test_a_mistaken_release_says_what_is_missing(run, arguments: tuple[object, ...], says: str) -> None:
    done = run("release", *arguments)
    assert isinstance(done.exception, StackscreenError)
    assert says in done.exception.message
    assert done.exception.hint


def test_what_is_kept_is_looked_at_again_on_the_command_line(filled: Engine, run) -> None:
    done = json.loads(run("recheck", "--json").stdout)
    assert (done["looked_at"], done["accepted"], done["refused"]) == (3, 0, {"not_2d": 2, "unknown_keys": 1})
    done = json.loads(run("recheck", "--accepted", "--json").stdout)
    assert (done["looked_at"], done["changed"]) == (4, 0)
    assert "looked at" in run("recheck", "--source", "c2db").stdout
    assert isinstance(run("recheck", "--accepted", "--rule", "not_2d").exception, StackscreenError)
