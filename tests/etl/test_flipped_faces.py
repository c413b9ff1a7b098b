"""A polar layer drawn the other way up by one source means the same faces to everyone."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_files import c2db_keys, dichalcogenide, write_ase
from sqlalchemy import Engine, text

from etl.api import import_file
from etl.dedupe.api import dedupe

pytestmark = pytest.mark.services

VALUES = text(
    "SELECT source, property, face, value FROM analyst.material_values "
    "WHERE property IN ('vbm', 'vacuum_step') AND method = 'PBE'"
)


def test_the_faces_of_a_member_that_lies_upside_down_are_exchanged(engine: Engine, tmp_path: Path) -> None:
    upright = dichalcogenide("H", "Mo", ("Se", "S"), 3.25, 1.62)
    turned = upright.copy()
    # Turned over about an in-plane axis: a rotation, so no mirror image is made.
    turned.positions[:, 1:] *= -1
    turned.cell[:, 1:] *= -1
    turned.cell[2] *= -1
    turned.wrap()
    first = write_ase(tmp_path / "upright.db", [(upright, c2db_keys("1MoSSe-1", evacdiff=-0.75))])
    second = write_ase(tmp_path / "turned.db", [(turned, c2db_keys("1MoSSe-2", evacdiff=+0.75))])
    import_file(engine, "c2db", first)
    import_file(engine, "c2db", second, label="theirs")
    report = dedupe(engine)
    assert (report.records, report.materials) == (2, 1)
    with engine.connect() as connection:
        rows = connection.execute(VALUES).all()
    ours = {(row.property, row.face): row.value for row in rows if row.source == "c2db"}
    theirs = {(row.property, row.face): row.value for row in rows if row.source != "c2db"}
    assert len(ours) == 3
    assert ours["vacuum_step", None] == pytest.approx(0.75)
    assert ours == pytest.approx(theirs)
