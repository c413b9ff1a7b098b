"""The starter set, imported, deduplicated, described and screened by real workers, says what is known of it."""

from __future__ import annotations

import numpy as np
import pytest
from sqlalchemy import Engine, select, text

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
