"""Which atoms drive a prediction: gradients of a fusion head, through the graph encoder, times its inputs.

An atom enters the encoder as a vector that stands for its element. Integrated gradients (M. Sundararajan, A. Taly and
Q. Yan, Int. Conf. Mach. Learn. 70, 3319 (2017)) follow those vectors from zero, an atom of no element, to what they
are: gradient × input, averaged along the way. So the contributions of all atoms of both layers sum to the difference
between the prediction and that for two layers of the same shape whose atoms are of no element. What composition and
properties say beside the graph is held fixed and is nobody's.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from ml.descriptors.slab import Slab
from ml.models.fitting import one_thread
from ml.models.fusion import FittedFusion
from ml.models.layer_inputs import GRAPH
from ml.models.slab_encoder import SlabEncoder
from ml.models.slab_graph import Batch, slab_graph
from schema.errors import StackscreenError

STEPS = 24


class NoGraphError(StackscreenError):
    """The head does not look at the graph."""


class Contributions(NamedTuple):
    """What each atom adds to a prediction, in the target's unit: shapes (atoms of the layer,).

    Attributes:
        lower, upper: by layer, in the order of its atoms.
        begin: the prediction for layers whose atoms are of no element.
        end: the prediction; begin + all contributions, up to what `STEPS` leave.
    """

    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    begin: float
    end: float


def atom_contributions(
    encoder: SlabEncoder,
    fitted: FittedFusion,
    lower: tuple[Slab, int],
    upper: tuple[Slab, int],
    features: ArrayLike,
    estimate: float,
    *,
    steps: int = STEPS,
) -> Contributions:
    """Contributions of the atoms of two layers to one prediction.

    Args:
        encoder: the one behind the head's embeddings.
        fitted: the head.
        lower, upper: each layer with its row in the head's layer inputs, which says what face it shows.
        features: of the pair, shape (len(fitted.head.pair_names),).
        estimate: the physics estimate under the baseline, in the target's unit.
        steps: points along the way, at the nodes of Gauss and Legendre.

    Raises:
        NoGraphError: the head was fitted without the graph.
    """
    head = fitted.head
    if GRAPH not in head.modalities:
        raise NoGraphError(
            f"This head of {head.target} does not look at the graph, so that no atom drives its prediction.",
            hint="Ask for the explanation of its features instead.",
        )
    batches = [Batch.of([slab_graph(slab)]) for slab, _ in (lower, upper)]
    rows = [row for _, row in (lower, upper)]
    tables, known = head.tables(fitted.layers)
    there = known[rows[0] : rows[0] + 1] * known[rows[1] : rows[1] + 1]
    pair = torch.from_numpy(head.pair_scaling(np.asarray(features, np.float32)[None]))
    ends = [encoder.element(batch.numbers).detach() for batch in batches]

    def predict(states: list[Tensor]) -> Tensor:
        sides = []
        for batch, row, begin in zip(batches, rows, states, strict=True):
            whole, *faces = encoder.read_out(*encoder.states(batch, begin), batch)
            graph = head.layer_scalings[GRAPH].of_tensor(torch.cat([whole, faces[row % 2]], dim=1))
            sides.append({name: graph if name == GRAPH else tables[name][row : row + 1] for name in head.modalities})
        layers = {name: torch.cat([side[name] for side in sides]) for name in head.modalities}
        return fitted.network(layers, torch.tensor([0]), torch.tensor([1]), pair, there).mean() * head.scale

    with one_thread():
        nodes, weights = np.polynomial.legendre.leggauss(steps)
        sums = [torch.zeros(len(end)) for end in ends]
        for place, weight in zip((0.5 * (nodes + 1.0)).tolist(), (0.5 * weights).tolist(), strict=True):
            states = [(place * end).requires_grad_() for end in ends]
            slopes = torch.autograd.grad(predict(states), states)
            sums = [
                total + weight * (slope * end).sum(dim=1) for total, slope, end in zip(sums, slopes, ends, strict=True)
            ]
        with torch.no_grad():
            line = head.baseline.intercept + head.baseline.slope * estimate
            begin, end = (line + float(predict([scale * e for e in ends])) for scale in (0.0, 1.0))
    return Contributions(sums[0].double().numpy(), sums[1].double().numpy(), begin, end)
