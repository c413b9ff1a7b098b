"""Why a material is what it is: with the numbers of the comparison as it is made today."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from plain_records import Plain, layer, written
from sqlalchemy import Engine, text

from etl.api import import_file
from etl.dedupe import decide
from etl.dedupe.api import dedupe, explain, explain_pair, merge, split
from etl.dedupe.by_hand import UnknownMaterialError

services = pytest.mark.services
BEST, WORSE = Plain("best", 10), Plain("worse", 20)


def bring(engine: Engine, source: Plain, path: Path, *records: dict[str, Any]) -> None:
    import_file(engine, source, written(path, *records))


def uid_of(engine: Engine, record: str) -> str:
    statement = "SELECT uid FROM analyst.members WHERE source || ':' || external_id = :record"
    with engine.connect() as connection:
        return str(connection.scalar(text(statement), {"record": record}))


@pytest.fixture
def layers(engine: Engine, tmp_path: Path) -> Engine:
    bring(engine, BEST, tmp_path / "a", layer("h"), layer("t", "T"), layer("wide", a=3.6), layer("w", metal="W"))
    bring(engine, WORSE, tmp_path / "b", layer("h2", a=3.22), {"id": "x", "names": ["h"]})
    dedupe(engine)
    return engine


@services
def test_members_are_explained_by_their_evidence(layers: Engine) -> None:
    told = explain(layers, uid_of(layers, "best:h"))
    assert (told.kind, told.formula, told.state) == ("monolayer", "MoS2", "living")
    by_record = {member.record: member for member in told.members}
    assert by_record["best:h"].because == "is the representative"
    assert by_record["best:h"].distance == 0
    like = by_record["worse:h2"]
    assert (like.method, like.version) == ("fingerprint+matcher", decide.VERSION)
    assert f"fingerprints {like.evidence['fingerprint']:.3f} Å apart" in like.because
    assert f"{like.evidence['rms']:.3f} Å (rms)" in like.because
    assert by_record["worse:x"].because == "has no structure of its own; h names best:h"
    assert by_record["worse:x"].distance is None
    json.dumps(told.as_dict(), allow_nan=False)


@services
def test_near_misses_are_compared_afresh_with_numbers_and_limits(
    layers: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = explain(layers, uid_of(layers, "best:h"))
    near = {miss.uid: miss for miss in told.near}
    wide, t = uid_of(layers, "best:wide"), uid_of(layers, "best:t")
    assert set(near) == {wide, t}
    assert told.n_others == 2
    # 2 ln(3.6 / 3.18)
    assert "0.2481" in near[wide].because
    assert f"{decide.MAX_SIZE_RATIO:g}" in near[wide].because
    assert near[t].because
    assert not near[t].comparison.same
    # The polymorph of the same lattice is nearer than the layer of another area.
    assert [miss.uid for miss in told.near] == [t, wide]
    assert explain(layers, uid_of(layers, "best:h"), limit=1).n_others == 2
    monkeypatch.setattr(decide, "MAX_SIZE_RATIO", 0.3)
    (again,) = (miss for miss in explain(layers, uid_of(layers, "best:h")).near if miss.uid == wide)
    assert again.comparison.same
    assert again.because


@services
def test_each_check_of_a_pair_has_its_number_its_limit_and_its_verdict(layers: Engine) -> None:
    h, wide, w = (uid_of(layers, f"best:{name}") for name in ("h", "wide", "w"))
    told = explain_pair(layers, h, wide)
    assert not told.comparison.same
    failed = [check for check in told.comparison.checks if check.passed is False]
    assert [(check.found, check.limit) for check in failed] == [("0.2481", f"≤ {decide.MAX_SIZE_RATIO:g}")]
    states = [check.passed for check in told.comparison.checks]
    assert states.index(False) == 3  # after kind, formula and magnetic state
    assert set(states[4:]) == {None}
    itself = explain_pair(layers, h, h).comparison
    assert itself.same
    assert all(check.passed for check in itself.checks)
    other = explain_pair(layers, h, w).comparison
    assert (other.same, other.reason) == (False, "different reduced formula")
    json.dumps(told.as_dict(), allow_nan=False)


@services
def test_rulings_and_what_became_of_a_name_are_told(layers: Engine, tmp_path: Path) -> None:
    h, t = uid_of(layers, "best:h"), uid_of(layers, "best:t")
    merge(layers, h, t, author="ada", note="one sample")
    kept = uid_of(layers, "best:h")
    gone = t if kept == h else h
    told = explain(layers, kept)
    by_hand = next(member for member in told.members if member.method == "by hand")
    assert "ruled the same by ada (one sample)" in by_hand.because
    assert f"on its own it is {gone}" in by_hand.because
    assert [(r.ruling, r.author, r.note) for r in told.rulings] == [("same", "ada", "one sample")]
    lost = explain(layers, gone)
    assert (lost.state, lost.merged_into) == ("merged", kept)
    assert by_hand.record in {member.record for member in lost.members}
    assert any(event.what == f"merged into {kept}" for event in lost.history)
    pair = explain_pair(layers, kept, gone)
    assert [r.ruling for r in pair.rulings] == ["same"]
    split(layers, kept, *by_hand.record.split(":"), author="ben")
    assert explain(layers, gone).state == "living"
    told = explain(layers, kept)
    assert {(r.ruling, r.author) for r in told.rulings} == {("different", "ben")}
    assert "ruled different by ben" in next(miss for miss in told.near if miss.uid == gone).because
    # Corrections are part of the history, and so is the ruling that was taken back.
    bring(layers, BEST, tmp_path / "a2", layer("h", gap=1.6))
    dedupe(layers)
    events = [event.what for event in explain(layers, kept if kept == h else gone).history]
    assert "best:h was replaced by a corrected version" in events
    assert any("were ruled same by ada" in what for what in events)
    assert "best:h was read from a2" in events


@services
def test_an_unknown_name_is_answered_with_near_ones(layers: Engine) -> None:
    h = uid_of(layers, "best:h")
    with pytest.raises(UnknownMaterialError) as caught:
        explain(layers, h[:-1] + ("0" if h[-1] != "0" else "1"))
    assert caught.value.hint.split()[2].strip(",.") == h
    with pytest.raises(UnknownMaterialError):
        explain_pair(layers, h, "nothing")


@services
def test_a_withdrawn_material_tells_its_story(layers: Engine, tmp_path: Path) -> None:
    w = uid_of(layers, "best:w")
    bring(layers, BEST, tmp_path / "a2", layer("w", "T", metal="W"))
    dedupe(layers)
    told = explain(layers, w)
    assert (told.state, told.members) == ("withdrawn", [])
    assert any(event.what.startswith("withdrawn") for event in told.history)
    assert [miss.uid for miss in told.near] == [uid_of(layers, "best:w")]
