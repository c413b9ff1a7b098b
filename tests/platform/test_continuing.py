"""A run that continues a space computes what changed alone, and says the same as one that computes everything."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from saying import alike, pairs, rows, said
from sqlalchemy import Engine, Row, text

from schema.engine import make_engine
from schema.vocabulary import RunState
from stackscreen.query import runs as query_runs
from stackscreen.query.candidates import published_run
from stackscreen.query.criteria import Criteria
from stackscreen.query.reading import reading
from stackscreen.scan.scanner import Scanner
from stackscreen.screening import runs
from stackscreen.screening.runs import Plan, collect_garbage, plan_run, publish_if_done
from stackscreen.screening.work import run_block
from stackscreen.services import database_url
from stackscreen.settings import ScreenSettings, Settings

pytestmark = pytest.mark.services

SETTINGS = ScreenSettings(block_pairs=3000)


@pytest.fixture(scope="module")
def engine(disposable_system: Settings) -> Iterator[Engine]:
    engine = make_engine(database_url(disposable_system))
    finish(engine, plan_run(engine, SETTINGS))
    yield engine
    engine.dispose()


def change(engine: Engine, query: str, **values: object) -> None:
    with engine.begin() as connection:
        assert connection.execute(text(query), values).rowcount > 0


def run_of(engine: Engine, number: int) -> Row[Any]:
    return rows(engine, "SELECT * FROM screening_run WHERE id = :n", n=number)[0]


def finish(engine: Engine, plan: Plan) -> Row[Any]:
    for block in rows(engine, "SELECT block FROM pair_block WHERE run_id = :r AND state <> 'done'", r=plan.run_id):
        run_block(engine, plan.run_id, block.block, "here", 60)
    assert publish_if_done(engine, plan.run_id) is RunState.PUBLISHED
    return run_of(engine, plan.run_id)


def computed_anew(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> tuple[Row[Any], tuple[list[Any], ...]]:
    """What a run over the same inputs says that computes everything."""
    change(engine, "UPDATE screening_run SET inputs_digest = sha256(inputs_digest) WHERE state = 'published'")
    with monkeypatch.context() as patched:
        patched.setattr(runs, "_may_continue", lambda *_: False)
        run = finish(engine, plan_run(engine, SETTINGS))
    assert run.base_run_id is None
    return run, said(engine)


CHANGES = {
    "changed": """
        UPDATE property_value SET value = value + 0.05 WHERE id IN (
            SELECT v.id FROM property_value v JOIN property p ON p.id = v.property_id AND p.key = 'cbm'
            JOIN material_member mm ON mm.source_record_id = v.source_record_id
            JOIN material m ON m.id = mm.material_id WHERE m.formula = 'WSe2')
    """,
    "moved within its kind": """
        UPDATE monolayer SET ln_area = ln_area + 0.004 WHERE material_id IN (
            SELECT id FROM material WHERE kind = 'monolayer' AND formula IN ('MoS2', 'MoTe2', 'BN'))
    """,
    "a surface": "UPDATE surface SET ln_area = ln_area - 0.003 WHERE id = (SELECT min(id) FROM surface)",
    "withdrawn": """
        UPDATE material SET withdrawn_at = now() WHERE id IN (
            SELECT id FROM material WHERE kind = 'monolayer' ORDER BY id DESC LIMIT 1)
    """,
    "come back": "UPDATE material SET withdrawn_at = NULL WHERE withdrawn_at IS NOT NULL",
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_changed_is_computed_alone_and_all_else_stays_as_if_everything_were(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setattr(runs, "LATER_SHARE", 0.5)
    with engine.connect() as connection:
        before = published_run(connection)
    change(engine, CHANGES[what])
    plan = plan_run(engine, SETTINGS)
    earlier = said(engine)
    assert run_of(engine, plan.run_id).base_run_id == before.space_id
    run = finish(engine, plan)
    work = rows(engine, "SELECT coalesce(sum(n_pairs), 0) AS pairs FROM pair_block WHERE run_id = :r", r=run.id)[0]
    assert work.pairs < 0.15 * run.n_pairs
    continued = said(engine)
    assert continued != earlier
    anew, expected = computed_anew(engine, monkeypatch)
    for here, there in zip(continued, expected, strict=True):
        assert len(here) == len(there)
        assert all(alike(one, other) for one, other in zip(here, there, strict=True))
    assert (run.n_pairs, run.n_matched, run.n_candidates) == (anew.n_pairs, anew.n_matched, anew.n_candidates)


def test_readers_see_the_earlier_run_until_the_new_one_is_whole(engine: Engine) -> None:
    before = said(engine)
    with engine.connect() as connection:
        published = published_run(connection)
    change(engine, CHANGES["changed"])
    plan = plan_run(engine, SETTINGS)
    assert said(engine) == before
    for block in rows(engine, "SELECT block FROM pair_block WHERE run_id = :r", r=plan.run_id):
        with engine.begin() as connection:  # as if another block were still open
            connection.execute(
                text("INSERT INTO pair_block (run_id, block, row_from, row_to, col_from, col_to, n_pairs) "
                     "SELECT run_id, 99, 0, 1, 0, 1, 1 FROM pair_block WHERE run_id = :r ON CONFLICT DO NOTHING"),
                {"r": plan.run_id},
            )  # fmt: skip
        run_block(engine, plan.run_id, block.block, "here", 60)
    assert said(engine) == before
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM pair_block WHERE run_id = :r AND block = 99"), {"r": plan.run_id})
    assert publish_if_done(engine, plan.run_id) is RunState.PUBLISHED
    assert said(engine) != before
    with reading(engine) as connection:
        difference = query_runs.diff(connection, published.id, plan.run_id)
    assert difference.members == {"added": 0, "withdrawn": 0, "changed": 1}
    assert difference.member_examples["changed"][0]["uid"].startswith("WSe2-")
    assert difference.candidates is not None


def test_a_scan_of_a_continued_space_counts_what_its_pairs_are(engine: Engine, disposable_system: Settings) -> None:
    change(engine, CHANGES["a surface"])
    finish(engine, plan_run(engine, SETTINGS))
    with reading(engine) as connection:
        run = published_run(connection)
        assert run.space_id != run.id
        scanner = Scanner.open(connection, run, disposable_system)
        within = {"": None, "strain.max=0.005": 0.5, "strain.max=0.01": 1.0, "strain.max=0.007": 0.7}
        for query in (*within, "layers.either=WSe2", "kind.in=2d-on-bulk", "n_atoms.max=40"):
            found = scanner.scan(Criteria.from_query(query), best=20)
            if query in within:
                lower = [row for row in pairs(engine, within[query]) if row.below or row.uid == row.partner_uid]
                assert found.count == sum(row.n > 0 for row in lower)
            for row in found.rows:
                one = rows(
                    engine, "SELECT * FROM analyst.pair(:a, :b, :within)", a=row["top_uid"], b=row["bottom_uid"],
                    within=within.get(query),
                )[0]  # fmt: skip
                assert (one.bottom_uid, one.n, one.m, one.n_atoms) == (
                    row["bottom_uid"], row["n"], row["m"], row["n_atoms"],
                )  # fmt: skip


def test_newer_inputs_take_the_place_of_a_run_that_is_not_done_and_leave_nothing_of_it(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "LATER_SHARE", 0.5)
    before = said(engine)
    change(engine, CHANGES["changed"])
    first = plan_run(engine, SETTINGS)
    change(engine, CHANGES["moved within its kind"])
    second = plan_run(engine, SETTINGS)
    assert run_of(engine, first.run_id).state == "failed"
    block = rows(engine, "SELECT block FROM pair_block WHERE run_id = :r", r=first.run_id)[0].block
    assert not run_block(engine, first.run_id, block, "late", 60)
    finish(engine, second)
    assert said(engine) != before
    for table in ("screening_member", "candidate"):
        assert rows(engine, f"SELECT count(*) AS n FROM {table} WHERE since = :r", r=first.run_id)[0].n == 0
    # Members' numbers have no gap: tiles speak in them.
    space = run_of(engine, second.run_id).space_id
    numbers = rows(engine, "SELECT count(*) AS n, max(member) AS last FROM screening_member WHERE run_id = :s", s=space)
    assert numbers[0].n == numbers[0].last + 1


@pytest.mark.parametrize(
    "asked",
    [
        {"candidate_max_atoms": 60},
        {"candidate_max_atoms": 60, "max_strain": 0.03},
        {"max_strain": 0.03, "max_area": 500},
    ],
    ids=["another rule", "more strain", "more area"],
)
def test_matches_are_taken_over_from_narrower_limits(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, asked: dict[str, float]
) -> None:
    change(engine, CHANGES["moved within its kind"])
    stricter = ScreenSettings.model_validate({"block_pairs": 3000, **asked})
    with engine.connect() as connection:
        before = published_run(connection)
    run = finish(engine, plan_run(engine, stricter))
    assert (run.base_run_id, run.matched_run_id) == (None, before.id)
    taken_over = said(engine)
    change(engine, "UPDATE screening_run SET inputs_digest = sha256(inputs_digest) WHERE state = 'published'")
    monkeypatch.setattr(runs, "_may_continue", lambda *_: False)
    monkeypatch.setattr(runs, "_matches_hold", lambda *_: False)
    anew = finish(engine, plan_run(engine, stricter))
    assert anew.matched_run_id is None
    for here, there in zip(taken_over, said(engine), strict=True):
        assert [both for both in zip(here, there, strict=True) if not alike(*both)] == []


def test_garbage_is_what_no_kept_run_of_a_space_holds(engine: Engine) -> None:
    before = said(engine)
    assert collect_garbage(engine, keep=0) > 0
    assert said(engine) == before
    ended = rows(engine, "SELECT count(*) AS n FROM candidate WHERE until IS NOT NULL")[0].n
    assert ended == 0
    with engine.connect() as connection:
        space = published_run(connection).space_id
    others = rows(engine, "SELECT DISTINCT run_id FROM candidate")
    assert [row.run_id for row in others] == [space]


def test_a_run_says_of_its_level_what_a_run_within_it_alone_says(engine: Engine, disposable_system: Settings) -> None:
    def seen(within: float | None, query: str) -> tuple[list[Any], int, list[Any]]:
        with reading(engine) as connection:
            scanner = Scanner.open(connection, published_run(connection), disposable_system)
        found = scanner.scan(Criteria.from_query(query), best=500)
        assert found.note is None
        return [tuple(row) for row in pairs(engine, within)], found.count, found.rows

    run = finish(engine, plan_run(engine, SETTINGS))
    assert (run.max_strain, run.strain_levels) == (0.02, [0.005, 0.01])
    of_level, tighter = seen(1.0, "strain.max=0.01&n_atoms.max=90"), pairs(engine, 0.5)
    # Those that the smallest supercell within 2 % would have hidden.
    hidden = {(row.uid, row.partner_uid) for row in pairs(engine) if row.n and row.strain > 1}
    assert sum(bool(row.n) and (row.uid, row.partner_uid) in hidden for row in pairs(engine, 1.0)) > 100
    alone = finish(engine, plan_run(engine, ScreenSettings(block_pairs=3000, max_strain=0.01)))
    assert (alone.max_strain, alone.strain_levels, alone.base_run_id) == (0.01, [0.005], None)
    of_run = seen(None, "n_atoms.max=90")
    assert [pair for pair in zip(of_level[0], of_run[0], strict=True) if pair[0] != pair[1]] == []
    assert of_level[1:] == of_run[1:]
    assert pairs(engine, 0.5) == tighter


def test_other_levels_found_a_space_of_their_own_and_fewer_are_taken_over(engine: Engine) -> None:
    first = finish(engine, plan_run(engine, SETTINGS))
    fewer = finish(engine, plan_run(engine, ScreenSettings(block_pairs=3000, strain_levels=(0.01,))))
    assert (fewer.base_run_id, fewer.matched_run_id, fewer.strain_levels) == (None, first.id, [0.01])
    known = said(engine)
    other = finish(engine, plan_run(engine, ScreenSettings(block_pairs=3000, strain_levels=(0.004, 0.01))))
    assert (other.base_run_id, other.matched_run_id, other.strain_levels) == (None, None, [0.004, 0.01])
    # 0.5 % lies between two levels now; all else is as it was.
    for here, there in zip(said(engine)[:3], known[:3], strict=True):
        assert all(alike(one, another) for one, another in zip(here, there, strict=True))
