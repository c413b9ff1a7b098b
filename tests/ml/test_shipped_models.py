"""What ships with the project: whole, safe, small, and better than one-line physics on the stored folds."""

from pathlib import Path

import numpy as np
import pytest
from ml_helpers import layers

import ml
from ml import pair_features, registry
from ml.artefact import PairModel
from ml.bilayer_evaluation import REGISTRY_KNOWN, REGISTRY_UNKNOWN
from ml.cards import card_markdown
from ml.datasets import TARGETS
from ml.features import compute
from ml.pair_features import PairFeatures
from ml.registry import CARD_FILE, ENCODER_FILE, MODEL_FILE, shipped
from ml.splits import Split

ROOT = Path(ml.__file__).parents[1]
PAIR_MODELS = {model.target: model for model in shipped() if model.target in TARGETS}


def test_there_is_a_model_of_every_target_and_an_encoder() -> None:
    assert set(PAIR_MODELS) == set(TARGETS)
    assert [m.family for m in shipped() if m.target == registry.EMBEDDING] == ["slab-graph-encoder"]


def test_artefacts_are_small_and_none_can_run_code() -> None:
    files = [path for path in (ROOT / "ml" / "artefacts").rglob("*") if path.is_file()]
    assert {path.name for path in files} == {CARD_FILE, MODEL_FILE, ENCODER_FILE}
    assert max(path.stat().st_size for path in files) < 1_000_000


@pytest.mark.parametrize("target", TARGETS)
def test_a_served_model_beats_calibrated_physics_on_unseen_materials(target: str) -> None:
    model = PAIR_MODELS[target]
    strict = model.metrics[Split.MATERIAL.value]
    physics = strict[f"{model.card['physics']}, calibrated"]
    assert (model.family == "lightgbm-residual") == (strict[REGISTRY_UNKNOWN]["mae"] < physics["mae"])


@pytest.mark.parametrize("target", TARGETS)
def test_stored_coverage_on_unseen_materials_is_ninety_per_cent(target: str) -> None:
    strict = PAIR_MODELS[target].metrics[Split.MATERIAL.value]
    assert 0.88 <= strict[REGISTRY_KNOWN]["coverage"] <= 0.92
    assert 0.88 <= strict[REGISTRY_UNKNOWN]["coverage_by_material"] <= 0.92


@pytest.mark.parametrize("target", TARGETS)
def test_the_card_in_the_documentation_is_that_of_the_artefact(target: str) -> None:
    import orjson

    content = orjson.loads((ROOT / "ml" / "artefacts" / target / CARD_FILE).read_bytes())
    page = (ROOT / "docs" / "models" / f"{target}.md").read_text(encoding="utf-8")
    assert page == card_markdown(content)
    assert "Heterobilayers are outside the domain" in page


def test_exchanging_the_layers_changes_no_prediction() -> None:
    pairs = PairFeatures(compute(layers()))
    a, b = (index.ravel() for index in np.meshgrid(np.arange(4), np.arange(4)))
    ta, tb = np.ones(16, bool), np.zeros(16, bool)
    one, two = pairs(a, b, top_a=ta, top_b=tb), pairs(b, a, top_a=tb, top_b=ta)
    for shipped_model in PAIR_MODELS.values():
        model = PairModel.from_bytes(shipped_model.artefact)
        np.testing.assert_allclose(
            model.predict(one, different=a != b).value, model.predict(two, different=a != b).value, rtol=1e-5
        )


def test_bilayer_mos2_comes_out_as_known() -> None:
    # Bilayer MoS2: about 20 meV/Å² (Björkman et al., Phys. Rev. Lett. 108, 235502 (2012)), 3.0 Å between sulfur planes.
    rows = PairFeatures(compute(layers()))(np.array([0]), np.array([0]))
    predicted = {t: PairModel.from_bytes(m.artefact).predict(rows) for t, m in PAIR_MODELS.items()}
    assert predicted["binding_energy"].value[0] == pytest.approx(22, abs=6)
    assert predicted["interlayer_distance"].value[0] == pytest.approx(3.1, abs=0.4)
    # Indirect through hybridisation: below the monolayer's 1.6 eV.
    assert 0.9 < predicted["gap"].value[0] < 1.6
    for value in predicted.values():
        assert value.lower[0] < value.value[0] < value.upper[0]


def test_two_different_layers_get_the_gap_of_the_aligned_bands() -> None:
    rows = PairFeatures(compute(layers()))(np.array([0]), np.array([1]))
    gap = PairModel.from_bytes(PAIR_MODELS["gap"].artefact).predict(rows, different=np.array([True]))
    assert gap.value[0] == pytest.approx(rows[0, pair_features.COLUMN["gap_aligned"]])
