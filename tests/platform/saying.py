"""Everything that readers see of the published run, and when two runs say the same."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine, Row, text

CANDIDATES = "SELECT * FROM analyst.candidates ORDER BY bottom_uid, top_uid"
PAIRS = """
    SELECT me.uid, p.* FROM analyst.run_members me
    JOIN screening_run r ON r.id = me.run_id AND r.state = 'published'
    CROSS JOIN LATERAL analyst.pairs_of(me.uid, :within) p ORDER BY me.uid, p.partner_uid
"""


def rows(engine: Engine, query: str, **values: object) -> list[Row[Any]]:
    with engine.connect() as connection:
        return list(connection.execute(text(query), values).all())


def pairs(engine: Engine, within: float | None = None) -> list[Row[Any]]:
    """All pairs of the published run, within a strain in %."""
    return rows(engine, PAIRS, within=within)


def said(engine: Engine) -> tuple[list[Any], ...]:
    """Everything that readers see of the published run, without its number: candidates, pairs, those of its levels."""
    candidates = [tuple(value for key, value in row._mapping.items() if key != "run_id")
                  for row in rows(engine, CANDIDATES)]  # fmt: skip
    return candidates, *([tuple(row) for row in pairs(engine, within)] for within in (None, 1.0, 0.5))


def alike(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    """Two searches find the same supercells; their strains are the same to rounding."""
    return all(
        a == pytest.approx(b, rel=2e-4, abs=1.1e-4) if isinstance(a, float) and isinstance(b, float) else a == b
        for a, b in zip(one, other, strict=True)
    )
