"""Rows that models are fitted on, read back from a real Postgres."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Engine

from etl.api import import_file
from etl.dedupe.api import dedupe
from etl.starter import paths
from ml import pair_features
from ml.interface_store import SOURCES, load_rows
from schema.vocabulary import InterfaceKind

pytestmark = pytest.mark.services


def test_homobilayers_come_with_their_layers_registry_and_labels(engine: Engine) -> None:
    import_file(engine, "c2db", paths().c2db, label="starter")
    import_file(engine, "bidb", paths().bidb, label="starter")
    dedupe(engine)
    with engine.connect() as connection:
        assert load_rows(connection, InterfaceKind.HOMOBILAYER.value) == []
        (rows,) = load_rows(connection, InterfaceKind.HOMOBILAYER.value, sources=["starter-bidb"])
        (again,) = load_rows(connection, InterfaceKind.HOMOBILAYER.value, sources=["starter-bidb"])
    assert rows.digest == again.digest
    assert rows.domain == "homobilayer"
    assert rows.bottom == rows.top
    assert rows.ids == sorted(rows.ids)
    assert all(name.startswith("starter-bidb:") for name in rows.ids)
    assert rows.names == pair_features.NAMES
    assert rows.labelled("binding_energy").sum() > 10
    assert np.isfinite(rows.column(pair_features.REGISTRY[0])).any()
    assert set(rows.top_family) & {"A", "AB", "AB2"}


def test_films_on_metals_are_the_rows_that_their_file_gives(engine: Engine, shared_data: Path) -> None:
    from benchmarks.model_data import FILES, read_all

    import_file(engine, "hetero2d", shared_data / FILES["hetero2d"])
    with engine.connect() as connection:
        (rows,) = load_rows(connection, InterfaceKind.ON_BULK.value)
    expected = read_all(shared_data, only=SOURCES[InterfaceKind.ON_BULK.value])["hetero2d"]
    assert rows.ids == expected.ids
    assert (rows.bottom, rows.top) == (expected.bottom, expected.top)
    assert rows.top_family == expected.top_family
    np.testing.assert_array_equal(rows.features, expected.features)
    for target, values in expected.targets.items():
        np.testing.assert_allclose(rows.targets[target], values, rtol=1e-12)
