"""The command: instant help, clear errors, exit codes that scripts can trust."""

import json
import os
import shlex
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from stackscreen.cli.dashboard import PortInUseError, listen
from stackscreen.settings import Settings

NOWHERE = Path(__file__) / "data"
"""A folder that cannot be made: what starts services there fails, and does not start them in the user's own."""


def run(*arguments: str, settings: Settings | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, which has no folder to start services in unless it is given one."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("STACKSCREEN_")}
    own["STACKSCREEN_DATA_DIR"] = str(NOWHERE)
    own |= settings.as_environment() if settings else {}
    command = [sys.executable, "-m", "stackscreen", *arguments]
    return subprocess.run(command, env={**own, **environment}, capture_output=True, text=True, timeout=60, check=False)


def test_help_imports_no_heavy_library() -> None:
    heavy = ("torch", "pandas", "numpy", "sqlalchemy", "celery", "lightgbm", "pymatgen", "dash", "numba")
    program = (
        "import sys\nfrom stackscreen.cli import app\n"
        "try: app(['--help'])\nexcept SystemExit: pass\n"
        f"print([name for name in {heavy} if name in sys.modules], file=sys.stderr)"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stderr.strip() == "[]"
    assert "services" in result.stdout


def test_a_wrong_word_is_a_usage_error() -> None:
    assert run("servces").returncode == 2
    assert run("services", "logs", "postgers").returncode == 2


@pytest.mark.parametrize("arguments", [("services", "destroy"), ("db", "downgrade", "base")])
def test_what_cannot_be_undone_asks_for_yes(arguments: tuple[str, ...], tmp_path: Path) -> None:
    result = run(*arguments, STACKSCREEN_DATA_DIR=str(tmp_path))
    assert result.returncode == 2
    assert "--yes" in result.stderr


def test_a_wrong_setting_is_a_sentence_and_no_traceback() -> None:
    result = run("settings", STACKSCREEN_SCREEN__MAX_STRAIN="wide")
    assert result.returncode == 1
    assert result.stderr.startswith("Error: screen.max_strain = 'wide' (env STACKSCREEN_SCREEN__MAX_STRAIN)")
    assert "Traceback" not in result.stderr


def test_settings_show_value_and_origin_without_passwords() -> None:
    url = "postgresql://u:secret@127.0.0.1:1/d"
    result = run("settings", "--json", STACKSCREEN_DATABASE_URL=url, STACKSCREEN_DASHBOARD__PORT="9000")
    found = {line["key"]: (line["value"], line["origin"]) for line in json.loads(result.stdout)}
    assert found["dashboard.port"] == ("9000", "env STACKSCREEN_DASHBOARD__PORT")
    assert found["screen.max_area"] == ("400.0", "default")
    assert "secret" not in result.stdout


def test_a_database_that_is_down_is_a_sentence_with_the_next_step(tmp_path: Path) -> None:
    result = run(
        "db",
        "upgrade",
        STACKSCREEN_DATA_DIR=str(tmp_path / "data"),
        STACKSCREEN_DATABASE_URL="postgresql://u:secret@127.0.0.1:1/d",
        STACKSCREEN_SERVICES__RUN_WORKERS="false",
    )
    assert result.returncode == 1
    assert "The database at postgresql+psycopg://u:***@127.0.0.1:1/d does not answer" in result.stderr
    assert "correct STACKSCREEN_DATABASE_URL" in result.stderr
    assert "Traceback" not in result.stderr
    assert "secret" not in result.stderr
    assert not (tmp_path / "data").exists()


def test_a_data_folder_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = run("services", "start", STACKSCREEN_DATA_DIR=str(tmp_path / "file" / "data"))
    assert result.returncode == 1
    assert "cannot be used: " in result.stderr
    assert "Traceback" not in result.stderr


def test_status_of_a_system_that_never_ran_starts_nothing(tmp_path: Path) -> None:
    result = run("status", "--json", STACKSCREEN_DATA_DIR=str(tmp_path / "data"))
    found = json.loads(result.stdout)
    assert {service["state"] for service in found["services"]} == {"stopped"}
    assert (found["database"], found["queues"]) == (None, None)
    assert not (tmp_path / "data").exists()


def test_a_port_in_use_is_known_before_any_work() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(PortInUseError, match=f"127.0.0.1 port {port}: address already in use") as caught:
            listen("127.0.0.1", port)
        result = run("up", STACKSCREEN_DASHBOARD__PORT=str(port))
    assert f"STACKSCREEN_DASHBOARD__PORT={port + 1}" in caught.value.hint
    assert result.returncode == 1
    assert "[1/" not in result.stderr


@pytest.fixture(scope="module")
def settings(make_system: Callable[..., Settings]) -> Settings:
    """A system that `db upgrade` has started and migrated."""
    made = make_system()
    assert run("db", "upgrade", settings=made).returncode == 0
    return made


@pytest.mark.services
def test_the_schema_goes_down_and_up_and_status_counts_it(settings: Settings) -> None:
    found = json.loads(run("status", "--json", settings=settings).stdout)
    assert found["database"]["revision"] == found["database"]["head"]
    assert found["database"]["tables"]["property"]["rows"] > 0
    assert found["database"]["tables"]["pair_block"] == {"rows": 0, "states": {}}
    assert found["queues"] == {"cpu": 0, "gpu": 0, "unacknowledged": 0}
    assert run("db", "downgrade", "base", "--yes", settings=settings).returncode == 0
    assert run("db", "current", settings=settings).stdout.startswith("empty")
    assert run("db", "upgrade", settings=settings).stderr.strip() == "upgraded"
    assert run("db", "upgrade", settings=settings).stderr.strip() == "already at the newest schema"


@pytest.mark.services
def test_psql_reads_as_an_analyst_who_cannot_write(settings: Settings) -> None:
    command = shlex.split(run("db", "psql-hint", settings=settings).stdout)
    read = subprocess.run([*command, "-c", "SELECT 1 FROM candidates"], capture_output=True, text=True, check=False)
    assert (read.returncode, read.stderr) == (0, "")
    write = subprocess.run(
        [*command, "-c", "CREATE TABLE analyst.mine ()"], capture_output=True, text=True, check=False
    )
    assert "read-only transaction" in write.stderr
