"""A run shown in full, and two runs compared: what differs, and why."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, insert, select, text

from schema import Candidate, ModelVersion, PairBlock, ScreeningMember, ScreeningRun, ScreeningRunModel
from stackscreen.query import runs
from stackscreen.query.reading import reading
from stackscreen.query.runs import UnknownRunError
from stackscreen.settings import Settings


def _digest(*parts: object) -> bytes:
    return hashlib.sha256(repr(parts).encode()).digest()


def _materials(connection: Connection, count: int) -> list[int]:
    """Materials that members may name; their structures do not matter here."""
    return list(
        connection.execute(
            text("""
                WITH s AS (
                    INSERT INTO source (key, database, release, method, licence, reader, citation)
                    VALUES ('made', 'C2DB', '1', 'PBE', 'CC-BY-4.0', 'c2db', 'made') RETURNING id
                ), i AS (
                    INSERT INTO import_run (source_id, file_name, file_sha256, file_bytes, reader_version, state,
                                            finished_at)
                    SELECT id, 'f', sha256('f'), 1, '1', 'finished', now() FROM s RETURNING id, source_id
                ), r AS (
                    INSERT INTO source_record (source_id, external_id, subject, payload, payload_hash, import_run_id,
                                               state)
                    SELECT i.source_id, 'r' || k, 'monolayer', '{}', sha256(('r' || k)::bytea), i.id, 'accepted'
                    FROM i, generate_series(1, :count) AS k RETURNING id, external_id
                ), t AS (
                    INSERT INTO structure (source_record_id, formula, formula_anonymous, n_atoms, periodicity, cell,
                                           numbers, positions, digest)
                    SELECT id, 'C2', 'A', 1, 2, ARRAY[3,0,0,0,3,0,0,0,20], ARRAY[6], ARRAY[0,0,0],
                           sha256(external_id::bytea) FROM r RETURNING id
                )
                INSERT INTO material (uid, kind, formula, formula_anonymous, elements, n_atoms, structure_id)
                SELECT 'C2-' || lpad(to_hex(id), 8, '0'), 'monolayer', 'C2', 'A', ARRAY['C'], 1, id FROM t RETURNING id
            """),
            {"count": count},
        ).scalars()
    )


def _run(
    connection: Connection,
    name: str,
    members: dict[str, tuple[int, float | None]],
    candidates: dict[tuple[str, str], float],
    **more: Any,
) -> int:
    """A superseded run; members are uid to (material, gap), candidates (bottom, top) to score."""
    values: dict[str, Any] = {
        "state": "superseded", "inputs_digest": _digest(name), "engine_version": "1", "n_monolayers": len(members),
        "n_surfaces": 0, "n_pairs": 10, "max_strain": 0.02, "max_area": 400, "max_atoms": 200,
        "candidate_rule": {"max_strain": 0.02}, "n_matched": 6, "n_candidates": len(candidates),
    }  # fmt: skip
    run_id = connection.execute(insert(ScreeningRun).values(values | more).returning(ScreeningRun.id)).scalar_one()
    numbers = {uid: number for number, uid in enumerate(members)}
    for uid, (material, gap) in members.items():
        connection.execute(
            insert(ScreeningMember).values(
                run_id=run_id, since=run_id, member=numbers[uid], material_id=material, uid=uid,
                formula=uid.split("-")[0],
                elements=["C"], n_atoms=1, ln_area=2.0, tau_re=0.5, tau_im=0.9, polar=False, gap=gap,
                inputs_digest=_digest(uid, gap), fingerprint=0,
            )
        )  # fmt: skip
    for number, seconds in enumerate((2.0, 3.0)):
        connection.execute(
            insert(PairBlock).values(
                run_id=run_id, block=number, row_from=2 * number, row_to=2 * number + 2, col_from=0, col_to=9,
                state="done", n_pairs=5, n_matched=3, seconds=seconds, digest=_digest(name, number),
                attempts=1 + number,
            )
        )  # fmt: skip
    for (bottom, top), score in candidates.items():
        connection.execute(
            insert(Candidate).values(
                run_id=run_id, since=run_id, bottom=numbers[bottom], top=numbers[top], block=0, kind="heterobilayer",
                n=1, m=1, strain=0.001, strain_von_mises=0.001, area=10, n_atoms=2, score=score,
            )
        )  # fmt: skip
    return run_id


@pytest.fixture
def two(engine: Engine) -> tuple[int, int]:
    """Between two runs C left, D came, B's gap changed; the strain limit and the gap model changed."""
    with engine.begin() as connection:
        a, b, c, d = _materials(connection, 4)
        members = {"A-1": (a, 1.0), "B-1": (b, 1.0), "C-1": (c, 1.0)}
        scores = {("A-1", "B-1"): 0.5, ("A-1", "C-1"): 0.25, ("B-1", "C-1"): 0.125}
        first = _run(connection, "first", members, scores)
        # The same pair the other way round is the same pair.
        members = {"B-1": (b, 1.5), "A-1": (a, 1.0), "D-1": (d, 0.0)}
        scores = {("B-1", "A-1"): 0.75, ("A-1", "D-1"): 0.5}
        second = _run(
            connection, "second", members, scores, max_strain=0.01, candidate_rule={"max_strain": 0.02, "max_atoms": 60}
        )
        for run_id, name in ((first, "gap-1"), (second, "gap-2")):
            model = connection.execute(
                insert(ModelVersion)
                .values(target="gap", domain="homobilayer", family="lightgbm", name=name, artefact=b"x",
                        artefact_digest=_digest(name), data_digest=_digest("data"), card={}, code_version="1",
                        split="made", served=False, metrics={})
                .returning(ModelVersion.id)
            ).scalar_one()  # fmt: skip
            connection.execute(insert(ScreeningRunModel).values(run_id=run_id, model_version_id=model))
    return first, second


def test_what_differs_between_two_runs_is_named_with_its_reason(engine: Engine, two: tuple[int, int]) -> None:
    with reading(engine) as connection:
        found = runs.diff(connection, *two)
    assert found.limits == {"max_strain": [0.02, 0.01], "candidate_rule.max_atoms": [None, 60]}
    assert [[name.split(" ")[0] for name in names] for names in found.models["gap"]] == [["gap-1"], ["gap-2"]]
    assert found.members == {"added": 1, "withdrawn": 1, "changed": 1}
    assert found.member_examples == {
        "added": [{"uid": "D-1"}],
        "withdrawn": [{"uid": "C-1"}],
        "changed": [{"uid": "B-1", "columns": {"gap": [1.0, 1.5]}}],
    }
    assert found.candidates == {"entered": 1, "left": 2, "moved": 1}
    entered, left, moved = (found.candidate_examples[kind] for kind in ("entered", "left", "moved"))
    assert (entered[0]["bottom_uid"], entered[0]["top_uid"], entered[0]["score_before"]) == ("A-1", "D-1", None)
    assert "D-1 is new" in entered[0]["reason"]
    assert [one["score_before"] for one in left] == [0.25, 0.125]  # the best first
    assert all("C-1 was withdrawn" in one["reason"] for one in left)
    assert (moved[0]["score_before"], moved[0]["score_after"]) == (0.5, 0.75)
    for reason in ("the data of B-1 changed", "the limits or the engine changed", "a model changed"):
        assert reason in moved[0]["reason"]


def test_turned_round_the_difference_is_turned_round(engine: Engine, two: tuple[int, int]) -> None:
    with reading(engine) as connection:
        found = runs.diff(connection, *reversed(two))
    assert found.members == {"added": 1, "withdrawn": 1, "changed": 1}
    assert found.candidates == {"entered": 2, "left": 1, "moved": 1}


def test_a_run_does_not_differ_from_itself(engine: Engine, two: tuple[int, int]) -> None:
    with reading(engine) as connection:
        found = runs.diff(connection, two[0], two[0])
    assert (found.limits, found.models) == ({}, {})
    assert set(found.members.values()) == {0}
    assert found.candidates == {"entered": 0, "left": 0, "moved": 0}


def test_counts_are_of_all_whatever_is_shown(engine: Engine, two: tuple[int, int]) -> None:
    with reading(engine) as connection:
        found = runs.diff(connection, *two, examples=0)
    assert found.candidates == {"entered": 1, "left": 2, "moved": 1}
    assert set(map(len, found.candidate_examples.values())) == {0}


def test_dropped_candidates_are_not_taken_for_none(engine: Engine, two: tuple[int, int]) -> None:
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM candidate WHERE run_id = :run"), {"run": two[0]})
    with reading(engine) as connection:
        found = runs.diff(connection, *two)
    assert found.candidates is None
    assert found.members["added"] == 1


def test_a_run_is_shown_with_its_inputs_its_blocks_and_its_speed(engine: Engine, two: tuple[int, int]) -> None:
    with reading(engine) as connection:
        found = runs.show(connection, two[1])
        members = connection.execute(
            select(ScreeningMember.inputs_digest)
            .where(ScreeningMember.run_id == two[1])
            .order_by(ScreeningMember.material_id)
        ).scalars()
        assert found.inputs["members_digest"] == hashlib.sha256(b"".join(members)).hexdigest()
    assert found.inputs["inputs_digest"] == _digest("second").hex()
    assert found.inputs["results_digest"] == hashlib.sha256(_digest("second", 0) + _digest("second", 1)).hexdigest()
    assert found.blocks == {"done": 2}
    assert found.leases == 3, "one block was leased again"
    assert found.slowest == {"block": 1, "row_from": 2, "row_to": 4, "n_pairs": 5, "seconds": 3.0}
    assert (found.block_seconds, found.pairs_per_s) == (5.0, 2)
    assert found.counts["candidates"] == 2
    assert [(model["target"], model["name"]) for model in found.models] == [("gap", "gap-2")]
    assert json.loads(json.dumps(found.as_dict()))["limits"]["max_strain"] == 0.01


def test_a_run_that_was_never_planned_is_a_sentence(engine: Engine) -> None:
    with reading(engine) as connection:
        with pytest.raises(UnknownRunError, match="no screening run 7"):
            runs.show(connection, 7)
        with pytest.raises(UnknownRunError):
            runs.diff(connection, 7, 8)


@pytest.mark.services
def test_the_commands_show_and_compare_the_published_run(screened_system: Settings, screened_engine: Engine) -> None:
    with screened_engine.connect() as connection:
        run = connection.execute(text("SELECT * FROM analyst.runs WHERE state = 'published'")).one()

    def command(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, **screened_system.as_environment()}
        words = [sys.executable, "-m", "stackscreen", "run", *arguments]
        return subprocess.run(words, env=environment, capture_output=True, text=True, timeout=60, check=False)

    found = json.loads(command("show", str(run.id), "--json").stdout)
    assert (found["state"], found["counts"]["pairs"], found["blocks"]) == (
        "published", run.n_pairs, {"done": run.blocks},
    )  # fmt: skip
    assert {model["target"] for model in found["models"]} == {"binding_energy", "interlayer_distance", "gap"}
    assert "candidates entered: 0" in command("diff", str(run.id), str(run.id)).stdout
    assert "inputs_digest" in command("show", str(run.id)).stdout
    unknown = command("show", "4711")
    assert unknown.returncode == 1
    assert "stackscreen run list" in unknown.stderr
