"""The stack: half trees, half graph fusion; as a method, as an artefact, and taken apart."""

from dataclasses import dataclass, field, replace

import numpy as np
import orjson
import pytest
import torch
from made_up_rows import TARGET, made_up_rows
from ml_helpers import layers

from ml import features, heads, pair_features
from ml.artefact import ArtefactError, PairModel, State, sha256
from ml.catalogue import REGISTRY_UNKNOWN, TREES, hide_registry, lineup
from ml.domain import Domain
from ml.evaluation import evaluate, out_of_fold
from ml.explain import Layers, explain
from ml.graph_half import GraphHalf
from ml.method import Combined, Fitted, Method, Seeded, Spreading
from ml.models import slab_encoder
from ml.models.fusion import FusionMethod
from ml.models.layer_inputs import COMPOSITION, GRAPH, LayerInputs, PairLayers, layer_inputs
from ml.models.slab_graph import slab_graph
from ml.models.stack import FittedStack, Stack
from ml.models.tree_ensemble import Trees
from ml.models.tree_settings import Settings, same
from ml.pair_features import PairFeatures
from ml.rows import InterfaceRows
from ml.splits import Split, partitions
from ml.uncertainty import ByUnseen, Conformal
from schema.quantities import BINDING_ENERGY

NAMES = [f"M{k}" for k in range(4)]
EVERY = np.ones(16, bool)
PHYSICS = "dispersion_energy"
SMALL = same(2, Settings(rounds=20, min_rows=2))
OF_TREES, OF_STACK = (ByUnseen({2: Conformal((), (width,))}) for width in (2.0, 1.0))


@pytest.fixture(scope="module")
def encoder() -> slab_encoder.SlabEncoder:
    torch.manual_seed(1)
    return slab_encoder.SlabEncoder().eval()


@pytest.fixture(scope="module")
def inputs(encoder) -> LayerInputs:
    embeddings = slab_encoder.embed(encoder, [slab_graph(layer.slab) for layer in layers()])
    return layer_inputs(NAMES, features.compute(layers()), embeddings, encoder=slab_encoder.digest(encoder))


def four_layers(*, swapped: bool = False) -> InterfaceRows:
    """All pairs of MoS2, WSe2, MoSSe and graphene; swapped: the stacks turned over."""
    a, b = (index.ravel() for index in np.meshgrid(np.arange(4), np.arange(4)))
    top_a, top_b = np.ones(16, bool), np.zeros(16, bool)
    if swapped:
        a, b, top_a, top_b = b, a, top_b, top_a
    values = PairFeatures(features.compute(layers()))(a, b, top_a=top_a, top_b=top_b)
    names = [[NAMES[i] for i in side] for side in (a, b)]
    ids = [f"x:{k:02d}" for k in range(16)]
    return InterfaceRows(
        "heterobilayer", "x", ids, *names, ["A"] * 16, ["A"] * 16, values, pair_features.NAMES,
        {TARGET: 20 + np.sin(np.arange(16.0))}, faces=np.column_stack([top_a, top_b]),
    )  # fmt: skip


def stack(inputs: LayerInputs) -> Stack:
    fusion = FusionMethod(inputs, members=2, steps=20, physics=PHYSICS, features=heads.BOTH)
    return Stack(Trees(PHYSICS, heads.BOTH, 0.0, grid=SMALL, name=TREES), fusion)


@pytest.fixture(scope="module")
def fitted(inputs) -> FittedStack:
    return stack(inputs).fit(four_layers(), TARGET, EVERY)


@pytest.fixture(scope="module")
def model(fitted) -> PairModel:
    state = State(fitted.trees, OF_TREES, "x", GraphHalf.of(fitted.fusion, OF_STACK))
    other = replace(state, graph=replace(state.graph, intervals=OF_TREES))
    domain = Domain.fit(np.random.default_rng(1).normal(size=(60, len(features.NAMES))))
    return PairModel(TARGET, "meV/Å²", "homobilayer", state, other, domain, tuple(NAMES))


def pairs_of(inputs: LayerInputs, rows: InterfaceRows) -> PairLayers:
    return PairLayers(inputs, *inputs.rows_of(rows))


def without_graph(inputs: LayerInputs, material: int) -> LayerInputs:
    graph = inputs.modalities[GRAPH].copy()
    graph[2 * material : 2 * material + 2] = np.nan
    return replace(inputs, modalities={**inputs.modalities, GRAPH: graph})


def test_it_is_the_mean_of_its_halves_and_its_spread_that_of_all_their_members(fitted) -> None:
    rows = four_layers()
    assert isinstance(fitted, Spreading)
    halves = [half.predict(rows, EVERY) for half in (fitted.trees, fitted.fusion)]
    assert np.abs(halves[0] - halves[1]).max() > 1e-3
    np.testing.assert_allclose(fitted.predict(rows, EVERY), np.mean(halves, axis=0), rtol=1e-12)
    # Members of either half drawn with equal chance: the spread of a mixture.
    spreads = [half.spread(rows, EVERY) for half in (fitted.trees, fitted.fusion)]
    rng = np.random.default_rng(0)
    drawn = np.concatenate(
        [rng.normal(m[:, None], s[:, None], (16, 20_000)) for m, s in zip(halves, spreads, strict=True)], axis=1
    )
    np.testing.assert_allclose(fitted.spread(rows, EVERY), drawn.std(axis=1), rtol=0.02)


def test_exchanging_the_layers_changes_nothing(fitted) -> None:
    one, two = (fitted.predict(four_layers(swapped=swapped), EVERY) for swapped in (False, True))
    np.testing.assert_allclose(one, two, rtol=1e-5)


def test_without_the_graph_of_a_layer_the_trees_answer_alone(fitted, inputs) -> None:
    rows = four_layers()
    blind = FittedStack(fitted.trees, replace(fitted.fusion, layers=without_graph(inputs, 3)))
    touched = np.array(["M3" in pair for pair in zip(rows.bottom, rows.top, strict=True)])
    trees = fitted.trees
    np.testing.assert_array_equal(blind.predict(rows, EVERY)[touched], trees.predict(rows, EVERY)[touched])
    np.testing.assert_array_equal(blind.spread(rows, EVERY)[touched], trees.spread(rows, EVERY)[touched])
    np.testing.assert_allclose(blind.predict(rows, EVERY)[~touched], fitted.predict(rows, EVERY)[~touched], rtol=1e-6)


@dataclass(frozen=True)
class Counting:
    """A constant that counts how often it is fitted."""

    name: str
    value: float
    fits: list[int] = field(default_factory=list)

    def fit(self, rows: InterfaceRows, target: str, train: np.ndarray) -> Fitted:
        self.fits.append(int(train.sum()))
        return _Constant(self.value)


@dataclass(frozen=True)
class _Constant:
    value: float

    def predict(self, rows: InterfaceRows, which: np.ndarray) -> np.ndarray:
        return np.full(int(which.sum()), self.value)


@dataclass(frozen=True)
class Sum:
    parts: tuple[Method, ...]
    name: str = "sum"

    def fit(self, rows: InterfaceRows, target: str, train: np.ndarray) -> Fitted:
        return self.of([part.fit(rows, target, train) for part in self.parts])

    def of(self, fitted: list[_Constant]) -> Fitted:
        return _Constant(sum(one.value for one in fitted))


def test_what_competes_beside_its_combination_is_fitted_once_a_fold() -> None:
    rows = made_up_rows()
    one, two = Counting("one", 1.0), Counting("two", 2.0)
    both = Sum((one, two))
    assert isinstance(both, Combined)
    parts = partitions(rows, Split.PAIR)
    out, _ = out_of_fold(rows, TARGET, [one, both], parts)
    assert set(out["sum"]) == {3.0}
    assert len(one.fits) == len(two.fits) == len(parts)


def test_trees_fusion_and_stack_compete_and_the_stack_is_judged(inputs) -> None:
    rows = four_layers()
    registered = replace(rows, features=np.where(np.isnan(rows.features), np.float32(0.5), rows.features))
    line = lineup(registered, BINDING_ENERGY.key, inputs)
    trees, fusion, both = line.methods[-3:]
    assert [trees.name, both.name] == [TREES, "stack"]
    assert isinstance(both, Stack)
    assert (both.trees, both.fusion) == (trees, fusion)
    assert line.judged == "stack"
    homo = replace(registered, domain="homobilayer", top=registered.bottom)
    assert lineup(homo, BINDING_ENERGY.key, inputs).judged == f"stack, {REGISTRY_UNKNOWN}"
    # A moiré pair is asked about by the million, and trees answer; so they do where no layer was encoded.
    assert lineup(rows, BINDING_ENERGY.key, inputs).judged == lineup(registered, BINDING_ENERGY.key).judged == "model"


def test_another_seed_is_another_seed_for_both_halves(inputs) -> None:
    one = stack(inputs)
    assert isinstance(one, Seeded)
    other = one.with_seed(3)
    assert other.trees.seed != one.trees.seed
    assert other.fusion.seed != one.fusion.seed


def test_the_head_does_not_see_what_hiding_the_registry_hides(inputs) -> None:
    assert not set(heads.BOTH) & set(pair_features.STACKING + pair_features.MATCH)
    hidden = hide_registry(four_layers())
    assert np.isnan(hidden.columns(pair_features.REGISTRY + pair_features.STACKING)).all()


def test_a_model_that_is_read_again_predicts_the_same_in_the_same_bytes(model, inputs) -> None:
    data = model.to_bytes()
    again = PairModel.from_bytes(data, digest=sha256(data))
    assert again.to_bytes() == data
    assert again.family == "trees-and-graph"
    rows = four_layers()
    for known in (True, False):
        one, two = (
            m.predict(rows.features, registry_known=known, layers=pairs_of(inputs, rows)) for m in (model, again)
        )
        assert one.stacked.all()
        np.testing.assert_array_equal(one.value, two.value)
        np.testing.assert_array_equal(one.upper, two.upper)
    # The head answers in both states and is written once.
    assert data.count(model.known.graph.as_json()["head"].encode()) == 1


def test_a_served_stack_says_what_the_method_said(model, fitted, inputs) -> None:
    rows = four_layers()
    served = model.predict(rows.features, registry_known=True, layers=pairs_of(inputs, rows))
    np.testing.assert_allclose(served.value, fitted.predict(rows, EVERY), rtol=1e-5)
    np.testing.assert_allclose(served.upper - served.value, 1.0)


def test_without_layers_the_trees_answer_with_intervals_of_their_own(model, fitted, inputs) -> None:
    rows = four_layers()
    for layers_of_pairs in (None, pairs_of(without_graph(inputs, 0), rows)):
        alone = model.predict(rows.features, registry_known=True, layers=layers_of_pairs)
        assert not alone.stacked[0]
        assert alone.value[0] == pytest.approx(fitted.trees.predict(rows, EVERY)[0])
        assert alone.upper[0] - alone.value[0] == pytest.approx(2.0)


def test_a_model_of_trees_that_was_written_before_there_were_stacks_is_read(fitted, model) -> None:
    state = State(fitted.trees, OF_TREES, "x")
    content = orjson.loads(replace(model, known=state, unknown=state).to_bytes())
    content["format_version"] = 2
    del content["known"]["graph"], content["unknown"]["graph"]
    again = PairModel.from_bytes(orjson.dumps(content))
    assert again.known == state
    assert again.family == "lightgbm-residual"


def test_embeddings_of_another_encoder_are_refused(model, inputs) -> None:
    rows = four_layers()
    with pytest.raises(ArtefactError, match=r"learned from the embeddings of encoder [0-9a-f]{12}"):
        model.predict(rows.features, layers=pairs_of(replace(inputs, encoder="0" * 64), rows))


def test_a_damaged_head_is_refused(model, inputs) -> None:
    rows = four_layers()
    half = replace(model.unknown.graph, head=b"\0" * 100, _read=[])
    broken = replace(model, unknown=replace(model.unknown, graph=half))
    with pytest.raises(ArtefactError, match="not a fusion head"):
        broken.predict(rows.features, layers=pairs_of(inputs, rows))


def test_physics_and_both_halves_add_up_to_the_value(model, encoder, inputs) -> None:
    rows, every = four_layers(), layers()
    lower, upper = inputs.rows_of(rows)
    for k in (0, 1, 6):
        slabs = [every[int(name[0][1:])].slab for name in ([rows.bottom[k]], [rows.top[k]])]
        asked = Layers(encoder, PairLayers(inputs, lower[k : k + 1], upper[k : k + 1]), *slabs)
        found = explain(model, rows.features[k], layers=asked)
        graph = found.graph
        whole = found.physics + found.typical + sum(one.shap for one in found.contributions) + graph.added
        assert whole == pytest.approx(found.value, abs=1e-4)
        atoms = graph.without_elements + sum(one.added for one in graph.contributions)
        assert atoms == pytest.approx(graph.added, abs=1e-2)
        assert {one.layer for one in graph.contributions} == {"lower", "upper"}
        assert sum(one.atoms for one in graph.contributions) == len(slabs[0]) + len(slabs[1])
    alone = explain(model, rows.features[0])
    assert alone.graph is None
    assert "trees of this stack answer alone" in alone.note


def test_the_graph_half_carries_what_it_is_worth_into_the_stack() -> None:
    # The target is something of the layers that only the network's table shows, on physics that the trees have.
    rng = np.random.default_rng(0)
    table = rng.normal(size=(80, 6)).astype(np.float32)
    rows = made_up_rows(40, 800)
    number = np.array([[int(name[1:]) for name in side] for side in (rows.bottom, rows.top)])
    physics = rows.column("physics").astype(float)
    values = np.full((800, len(pair_features.NAMES)), np.nan, np.float32)
    values[:, pair_features.COLUMN[PHYSICS]] = physics
    target = physics + table[2 * number[0], 0] + table[2 * number[1], 0]
    rows = replace(rows, features=values, names=pair_features.NAMES, targets={TARGET: target})
    inputs = LayerInputs({f"M{k}": 2 * k for k in range(40)}, {COMPOSITION: table})
    fusion = FusionMethod(inputs, members=2, steps=400, physics=PHYSICS, features=(PHYSICS,))
    trees = Trees(PHYSICS, (PHYSICS,), grid=same(1, Settings(rounds=20)), name=TREES)
    found = evaluate(rows, TARGET, [trees, fusion, Stack(trees, fusion)], Split.PAIR)
    error = {name: metrics.error for name, metrics in found.metrics.items()}
    assert error[fusion.name] < error["stack"] < error[TREES]
