"""Fitting the slab encoder to what is known of isolated layers, some of it missing for most."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ml.models import fitting
from ml.models.slab_encoder import TASKS, SlabEncoder
from ml.models.slab_graph import Batch, SlabGraph

SEED = 20240
EPOCHS = 30
BATCH = 64
LEARNING_RATE = 3e-3


def fit(
    graphs: Sequence[SlabGraph],
    targets: NDArray[np.floating],
    *,
    epochs: int = EPOCHS,
    device: str = "cpu",
    checkpoint: Path | None = None,
    data_digest: str = "",
    on_epoch: Callable[[int, float], None] | None = None,
) -> SlabEncoder:
    """Train an encoder; on a CPU the same way every time (fixed seed, one thread).

    The loss is, summed over tasks, the mean absolute error of the standardised task over the layers of which it is
    known. On a GPU the forward pass runs in bfloat16 where that is safe (autocast); weights stay in single precision.

    Args:
        graphs: one a layer.
        targets: shape (layers, len(TASKS)), units of `schema.quantities`; NaN where unknown.
        epochs: passes over the layers.
        device: "cpu", "cuda" or "auto".
        checkpoint: file that is written after every epoch and resumed from if it is there.
        data_digest: SHA-256 of the data, kept in the checkpoint: other data do not resume it.
        on_epoch: called with the epoch and its mean loss.

    Raises:
        DeviceError: the device is not there.
        CheckpointError: the checkpoint is of another training.
    """
    where = fitting.device_of(device)
    with fitting.one_thread():
        return _fit(graphs, targets, epochs, where, checkpoint, data_digest, on_epoch)


def _fit(
    graphs: Sequence[SlabGraph],
    targets: NDArray[np.floating],
    epochs: int,
    where: torch.device,
    checkpoint: Path | None,
    data_digest: str,
    on_epoch: Callable[[int, float], None] | None,
) -> SlabEncoder:
    torch.manual_seed(SEED)
    model = SlabEncoder()
    values = np.array(targets, float)
    for column, task in enumerate(TASKS):
        if task.logarithm:
            with np.errstate(invalid="ignore", divide="ignore"):
                values[:, column] = np.where(values[:, column] > 0, np.log(values[:, column]), np.nan)
    known = np.isfinite(values)
    counts = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, values, 0.0).sum(axis=0) / counts
    scale = np.sqrt((np.where(known, values - mean, 0.0) ** 2).sum(axis=0) / counts)
    model.task_mean = torch.tensor(mean, dtype=torch.float32)
    model.task_scale = torch.tensor(np.where(scale > 0, scale, 1.0), dtype=torch.float32)
    model.to(where)
    wanted = (torch.tensor(values, dtype=torch.float32).to(where) - model.task_mean) / model.task_scale
    optimiser = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=1e-4)
    run: dict[str, object] = {
        "data": data_digest, "layers": len(graphs), "epochs": epochs, "batch": BATCH, "learning_rate": LEARNING_RATE,
        "seed": SEED,
    }  # fmt: skip
    done = 0 if checkpoint is None else fitting.load_checkpoint(checkpoint, model, optimiser, run=run)
    per_epoch = -(-len(graphs) // BATCH)
    model.train()
    for epoch in range(done, epochs):
        order = np.random.default_rng([SEED, epoch]).permutation(len(graphs))
        total = 0.0
        for number, chosen in enumerate(np.array_split(order, per_epoch)):
            for group in optimiser.param_groups:
                group["lr"] = fitting.learning_rate(LEARNING_RATE, epoch * per_epoch + number, per_epoch * epochs)
            truth = wanted[torch.from_numpy(chosen).to(where)]
            batch = Batch.of([graphs[i] for i in chosen]).to(where)
            with torch.autocast(where.type, dtype=torch.bfloat16, enabled=where.type == "cuda"):
                out = model(batch)
            there = torch.isfinite(truth)
            error = torch.abs(out.float() - torch.nan_to_num(truth)) * there
            loss = (error.sum(dim=0) / there.sum(dim=0).clamp(min=1)).mean()
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            total += float(loss.detach()) * len(chosen)
        if checkpoint is not None:
            fitting.save_checkpoint(checkpoint, model, optimiser, epoch=epoch + 1, run=run)
        if on_epoch is not None:
            on_epoch(epoch, total / len(graphs))
    return model.cpu().eval()
