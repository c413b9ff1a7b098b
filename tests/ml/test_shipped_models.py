"""What ships with the project: whole, safe, small, and better than every calibrated baseline on the stored folds."""

from functools import cache
from pathlib import Path

import numpy as np
import orjson
import pytest
from ml_helpers import layers

import ml
from ml import heads, judging, plots, registry
from ml.artefact import PairModel, sha256
from ml.cards import card_markdown
from ml.catalogue import lineup
from ml.class_artefact import WORDS, ClassModel
from ml.class_calibration import rival
from ml.evaluation import evaluate
from ml.features import compute
from ml.gate import judge
from ml.models.layer_inputs import LayerInputs, PairLayers, inputs_of, layer_inputs
from ml.models.slab_encoder import embed, from_bytes
from ml.models.slab_graph import slab_graph
from ml.pair_features import PairFeatures
from ml.registry import CARD_FILE, ENCODER_FILE, EVALUATION_FILE, MODEL_FILE, shipped
from ml.report import Report, shown
from ml.rows import InterfaceRows
from ml.shelf import folder_name
from ml.splits import BY_UNSEEN, STRICT, partitions
from ml.training import TARGETS
from schema.quantities import QUANTITIES

ROOT = Path(ml.__file__).parents[1]
ALL = [(target, domain) for domain, targets in TARGETS.items() for target in targets]
SHIPPED = {(model.target, model.domain): model for model in shipped() if model.target in QUANTITIES}
PAIR_MODELS = {key: model for key, model in SHIPPED.items() if key[0] not in WORDS}
CLASS_MODELS = {key: model for key, model in SHIPPED.items() if key[0] in WORDS}
CLASSES = [(target, domain) for domain, target in heads.CLASSIFIED]
CLASS_NAMES = [folder_name(target, domain) for target, domain in CLASSES]
NAMES = [folder_name(target, domain) for target, domain in ALL]


@cache
def model_of(target: str, domain: str) -> PairModel:
    return PairModel.from_bytes(PAIR_MODELS[target, domain].artefact)


def strict_reports(target: str, domain: str) -> list[Report]:
    return [report for report in PAIR_MODELS[target, domain].reports if report.strict]


def test_there_is_a_model_of_every_target_and_domain_and_an_encoder() -> None:
    assert set(PAIR_MODELS) == set(ALL)
    assert set(CLASS_MODELS) == set(CLASSES)
    assert [m.family for m in shipped() if m.target == registry.EMBEDDING] == ["slab-graph-encoder"]


def test_artefacts_are_small_and_none_can_run_code() -> None:
    files = [path for path in (ROOT / "ml" / "artefacts").rglob("*") if path.is_file()]
    assert {path.name for path in files} == {CARD_FILE, MODEL_FILE, ENCODER_FILE, EVALUATION_FILE}
    assert max(path.stat().st_size for path in files) < 3_000_000


@pytest.mark.parametrize(("target", "domain"), ALL, ids=NAMES)
def test_a_served_model_beats_every_calibrated_baseline_on_the_stored_folds(target: str, domain: str) -> None:
    model = model_of(target, domain)
    assert strict_reports(target, domain)
    verdict = judge(PAIR_MODELS[target, domain].reports, domain, model.unit)
    assert verdict.served or model.family == registry.BASELINE_FAMILY, verdict.why
    # Where the trees did not win, they are not in the artefact.
    for report in strict_reports(target, domain):
        if not report.beats_baseline:
            assert any(not state.ensemble.members for state in model.states), report.method


@pytest.mark.parametrize(("target", "domain"), ALL, ids=NAMES)
def test_a_served_model_beats_every_calibrated_baseline_when_it_is_judged_again(
    target: str, domain: str, real_rows: dict[str, InterfaceRows], encoded: dict[str, LayerInputs]
) -> None:
    model = model_of(target, domain)
    judged_again = 0
    # One method answers in both states of a homobilayer, and is judged in both at once.
    states = ((True, model.known), (False, model.unknown))[: 1 if domain == heads.HOMO else 2]
    for known, state in states:
        head = heads.head(domain, target, registry_known=known)
        if head is None or not state.ensemble.members:
            continue
        rows = real_rows[state.source]
        if head.hides_registry:
            from ml.catalogue import hide_registry

            rows = hide_registry(rows)
        line = lineup(rows, target, None if state.graph is None else encoded[state.source])
        parts = partitions(rows.take(rows.labelled(target)), STRICT[domain])
        # Networks are fitted for a while: one part of BiDB's thousands of rows, two of HetML's hundreds, tell whether
        # they still win.
        few = parts if state.graph is None else parts[: 1 if domain == heads.HOMO else 2]
        found = evaluate(
            rows.take(rows.labelled(target)), target, line.methods, few, baselines=line.baselines, views=line.views
        )
        assert found.beats_baseline(line.judged), f"{found.metrics[line.judged]} against {found.best_baseline}"
        judged_again += 1
    assert judged_again or model.family == registry.BASELINE_FAMILY


@pytest.mark.parametrize(("target", "domain"), CLASSES, ids=CLASS_NAMES)
def test_a_served_class_model_is_no_worse_than_any_baseline_on_the_stored_folds(target: str, domain: str) -> None:
    shipped_model = CLASS_MODELS[target, domain]
    model = ClassModel.from_bytes(shipped_model.artefact)
    verdict = judge(shipped_model.reports, domain, model.unit)
    assert verdict.served, verdict.why
    for number, split in BY_UNSEEN[domain].items():
        (report,) = [one for one in shipped_model.reports if one.split == split]
        # Trees answer where they won, and nowhere else.
        assert model.categories[number].trees == (report.method not in report.baselines)
        assert report.beats_baseline or report.method == report.best_baseline.method
        covered = report.judged.coverage
        assert covered is not None
        assert covered >= 0.9 - max(0.02, 2 * np.sqrt(0.09 / report.n)), report.split
        found = shipped_model.card["answers"][report.split]
        ours = found["probabilities"][found["method"]]
        theirs = found["probabilities"][rival(found["probabilities"], found["method"])]
        # Where physics answers, trees are no rival; the others, calibrated physics among them, are to be beaten.
        assert ours["brier"] < theirs["brier"]
        assert ours["log_loss"] < theirs["log_loss"]


@pytest.mark.parametrize(("target", "domain"), CLASSES, ids=CLASS_NAMES)
def test_a_served_class_model_is_no_worse_than_any_baseline_when_it_is_judged_again(
    target: str, domain: str, real_rows: dict[str, InterfaceRows]
) -> None:
    model = ClassModel.from_bytes(CLASS_MODELS[target, domain].artefact)
    rows = real_rows[model.source]
    strict = STRICT[domain]
    (report,) = judging.judge(rows, lineup(rows, target), splits=[strict], curve=False).reports
    number = next(k for k, split in BY_UNSEEN[domain].items() if split == strict)
    if model.categories[number].trees:
        assert report.beats_baseline, f"{report.judged.error} against {report.best_baseline}"


@pytest.fixture(scope="module")
def real_rows(shared_data: Path) -> dict[str, InterfaceRows]:
    from benchmarks.model_data import read_all

    return read_all(shared_data)


@pytest.fixture(scope="module")
def encoded(real_rows: dict[str, InterfaceRows]) -> dict[str, LayerInputs]:
    """The layers of the sources that teach stacks, encoded."""
    encoder = from_bytes(next(m.artefact for m in shipped() if m.target == registry.EMBEDDING))
    return {source: inputs_of(real_rows[source], encoder) for source in ("bidb", "hetml")}


@pytest.mark.parametrize(("target", "domain"), ALL, ids=NAMES)
def test_stored_coverage_on_unseen_materials_is_ninety_per_cent_of_rows_and_of_materials(
    target: str, domain: str
) -> None:
    layers_in_training = PAIR_MODELS[target, domain].card["data"]["materials"]
    for report in strict_reports(target, domain):
        figure = report.judged
        # Few pairs cannot say it more closely than chance allows: two standard errors. BiDB's pairs are its layers, and
        # HetML's rows come two a pair.
        pairs = {"bidb": layers_in_training, "hetml": figure.n / 2}.get(report.source, figure.n)
        room = max(0.02, 2 * np.sqrt(0.09 / pairs))
        assert figure.coverage is not None
        assert figure.coverage_by_material is not None
        # One interval stands half-way between two counts, which of BiDB's energies lie 4.5 % apart.
        counts = np.array([figure.coverage, figure.coverage_by_material])
        assert abs(counts.mean() - 0.9) <= room, (report.source, figure)
        assert np.abs(counts - 0.9).max() <= room + 0.01, (report.source, figure)


def test_stored_coverage_of_hetml_is_ninety_per_cent_over_its_targets() -> None:
    # Chance of one target is not that of all of them: together they say more closely whether intervals fall short.
    reports = [report for target, domain in ALL for report in strict_reports(target, domain)]
    figures = [report.judged for report in reports if report.source == "hetml"]
    assert len(figures) == 8
    for both in zip(*((one.coverage, one.coverage_by_material) for one in figures), strict=True):
        assert np.mean([share for share in both if share is not None]) == pytest.approx(0.9, abs=0.02)


@pytest.mark.parametrize("name", NAMES + CLASS_NAMES)
def test_the_card_and_the_plots_in_the_documentation_are_those_of_the_artefact(name: str, tmp_path: Path) -> None:
    folder, docs = ROOT / "ml" / "artefacts" / name, ROOT / "docs" / "models"
    content = orjson.loads((folder / CARD_FILE).read_bytes())
    content["reports"] = orjson.loads((folder / EVALUATION_FILE).read_bytes())
    drawn_from = shown([Report.from_json(report) for report in content["reports"]])
    assert drawn_from is not None
    drawn = plots.write(drawn_from, tmp_path)
    assert {file.stem for file in drawn} >= {"parity", "learning", "calibration", "by_kind"}
    for file in drawn:
        assert (docs / name / file.name).read_bytes() == file.read_bytes()
    page = (docs / f"{name}.md").read_text(encoding="utf-8")
    assert page == card_markdown(content, {file.stem: f"{name}/{file.name}" for file in drawn})


@cache
def encoded_layers() -> LayerInputs:
    artefact = next(model.artefact for model in shipped() if model.target == registry.EMBEDDING)
    embeddings = embed(from_bytes(artefact), [slab_graph(layer.slab) for layer in layers()])
    return layer_inputs(["0", "1", "2", "3"], compute(layers()), embeddings, encoder=sha256(artefact).hex())


def pairs_of(a: np.ndarray, top_a: np.ndarray, b: np.ndarray, top_b: np.ndarray) -> PairLayers:
    return PairLayers(encoded_layers(), 2 * a + top_a, 2 * b + top_b)


def test_models_of_layers_on_themselves_and_of_known_registries_are_stacks_of_the_shipped_encoder() -> None:
    for target, domain in ALL:
        model = model_of(target, domain)
        stacked = [state.graph is not None for state in model.states]
        wanted = heads.is_stacked(domain, target) and model.family != registry.BASELINE_FAMILY
        assert stacked == [wanted and bool(model.known.ensemble.members), wanted and domain == heads.HOMO]
        assert model.encoder in (None, encoded_layers().encoder)


def test_exchanging_the_layers_changes_no_prediction() -> None:
    pairs = PairFeatures(compute(layers()))
    a, b = (index.ravel() for index in np.meshgrid(np.arange(4), np.arange(4)))
    ta, tb = np.ones(16, bool), np.zeros(16, bool)
    one, two = pairs(a, b, top_a=ta, top_b=tb), pairs(b, a, top_a=tb, top_b=ta)
    there, back = pairs_of(a, ta, b, tb), pairs_of(b, tb, a, ta)
    for target, domain in ALL:
        model = model_of(target, domain)
        for known in (True, False):
            here = model.predict(one, registry_known=known, layers=there)
            turned = model.predict(two, registry_known=known, layers=back)
            # Where the physics needs a registry, a pair without one has no prediction.
            answered = np.isfinite(here.value) & (model.state(known).graph is not None)
            np.testing.assert_array_equal(here.stacked, answered)
            np.testing.assert_allclose(here.value, turned.value, rtol=1e-5)


def test_bilayer_mos2_comes_out_as_known() -> None:
    # Bilayer MoS2: about 20 meV/Å² (Björkman et al., Phys. Rev. Lett. 108, 235502 (2012)), 3.0 Å between sulfur planes.
    first = np.array([0])
    rows = PairFeatures(compute(layers()))(first, first)
    with_graph = pairs_of(first, np.array([True]), first, np.array([False]))
    for asked in (with_graph, None):
        predicted = {target: model_of(target, heads.HOMO).predict(rows, layers=asked) for target in TARGETS[heads.HOMO]}
        assert predicted["binding_energy"].value[0] == pytest.approx(22, abs=6)
        assert predicted["interlayer_distance"].value[0] == pytest.approx(3.1, abs=0.4)
        # Indirect through hybridisation: below the monolayer's 1.6 eV.
        assert 0.9 < predicted["gap"].value[0] < 1.6
        for value in predicted.values():
            assert value.lower[0] < value.value[0] < value.upper[0]


def test_mos2_on_wse2_comes_out_as_known() -> None:
    # MoS2/WSe2: about 3.1 to 3.2 Å between the planes, bound like any pair of dichalcogenides, a type II gap below
    # either layer's own.
    rows = PairFeatures(compute(layers()))(np.array([0]), np.array([1]))
    predicted = {target: model_of(target, heads.HETERO).predict(rows) for target in heads.SCREENED}
    assert predicted["binding_energy"].value[0] == pytest.approx(20, abs=7)
    assert predicted["interlayer_distance"].value[0] == pytest.approx(3.2, abs=0.4)
    assert 0.1 < predicted["gap"].value[0] < 1.25
