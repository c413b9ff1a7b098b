"""Which matcher works where: numba on processors, torch on a GPU. Their results are the same, to rounding."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Protocol

from schema.errors import StackscreenError
from stackscreen.pairs.dense import RowMatcher, ShapeIndex
from stackscreen.pairs.match import MatchedRow


class NoDeviceError(StackscreenError):
    """The device that the settings ask for is not there, or cannot do what they ask of it."""


class Matcher(Protocol):
    """Finds the smallest coincidence lattices of rows of the pair matrix. Not for two threads at a time."""

    def match(self, row: int, first_column: int) -> MatchedRow:
        """The smallest supercell of lattice `row` with columns `first_column` and later: see `RowMatcher.match`.

        And within each strain level of the limits, where it is another: see `MatchedRow.levels`.
        """

    def match_rows(self, rows: Sequence[int], first_columns: Sequence[int]) -> Iterator[MatchedRow]:
        """Those of several rows, one after another; the form in which a GPU is kept busy."""


def resolve_device(device: str) -> str:
    """The device that a setting means, as torch names it.

    Args:
        device: cpu, cuda, cuda:N, or auto: cuda where torch finds one, else cpu.

    Raises:
        NoDeviceError: a GPU is asked for, and torch finds none of this number.
    """
    if device == "cpu":
        return device
    # Asks the driver without opening the device, which a process that forks later must not have done.
    os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device == "auto":
        return "cuda" if count else "cpu"
    number = int(device.partition(":")[2] or 0)
    if number >= count:
        raise NoDeviceError(
            f"worker.device is {device}, and torch {torch.__version__} finds {count or 'no'} GPUs here.",
            hint="Set worker.device to cpu or auto, or install a torch that is built for this GPU.",
        )
    return device


def choose(matcher: str, device: str) -> tuple[str, str]:
    """What the settings `worker.matcher` and `worker.device` come to: the one place of this choice.

    Args:
        matcher: numba, torch, or auto: torch on a GPU, numba on processors, where it is several times faster.
        device: see `resolve_device`.

    Returns:
        numba or torch, and the device.

    Raises:
        NoDeviceError: there is no such device, or numba is asked to work on a GPU.
    """
    where = resolve_device(device)
    if matcher == "numba" and where != "cpu":
        raise NoDeviceError(
            f"worker.matcher is numba, which works on processors, and worker.device is {device}.",
            hint="Set worker.matcher to auto, or worker.device to cpu.",
        )
    return ("torch" if matcher == "torch" or where != "cpu" else "numba"), where


def make_matcher(index: ShapeIndex, matcher: str, device: str) -> Matcher:
    """The matcher that the settings ask for: see `choose`.

    Args:
        index: the grid of the columns.
        matcher, device: the settings `worker.matcher` and `worker.device`.
    """
    kind, where = choose(matcher, device)
    if kind == "numba":
        return RowMatcher(index)
    from stackscreen.pairs.torch_match import TorchMatcher

    return TorchMatcher(index, where)
