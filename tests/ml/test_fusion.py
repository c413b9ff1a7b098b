import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from made_up_rows import TARGET, made_up_rows
from ml_helpers import layers
from sqlalchemy import Engine

from etl.api import import_file
from etl.dedupe.api import dedupe
from ml import features, pair_features
from ml.artefact import ArtefactError
from ml.descriptors.states import states_descriptor
from ml.metrics import Metrics
from ml.models import fusion_artefact, slab_encoder
from ml.models.attribution import NoGraphError, atom_contributions
from ml.models.fusion import FittedFusion, FusionMethod, Scaling
from ml.models.fusion_net import Fusion, FusionNet
from ml.models.layer_inputs import COMPOSITION, GRAPH, PROPERTIES, STATES, LayerInputs, layer_inputs
from ml.models.slab_graph import slab_graph
from ml.pair_features import PairFeatures
from ml.rows import InterfaceRows
from ml.splits import Split, partitions
from ml.states_store import load_states, states_table

NAMES = [f"M{k}" for k in range(4)]
FUSIONS = list(Fusion)


@pytest.fixture(scope="module")
def encoder() -> slab_encoder.SlabEncoder:
    torch.manual_seed(1)
    return slab_encoder.SlabEncoder().eval()


@pytest.fixture(scope="module")
def inputs(encoder) -> LayerInputs:
    embeddings = slab_encoder.embed(encoder, [slab_graph(layer.slab) for layer in layers()])
    return layer_inputs(NAMES, features.compute(layers()), embeddings)


def four_layers(target: str = "binding_energy", *, swapped: bool = False) -> InterfaceRows:
    """All pairs of MoS2, WSe2, MoSSe and graphene; swapped: the stacks turned over."""
    a, b = (index.ravel() for index in np.meshgrid(np.arange(4), np.arange(4)))
    top_a, top_b = np.ones(16, bool), np.zeros(16, bool)
    if swapped:
        a, b, top_a, top_b = b, a, top_b, top_a
    values = PairFeatures(features.compute(layers()))(a, b, top_a=top_a, top_b=top_b)
    names = [[NAMES[i] for i in side] for side in (a, b)]
    truth = np.sin(np.arange(16.0))
    ids = [f"x:{k:02d}" for k in range(16)]
    return InterfaceRows(
        "heterobilayer", "x", ids, *names, ["A"] * 16, ["A"] * 16, values, pair_features.NAMES, {target: truth},
        faces=np.column_stack([top_a, top_b]),
    )  # fmt: skip


def fitted(inputs: LayerInputs, fusion: Fusion, target: str = "binding_energy", **changes) -> FittedFusion:
    method = FusionMethod(inputs, fusion, members=2, steps=20, **changes)
    return method.fit(four_layers(target), target, np.ones(16, bool))


@pytest.mark.parametrize("fusion", FUSIONS)
def test_exchanging_the_layers_changes_nothing_in_an_energy_and_the_sign_of_an_offset(inputs, fusion) -> None:
    everything = np.ones(16, bool)
    for target, sign, odd in (("binding_energy", 1, frozenset()), ("offset", -1, frozenset({"offset"}))):
        head = fitted(inputs, fusion, target, odd=odd)
        one = head.predict(four_layers(target), everything)
        two = head.predict(four_layers(target, swapped=True), everything)
        np.testing.assert_allclose(two, sign * one, rtol=1e-5, atol=1e-5)
        assert np.ptp(one) > 1e-3
    # A layer on itself, the same face up and down: no offset.
    assert abs(one[0]) < 1e-6


@pytest.mark.parametrize("fusion", FUSIONS)
def test_what_is_not_there_has_no_say(fusion) -> None:
    torch.manual_seed(0)
    net = FusionNet({"graph": 5, "states": 3}, 4, fusion, members=2).eval()
    torch.nn.init.normal_(net.out.weight)
    layers = {"graph": torch.randn(6, 5), "states": torch.randn(6, 3)}
    i, j = torch.arange(6), torch.arange(6).flip(0)
    pair, there = torch.randn(6, 4), torch.tensor([[1.0, 0.0]] * 6)
    with torch.no_grad():
        one = net(layers, i, j, pair, there)
        two = net({**layers, "states": torch.randn(6, 3)}, i, j, pair, there)
        present = net({**layers, "states": torch.randn(6, 3)}, i, j, pair, torch.ones(6, 2))
    np.testing.assert_array_equal(one, two)
    assert not np.allclose(one, present)


def test_a_density_of_states_that_few_layers_have_is_not_learned_from() -> None:
    rows = made_up_rows(60, 400)
    table = np.random.default_rng(0).normal(size=(120, 4)).astype(np.float32)
    names = {f"M{k}": 2 * k for k in range(60)}
    few = np.full((120, 3), np.nan, np.float32)
    few[:2] = 1.0
    inputs = LayerInputs(names, {COMPOSITION: table, STATES: few})
    known = FusionMethod(inputs, members=1, steps=5).fit(rows, TARGET, np.ones(400, bool))
    assert known.head.modalities == (COMPOSITION,)
    half = np.where((np.arange(120) < 80)[:, None], table[:, :3], np.nan)
    some = FusionMethod(dataclasses.replace(inputs, modalities={COMPOSITION: table, STATES: half}), members=1, steps=5)
    head = some.fit(rows, TARGET, np.ones(400, bool))
    assert head.head.modalities == (COMPOSITION, STATES)
    assert np.isfinite(head.predict(rows, np.ones(400, bool))).all()


@pytest.mark.parametrize("fusion", FUSIONS)
def test_a_head_learns_what_the_physics_misses_in_layers_it_has_not_seen(fusion) -> None:
    rows = made_up_rows(200, 1500, noise=0.1)
    hidden = np.full((400, 4), np.nan, np.float32)
    for side in (rows.bottom, rows.top):
        for row, name in enumerate(side):
            hidden[2 * int(name[1:]) : 2 * int(name[1:]) + 2] = rows.features[row, 1:5]
    inputs = LayerInputs({f"M{k}": 2 * k for k in range(200)}, {COMPOSITION: np.nan_to_num(hidden)})
    part = partitions(rows, Split.BOTH_UNSEEN)[0]
    truth = rows.targets[TARGET][part.test]
    head = FusionMethod(inputs, fusion, members=2).fit(rows, TARGET, part.train)
    mean = np.full(len(truth), rows.targets[TARGET][part.train].mean())
    assert Metrics.of(truth, head.predict(rows, part.test)).mae < 0.5 * Metrics.of(truth, mean).mae


def test_states_near_the_fermi_level_are_shares_that_no_cell_changes() -> None:
    energies = np.linspace(-10, 12, 441)
    density = np.exp(-((energies - 1.25) ** 2) / 0.02)
    one = states_descriptor(energies, density, 1.0)
    assert one.sum() == pytest.approx(1.0, abs=1e-6)
    assert int(np.argmax(one)) == 10
    np.testing.assert_allclose(states_descriptor(energies, [2 * density, 2 * density], 1.0), one, atol=1e-6)
    assert np.isnan(states_descriptor(energies[200:], density[200:], 1.0)).all()
    assert states_table(["a", "b"], {}) is None
    table = states_table(["a", "b"], {"b": one})
    assert table is not None
    assert np.isnan(table[0]).all()


@pytest.mark.services
def test_densities_of_states_come_from_the_database(engine: Engine, shared_data: Path) -> None:
    file = shared_data / "c2db" / "asr_rows_BN.db"
    if not file.is_file():
        pytest.skip("the published row of BN is not here")
    import_file(engine, "c2db", file)
    dedupe(engine)
    with engine.connect() as connection:
        (shares,) = load_states(connection).values()
    # A wide-gap insulator: nothing about the Fermi level in the middle of the gap, states on either side.
    assert shares[9:11].max() < 1e-3
    assert min(shares[:8].sum(), shares[12:].sum()) > 0.1


def test_the_same_seed_gives_the_same_numbers_and_another_one_others(inputs) -> None:
    method = FusionMethod(inputs, members=2, steps=5)
    everything = np.ones(16, bool)
    one, two, other = (
        m.fit(four_layers(), "binding_energy", everything).predict(four_layers(), everything)
        for m in (method, method, method.with_seed(1))
    )
    np.testing.assert_array_equal(one, two)
    assert np.abs(one - other).max() > 1e-6


def test_a_head_survives_its_artefact_and_others_are_refused(inputs) -> None:
    head, everything = fitted(inputs, Fusion.LOW_RANK), np.ones(16, bool)
    data = fusion_artefact.to_bytes(head)
    again = fusion_artefact.from_bytes(data, inputs)
    np.testing.assert_array_equal(again.predict(four_layers(), everything), head.predict(four_layers(), everything))
    assert fusion_artefact.to_bytes(again) == data
    for bad in (b"nothing", data[:200], data.replace(b"stackscreen.fusion-head", b"stackscreen.other-thing")):
        with pytest.raises(ArtefactError):
            fusion_artefact.from_bytes(bad, inputs)


def test_a_pair_with_an_unknown_layer_has_no_value(inputs) -> None:
    head = fitted(inputs, Fusion.LOW_RANK)
    rows = four_layers()
    stranger = dataclasses.replace(rows, top=["nobody", *rows.top[1:]])
    values = head.predict(stranger, np.ones(16, bool))
    assert np.isnan(values[0])
    assert np.isfinite(values[1:]).all()


def test_properties_are_those_of_the_face_that_is_shown(inputs) -> None:
    janus, mirror = inputs.row["M2"], inputs.row["M0"]
    for modality in (GRAPH, PROPERTIES):
        values = np.nan_to_num(inputs.modalities[modality])
        assert np.abs(values[janus] - values[janus + 1]).max() > 1e-3
        np.testing.assert_allclose(values[mirror], values[mirror + 1], atol=1e-5)
    # MoSSe turned over is a layer whose faces have changed place, the step of the vacuum level included.
    layer = layers()[2]
    swap = {None: None, "bottom": "top", "top": "bottom"}
    turned = {
        (key, None if face is None else type(face)(swap[face.value])): (-value if key == "vacuum_step" else value)
        for (key, face), value in layer.properties.items()
    }
    flipped = layer_inputs(["M2"], features.compute([features.Layer(layer.slab.flipped(), turned)]))
    np.testing.assert_allclose(flipped.modalities[PROPERTIES][0], inputs.modalities[PROPERTIES][janus + 1], atol=1e-3)


def test_scaling_clips_outliers_drops_constants_and_marks_what_is_unknown() -> None:
    values = np.array([[1.0, 5.0, np.nan], [2.0, 5.0, 1.0], [3.0, 5.0, 2.0]])
    scaling = Scaling.fit(values)
    out = scaling(np.array([[1e9, 7.0, np.nan]]))
    assert out.tolist() == [[4.0, 0.0, 1.0]]


def test_atoms_share_out_a_prediction_between_them(encoder, inputs) -> None:
    head = fitted(inputs, Fusion.LOW_RANK)
    rows, pair = four_layers(), 6  # MoSSe below, WSe2 above
    assert (rows.bottom[pair], rows.top[pair]) == ("M2", "M1")
    slabs = [layer.slab for layer in layers()]
    a, b = (int(side[pair]) for side in inputs.rows_of(rows))
    estimate = float(rows.column("dispersion_energy")[pair])
    found = atom_contributions(encoder, head, (slabs[2], a), (slabs[1], b), rows.features[pair], estimate)
    assert found.lower.shape == found.upper.shape == (3,)
    which = np.arange(16) == pair
    assert found.end == pytest.approx(head.predict(rows, which)[0], abs=1e-4)
    total = found.lower.sum() + found.upper.sum()
    assert total == pytest.approx(found.end - found.begin, abs=0.02 * max(1.0, abs(total)))
    assert np.abs(found.lower).max() > 1e-4


def test_a_contribution_at_one_point_is_a_slope(encoder, inputs) -> None:
    # With one step the slope is taken half way; a small change of all inputs there must follow it.
    head = fitted(inputs, Fusion.GATED)
    rows, slabs = four_layers(), [layer.slab for layer in layers()]
    args = (head, (slabs[2], inputs.row["M2"] + 1), (slabs[1], inputs.row["M1"]), rows.features[6], 0.0)
    one = atom_contributions(encoder, *args, steps=1)
    element = encoder.element.weight.detach().clone()
    values = []
    for factor in (0.5 - 1e-3, 0.5 + 1e-3):
        encoder.element.weight.data = element * factor
        values.append(atom_contributions(encoder, *args, steps=1).end)
    encoder.element.weight.data = element
    slope = (values[1] - values[0]) / 2e-3
    assert one.lower.sum() + one.upper.sum() == pytest.approx(slope, rel=0.02, abs=1e-3)


def test_a_head_without_the_graph_has_no_atoms_to_name(encoder, inputs) -> None:
    head = fitted(inputs, Fusion.GATED, modalities=(COMPOSITION,))
    slab = layers()[0].slab
    with pytest.raises(NoGraphError):
        atom_contributions(encoder, head, (slab, 0), (slab, 1), four_layers().features[0], 0.0)
