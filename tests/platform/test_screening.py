"""The starter set, imported, deduplicated, described and screened by real workers, says what is known of it."""

from __future__ import annotations

import numpy as np
import pytest
from sqlalchemy import Engine, select, text
from sqlalchemy.exc import ProgrammingError

from ml.scorer import PairScorer
from schema import ScreeningMember
from schema.vocabulary import EdgeMethod, RunState
from stackscreen.pairs import PairLimits, ShapeTable, match_row
from stackscreen.screening.members import load_members, snapshot
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
    targets = {"binding_energy", "interlayer_distance", "gap"}
    assert set(scorer.alike) == set(scorer.different) == targets
    assert {scorer.different[target].domain_name for target in targets} == {"heterobilayer"}


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


def test_the_misfit_is_shared_by_stiffness_or_evenly_and_a_crystal_carries_none(screened_engine: Engine) -> None:
    rows = _rows(
        screened_engine,
        "SELECT c.*, b.stiffness AS below, t.stiffness AS above FROM analyst.candidates c "
        "JOIN screening_member b ON b.run_id = c.run_id AND b.uid = c.bottom_uid "
        "JOIN screening_member t ON t.run_id = c.run_id AND t.uid = c.top_uid",
    )
    assert {row.kind for row in rows} == {"homobilayer", "heterobilayer", "2d-on-bulk"}
    for row in rows:
        known = row.below is not None and row.above is not None
        part = 0.0 if row.kind == "2d-on-bulk" else row.above / (row.above + row.below) if known else 0.5
        assert row.strain_bottom == pytest.approx(part * row.strain, abs=1e-6)
        assert row.strain_bottom + row.strain_top == pytest.approx(row.strain, abs=1e-6)


def test_graphene_on_molybdenum_disulfide_has_barriers_that_add_up_to_the_gap(screened_engine: Engine) -> None:
    with_barriers = _rows(
        screened_engine,
        "SELECT c.*, greatest(b.gap, t.gap) AS semiconductor FROM analyst.candidates c "
        "JOIN screening_member b ON b.run_id = c.run_id AND b.uid = c.bottom_uid "
        "JOIN screening_member t ON t.run_id = c.run_id AND t.uid = c.top_uid "
        "WHERE c.schottky_electron IS NOT NULL",
    )
    assert len(with_barriers) > 20
    for row in with_barriers:
        assert row.alignment == "metal"
        assert row.schottky_electron + row.schottky_hole == pytest.approx(row.semiconductor, abs=0.05)
    graphene = [row for row in with_barriers if {row.bottom, row.top} == {"C", "MoS2"}]
    assert graphene
    # Electrons see hardly a barrier: graphene is a good contact to MoS2's conduction band, Das et al., Nano Lett. 14,
    # 2861 (2014).
    assert all(abs(row.schottky_electron) < 0.4 < row.schottky_hole for row in graphene)


def test_solar_limits_and_orientations_are_where_they_make_sense_and_nowhere_else(screened_engine: Engine) -> None:
    rows = _rows(screened_engine, "SELECT * FROM analyst.candidates")
    solar = [row for row in rows if row.solar_efficiency is not None]
    assert len(solar) > 20
    assert ({row.alignment for row in solar}, {row.edges for row in solar}) == ({"II"}, {"PBE"})
    assert all(0 <= row.solar_efficiency < 23.7 for row in solar)
    assert all(row.solar_efficiency == 0 for row in solar if row.gap_anderson < 0.299)
    turned = [row for row in rows if row.alignments is not None]
    janus = {"MoSSe", "WSSe"}
    assert turned
    for row in turned:
        assert {row.bottom, row.top} & janus
        kinds = row.alignments.split(" ")
        assert (len(kinds), kinds[0]) == (4, row.alignment)
        assert row.gap_anderson_low <= row.gap_anderson <= row.gap_anderson_high
        assert row.vacuum_step != 0


def test_dispersion_binds_every_pair_of_layers_and_is_what_the_scorer_says(screened_engine: Engine) -> None:
    rows = _rows(
        screened_engine,
        "SELECT c.dispersion_energy, c.kind, b.material_id AS below, t.material_id AS above FROM candidate c "
        "JOIN screening_run r ON r.id = c.run_id AND r.state = 'published' "
        "JOIN screening_member b ON b.run_id = c.run_id AND b.member = c.bottom "
        "JOIN screening_member t ON t.run_id = c.run_id AND t.member = c.top",
    )
    layers = [row for row in rows if row.kind != "2d-on-bulk"]
    assert all(row.dispersion_energy is None for row in rows if row.kind == "2d-on-bulk")
    assert all(0 < row.dispersion_energy < 150 for row in layers)
    with screened_engine.connect() as connection:
        scorer = PairScorer.load(connection, run_id=_run_id(screened_engine))
    below, above = (np.array([getattr(row, side) for row in layers]) for side in ("below", "above"))
    yes, no = np.ones(len(layers), bool), np.zeros(len(layers), bool)
    straight = scorer.score(below, above)["dispersion_energy"]
    # Whichever is named first: the lower layer's top face looks at the upper one's bottom face.
    swapped = scorer.score(above, below, top_a=no, top_b=yes)["dispersion_energy"]
    assert straight == pytest.approx([row.dispersion_energy for row in layers], rel=1e-5)
    assert swapped == pytest.approx(straight, rel=1e-4)


def test_edges_are_those_of_the_functional_asked_for_and_of_no_other(screened_engine: Engine) -> None:
    aligned = ("vbm_bottom", "vbm_top", "cbm_bottom", "cbm_top", "work_function_bottom", "work_function_top")
    with screened_engine.connect() as connection:
        pbe, hse = (snapshot(connection, method) for method in (EdgeMethod.PBE, EdgeMethod.HSE06))
        gaps = dict(
            connection.execute(
                text(
                    "SELECT uid, value FROM analyst.material_values "
                    "WHERE property = 'gap' AND method = 'HSE06' AND preference = 1"
                )
            ).tuples().all()
        )  # fmt: skip
    assert [row["uid"] for row in pbe] == [row["uid"] for row in hse]
    assert {row["uid"]: row["gap"] for row in hse if row["surface_id"] is None and row["gap"] is not None} == gaps
    assert len(gaps) > 3
    # The starter set gives edges in PBE only: none of them may stand beside an HSE06 gap.
    assert any(row[name] is not None for row in pbe for name in aligned)
    assert all(row[name] is None for row in hse for name in aligned)
    assert [row["hull_energy"] for row in pbe] == [row["hull_energy"] for row in hse]
