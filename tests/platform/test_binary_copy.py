"""Columns arrive in Postgres as they were in numpy."""

from __future__ import annotations

import numpy as np
import pytest
from sqlalchemy import Engine, text

from stackscreen.screening.binary_copy import TextColumn, copy_columns

pytestmark = pytest.mark.services


def test_numbers_words_and_unknowns_arrive_as_they_were(engine: Engine) -> None:
    rng = np.random.default_rng(7)
    rows = 1000
    small = rng.integers(-30_000, 30_000, rows)
    large = rng.integers(-(2**60), 2**60, rows)
    real = rng.normal(size=rows).astype(np.float32)
    real[::7] = np.nan
    double = rng.normal(size=rows)
    double[::11] = np.nan
    words = ["I", "staggered", "Å², straße", ""]
    codes = rng.integers(-1, len(words), rows)
    with engine.begin() as connection:
        connection.execute(
            text("CREATE TABLE sample (k int4, small int2, large int8, real float4, double float8, word text)")
        )
        cursor = connection.connection.cursor()
        copy_columns(
            cursor,
            "sample",
            {
                "k": ("int4", np.arange(rows)),
                "small": ("int2", small),
                "large": ("int8", large),
                "real": ("float4", real),
                "double": ("float8", double),
                "word": TextColumn(codes, words),
            },
        )
    with engine.connect() as connection:
        read = connection.execute(text("SELECT * FROM sample ORDER BY k")).all()
    assert len(read) == rows
    for k, row in enumerate(read):
        assert (row.small, row.large) == (small[k], large[k])
        assert row.word == (None if codes[k] < 0 else words[codes[k]])
        for value, expected in ((row.real, real[k]), (row.double, double[k])):
            assert value is None if np.isnan(expected) else value == pytest.approx(float(expected), rel=1e-6)


def test_no_rows_are_a_valid_stream(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE sample (k int4)"))
        copy_columns(connection.connection.cursor(), "sample", {"k": ("int4", np.empty(0, int))})
        assert connection.execute(text("SELECT count(*) FROM sample")).scalar() == 0
