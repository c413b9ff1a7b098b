"""What every gradient training shares: device, thread, the learning rate's course, checkpoints to resume from.

A checkpoint is one safetensors file: weights and optimiser moments as tensors, all else as JSON in its header. Nothing
in it can run. Batches are drawn from the seed and the epoch's number alone, so that a training which was stopped and
resumed takes the same steps as one that was not.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from schema.errors import StackscreenError

_META = "state"


class DeviceError(StackscreenError):
    """The device that was asked for is not there."""


class CheckpointError(StackscreenError):
    """A checkpoint cannot be resumed from."""


def device_of(name: str) -> torch.device:
    """The device to train on.

    Args:
        name: "cpu", "cuda", or "auto" for cuda where there is one.

    Raises:
        DeviceError: another name, or cuda where there is none.
    """
    if name not in ("cpu", "cuda", "auto"):
        raise DeviceError(f"There is no device {name!r}.", hint="Take cpu, cuda or auto.")
    if name == "cuda" and not torch.cuda.is_available():
        raise DeviceError(
            "PyTorch sees no CUDA device.", hint="Train with --device cpu, or install a CUDA build of PyTorch."
        )
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread: the same numbers on every machine, and small sums are not slowed by waiting for threads.

    Processes are what is run side by side here, as many as there are workers.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def learning_rate(peak: float, step: int, steps: int, *, warm: float = 0.1) -> float:
    """Rises linearly over the first share `warm` of the steps, then falls to zero along half a cosine."""
    begin = max(1, int(warm * steps))
    if step < begin:
        return peak * (step + 1) / begin
    return 0.5 * peak * (1.0 + math.cos(math.pi * (step - begin) / max(1, steps - begin)))


def save_checkpoint(
    path: Path, model: nn.Module, optimiser: torch.optim.Optimizer, *, epoch: int, run: dict[str, object]
) -> None:
    """Write a checkpoint, whole or not at all.

    Args:
        path: the file.
        model, optimiser: their state.
        epoch: how many epochs are done.
        run: what makes the training what it is (data digest, parameters): to be the same on resuming.
    """
    from safetensors.torch import save_file

    tensors = {f"model.{name}": value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    for number, state in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{number}.{name}": _tensor(value) for name, value in state.items()}
    half = path.with_name(path.name + ".part")
    save_file(tensors, half, metadata={_META: json.dumps({"epoch": epoch, "run": run}, sort_keys=True)})
    half.replace(path)


def load_checkpoint(path: Path, model: nn.Module, optimiser: torch.optim.Optimizer, *, run: dict[str, object]) -> int:
    """Take up a training where a checkpoint left it.

    Returns:
        How many epochs are done; 0 if there is no such file.

    Raises:
        CheckpointError: damaged, or of another run.
    """
    from safetensors import SafetensorError, safe_open

    if not path.exists():
        return 0
    hint = f"Delete {path} to begin anew."
    try:
        with safe_open(path, framework="pt") as file:
            content = json.loads(file.metadata()[_META])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        if content["run"] != json.loads(json.dumps(run)):
            raise CheckpointError(f"{path} is from a training with other data or parameters.", hint=hint)
        model.load_state_dict({k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")})
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            if name.startswith("optimiser."):
                _, number, key = name.split(".", 2)
                state.setdefault(int(number), {})[key] = value
        optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
        return int(content["epoch"])
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{path} cannot be read as a checkpoint of this training.", hint=hint) from error


def _tensor(value: object) -> Tensor:
    return value.detach().cpu().contiguous() if isinstance(value, Tensor) else torch.tensor(value)
