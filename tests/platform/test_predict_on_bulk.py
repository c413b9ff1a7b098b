"""Layers on substrates: a row that is predicted is the row that trains."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ml import heads
from ml.training import TARGETS
from schema.vocabulary import InterfaceKind
from stackscreen.predict.describe import Described, describe
from stackscreen.predict.inputs import Given, given_structures
from stackscreen.predict.predictor import rows_of
from stackscreen.predict.recognise import KnownLayers


def test_every_layer_on_a_substrate_is_predicted_from_the_row_that_trains(shared_data: Path) -> None:
    from benchmarks.model_data import FILES, read_all

    trains = read_all(shared_data, only=("hetero2d",))["hetero2d"]
    assert len(trains) == 109
    nothing = KnownLayers(None)
    found: list[Described] = []
    for given in given_structures(shared_data / FILES["hetero2d"]):
        assert isinstance(given, Given)
        found.append(describe(given, nothing))
    predicted, _, _ = rows_of(InterfaceKind.ON_BULK, found)
    at = {f"hetero2d:{one.id}": row for row, one in enumerate(found)}
    order = [at[name] for name in trains.ids]
    models = [heads.head(heads.ON_BULK, target, registry_known=False) for target in TARGETS[heads.ON_BULK]]
    read = {name for head in models if head is not None for name in (*head.method.features, head.method.physics)}
    names = tuple(sorted(read - {""}))
    assert len(names) > 50
    np.testing.assert_allclose(predicted.columns(names)[order], trains.columns(names), rtol=1e-4, atol=1e-5)
