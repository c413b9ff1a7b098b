"""SQL says of a pair what its smallest supercell within a strain is, and that is what the engine finds."""

from __future__ import annotations

import numpy as np
import pytest
from sqlalchemy import Engine, Row, text

from stackscreen.pairs import PairLimits, ShapeTable, match_row
from stackscreen.query import runs
from stackscreen.query.reading import reading
from stackscreen.screening.members import MemberTable, load_members
from stackscreen.screening.packing import NO_MATCH, pack_strain

pytestmark = pytest.mark.services


def _rows(engine: Engine, query: str, **values: object) -> list[Row]:
    with engine.connect() as connection:
        return list(connection.execute(text(query), values).all())


@pytest.fixture(scope="module")
def run_id(screened_engine: Engine) -> int:
    return _rows(screened_engine, "SELECT id FROM screening_run WHERE state = 'published'")[0].id


@pytest.fixture(scope="module")
def members(screened_engine: Engine, run_id: int) -> MemberTable:
    with screened_engine.connect() as connection:
        return load_members(connection, run_id)


@pytest.mark.parametrize("level", [0.005, 0.01, 0.02])
def test_sql_says_of_each_level_what_a_search_within_it_alone_finds(
    screened_engine: Engine, run_id: int, members: MemberTable, level: float
) -> None:
    shapes = ShapeTable.build(members.ln_area, members.tau, members.n_atoms, PairLimits(level, 400.0, 200))
    for me in (3, 7, len(members) - 1):
        found = _rows(
            screened_engine, "SELECT * FROM analyst.pairs_of_member(:run, :me, :level)", run=run_id, me=me,
            level=100 * level,
        )  # fmt: skip
        assert len(found) == (members.n_monolayers if me >= members.n_monolayers else len(members))
        for row in found:
            below, above = (me, row.partner) if row.below else (row.partner, me)
            expected = match_row(shapes, below, np.array([above]))
            assert (row.n, row.m) == (expected.n[0], expected.m[0])
            assert row.strain == (pytest.approx(1e6 * expected.strain[0], abs=0.51) if row.n else NO_MATCH)
            assert (row.score > 0) == (row.n > 0)


def test_between_two_levels_a_pair_has_the_smallest_that_either_keeps(screened_engine: Engine) -> None:
    uid = _rows(screened_engine, "SELECT uid FROM analyst.run_members WHERE formula = 'MoS2' LIMIT 1")[0].uid

    def within(strain: float | None) -> dict[str, Row]:
        query = "SELECT * FROM analyst.pairs_of(:uid, :strain)"
        return {row.partner_uid: row for row in _rows(screened_engine, query, uid=uid, strain=strain)}

    asked, kept = within(0.7), [within(strain) for strain in (2.0, 1.0, 0.5)]
    assert within(None) == within(5.0) == kept[0]
    sources = set()
    for partner, row in asked.items():
        fitting = [k for k, level in enumerate(kept) if level[partner].n and level[partner].strain <= 0.7]
        assert row == (kept[fitting[0]][partner] if fitting else (*row[:3], 0, 0, None, 0.0))
        sources |= set(fitting[:1])
    assert {0, 1} <= sources
    assert all(row.n == 0 for row in within(-1.0).values())


@pytest.mark.parametrize("strain", [1.0, 0.6, 0.5])
def test_one_pair_and_the_histogram_are_those_of_the_whole_row(screened_engine: Engine, strain: float) -> None:
    uid = _rows(screened_engine, "SELECT uid FROM analyst.run_members WHERE formula = 'WSe2' LIMIT 1")[0].uid
    every = _rows(screened_engine, "SELECT * FROM analyst.pairs_of(:uid, :strain)", uid=uid, strain=strain)
    matched = [row for row in every if row.n]
    assert 0 < len(matched) < len(every)
    assert max(row.strain for row in matched) <= strain
    for row in every[::3]:
        (pair,) = _rows(
            screened_engine, "SELECT * FROM analyst.pair(:one, :other, :strain)", one=row.partner_uid, other=uid,
            strain=strain,
        )  # fmt: skip
        assert (pair.n, pair.m, pair.strain, pair.score) == (row.n, row.m, row.strain, row.score)
        assert (pair.n_atoms is None) == (pair.area is None) == (row.n == 0)
    bars = _rows(screened_engine, "SELECT * FROM analyst.strain_histogram(:uid, 6, :strain)", uid=uid, strain=strain)
    assert sum(bar.pairs for bar in bars) == len(matched)
    assert (len(bars), bars[-1].strain_to) == (6, pytest.approx(strain))


def test_a_run_says_which_levels_it_keeps(screened_engine: Engine, run_id: int) -> None:
    assert _rows(screened_engine, "SELECT strain_levels FROM analyst.runs WHERE id = :r", r=run_id)[0][0] == [0.5, 1.0]
    with reading(screened_engine) as connection:
        assert runs.show(connection, run_id).limits["strain_levels"] == [0.005, 0.01]


def test_a_strain_beyond_a_level_is_not_rounded_into_it() -> None:
    strain = np.array([0.005, 0.0050000001, 0.0050004, 0.0050006, 0.0049996, np.nan, 0.02])
    assert pack_strain(strain, ()).tolist() == [5000, 5000, 5000, 5001, 5000, NO_MATCH, 20000]
    assert pack_strain(strain, (0.005, 0.01)).tolist() == [5000, 5001, 5001, 5001, 5000, NO_MATCH, 20000]
