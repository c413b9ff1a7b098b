"""`stackscreen dedupe` as a person explains and rules with it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from small_files import c2db_file, matpedia_line
from small_files import dichalcogenide as layer
from test_cli_data import Command, stackscreen  # noqa: F401 - a fixture

pytestmark = pytest.mark.services


def test_a_person_explains_merges_and_splits(stackscreen: Command, tmp_path: Path) -> None:  # noqa: F811
    stackscreen.ok("import", "c2db", c2db_file(tmp_path))
    (tmp_path / "db.json").write_text(matpedia_line("2dm-1", layer("H", a=3.2)) + "\n")
    stackscreen.ok("import", "2dmatpedia", tmp_path / "db.json")
    report = json.loads(stackscreen.ok("dedupe", "--json"))
    assert (report["created"], report["joined"], report["by_name"], report["unplaced"]) == (5, 1, 0, 0)
    unknown = stackscreen("dedupe", "explain", "MoS2-00000000")
    assert unknown.returncode == 1
    names = unknown.stderr.split("Near names: ")[1].strip().rstrip(".").split(", ")
    assert len(names) == 2
    told = [json.loads(stackscreen.ok("dedupe", "explain", name, "--json")) for name in names]
    (h, t) = sorted(told, key=lambda one: -len(one["members"]))
    assert {m["record"] for m in h["members"]} == {"c2db:1MoS2-1", "2dmatpedia:2dm-1"}
    shown = stackscreen.ok("dedupe", "explain", h["uid"], t["uid"])
    assert "FAILED" in shown
    merged = json.loads(stackscreen.ok("dedupe", "merge", t["uid"], h["uid"], "--note", "why not", "--json"))
    assert (merged["note"], {m["state"] for m in merged["materials"]}) == ("why not", {"kept", "withdrawn"})
    kept = next(m["uid"] for m in merged["materials"] if m["state"] == "kept")
    assert "why not" in stackscreen.ok("dedupe", "explain", kept)
    (by_hand, *_) = (
        m["record"]
        for m in json.loads(stackscreen.ok("dedupe", "explain", kept, "--json"))["members"]
        if m["method"] == "by hand"
    )
    done = stackscreen("dedupe", "split", kept, by_hand, "--author", "ada")
    assert done.returncode == 0, done.stderr
    assert "returned" in done.stdout
    assert "by ada" in done.stderr
    wrong = stackscreen("dedupe", "split", kept, "no-colon")
    assert (wrong.returncode, "Traceback" in wrong.stderr) == (1, False)
