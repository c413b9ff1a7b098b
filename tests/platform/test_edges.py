"""The functional of the edges is an input of a run."""

from __future__ import annotations

from known_rows import screened_engine  # noqa: F401 - a fixture
from sqlalchemy import Engine, select

from schema import ScreeningMember, ScreeningRun
from stackscreen.query import runs
from stackscreen.query.reading import reading
from stackscreen.screening.runs import plan_run
from stackscreen.settings import load_settings


def test_another_functional_is_another_run_that_says_so(screened_engine: Engine) -> None:  # noqa: F811
    plans = {
        method: plan_run(screened_engine, load_settings(screen={"edges": method}).screen)
        for method in ("PBE", "HSE06", "G0W0")
    }
    assert all(plan.fresh for plan in plans.values())
    assert not plan_run(screened_engine, load_settings(screen={"edges": "HSE06"}).screen).fresh
    with reading(screened_engine) as connection:
        digests = set(connection.execute(select(ScreeningRun.inputs_digest)).scalars())
        assert len(digests) >= len(plans)
        for method, plan in plans.items():
            assert runs.show(connection, plan.run_id).inputs["edges"] == method
        difference = runs.diff(connection, plans["PBE"].run_id, plans["HSE06"].run_id)
        assert difference.limits == {"edges": ["PBE", "HSE06"]}
        known = {
            method: connection.execute(
                select(ScreeningMember.member).where(
                    ScreeningMember.run_id == plan.run_id, ScreeningMember.vbm_top.is_not(None)
                )
            ).all()
            for method, plan in plans.items()
        }
    # The rows of this database give no edges but PBE's.
    assert known["HSE06"] == known["G0W0"] == []
