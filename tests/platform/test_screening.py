"""The starter set, imported, deduplicated, described and screened by real workers, says what is known of it."""

from __future__ import annotations

import numpy as np
import pytest
from sqlalchemy import Engine, select, text
from sqlalchemy.exc import ProgrammingError

from ml.scorer import PairScorer
from schema import ScreeningMember
from schema.vocabulary import RunState
from stackscreen.pairs import PairLimits, ShapeTable, match_row
from stackscreen.screening.members import load_members
from stackscreen.screening.runs import plan_run
from stackscreen.settings import Settings

pytestmark = pytest.mark.services


def _rows(engine: Engine, query: str, **values: object) -> list:
    with engine.connect() as connection:
        return list(connection.execute(text(query), values).all())


def _run_id(engine: Engine) -> int:
    return _rows(engine, "SELECT id FROM screening_run WHERE state = 'published'")[0].id


PAIR = (
    "SELECT * FROM analyst.candidates WHERE ((bottom, top) = (:one, :other) OR (top, bottom) = (:one, :other)) "
    "ORDER BY strain"
)


def test_every_pair_was_looked_at_once(screened_engine: Engine) -> None:
    run = _rows(screened_engine, "SELECT * FROM analyst.runs WHERE state = 'published'")[0]
    assert run.n_pairs == run.n_monolayers * (run.n_monolayers + 1) // 2 + run.n_monolayers * run.n_surfaces
    assert run.n_monolayers >= 60
    assert run.n_surfaces >= 12
    tiles = _rows(screened_engine, "SELECT row, col_from, n_pairs FROM pair_tile WHERE run_id = :run", run=run.id)
    seen = {(tile.row, tile.col_from + k) for tile in tiles for k in range(tile.n_pairs)}
    assert len(seen) == sum(tile.n_pairs for tile in tiles) == run.n_pairs
    assert run.blocks == run.blocks_done > 3


def test_the_duplicates_of_the_two_databases_are_one_material(screened_engine: Engine) -> None:
    counts = _rows(
        screened_engine,
        "SELECT count(*) AS members, count(DISTINCT source) AS sources FROM analyst.members WHERE kind = 'monolayer' "
        "GROUP BY uid HAVING count(*) > 1",
    )
    assert len(counts) == 15
    assert all((row.members, row.sources) == (2, 2) for row in counts)


def test_molybdenum_disulfide_on_tungsten_diselenide_is_type_two(screened_engine: Engine) -> None:
    found = _rows(screened_engine, PAIR, one="MoS2", other="WSe2")
    assert found
    assert {row.alignment for row in found} == {"II"}
    # The electron goes to MoS2, the hole to WSe2: Gong et al., Appl. Phys. Lett. 103, 053513 (2013).
    for row in found:
        sign = 1 if row.top == "WSe2" else -1
        assert sign * row.valence_offset > 0
        assert sign * row.conduction_offset > 0


def test_graphene_on_boron_nitride_has_a_misfit_of_1p8_percent(screened_engine: Engine) -> None:
    row = _rows(screened_engine, PAIR, one="C", other="BN")[0]
    assert (row.n, row.m, row.n_atoms) == (1, 1, 4)
    assert row.strain == pytest.approx(1.8, abs=0.1)


def test_molybdenum_disulfide_on_gold_111_is_among_the_low_strain_matches(screened_engine: Engine) -> None:
    found = _rows(
        screened_engine,
        "SELECT * FROM analyst.candidates WHERE bottom_uid LIKE 'Au-%(111)' AND top = 'MoS2' AND kind = '2d-on-bulk'",
    )
    assert found
    assert min(row.strain for row in found) < 1.0


def test_a_homobilayer_needs_no_strain_and_one_cell(screened_engine: Engine) -> None:
    found = _rows(screened_engine, "SELECT * FROM analyst.candidates WHERE kind = 'homobilayer'")
    assert found
    assert all((row.n, row.m) == (1, 1) and row.strain == pytest.approx(0.0, abs=1e-4) for row in found)


def test_predictions_have_intervals_and_are_physical(screened_engine: Engine) -> None:
    found = _rows(screened_engine, "SELECT * FROM analyst.candidates WHERE kind <> '2d-on-bulk'")
    predicted = [row for row in found if row.binding_energy is not None]
    assert len(predicted) == len(found)
    for row in predicted:
        assert row.binding_energy_lower <= row.binding_energy <= row.binding_energy_upper
        assert row.distance_lower <= row.distance <= row.distance_upper
        assert 1.0 < row.distance < 6.0
        assert 0.0 <= row.score <= 1.0
    bulk = _rows(screened_engine, "SELECT * FROM analyst.candidates WHERE kind = '2d-on-bulk'")
    assert bulk
    assert all(row.binding_energy is None and row.gap is None for row in bulk)


def test_no_unknown_offset_is_stored_as_a_number(screened_engine: Engine) -> None:
    odd = _rows(
        screened_engine,
        "SELECT count(*) AS n FROM candidate WHERE valence_offset IN ('NaN', 'Infinity', '-Infinity') "
        "OR conduction_offset IN ('NaN', 'Infinity', '-Infinity') OR score = 'NaN'",
    )[0]
    assert odd.n == 0


def test_any_pair_is_reached_in_sql_and_is_what_the_engine_says(screened_engine: Engine) -> None:
    run_id = _run_id(screened_engine)
    with screened_engine.connect() as connection:
        members = load_members(connection, run_id)
        uids = connection.execute(
            select(ScreeningMember.uid).where(ScreeningMember.run_id == run_id).order_by(ScreeningMember.member)
        ).scalars().all()  # fmt: skip
        me = 7
        pairs = connection.execute(text("SELECT * FROM analyst.pairs_of(:uid)"), {"uid": uids[me]}).all()
    shapes = ShapeTable.build(members.ln_area, members.tau, members.n_atoms, PairLimits(0.02, 400.0, 200))
    assert len(pairs) == len(members)  # every layer once, itself included, and every surface
    for pair in pairs:
        other = uids.index(pair.partner_uid)
        below, above = (me, other) if pair.below else (other, me)
        expected = match_row(shapes, below, np.array([above]))
        assert (pair.n, pair.m) == (expected.n[0], expected.m[0])
        if pair.n:
            assert pair.strain == pytest.approx(100 * expected.strain[0], abs=1e-4)
        else:
            assert pair.strain is None


def test_the_same_inputs_are_not_screened_twice(screened_system: Settings, screened_engine: Engine) -> None:
    plan = plan_run(screened_engine, screened_system.screen)
    assert (plan.run_id, plan.fresh, plan.state) == (_run_id(screened_engine), False, RunState.PUBLISHED)


def test_the_scorer_of_a_run_uses_the_models_that_the_run_names(screened_engine: Engine) -> None:
    with screened_engine.connect() as connection:
        scorer = PairScorer.load(connection, run_id=_run_id(screened_engine))
    assert set(scorer.models) == {"binding_energy", "interlayer_distance", "gap"}


def test_an_analyst_cannot_see_an_unpublished_run(screened_engine: Engine) -> None:
    with screened_engine.connect() as connection:
        runs = connection.execute(text("SELECT DISTINCT run_id FROM analyst.candidates")).scalars().all()
    assert runs == [_run_id(screened_engine)]


def _uids(engine: Engine) -> list[str]:
    return [
        row.uid
        for row in _rows(
            engine, "SELECT uid FROM screening_member WHERE run_id = :run ORDER BY member", run=_run_id(engine)
        )
    ]


def test_one_pair_in_sql_is_that_of_the_whole_row_whichever_way_it_is_named(screened_engine: Engine) -> None:
    uids = _uids(screened_engine)
    for me in (uids[7], uids[-1]):
        every = _rows(screened_engine, "SELECT * FROM analyst.pairs_of(:uid)", uid=me)
        assert {row.n > 0 for row in every} == {True, False}
        for row in every[::5]:
            ask = "SELECT * FROM analyst.pair(:one, :other)"
            straight = _rows(screened_engine, ask, one=me, other=row.partner_uid)
            assert straight == _rows(screened_engine, ask, one=row.partner_uid, other=me)
            (pair,) = straight
            assert (pair.bottom_uid, pair.top_uid) == ((me, row.partner_uid) if row.below else (row.partner_uid, me))
            assert (pair.n, pair.m, pair.strain, pair.score) == (row.n, row.m, row.strain, row.score)
            assert (pair.n_atoms is None) == (pair.area is None) == (row.n == 0)
    assert _rows(screened_engine, "SELECT * FROM analyst.pair(:one, 'nothing')", one=uids[0]) == []


def test_atoms_and_area_of_a_pair_are_those_of_its_candidate(screened_engine: Engine) -> None:
    rows = _rows(
        screened_engine,
        "SELECT c.kind, c.n_atoms AS atoms, c.area AS expected, c.n AS cells, p.* FROM "
        "(SELECT *, row_number() OVER (PARTITION BY kind ORDER BY score DESC) AS place FROM analyst.candidates) c "
        "CROSS JOIN LATERAL analyst.pair(c.bottom_uid, c.top_uid) p WHERE c.place <= 5",
    )
    assert {row.kind for row in rows} == {"homobilayer", "heterobilayer", "2d-on-bulk"}
    for row in rows:
        assert (row.n_atoms, row.n) == (row.atoms, row.cells)
        assert row.area == pytest.approx(row.expected, rel=1e-6)


@pytest.mark.parametrize("bins", [1, 7, 40])
def test_a_strain_histogram_counts_every_matched_pair_of_a_material_once(screened_engine: Engine, bins: int) -> None:
    uid = _uids(screened_engine)[3]
    found = _rows(screened_engine, "SELECT * FROM analyst.strain_histogram(:uid, :bins)", uid=uid, bins=bins)
    strains = [row.strain for row in _rows(screened_engine, "SELECT strain FROM analyst.pairs_of(:uid)", uid=uid)]
    known = np.array([strain for strain in strains if strain is not None])
    assert len(found) == bins
    assert sum(row.pairs for row in found) == len(known) > 10
    edges = [*(row.strain_from for row in found), found[-1].strain_to]
    assert edges == pytest.approx(np.linspace(0, 2, bins + 1))
    assert [row.pairs for row in found] == list(np.histogram(np.minimum(known, 2.0), edges)[0])


def test_a_histogram_of_no_material_has_no_row_and_bins_are_bounded(screened_engine: Engine) -> None:
    assert _rows(screened_engine, "SELECT * FROM analyst.strain_histogram('nothing')") == []
    many = "SELECT count(*) AS n FROM analyst.strain_histogram(:uid, :bins)"
    for bins, expected in ((1_000_000, 1000), (-3, 1), (None, 20)):
        assert _rows(screened_engine, many, uid=_uids(screened_engine)[0], bins=bins)[0].n == expected


def test_an_analyst_may_call_the_functions_and_read_no_tile(screened_engine: Engine) -> None:
    uids = _uids(screened_engine)
    with screened_engine.connect() as connection:
        connection.execute(text("SET ROLE stackscreen_analyst"))
        pair = connection.execute(text("SELECT * FROM analyst.pair(:a, :b)"), {"a": uids[0], "b": uids[1]}).all()
        bars = connection.execute(text("SELECT * FROM analyst.strain_histogram(:a, 5)"), {"a": uids[0]}).all()
        assert (len(pair), len(bars)) == (1, 5)
        with pytest.raises(ProgrammingError, match="permission denied"):
            connection.execute(text("SELECT 1 FROM pair_tile"))
