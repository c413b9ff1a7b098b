"""A graph encoder of layers: a crystal graph network in the plane, trained on what is known of monolayers.

Convolutions after T. Xie and J. C. Grossman, Phys. Rev. Lett. 120, 145301 (2018), through torch-geometric's `CGConv`.
The mean over the atoms' last states is the layer's embedding: 64 numbers whose distances say how alike two layers are,
independent of the choice of cell and of which side is up. Its heads predict formation energy, gap and work function;
they are there to shape the embedding and to show how much it knows, and no served number comes from them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch_geometric.nn import CGConv, global_mean_pool

from ml.models.slab_graph import N_RADIAL, SlabGraph
from schema.quantities import FORMATION_ENERGY, GAP, WORK_FUNCTION

DIMENSIONS = 64
TASKS = (FORMATION_ENERGY.key, GAP.key, WORK_FUNCTION.key)
SEED = 20240
EPOCHS = 14
BATCH = 64
LEARNING_RATE = 2e-3


class SlabEncoder(nn.Module):
    """Three crystal graph convolutions, a mean over atoms, and one linear head a task."""

    def __init__(self, tasks: int = len(TASKS)) -> None:
        super().__init__()
        self.element = nn.Embedding(119, DIMENSIONS)
        self.convolutions = nn.ModuleList(
            CGConv(DIMENSIONS, dim=N_RADIAL + 1, aggr="mean", batch_norm=False) for _ in range(3)
        )
        self.readout = nn.Linear(DIMENSIONS, DIMENSIONS)
        self.heads = nn.Sequential(
            nn.SiLU(), nn.Linear(DIMENSIONS, DIMENSIONS), nn.SiLU(), nn.Linear(DIMENSIONS, tasks)
        )
        self.register_buffer("task_mean", torch.zeros(tasks))
        self.register_buffer("task_scale", torch.ones(tasks))

    def embed(self, batch: Batch) -> Tensor:
        """Embedding of each graph, shape (graphs, 64), dimensionless."""
        state = self.element(batch.numbers)
        for convolution in self.convolutions:
            state = convolution(state, batch.edges, batch.features)
        return self.readout(global_mean_pool(state, batch.graph, batch.n_graphs))

    def forward(self, batch: Batch) -> Tensor:
        """Standardised tasks of each graph, shape (graphs, tasks)."""
        return self.heads(self.embed(batch))


@dataclass(frozen=True)
class Batch:
    """Several graphs as one: tensors with node indices shifted graph by graph."""

    numbers: Tensor
    edges: Tensor
    features: Tensor
    graph: Tensor
    n_graphs: int

    @classmethod
    def of(cls, graphs: Sequence[SlabGraph]) -> Batch:
        """Join graphs."""
        sizes = np.array([len(g.numbers) for g in graphs])
        shift = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        edges = np.stack(
            [
                np.concatenate([g.source + s for g, s in zip(graphs, shift, strict=True)]),
                np.concatenate([g.target + s for g, s in zip(graphs, shift, strict=True)]),
            ]
        )
        return cls(
            torch.from_numpy(np.concatenate([g.numbers for g in graphs])),
            torch.from_numpy(edges),
            torch.from_numpy(np.concatenate([g.features for g in graphs])),
            torch.from_numpy(np.repeat(np.arange(len(graphs)), sizes)),
            len(graphs),
        )


def fit(
    graphs: Sequence[SlabGraph],
    targets: NDArray[np.floating],
    *,
    epochs: int = EPOCHS,
    on_epoch: Callable[[int, float], None] | None = None,
) -> SlabEncoder:
    """Train an encoder from scratch, the same way every time (fixed seed, one thread).

    Args:
        graphs: one a layer.
        targets: shape (layers, len(TASKS)), units of `schema.quantities`; NaN where unknown.
        epochs: passes over the layers; the learning rate follows one cosine cycle over them.
        on_epoch: called with the epoch and its mean loss.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        torch.manual_seed(SEED)
        rng = np.random.default_rng(SEED)
        model = SlabEncoder(targets.shape[1])
        model.task_mean = torch.tensor(np.nanmean(targets, axis=0), dtype=torch.float32)
        model.task_scale = torch.tensor(np.nanstd(targets, axis=0), dtype=torch.float32)
        wanted = (torch.tensor(targets, dtype=torch.float32) - model.task_mean) / model.task_scale
        batches = _batches(len(graphs), rng, epochs)
        optimiser = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=1e-4)
        per_epoch = -(-len(graphs) // BATCH)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=per_epoch * epochs)
        model.train()
        for epoch in range(epochs):
            total = 0.0
            for chosen in batches[epoch]:
                truth = wanted[torch.from_numpy(chosen)]
                known = torch.isfinite(truth)
                error = torch.abs(model(Batch.of([graphs[i] for i in chosen])) - torch.nan_to_num(truth))
                loss = (error * known).sum() / known.sum().clamp(min=1)
                optimiser.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimiser.step()
                schedule.step()
                total += float(loss.detach()) * len(chosen)
            if on_epoch is not None:
                on_epoch(epoch, total / len(graphs))
        return model.eval()
    finally:
        torch.set_num_threads(threads)


def _batches(n: int, rng: np.random.Generator, epochs: int) -> list[list[NDArray[np.int64]]]:
    return [np.array_split(rng.permutation(n), -(-n // BATCH)) for _ in range(epochs)]


@torch.no_grad()
def embed(model: SlabEncoder, graphs: Sequence[SlabGraph], *, batch: int = 256) -> NDArray[np.float32]:
    """Embeddings of layers, shape (layers, 64)."""
    parts = [model.embed(Batch.of(graphs[i : i + batch])).numpy() for i in range(0, len(graphs), batch)]
    return np.concatenate(parts) if parts else np.empty((0, DIMENSIONS), np.float32)


@torch.no_grad()
def predict(model: SlabEncoder, graphs: Sequence[SlabGraph], *, batch: int = 256) -> NDArray[np.float64]:
    """Tasks of layers in their own units, shape (layers, len(TASKS))."""
    parts = [
        (model(Batch.of(graphs[i : i + batch])) * model.task_scale + model.task_mean).numpy()
        for i in range(0, len(graphs), batch)
    ]
    return np.concatenate(parts).astype(float)


def to_bytes(model: SlabEncoder) -> bytes:
    """Weights as safetensors."""
    from safetensors.torch import save

    return save({name: tensor.contiguous() for name, tensor in model.state_dict().items()})


def from_bytes(data: bytes) -> SlabEncoder:
    """An encoder from safetensors, ready to embed."""
    from safetensors.torch import load

    state = load(data)
    model = SlabEncoder(len(state["task_mean"]))
    model.load_state_dict(state)
    return model.eval()
