"""Networks that put several kinds of knowledge of two layers into one number, in three ways of fusing them.

What is known comes as modalities: of each layer with the face that it turns to the other (graph embedding, composition,
properties, density of states), and of the pair (stacking, match, physics). Each becomes a hidden vector; then

- `concatenation`: one linear map of all of them;
- `low-rank`: sum over ranks of the elementwise product of one factor a modality, a tensor of all interactions kept in
  factors (Z. Liu et al., ACL 2018, arXiv:1806.00064);
- `gated`: a mean of them weighted by attention, a softmax over the modalities that are there.

A modality that is not known of a pair is left out of its fusion: it adds nothing, is the factor one, has no weight.

Symmetry holds by construction, whatever the weights: the network is evaluated with the layers in either order, and the
two values are averaged, or their difference halved for what changes sign with the order.

All members of an ensemble are one network with a leading axis, so that a handful costs little more than one.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeAlias

import torch
from torch import Tensor, nn

Projected: TypeAlias = dict[str, tuple[Tensor, Tensor]]
"""By modality, what each layer contributes as the lower and as the upper one."""

HIDDEN = 32
RANK = 4
DROPOUT = 0.1


class Fusion(StrEnum):
    """How modalities are put together."""

    CONCATENATION = "concatenation"
    LOW_RANK = "low-rank"
    GATED = "gated"


class MemberLinear(nn.Module):
    """A linear map of its own for each member of the ensemble.

    Args:
        members: how many.
        inputs, outputs: widths.
    """

    def __init__(self, members: int, inputs: int, outputs: int, *, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(members, inputs, outputs) / max(inputs, 1) ** 0.5)
        self.bias = nn.Parameter(torch.zeros(members, 1, outputs)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """Shape (rows, inputs) or (members, rows, inputs) to (members, rows, outputs)."""
        if self.bias is None:
            return x @ self.weight
        return torch.baddbmm(self.bias, x.expand(len(self.weight), *x.shape[-2:]), self.weight)


class _Concatenation(nn.Module):
    def __init__(self, members: int, modalities: int, hidden: int) -> None:
        super().__init__()
        self.out = MemberLinear(members, modalities * hidden, hidden)

    def forward(self, states: list[Tensor], there: Tensor) -> Tensor:
        kept = [state * there[:, m : m + 1] for m, state in enumerate(states)]
        return self.out(torch.cat(kept, dim=2))


class _LowRank(nn.Module):
    def __init__(self, members: int, modalities: int, hidden: int) -> None:
        super().__init__()
        # Factors begin near one, so that the product begins as a sum of what each modality says.
        factors = [MemberLinear(members, hidden, RANK * hidden) for _ in range(modalities)]
        for factor in factors:
            nn.init.normal_(factor.weight, std=0.3 / hidden**0.5)
            if factor.bias is not None:
                nn.init.ones_(factor.bias)
        self.factors = nn.ModuleList(factors)
        self.weights = nn.Parameter(torch.full((members, 1, RANK, 1), 1.0 / RANK))

    def forward(self, states: list[Tensor], there: Tensor) -> Tensor:
        # Mostly every modality is there: asking once is a third sooner than choosing element by element.
        product, whole = None, (there > 0).all(dim=0).tolist()
        for m, (factor, state) in enumerate(zip(self.factors, states, strict=True)):
            own = factor(state) if whole[m] else torch.where(there[:, m : m + 1] > 0, factor(state), 1.0)
            product = own if product is None else product * own
        if product is None:
            raise ValueError("there is nothing to fuse")
        ranks = product.unflatten(2, (RANK, -1))
        return (ranks * self.weights).sum(dim=2)


class _Gated(nn.Module):
    def __init__(self, members: int, modalities: int, hidden: int) -> None:
        super().__init__()
        self.values = nn.ModuleList(MemberLinear(members, hidden, hidden) for _ in range(modalities))
        self.scores = nn.ModuleList(MemberLinear(members, hidden, 1) for _ in range(modalities))

    def forward(self, states: list[Tensor], there: Tensor) -> Tensor:
        scores = torch.cat([score(state) for score, state in zip(self.scores, states, strict=True)], dim=2)
        weights = torch.softmax(scores.masked_fill(there == 0, -torch.inf), dim=2)
        values = [value(state) for value, state in zip(self.values, states, strict=True)]
        return (torch.stack(values, dim=3) * weights[:, :, None, :]).sum(dim=3)


_FUSIONS = {Fusion.CONCATENATION: _Concatenation, Fusion.LOW_RANK: _LowRank, Fusion.GATED: _Gated}


class FusionNet(nn.Module):
    """One number of a pair from what is known of its layers and of the pair.

    Args:
        layer_widths: width of each modality of a layer, by name.
        pair_width: width of what is known of the pair; the same whichever layer is named first.
        fusion: how they are put together.
        odd: whether the number changes sign when the layers are exchanged (offsets, charge transfer).
        members: of the ensemble.
    """

    def __init__(
        self,
        layer_widths: Mapping[str, int],
        pair_width: int,
        fusion: Fusion,
        *,
        odd: bool = False,
        members: int = 8,
        hidden: int = HIDDEN,
    ) -> None:
        super().__init__()
        self.names = tuple(layer_widths)
        self.sign = -1.0 if odd else 1.0
        self.below = nn.ModuleDict({n: MemberLinear(members, w, hidden) for n, w in layer_widths.items()})
        self.above = nn.ModuleDict({n: MemberLinear(members, w, hidden, bias=False) for n, w in layer_widths.items()})
        self.of_pair = MemberLinear(members, pair_width, hidden)
        self.fuse = _FUSIONS[fusion](members, len(self.names) + 1, hidden)
        self.drop = nn.Dropout(DROPOUT)
        self.inner = MemberLinear(members, hidden, hidden)
        self.out = MemberLinear(members, hidden, 1)
        nn.init.zeros_(self.out.weight)

    @property
    def members(self) -> int:
        """Of the ensemble."""
        return len(self.out.weight)

    def project(self, layers: Mapping[str, Tensor]) -> Projected:
        """What each layer contributes as the lower and as the upper one; done once a material and face.

        Args:
            layers: modalities of layers, each of shape (rows, width).

        Returns:
            By modality, two tensors of shape (members, rows, hidden).
        """
        return {name: (self.below[name](layers[name]), self.above[name](layers[name])) for name in self.names}

    def combine(
        self,
        a: Projected,
        b: Projected,
        pair: Tensor,
        there: Tensor,
    ) -> Tensor:
        """The number, by each member, shape (members, rows).

        Args:
            a, b: projected layers, a row a pair.
            pair: shape (rows, pair_width).
            there: 1 where a modality is known of both layers, 0 where not, shape (rows, modalities of layers).
        """
        known = torch.cat([there, there.new_ones(len(there), 1)], dim=1)
        # Both orders go through as one, one after the other along the rows.
        states = [torch.cat([a[n][0] + b[n][1], b[n][0] + a[n][1]], dim=1) for n in self.names]
        states.append(self.of_pair(pair).repeat(1, 2, 1))
        fused = self.fuse([nn.functional.silu(state) for state in states], known.repeat(2, 1))
        hidden = self.drop(nn.functional.silu(self.inner(self.drop(nn.functional.silu(fused)))))
        one, two = self.out(hidden).squeeze(2).chunk(2, dim=1)
        return 0.5 * (one + self.sign * two)

    def forward(self, layers: Mapping[str, Tensor], i: Tensor, j: Tensor, pair: Tensor, there: Tensor) -> Tensor:
        """The number of pairs of layers, shape (members, pairs).

        Args:
            layers: modalities of layers, each of shape (rows, width).
            i, j: rows of the lower and of the upper layer of each pair, shape (pairs,).
            pair, there: as in `combine`.
        """
        projected = self.project(layers)
        return self.combine(take(projected, i), take(projected, j), pair, there)


def take(projected: Projected, rows: Tensor) -> Projected:
    """The contributions of some rows, a row a pair."""
    return {
        name: (below.index_select(1, rows), above.index_select(1, rows)) for name, (below, above) in projected.items()
    }
