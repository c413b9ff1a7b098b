import numpy as np
import pytest
from ml_helpers import graphene, mos2, mosse, wse2

from ml.descriptors.slab import Slab
from ml.models import slab_encoder
from ml.models.slab_graph import CUTOFF, slab_graph


@pytest.fixture(scope="module")
def encoder() -> slab_encoder.SlabEncoder:
    graphs = [slab_graph(slab) for slab in (mos2(), wse2(), mosse(), graphene())] * 20
    targets = np.tile([[-0.9, 1.6, 5.1], [-0.6, 1.25, 4.3], [-0.7, 1.5, 4.9], [np.nan, 0.0, 4.5]], (20, 1))
    return slab_encoder.fit(graphs, targets, epochs=2)


def embedding(encoder: slab_encoder.SlabEncoder, slab: Slab) -> np.ndarray:
    return slab_encoder.embed(encoder, [slab_graph(slab)])[0]


def test_the_graph_is_periodic_in_the_plane_only() -> None:
    graph = slab_graph(graphene())
    # 3 + 6 + 3 + 6 + 6 neighbours lie within 4.5 Å of a carbon atom of graphene.
    assert np.bincount(graph.target).tolist() == [24, 24]
    low = slab_graph(graphene().moved(dz=-CUTOFF * 3))
    np.testing.assert_allclose(low.features, graph.features, atol=1e-5)


def test_a_layer_turned_over_or_doubled_has_the_same_embedding(encoder) -> None:
    slab = mosse()
    shift = np.append(slab.cell[0], 0.0)
    doubled = Slab(
        np.tile(slab.numbers, 2),
        np.concatenate([slab.positions, slab.positions + shift]),
        slab.cell * np.array([[2.0], [1.0]]),
    )
    own = embedding(encoder, slab)
    np.testing.assert_allclose(embedding(encoder, slab.flipped()), own, atol=1e-4)
    np.testing.assert_allclose(embedding(encoder, doubled), own, atol=1e-4)
    assert np.abs(embedding(encoder, mos2()) - own).max() > 1e-3


def test_training_twice_gives_the_same_weights(encoder) -> None:
    graphs = [slab_graph(slab) for slab in (mos2(), wse2(), mosse(), graphene())] * 20
    targets = np.tile([[-0.9, 1.6, 5.1], [-0.6, 1.25, 4.3], [-0.7, 1.5, 4.9], [np.nan, 0.0, 4.5]], (20, 1))
    assert slab_encoder.to_bytes(slab_encoder.fit(graphs, targets, epochs=2)) == slab_encoder.to_bytes(encoder)


def test_weights_survive_safetensors(encoder) -> None:
    again = slab_encoder.from_bytes(slab_encoder.to_bytes(encoder))
    np.testing.assert_array_equal(embedding(again, mos2()), embedding(encoder, mos2()))
