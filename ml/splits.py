"""Folds, made from names by a stated rule, so that they are the same on every machine and in every year.

Rule: the fold of a name is the first 8 bytes of SHA-256("<split>-v<version>:<name>"), as a big-endian integer, modulo
the number of folds. What the name is, makes the split:

- `leave-material-out`: the layer. No layer of a test row is in training. This is what a screen asks.
- `leave-family-out`: the layer's anonymous formula. No stoichiometry of a test row is in training. Harder.
- `random`: the row. Other stackings of a test row's layer are in training: shown only for how it flatters.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ml.datasets import TrainingTable
from schema.errors import StackscreenError

VERSION = 1
N_FOLDS = 4


class Split(StrEnum):
    """The splits that models are judged on."""

    MATERIAL = "leave-material-out"
    FAMILY = "leave-family-out"
    RANDOM = "random"


class FoldFileError(StackscreenError):
    """A fold file cannot be used."""


def fold_of(name: str, split: Split, n_folds: int = N_FOLDS) -> int:
    """Fold of a name, 0 to n_folds − 1, by the rule above."""
    digest = hashlib.sha256(f"{split.value}-v{VERSION}:{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % n_folds


def folds(table: TrainingTable, split: Split, n_folds: int = N_FOLDS) -> NDArray[np.int64]:
    """Fold of each row, shape (rows,)."""
    names = {Split.MATERIAL: table.groups, Split.FAMILY: table.families, Split.RANDOM: table.ids}[split]
    return np.array([fold_of(name, split, n_folds) for name in names], np.int64)


def write_folds(path: Path, ids: Sequence[str], fold: NDArray[np.int64]) -> None:
    """Write a fold file: a header `id,fold`, then one row an id, sorted."""
    lines = sorted(f"{name},{number}" for name, number in zip(ids, fold, strict=True))
    path.write_text("\n".join(["id,fold", *lines]) + "\n", encoding="utf-8")


def write_all(folder: Path, table: TrainingTable) -> list[Path]:
    """Write the fold file of every split of a training table, for use outside; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for split in Split:
        files.append(folder / f"{split.value}-v{VERSION}.csv")
        write_folds(files[-1], table.ids, folds(table, split))
    return files


def read_folds(path: Path, ids: Sequence[str]) -> NDArray[np.int64]:
    """Folds of `ids` from a fold file.

    Raises:
        FoldFileError: not a fold file, or an id is missing from it.
    """
    try:
        header, *lines = path.read_text(encoding="utf-8").splitlines()
        pairs = [line.rsplit(",", 1) for line in lines if line]
        known = {name: int(number) for name, number in pairs}
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise FoldFileError(
            f"{path} cannot be read as a fold file.", hint="It needs the header `id,fold` and one row an id."
        ) from error
    if header != "id,fold":
        raise FoldFileError(f"{path} begins with {header!r}.", hint="A fold file begins with `id,fold`.")
    missing = [name for name in ids if name not in known]
    if missing:
        raise FoldFileError(
            f"{path} has no fold for {len(missing)} rows, the first being {missing[0]}.",
            hint="Write the folds again from the present data.",
        )
    return np.array([known[name] for name in ids], np.int64)
