from pathlib import Path

import numpy as np
import pytest
import torch
from ml_helpers import graphene, mos2, mosse, wse2

from ml.descriptors.slab import Slab
from ml.models import encoder_fit, fitting, slab_encoder
from ml.models.slab_encoder import TASKS
from ml.models.slab_graph import CUTOFF, Batch, SlabGraph, slab_graph

GAP = [task.key for task in TASKS].index("gap")


def data() -> tuple[list[SlabGraph], np.ndarray]:
    graphs = [slab_graph(slab) for slab in (mos2(), wse2(), mosse(), graphene())] * 20
    targets = np.full((len(graphs), len(TASKS)), np.nan)
    targets[:, GAP] = np.tile([1.6, 1.25, 1.5, 0.0], 20)
    # The work function of the last layer is unknown, as most things are of most layers.
    targets[:, GAP + 4] = targets[:, GAP + 7] = np.tile([5.1, 4.3, 4.9, np.nan], 20)
    return graphs, targets


@pytest.fixture(scope="module")
def encoder() -> slab_encoder.SlabEncoder:
    return encoder_fit.fit(*data(), epochs=2)


def embeddings(encoder: slab_encoder.SlabEncoder, slab: Slab) -> slab_encoder.Embeddings:
    return slab_encoder.embed(encoder, [slab_graph(slab)])


def test_the_graph_is_periodic_in_the_plane_only() -> None:
    graph = slab_graph(graphene())
    # 3 + 6 + 3 + 6 + 6 neighbours lie within 4.5 Å of a carbon atom of graphene.
    assert np.bincount(graph.target).tolist() == [24, 24]
    low = slab_graph(graphene().moved(dz=-CUTOFF * 3))
    np.testing.assert_allclose(low.vectors, graph.vectors, atol=1e-5)


def test_turning_a_layer_over_exchanges_the_embeddings_of_its_faces(encoder) -> None:
    own, turned = embeddings(encoder, mosse()), embeddings(encoder, mosse().flipped())
    np.testing.assert_allclose(turned.top, own.bottom, atol=1e-5)
    np.testing.assert_allclose(turned.bottom, own.top, atol=1e-5)
    np.testing.assert_allclose(turned.whole, own.whole, atol=1e-5)
    # The sulfur face of a Janus layer is not its selenium face; the two of a mirror-symmetric layer are one.
    assert np.abs(own.top - own.bottom).max() > 1e-2
    symmetric = embeddings(encoder, mos2())
    np.testing.assert_allclose(symmetric.top, symmetric.bottom, atol=1e-5)


def test_the_atoms_know_up_from_down_only_by_a_sign(encoder) -> None:
    with torch.no_grad():
        even, odd = encoder.states(Batch.of([slab_graph(mosse())]))
        turned_even, turned_odd = encoder.states(Batch.of([slab_graph(mosse().flipped())]))
    np.testing.assert_allclose(turned_even, even, atol=1e-5)
    np.testing.assert_allclose(turned_odd, -odd, atol=1e-5)
    assert float(odd.abs().max()) > 1e-3


def test_no_choice_of_cell_or_direction_changes_an_embedding(encoder) -> None:
    slab = mosse()
    shift = np.append(slab.cell[0], 0.0)
    doubled = Slab(
        np.tile(slab.numbers, 2),
        np.concatenate([slab.positions, slab.positions + shift]),
        slab.cell * np.array([[2.0], [1.0]]),
    )
    turn = np.array([[np.cos(0.7), np.sin(0.7)], [-np.sin(0.7), np.cos(0.7)]])
    rotated = Slab(
        slab.numbers, np.column_stack([slab.positions[:, :2] @ turn, slab.positions[:, 2]]), slab.cell @ turn
    )
    own = embeddings(encoder, slab)
    for other in (doubled, rotated):
        for mine, theirs in zip(own, embeddings(encoder, other), strict=True):
            np.testing.assert_allclose(theirs, mine, atol=1e-4)
    assert np.abs(embeddings(encoder, mos2()).whole - own.whole).max() > 1e-3


def test_no_atom_appears_or_vanishes_abruptly_at_the_cutoff(encoder) -> None:
    def far(a: float) -> Slab:
        return Slab(np.array([6]), np.zeros((1, 3)), np.eye(2) * a)

    inside, outside = (embeddings(encoder, far(a)).whole for a in (CUTOFF - 1e-3, CUTOFF + 1e-3))
    np.testing.assert_allclose(inside, outside, atol=1e-3)


def test_training_twice_gives_the_same_weights(encoder) -> None:
    assert slab_encoder.to_bytes(encoder_fit.fit(*data(), epochs=2)) == slab_encoder.to_bytes(encoder)


def test_a_training_that_was_stopped_goes_on_as_if_it_had_not_been(encoder, tmp_path: Path) -> None:
    file = tmp_path / "encoder.safetensors"

    def stop(epoch: int, _loss: float) -> None:
        if epoch == 0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encoder_fit.fit(*data(), epochs=2, checkpoint=file, on_epoch=stop)
    seen: list[int] = []
    resumed = encoder_fit.fit(*data(), epochs=2, checkpoint=file, on_epoch=lambda epoch, _: seen.append(epoch))
    assert seen == [1]
    assert slab_encoder.to_bytes(resumed) == slab_encoder.to_bytes(encoder)


def test_a_checkpoint_of_other_data_or_a_damaged_one_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "encoder.safetensors"
    encoder_fit.fit(*data(), epochs=1, checkpoint=file, data_digest="one")
    with pytest.raises(fitting.CheckpointError, match="other data"):
        encoder_fit.fit(*data(), epochs=1, checkpoint=file, data_digest="two")
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(fitting.CheckpointError, match="cannot be read"):
        encoder_fit.fit(*data(), epochs=1, checkpoint=file, data_digest="one")


def test_a_device_that_is_not_there_is_refused() -> None:
    assert fitting.device_of("cpu").type == "cpu"
    with pytest.raises(fitting.DeviceError, match="no device"):
        fitting.device_of("tpu")
    if not torch.cuda.is_available():
        assert fitting.device_of("auto").type == "cpu"
        with pytest.raises(fitting.DeviceError, match="CUDA"):
            fitting.device_of("cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_mixed_precision_on_a_gpu_learns_what_a_cpu_learns(encoder) -> None:
    on_gpu = encoder_fit.fit(*data(), epochs=2, device="cuda")
    graphs = data()[0][:4]
    np.testing.assert_allclose(
        slab_encoder.predict(on_gpu, graphs)[:, GAP], slab_encoder.predict(encoder, graphs)[:, GAP], atol=0.2
    )


def test_weights_survive_safetensors_and_others_are_refused(encoder) -> None:
    again = slab_encoder.from_bytes(slab_encoder.to_bytes(encoder))
    np.testing.assert_array_equal(embeddings(again, mos2()).whole, embeddings(encoder, mos2()).whole)
    with pytest.raises(slab_encoder.EncoderFormatError):
        slab_encoder.from_bytes(b"not weights")
