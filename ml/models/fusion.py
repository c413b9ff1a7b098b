"""Pair heads that fuse the graph embeddings of two layers with what else is known of them and of their stacking.

A head learns what calibrated one-line physics misses, as the trees do (`ml.models.tree_ensemble`). The encoder behind
the embeddings has seen monolayers and their properties, which are inputs of every model here, and no bilayer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ml import baselines, pair_features
from ml.artefact import ArtefactError
from ml.baselines import Calibrated
from ml.models.fitting import learning_rate, one_thread
from ml.models.fusion_net import Fusion, FusionNet, take
from ml.models.layer_inputs import GRAPH, LayerInputs
from ml.models.tree_settings import MANY_ROWS
from ml.rows import InterfaceRows

SEED = 20240
MEMBERS = 4
MEMBERS_OF_FEW = 8
"""Networks of a head that learns from fewer than `MANY_ROWS`: what few rows teach owes more to chance."""
BATCH = 256
EPOCHS = 40
MIN_STEPS, MAX_STEPS = 300, 1000
LEARNING_RATE = 3e-3
WEIGHT_DECAY = 3e-2
CLIP = 4.0
"""Standard deviations beyond which an input is not followed: a network, unlike a tree, would run away with it."""
MIN_PRESENT = 0.05
"""Share of training rows that must have an optional modality: below it there is nothing to learn from it."""


@dataclass(frozen=True)
class Scaling:
    """How inputs are made fit for a network: standardised and clipped, unknown ones 0 with a column that says so.

    Attributes:
        mean, scale: of each column that is kept, shape (columns,).
        kept: columns that vary in training.
        marked: of the kept columns, those with a column that says whether the value is unknown.
    """

    mean: NDArray[np.float32]
    scale: NDArray[np.float32]
    kept: NDArray[np.int64]
    marked: NDArray[np.int64]

    @classmethod
    def fit(cls, values: NDArray[np.floating]) -> Scaling:
        """From training rows, shape (rows, columns); NaN = unknown."""
        known = np.isfinite(values)
        counts = np.maximum(known.sum(axis=0), 1)
        mean = np.where(known, values, 0.0).sum(axis=0) / counts
        scale = np.sqrt((np.where(known, values - mean, 0.0) ** 2).sum(axis=0) / counts)
        kept = np.flatnonzero(scale > 1e-6 * (1.0 + np.abs(mean)))
        marked = np.flatnonzero(~known[:, kept].all(axis=0))
        return cls(mean[kept].astype(np.float32), scale[kept].astype(np.float32), kept, marked)

    @property
    def width(self) -> int:
        """Columns that come out."""
        return len(self.kept) + len(self.marked)

    def __call__(self, values: NDArray[np.floating]) -> NDArray[np.float32]:
        """Shape (rows, columns) to (rows, width)."""
        chosen = (np.asarray(values, np.float32)[:, self.kept] - self.mean) / self.scale
        unknown = np.isnan(chosen)
        filled = np.clip(np.where(unknown, np.float32(0.0), chosen), -CLIP, CLIP)
        return np.concatenate([filled, unknown[:, self.marked].astype(np.float32)], axis=1)

    def of_tensor(self, values: Tensor) -> Tensor:
        """The same for a tensor without unknown values, through which gradients can pass."""
        kept = torch.from_numpy(self.kept)
        scaled = (values[:, kept] - torch.from_numpy(self.mean)) / torch.from_numpy(self.scale)
        clipped = torch.clamp(scaled, -CLIP, CLIP)
        return torch.cat([clipped, clipped.new_zeros(len(clipped), len(self.marked))], dim=1)


@dataclass(frozen=True)
class FusionMethod:
    """A fusion head as one of the competing methods.

    Attributes:
        layers: what is known of each layer.
        fusion: how modalities are put together.
        modalities: of the layers; all that `layers` has if None.
        odd: targets that change sign when the layers are exchanged.
        members: networks in the ensemble; by the number of rows if None.
        seed: of their first weights and of the batches.
        steps: updates of the weights; by the number of rows if None.
        physics: pair feature that the residual is taken against, where rows have it; that of `ml.baselines` if None.
        features: pair features that are read; all that rows have if None.
    """

    layers: LayerInputs
    fusion: Fusion = Fusion.LOW_RANK
    modalities: tuple[str, ...] | None = None
    odd: frozenset[str] = frozenset()
    members: int | None = None
    seed: int = SEED
    steps: int | None = None
    physics: str | None = None
    features: tuple[str, ...] | None = None

    @property
    def name(self) -> str:
        """For tables and cards."""
        which = "" if self.modalities is None else f" of {', '.join(self.modalities)}"
        return f"fusion, {self.fusion.value}{which}"

    def with_seed(self, seed: int) -> FusionMethod:
        """The same method with another seed."""
        return replace(self, seed=seed)

    def fit(self, rows: InterfaceRows, target: str, train: NDArray[np.bool_]) -> FittedFusion:
        """See `ml.method.Method`. Half of the time a row is shown with its registry hidden, as in a moiré."""
        odd = target in self.odd
        physics = baselines.PHYSICS.get(target, "") if self.physics is None else self.physics
        if odd or physics not in rows.names:
            physics = ""
        floor = baselines.FLOORS.get(target, -np.inf)
        a, b = self.layers.rows_of(rows)
        truth = rows.targets[target]
        estimate = rows.column(physics).astype(float) if physics else np.zeros(len(rows))
        ok = np.asarray(train & np.isfinite(truth) & np.isfinite(estimate) & (a >= 0) & (b >= 0), bool)
        # Whatever is the same in both orders would break the sign of what is not.
        baseline = Calibrated("", 0.0, 0.0) if odd else Calibrated.fit(physics, estimate[ok], truth[ok], floor=floor)
        residual = truth[ok] - _line(baseline, estimate[ok])
        wanted = {n: t for n, t in self.layers.modalities.items() if self.modalities is None or n in self.modalities}
        there = {n: _present(t) for n, t in wanted.items()}
        names = tuple(n for n in wanted if (there[n][a[ok]] & there[n][b[ok]]).mean() >= MIN_PRESENT)
        used = np.unique(np.concatenate([a[ok], b[ok]]))
        scalings = {n: Scaling.fit(wanted[n][used]) for n in names}
        read = rows.names if self.features is None else self.features
        seen = rows.columns(read)[ok]
        hidden = _without_registry(seen, read)
        pair = Scaling.fit(np.concatenate([seen, hidden]))
        scale = max(float(np.abs(residual).mean()), 1e-9)
        encoder = self.layers.encoder if GRAPH in names else ""
        head = FusionHead(target, self.fusion.value, names, read, scalings, pair, baseline, scale, odd, encoder)
        model = _train(self, head, (a[ok], b[ok]), (pair(seen), pair(hidden)), residual / scale)
        return FittedFusion(head, model, self.layers)


@dataclass(frozen=True)
class FusionHead:
    """All of a fitted head but its weights.

    Attributes:
        target: quantity key.
        fusion: how modalities are put together.
        modalities: of the layers, those that enough training rows had.
        pair_names: features of the pair that it reads.
        layer_scalings: by modality.
        pair_scaling: of the pair's features.
        baseline: calibrated physics under the head.
        scale: mean absolute residual in training: what one unit of the network's output is, in the target's unit.
        odd: whether the target changes sign when the layers are exchanged.
        encoder: SHA-256 of the encoder whose embeddings it learned from, hexadecimal; empty without the graph.
    """

    target: str
    fusion: str
    modalities: tuple[str, ...]
    pair_names: tuple[str, ...]
    layer_scalings: Mapping[str, Scaling]
    pair_scaling: Scaling
    baseline: Calibrated
    scale: float
    odd: bool
    encoder: str = ""

    def network(self, members: int) -> FusionNet:
        """A network of the right shape, untrained."""
        widths = {name: scaling.width for name, scaling in self.layer_scalings.items()}
        return FusionNet(widths, self.pair_scaling.width, Fusion(self.fusion), odd=self.odd, members=members)

    def tables(self, layers: LayerInputs, rows: NDArray[np.integer] | None = None) -> tuple[dict[str, Tensor], Tensor]:
        """Scaled modalities of layers, and whether each is there, shape (layer rows, modalities).

        Args:
            layers: what is known of them.
            rows: rows of it that are wanted; all if None.
        """
        wanted = np.arange(2 * len(layers.row)) if rows is None else rows
        seen = {n: layers.modalities[n][wanted] for n in self.modalities}
        values = {n: torch.from_numpy(self.layer_scalings[n](seen[n])) for n in self.modalities}
        there = [_present(seen[n]) for n in self.modalities]
        known = np.stack(there, axis=1) if there else np.empty((len(wanted), 0), bool)
        return values, torch.from_numpy(known.astype(np.float32))


@dataclass(frozen=True)
class FittedFusion:
    """A fitted head; see `ml.method.Fitted`."""

    head: FusionHead
    network: FusionNet
    layers: LayerInputs

    def predict(self, rows: InterfaceRows, which: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Values of the rows in `which`, shape (number of them,), in the target's unit; NaN for an unknown layer."""
        return self._of_rows(rows, which)[0]

    def spread(self, rows: InterfaceRows, which: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Standard deviation between the networks of the ensemble; see `ml.method.Spreading`."""
        return self._of_rows(rows, which)[1]

    def _of_rows(
        self, rows: InterfaceRows, which: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        a, b = (index[which] for index in self.layers.rows_of(rows))
        physics = self.head.baseline.feature
        estimate = rows.column(physics)[which].astype(float) if physics else np.zeros(int(which.sum()))
        return self.of_pairs(a, b, rows.columns(self.head.pair_names)[which], estimate)

    def of_pairs(
        self,
        a: NDArray[np.int64],
        b: NDArray[np.int64],
        features: NDArray[np.floating],
        estimate: NDArray[np.floating],
        *,
        chunk: int = 8192,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Values of pairs of layer rows and their spread, shapes (pairs,); a layer's own part is computed once.

        A head that looks at the graph has no value for a pair with a layer that has not been encoded.

        Args:
            a, b: rows of the layer inputs, shape (pairs,); −1 for an unknown layer.
            features: of the pairs, shape (pairs, len(head.pair_names)).
            estimate: the physics estimate under the baseline, shape (pairs,).
            chunk: pairs at a time.

        Raises:
            ArtefactError: the layers were encoded by another encoder than the head learned from.
        """
        self._check_encoder()
        out, spread = np.full(len(a), np.nan), np.full(len(a), np.nan)
        have = np.flatnonzero((a >= 0) & (b >= 0))
        used, place = np.unique(np.concatenate([a[have], b[have]]), return_inverse=True)
        values, known = self.head.tables(self.layers, used)
        first, second = place[: len(have)], place[len(have) :]
        if GRAPH in self.head.modalities:
            seen = known[:, self.head.modalities.index(GRAPH)].numpy() > 0
            kept = seen[first] & seen[second]
            have, first, second = have[kept], first[kept], second[kept]
        with one_thread(), torch.no_grad():
            projected = self.network.project(values)
            for start in range(0, len(have), chunk):
                part = slice(start, start + chunk)
                i, j = torch.from_numpy(first[part]), torch.from_numpy(second[part])
                pair = torch.from_numpy(self.head.pair_scaling(features[have[part]]))
                there = known[i] * known[j]
                members = self.network.combine(take(projected, i), take(projected, j), pair, there).double().numpy()
                out[have[part]], spread[have[part]] = members.mean(axis=0), members.std(axis=0)
        value = _line(self.head.baseline, estimate) + self.head.scale * out
        return np.maximum(value, self.head.baseline.floor), self.head.scale * spread

    def _check_encoder(self) -> None:
        """Embeddings of two encoders have nothing in common but their length."""
        if self.head.encoder != self.layers.encoder and GRAPH in self.head.modalities:
            raise ArtefactError(
                f"The graph half of the model of {self.head.target} learned from the embeddings of encoder "
                f"{self.head.encoder[:12] or 'unknown'}, and is given those of {self.layers.encoder[:12] or 'none'}.",
                hint="Train the models with the encoder that is served (stackscreen train), or go back to the shipped "
                "ones (stackscreen models register).",
            )


def _line(baseline: Calibrated, estimate: NDArray[np.floating]) -> NDArray[np.float64]:
    return np.maximum(baseline.intercept + baseline.slope * np.asarray(estimate, float), baseline.floor)


def _present(values: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Whether anything of a modality is known, by layer row."""
    return np.asarray(np.isfinite(values).any(axis=1), bool)


def _without_registry(values: NDArray[np.float32], names: Sequence[str]) -> NDArray[np.float32]:
    out = values.copy()
    hidden = pair_features.REGISTRY + pair_features.STACKING
    out[:, [i for i, name in enumerate(names) if name in hidden]] = np.nan
    return out


def _train(
    method: FusionMethod,
    head: FusionHead,
    layer_rows: tuple[NDArray[np.int64], NDArray[np.int64]],
    views: tuple[NDArray[np.float32], NDArray[np.float32]],
    residual: NDArray[np.float64],
) -> FusionNet:
    """Fit the network to residuals in units of `head.scale`, by mean absolute error; the same every time."""
    with one_thread():
        torch.manual_seed(method.seed)
        model = head.network(method.members or (MEMBERS_OF_FEW if len(residual) < MANY_ROWS else MEMBERS))
        values, known = head.tables(method.layers)
        a, b = (torch.from_numpy(index) for index in layer_rows)
        shown, hidden = (torch.from_numpy(view) for view in views)
        wanted = torch.tensor(residual, dtype=torch.float32)
        optimiser = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY, fused=True)
        rng = np.random.default_rng(method.seed)
        n, size = len(residual), min(BATCH, len(residual))
        steps = method.steps or int(np.clip(EPOCHS * n / size, MIN_STEPS, MAX_STEPS))
        model.train()
        for step in range(steps):
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(LEARNING_RATE, step, steps)
            chosen = torch.from_numpy(rng.choice(n, size, replace=False))
            hide = torch.from_numpy(rng.random(size) < 0.5)[:, None]
            i, j = a[chosen], b[chosen]
            used, place = torch.unique(torch.cat([i, j]), return_inverse=True)
            out = model(
                {name: table[used] for name, table in values.items()},
                place[:size],
                place[size:],
                torch.where(hide, hidden[chosen], shown[chosen]),
                known[i] * known[j],
            )
            # Members learn side by side: each from its own error.
            loss = torch.abs(out - wanted[chosen]).mean(dim=1).sum()
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimiser.step()
        return model.eval()
