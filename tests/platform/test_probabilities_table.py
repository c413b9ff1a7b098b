"""What `stackscreen evaluate` says of probabilities of classes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ml.catalogue import Lineup
from ml.models.class_physics import OneFeature, PhysicsAlone
from ml.report import Figure, Report
from ml.rows import InterfaceRows
from ml.splits import Split
from schema.quantities import SLIDE_STABILITY
from stackscreen.cli.probabilities import print_probabilities

TARGET = SLIDE_STABILITY.key


def test_probabilities_are_judged_on_the_split_and_the_method_that_answers_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "140")
    names, rng = [f"M{k}" for k in range(200)], np.random.default_rng(0)
    x = rng.normal(size=(200, 1)).astype(np.float32)
    rows = InterfaceRows(
        "homobilayer", "bidb", names, names, names, names, names, x, ("touching_excess",),
        {TARGET: (x[:, 0] + rng.normal(0, 0.3, 200) < 0).astype(float)},
    )  # fmt: skip
    touching = PhysicsAlone(OneFeature.of("touching_excess"), "touching")
    lineup = Lineup(TARGET, (touching,), (), "touching", classes=True)
    report = Report(
        TARGET, "homobilayer", "bidb", Split.MATERIAL.value, "leave-material-out-v1, 4 folds", "", 200, 1, "touching",
        ["touching"], [Figure("touching", 200, accuracy=0.9)],
    )  # fmt: skip
    print_probabilities(rows, lineup, report)
    shown = capsys.readouterr().out
    lines = {line.split("│")[1].strip(): line for line in shown.splitlines() if line.startswith("│")}
    assert set(lines) == {"most frequent class", "touching"}
    brier = {name: float(line.split("│")[3]) for name, line in lines.items()}
    assert brier["touching"] < 0.5 * brier["most frequent class"]
    assert "leave-material-out-v1" in shown
    print_probabilities(rows, lineup, replace(report, split="own folds"))
    assert capsys.readouterr().out == ""
