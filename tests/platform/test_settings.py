"""Settings: what wins, where a value came from, and what is said of a wrong one."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackscreen.settings import BROKER_SCHEMES, ScreenSettings, load_settings
from stackscreen.settings_errors import SettingsError
from stackscreen.settings_report import masked, report


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("STACKSCREEN_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "stackscreen.toml"


def origin_of(key: str) -> str:
    return next(line.origin for line in report(load_settings()) if line.key == key)


def test_environment_wins_over_file_and_file_over_default(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (load_settings().screen.max_area, origin_of("screen.max_area")) == (400.0, "default")
    file.write_text("[screen]\nmax_area = 300.0\nmax_atoms = 50\n")
    assert (load_settings().screen.max_area, origin_of("screen.max_area")) == (300.0, f"file {file}")
    monkeypatch.setenv("STACKSCREEN_SCREEN__MAX_AREA", "200")
    assert load_settings().screen.max_area == 200.0
    assert origin_of("screen.max_area") == "env STACKSCREEN_SCREEN__MAX_AREA"
    assert load_settings().screen.max_atoms == 50


def test_a_whole_group_can_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STACKSCREEN_SCREEN", '{"max_area": 150, "max_atoms": 30}')
    assert load_settings().screen.max_area == 150.0
    assert origin_of("screen.max_area") == "env STACKSCREEN_SCREEN"


def test_the_named_file_replaces_that_of_the_folder(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text("[dashboard]\nport = 1111\n")
    other = tmp_path / "other.toml"
    other.write_text("[dashboard]\nport = 2222\n")
    monkeypatch.setenv("STACKSCREEN_CONFIG", str(other))
    assert load_settings().dashboard.port == 2222


def test_every_setting_says_what_it_means() -> None:
    assert [line.key for line in report(load_settings()) if not line.description] == []


def test_a_child_process_sees_the_same_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    parent = load_settings(
        data_dir=tmp_path / "d", database_url="postgresql://u:p@h/d", worker={"concurrency": 7}, screen={"max_area": 9}
    )
    for name, value in parent.as_environment().items():
        monkeypatch.setenv(name, value)
    assert load_settings() == parent


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "[screen]\nmax_strain = 'wide'\n",
            r"screen.max_strain = 'wide' \(file .*.toml\).*above 0.*at most 0.065",
        ),
        ("[screen]\nmax_area = -1\n", r"screen.max_area = -1 .*above 0.*in Å²"),
        ("[screen]\nmax_area = nan\n", r"screen.max_area = nan .*a number"),
        ("[screen]\nstrain_levels = [0.01, 0.005]\n", r"screen.strain_levels = .*must be levels that rise"),
        ("[screen]\nstrain_levels = [0.0000015]\n", r"screen.strain_levels = .*in whole millionths"),
        ("[screen]\nmax_strian = 0.1\n", r"screen.max_strian .*is not a setting. Did you mean screen.max_strain\?"),
        ("[scren]\nmax_area = 1\n", r"scren \(file .*stackscreen.toml\) is not a setting"),
        ("screen = 3\n", "screen = 3 .*a table of settings"),
        ("[screen\n", "stackscreen.toml is not valid TOML: .*line 1"),
        ("data_dir = 'relative'\n", "data_dir = 'relative' .*absolute path"),
        ("broker_url = 'amqp://u:secret@h'\n", r"broker_url = 'amqp://u:\*\*\*@h' .*begins with redis://"),
        ("database_url = 'mysql://u:secret@h/d'\n", r"'mysql://u:\*\*\*@h/d' .*begins with postgresql://"),
        ("[worker]\nvisibility_timeout_s = 5\n", "visibility_timeout_s .* shorter than screen.lease_s"),
    ],
)
def test_a_wrong_file_is_explained_in_a_sentence(file: Path, text: str, said: str) -> None:
    file.write_text(text)
    with pytest.raises(SettingsError, match=said) as caught:
        load_settings()
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("STACKSCREEN_DASHBOARD__PORT", "http", r"dashboard.port = 'http' \(env STACKSCREEN_DASHBOARD__PORT\)"),
        ("STACKSCREEN_DASHBORD__PORT", "1", "STACKSCREEN_DASHBORD__PORT.*Did you mean dashboard.port"),
        ("STACKSCREEN_MAX_STRAIN", "1", "STACKSCREEN_MAX_STRAIN.* is not a setting"),
        ("STACKSCREEN_SCREEN", "{", "STACKSCREEN_SCREEN is not valid JSON"),
        ("STACKSCREEN_CONFIG", "/nowhere/a.toml", "STACKSCREEN_CONFIG names /nowhere/a.toml, which does not exist"),
    ],
)
def test_a_wrong_variable_is_explained_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=said):
        load_settings()


@pytest.mark.parametrize("scheme", ["postgresql", "postgresql+psycopg"])
def test_both_spellings_of_a_database_url_mean_the_same(scheme: str) -> None:
    assert load_settings(database_url=f"{scheme}://h/d").database_url == "postgresql+psycopg://h/d"


@given(st.text(st.characters(exclude_categories=["Z", "C"]), min_size=3), st.sampled_from(BROKER_SCHEMES))
def test_no_password_survives_masking(password: str, scheme: str) -> None:
    shown = masked(f"{scheme}user:{password}§@host:1/0")
    assert shown == f"{scheme}user:***@host:1/0"


def test_no_strain_is_allowed_that_a_tile_cannot_hold() -> None:
    from stackscreen.screening.packing import NO_MATCH, STRAIN_UNIT

    largest = next(m.le for m in ScreenSettings.model_fields["max_strain"].metadata if hasattr(m, "le"))
    assert round(largest / STRAIN_UNIT) < NO_MATCH
