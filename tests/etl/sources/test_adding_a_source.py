"""The worked example of docs/sources.md: its reader and its test, run as somebody would who follows the page."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from documents import DOCS, examples

from etl.source import source_names

_RUN = """
import sys
sys.path[:0] = [{tests!r}, {folder!r}]
import exampledb
import pytest
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", "--rootdir", {folder!r}, {test!r}]))
"""


def test_the_worked_example_is_a_whole_reader_with_a_test_that_passes(tmp_path: Path) -> None:
    code = examples("sources.md")
    (tmp_path / "exampledb.py").write_text(code["reader"])
    (tmp_path / "test_exampledb.py").write_text(code["test"])
    run = _RUN.format(
        tests=str(Path(__file__).parents[1]), folder=str(tmp_path), test=str(tmp_path / "test_exampledb.py")
    )
    done = subprocess.run([sys.executable, "-c", run], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


def test_the_page_has_a_line_for_every_reader_and_none_for_others() -> None:
    listed = re.findall(r"^\| `([a-z0-9-]+)` \|", (DOCS / "sources.md").read_text(), re.MULTILINE)
    readers = [name for name in listed if not name.endswith("_2d")]
    assert [n for n in source_names() if n not in readers] == []
    assert [n for n in readers if n not in source_names() and n not in ("c2db",)] == []
