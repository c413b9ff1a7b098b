"""A graph encoder of layers: what a layer is as a whole, and what either of its faces shows a partner.

A message-passing network in the plane (torch-geometric) whose atoms carry two states: one that does not change when the
layer is turned over, and one that changes sign. The first begins as in T. Xie and J. C. Grossman, Phys. Rev. Lett. 120,
145301 (2018), with gated messages along edges; the second sums the same messages along the normal, and the lengths of
such sums over directions feed the first, which is how angles enter (K. T. Schütt et al., Int. Conf. Mach. Learn. 139,
9377 (2021)). A face is the mean over atoms, weighted by their depth below it, of both states, the second with the sign
of that face. So turning the layer over exchanges the embeddings of its faces and leaves that of the whole as it is.

The heads predict properties of the isolated layer. They are there to shape the embedding and to show how much it
knows, and no served number comes from them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch_geometric.nn import MessagePassing

from ml.models.embeddings import DIMENSIONS, FACE_DIMENSIONS, Embeddings
from ml.models.fitting import one_thread
from ml.models.slab_graph import CUTOFF, Batch, SlabGraph
from schema.errors import StackscreenError
from schema.quantities import CBM, FORMATION_ENERGY, GAP, HULL_ENERGY, VBM, WORK_FUNCTION

N_RADIAL = 16
N_VECTORS = 16
"""Messages that are also summed along directions."""
LAYERS = 3
DEGREE = 10.0
"""Typical number of neighbours that count: sums over neighbours are divided by it."""
FACE_DECAY = 1.0
"""Å: an atom's weight in a face falls as e^(−depth / FACE_DECAY)."""


class EncoderFormatError(StackscreenError):
    """Weights do not fit the network."""


class Task(NamedTuple):
    """A property that the encoder is trained on.

    Attributes:
        key: of the quantity; polarizability and stiffness are means over the plane.
        logarithm: whether the network predicts its logarithm: for quantities that span decades.
    """

    key: str
    logarithm: bool = False


WHOLE_TASKS = (
    Task(FORMATION_ENERGY.key),
    Task(HULL_ENERGY.key),
    Task(GAP.key),
    Task("polarizability_xy", logarithm=True),
    Task("polarizability_z", logarithm=True),
    Task("stiffness", logarithm=True),
)
FACE_TASKS = (Task(WORK_FUNCTION.key), Task(VBM.key), Task(CBM.key))
TASKS = (*WHOLE_TASKS, *FACE_TASKS, *FACE_TASKS)
"""Columns of the targets: those of the whole layer, of its bottom face, of its top face."""


class Convolution(MessagePassing):
    """Gated messages from neighbours, summed as they are and along directions."""

    def __init__(self) -> None:
        super().__init__(aggr="sum", node_dim=0)
        self.of_source = nn.Linear(DIMENSIONS, 2 * DIMENSIONS, bias=False)
        self.of_target = nn.Linear(DIMENSIONS, 2 * DIMENSIONS)
        self.of_edge = nn.Linear(N_RADIAL + 1, 2 * DIMENSIONS, bias=False)
        self.norm = nn.LayerNorm(DIMENSIONS + 2 * N_VECTORS)
        self.update_even = nn.Sequential(
            nn.Linear(DIMENSIONS + 2 * N_VECTORS, DIMENSIONS), nn.SiLU(), nn.Linear(DIMENSIONS, DIMENSIONS)
        )

    def forward(
        self, even: Tensor, odd: Tensor, edges: Tensor, features: Tensor, directions: Tensor, fade: Tensor
    ) -> tuple[Tensor, Tensor]:
        """New states of the atoms, shapes (nodes, 64) and (nodes, N_VECTORS)."""
        summed = self.propagate(
            edges,
            source=self.of_source(even),
            target=self.of_target(even),
            odd=odd,
            edge=self.of_edge(features),
            directions=directions,
            fade=fade,
            size=(len(even), len(even)),
        )
        scalar, x, y, z = summed.split([DIMENSIONS, N_VECTORS, N_VECTORS, N_VECTORS], dim=1)
        odd = odd + z
        # The square root's slope at zero, where highly symmetric atoms sit, is kept finite.
        in_plane, normal = torch.sqrt(x**2 + y**2 + 1e-4), torch.sqrt(odd**2 + 1e-4)
        even = even + self.update_even(self.norm(torch.cat([scalar, in_plane, normal], dim=1)))
        return even, odd

    def message(
        self, source_j: Tensor, target_i: Tensor, odd_j: Tensor, edge: Tensor, directions: Tensor, fade: Tensor
    ) -> Tensor:
        """Message along each edge, shape (edges, 64 + 3 N_VECTORS)."""
        gate, content = (source_j + target_i + edge).chunk(2, dim=1)
        even = torch.sigmoid(gate) * nn.functional.silu(content) * (fade / DEGREE)
        carried = even[:, :N_VECTORS]
        x, y, z = directions.unbind(dim=1)
        return torch.cat(
            [even, carried * x[:, None], carried * y[:, None], carried * (z[:, None] + odd_j)],
            dim=1,
        )


class SlabEncoder(nn.Module):
    """Three convolutions, a mean over atoms for the layer and one weighted by depth for either face, linear heads."""

    centres: Tensor
    task_mean: Tensor
    task_scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.element = nn.Embedding(119, DIMENSIONS)
        self.convolutions = nn.ModuleList(Convolution() for _ in range(LAYERS))
        self.of_face = nn.Sequential(nn.Linear(DIMENSIONS + N_VECTORS + 1, DIMENSIONS), nn.SiLU())
        self.face_out = nn.Linear(DIMENSIONS + 1, FACE_DIMENSIONS)
        self.whole_out = nn.Linear(DIMENSIONS + 2 * FACE_DIMENSIONS + 1, DIMENSIONS)
        self.whole_heads = nn.Sequential(
            nn.SiLU(), nn.Linear(DIMENSIONS, DIMENSIONS), nn.SiLU(), nn.Linear(DIMENSIONS, len(WHOLE_TASKS))
        )
        self.face_heads = nn.Sequential(
            nn.SiLU(),
            nn.Linear(DIMENSIONS + FACE_DIMENSIONS, DIMENSIONS),
            nn.SiLU(),
            nn.Linear(DIMENSIONS, len(FACE_TASKS)),
        )
        self.register_buffer("centres", torch.linspace(0.8, CUTOFF, N_RADIAL))
        self.register_buffer("task_mean", torch.zeros(len(TASKS)))
        self.register_buffer("task_scale", torch.ones(len(TASKS)))

    def states(self, batch: Batch, begin: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Even and odd state of each atom, shapes (nodes, 64) and (nodes, N_VECTORS).

        Args:
            batch: the layers.
            begin: even states to begin with, shape (nodes, 64); those of the atoms' elements if None.
        """
        distance = batch.vectors.norm(dim=1, keepdim=True)
        fade = 0.5 * (torch.cos(torch.pi * distance / CUTOFF) + 1.0)
        directions = batch.vectors / distance
        radial = torch.exp(-(((distance - self.centres) / (self.centres[1] - self.centres[0])) ** 2))
        features = torch.cat([radial, directions[:, 2:] ** 2], dim=1)
        even = self.element(batch.numbers) if begin is None else begin
        odd = even.new_zeros(len(even), N_VECTORS)
        for convolution in self.convolutions:
            even, odd = convolution(even, odd, batch.edges, features, directions, fade)
        return even, odd

    def embed(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Embeddings of the layers, their bottom and their top faces: shapes (graphs, 64), (graphs, 32) twice."""
        return self.read_out(*self.states(batch), batch)

    def read_out(self, even: Tensor, odd: Tensor, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Embeddings from the states of the atoms, as `embed`."""
        n = len(batch.area)
        ones = even.new_ones(len(even), 1)
        atoms = _sum(ones, batch.graph, n)
        bottom, top = (
            self._face(even, sign * odd, batch.depths[:, side : side + 1], batch)
            for side, sign in ((0, -1.0), (1, 1.0))
        )
        mean = _sum(even, batch.graph, n) / atoms
        whole = self.whole_out(
            torch.cat([mean, bottom + top, (bottom - top).abs(), torch.log(atoms / batch.area[:, None])], dim=1)
        )
        return whole, bottom, top

    def _face(self, even: Tensor, outward: Tensor, depth: Tensor, batch: Batch) -> Tensor:
        n = len(batch.area)
        weight = torch.exp(-depth / FACE_DECAY)
        total = _sum(weight, batch.graph, n)
        shown = self.of_face(torch.cat([even, outward, depth / CUTOFF], dim=1))
        mean = _sum(weight * shown, batch.graph, n) / total
        return self.face_out(torch.cat([mean, torch.log(total / batch.area[:, None])], dim=1))

    def forward(self, batch: Batch) -> Tensor:
        """Standardised tasks of each graph, shape (graphs, len(TASKS))."""
        whole, bottom, top = self.embed(batch)
        faces = [self.face_heads(torch.cat([whole, face], dim=1)) for face in (bottom, top)]
        return torch.cat([self.whole_heads(whole), *faces], dim=1)


def _sum(values: Tensor, graph: Tensor, n: int) -> Tensor:
    return values.new_zeros(n, values.shape[1]).index_add_(0, graph, values)


@torch.no_grad()
def embed(model: SlabEncoder, graphs: Sequence[SlabGraph], *, batch: int = 256) -> Embeddings:
    """Embeddings of layers and of their faces."""
    with one_thread():
        parts = [model.embed(Batch.of(graphs[i : i + batch])) for i in range(0, len(graphs), batch)]
    if not parts:
        return Embeddings(*(np.empty((0, d), np.float32) for d in (DIMENSIONS, FACE_DIMENSIONS, FACE_DIMENSIONS)))
    return Embeddings(*(torch.cat(part).numpy() for part in zip(*parts, strict=True)))


@torch.no_grad()
def predict(model: SlabEncoder, graphs: Sequence[SlabGraph], *, batch: int = 256) -> NDArray[np.float64]:
    """Tasks of layers in their own units, shape (layers, len(TASKS))."""
    with one_thread():
        parts = [model(Batch.of(graphs[i : i + batch])).numpy() for i in range(0, len(graphs), batch)]
    out = np.concatenate(parts).astype(float) * model.task_scale.numpy() + model.task_mean.numpy()
    for column, task in enumerate(TASKS):
        if task.logarithm:
            out[:, column] = np.exp(out[:, column])
        elif task.key == GAP.key:
            out[:, column] = np.maximum(out[:, column], 0.0)
    return out


def to_bytes(model: SlabEncoder) -> bytes:
    """Weights as safetensors."""
    from safetensors.torch import save

    return save({name: tensor.cpu().contiguous() for name, tensor in model.state_dict().items()})


def digest(model: SlabEncoder) -> str:
    """SHA-256 of its weights, hexadecimal: that of the artefact which it was read from."""
    return hashlib.sha256(to_bytes(model)).hexdigest()


def from_bytes(data: bytes) -> SlabEncoder:
    """An encoder from safetensors, ready to embed.

    Raises:
        EncoderFormatError: the weights are not of this network.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    model = SlabEncoder()
    try:
        model.load_state_dict(load(data))
    except (SafetensorError, RuntimeError) as error:
        raise EncoderFormatError(
            "The encoder's weights are not those of the network that this version has.",
            hint="Register the shipped models again: stackscreen models register",
        ) from error
    return model.eval()
