"""`stackscreen import`, `dedupe` and `quarantine` as a person runs them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from small_files import bidb_file, bidb_keys, bilayer, c2db_file, graphene, matpedia_line

from stackscreen.services import lifecycle
from stackscreen.settings import load_settings

pytestmark = pytest.mark.services


class Command:
    """Runs the command against one database."""

    def __init__(self, database_url: str, data_dir: Path) -> None:
        self.data_dir = data_dir
        self._environment = {
            "PATH": str(Path(sys.executable).parent),
            "STACKSCREEN_DATABASE_URL": database_url,
            "STACKSCREEN_DATA_DIR": str(data_dir),
            "STACKSCREEN_SERVICES__RUN_WORKERS": "false",
            "OMP_NUM_THREADS": "1",
        }

    def __call__(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "stackscreen", *map(str, arguments)],
            env=self._environment, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    def ok(self, *arguments: str | Path) -> str:
        done = self(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def stackscreen(database_url: str, tmp_path: Path) -> Iterator[Command]:
    data_dir = tmp_path / "data"
    yield Command(database_url, data_dir)
    if data_dir.exists():
        lifecycle.destroy(load_settings(data_dir=data_dir, database_url=database_url))


def test_from_files_to_materials_on_the_command_line(stackscreen: Command, tmp_path: Path) -> None:
    odd = (bilayer(graphene(), 3.4), bidb_keys("2C-1-2-1_0_0_1-0_0", "2C-1", interlayer_distance=3.4,
                                               binding_energy_gs=-2.166))  # fmt: skip
    report = json.loads(stackscreen.ok("import", "c2db", c2db_file(tmp_path), "--json"))
    assert (report["read"], report["accepted"], report["source"]) == (5, 5, "c2db")
    done = stackscreen("import", "bidb", bidb_file(tmp_path, odd))
    assert done.returncode == 0, done.stderr
    assert "outside_physics" in done.stdout
    assert "stackscreen quarantine list --source bidb" in done.stderr
    (tmp_path / "db.json").write_text(matpedia_line("2dm-1", graphene()) + "\n{broken\n")
    report = json.loads(stackscreen.ok("import", "2dmatpedia", tmp_path / "db.json", "--label", "trial", "--json"))
    assert (report["accepted"], report["quarantined"], report["source"]) == (1, {"unparsable": 1}, "trial-2dmatpedia")
    report = json.loads(stackscreen.ok("dedupe", "--json"))
    assert (report["created"], report["joined"], report["linked"], report["unlinked"]) == (5, 1, 6, 0)
    shown = json.loads(stackscreen.ok("quarantine", "list", "--json"))
    assert {r["rule"] for r in shown["rules"]} == {"outside_physics", "unparsable"}
    broken = next(e for e in shown["entries"] if e["rule"] == "unparsable")
    assert json.loads(stackscreen.ok("quarantine", "show", str(broken["record"])))["raw_text"] == "{broken\n"
    assert "not JSON" in stackscreen.ok("quarantine", "list")


def test_mistakes_are_one_sentence_and_a_next_step(stackscreen: Command, tmp_path: Path) -> None:
    (tmp_path / "page.db").write_text("<html>not found</html>")
    for path, sentence in (
        (tmp_path / "absent.db", "There is no file"),
        (tmp_path / "page.db", "is not an SQLite database"),
        (bidb_file(tmp_path), "has none of the keys of C2DB"),
    ):
        done = stackscreen("import", "c2db", path)
        assert done.returncode == 1
        first, hint = done.stderr.strip().splitlines()
        assert sentence in first
        assert hint.strip()
        assert "Traceback" not in done.stderr
    assert not stackscreen.data_dir.exists(), "a wrong path starts no servers"
    unknown = stackscreen("import", "mp", tmp_path)
    assert unknown.returncode == 1
    assert "no reader called 'mp'" in unknown.stderr
    assert "bidb" in stackscreen("import", "--help").stdout
