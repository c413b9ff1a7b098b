"""The page on the data model says what the models say."""

from __future__ import annotations

import runpy
from pathlib import Path

from schema import Base

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_is_up_to_date_and_shows_every_table() -> None:
    made = runpy.run_path(str(DOCS / "make_data_model.py"))
    assert (DOCS / "data-model.md").read_text() == made["render"](), "run: python docs/make_data_model.py"
    assert {name for family in made["FAMILIES"].values() for name in family} == set(Base.metadata.tables)
