"""Folds, made from names by a stated rule, so that they are the same on every machine and in every year.

Rule: the fold of a name is the first 8 bytes of SHA-256("<split>-v<version>:<name>"), as a big-endian integer, modulo
the number of folds. What the name is, and what is kept out of training with it, makes the split:

- `random`: the row. Its very pair may be in training, stacked otherwise: shown only for how it flatters.
- `pair-out`: the two layers, in no order. Either may be in training, with another partner.
- `one-unseen`: a layer. Exactly one layer of a test row is in training. A row whose two layers lie in different folds
  is tested in the one that its own hash names first, if the other layer is in training there, or else in the other.
- `leave-material-out`, `both-unseen`: a layer. No layer of a test row is in training: rows with layers in the folds
  i and j are tested by what learned from rows with no layer in either. For homobilayers i is j.
- `leave-family-out`: the same with a layer's anonymous formula; on bulk, with the film's alone, as most substrates are
  elements.
- `leave-substrate-out`: the substrate, whatever its surface.

One layer lies in the same fold under `one-unseen`, `leave-material-out` and `both-unseen`. A draw other than 0 puts
"-<draw>" behind the version: other folds by the same rule, to see how much a figure owes to the folds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from enum import StrEnum
from itertools import combinations_with_replacement
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ml.rows import InterfaceRows
from schema.errors import StackscreenError
from schema.vocabulary import InterfaceKind

VERSION = 1
N_FOLDS = 4


class Split(StrEnum):
    """The splits that models are judged on."""

    MATERIAL = "leave-material-out"
    FAMILY = "leave-family-out"
    RANDOM = "random"
    PAIR = "pair-out"
    ONE_UNSEEN = "one-unseen"
    BOTH_UNSEEN = "both-unseen"
    SUBSTRATE = "leave-substrate-out"


STRICT: dict[str, Split] = {
    InterfaceKind.HOMOBILAYER.value: Split.MATERIAL,
    InterfaceKind.HETEROBILAYER.value: Split.BOTH_UNSEEN,
    InterfaceKind.ON_BULK.value: Split.SUBSTRATE,
}
"""By domain: what a screen really asks, and what decides whether a model is served."""

SPLITS: dict[str, tuple[Split, ...]] = {
    InterfaceKind.HOMOBILAYER.value: (Split.MATERIAL, Split.FAMILY, Split.RANDOM),
    InterfaceKind.HETEROBILAYER.value: (Split.BOTH_UNSEEN, Split.ONE_UNSEEN, Split.PAIR, Split.FAMILY, Split.RANDOM),
    InterfaceKind.ON_BULK.value: (Split.SUBSTRATE, Split.PAIR, Split.FAMILY, Split.RANDOM),
}
"""By domain: the splits that mean something there, the strict one first."""

BY_UNSEEN: dict[str, dict[int, Split]] = {
    InterfaceKind.HOMOBILAYER.value: {0: Split.RANDOM, 2: Split.MATERIAL},
    InterfaceKind.HETEROBILAYER.value: {0: Split.PAIR, 1: Split.ONE_UNSEEN, 2: Split.BOTH_UNSEEN},
    InterfaceKind.ON_BULK.value: {0: Split.PAIR, 1: Split.SUBSTRATE},
}
"""By domain and number of partners that training has not seen: the split whose errors say how large errors are."""


class Partition(NamedTuple):
    """One fold of a split: what is learned from and what is predicted.

    Attributes:
        train, test: masks, shape (rows,).
        left_out: folds of names that are kept out of training; two where the layers of a test row lie in two.
    """

    train: NDArray[np.bool_]
    test: NDArray[np.bool_]
    left_out: int = 1


class FoldFileError(StackscreenError):
    """A fold file cannot be used."""


class SplitError(StackscreenError):
    """A split cannot be made of these rows."""


def fold_of(name: str, split: Split, n_folds: int = N_FOLDS, *, draw: int | str = 0) -> int:
    """Fold of a name, 0 to n_folds − 1, by the rule above."""
    again = f"-{draw}" if draw else ""
    digest = hashlib.sha256(f"{split.value}-v{VERSION}{again}:{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % n_folds


def partitions(rows: InterfaceRows, split: Split, n_folds: int = N_FOLDS, *, draw: int | str = 0) -> list[Partition]:
    """The folds of a split.

    Args:
        rows: labelled interfaces.
        split: which rule.
        n_folds: into how many parts names are dealt.
        draw: 0 for the folds that figures are quoted for; anything else for another deal.

    Returns:
        Parts with something to learn from and something to predict. Every row is tested at most once; rows that no
        part can test (`one-unseen`: both layers strangers) are in none.

    Raises:
        SplitError: no part has both.
    """

    def deal(names: Sequence[str], rule: Split) -> NDArray[np.int64]:
        known = {name: fold_of(name, rule, n_folds, draw=draw) for name in set(names)}
        return np.array([known[name] for name in names], np.int64)

    if split is Split.RANDOM:
        found = of_folds(deal(rows.ids, split))
    elif split is Split.PAIR:
        found = of_folds(deal(pair_names(rows), split))
    elif split is Split.SUBSTRATE:
        found = of_folds(deal([substrate(name) for name in rows.bottom], split))
    elif split is Split.FAMILY:
        top = deal(rows.top_family, split)
        on_bulk = rows.domain == InterfaceKind.ON_BULK.value
        found = _blocks(top if on_bulk else deal(rows.bottom_family, split), top, n_folds)
    else:
        # One deal for all splits by layer, so that a layer is a stranger in the same folds under each of them.
        bottom, top = deal(rows.bottom, Split.MATERIAL), deal(rows.top, Split.MATERIAL)
        if split is Split.ONE_UNSEEN:
            found = _one_unseen(rows, bottom, top, n_folds, [fold_of(i, split, 2, draw=draw) for i in rows.ids])
        else:
            found = _blocks(bottom, top, n_folds)
    found = [part for part in found if part.train.any() and part.test.any()]
    if not found:
        raise SplitError(
            f"The {len(rows)} interfaces of {rows.source} cannot be split by {split.value}.",
            hint=f"Every layer or family lies in one fold. Try another split: {', '.join(SPLITS[rows.domain])}.",
        )
    return found


def of_folds(fold: NDArray[np.int64]) -> list[Partition]:
    """Parts from the fold of each row: each fold is predicted from all others; rows in fold −1 are left out."""
    inside = fold >= 0
    return [Partition(inside & (fold != k), fold == k) for k in np.unique(fold[inside])]


def pair_names(rows: InterfaceRows) -> list[str]:
    """Name of each row's two layers in no order."""
    return ["|".join(sorted(pair)) for pair in zip(rows.bottom, rows.top, strict=True)]


def substrate(name: str) -> str:
    """The material of a surface, whatever its plane: "Ag-1(111)" is "Ag-1"."""
    return name.partition("(")[0]


def _blocks(a: NDArray[np.int64], b: NDArray[np.int64], n_folds: int) -> list[Partition]:
    found = []
    for i, j in combinations_with_replacement(range(n_folds), 2):
        test = ((a == i) & (b == j)) | ((a == j) & (b == i))
        found.append(Partition(~np.isin(a, (i, j)) & ~np.isin(b, (i, j)), test, len({i, j})))
    return found


def _one_unseen(
    rows: InterfaceRows, a: NDArray[np.int64], b: NDArray[np.int64], n_folds: int, first: list[int]
) -> list[Partition]:
    trains, layers = [], []
    for k in range(n_folds):
        trains.append((a != k) & (b != k))
        layers.append({name for names in (rows.bottom, rows.top) for name in np.array(names, object)[trains[k]]})
    tests = np.zeros((n_folds, len(rows)), bool)
    for row, (bottom, top) in enumerate(zip(rows.bottom, rows.top, strict=True)):
        if a[row] == b[row]:
            continue
        # (fold in which one layer is the stranger, the other layer)
        ways = [(a[row], top), (b[row], bottom)]
        for fold, other in ways if first[row] == 0 else ways[::-1]:
            if other in layers[fold]:
                tests[fold, row] = True
                break
    return [Partition(train, test) for train, test in zip(trains, tests, strict=True)]


def fold_numbers(rows: InterfaceRows, split: Split) -> NDArray[np.int64]:
    """Number of the part in which each row is tested, shape (rows,); −1 where in none."""
    out = np.full(len(rows), -1, np.int64)
    for number, part in enumerate(partitions(rows, split)):
        out[part.test] = number
    return out


def write_folds(path: Path, ids: Sequence[str], fold: NDArray[np.int64]) -> None:
    """Write a fold file: a header `id,fold`, then one row an id, sorted."""
    lines = sorted(f"{name},{number}" for name, number in zip(ids, fold, strict=True))
    path.write_text("\n".join(["id,fold", *lines]) + "\n", encoding="utf-8")


def write_all(folder: Path, rows: InterfaceRows) -> list[Path]:
    """Write the fold file of every split of some rows, for use outside; returns the files.

    The fold is that in which a row is tested. What it is predicted from is all other folds where one name makes a fold
    (`random`, `pair-out`, `leave-substrate-out`, and every split of homobilayers); where two layers do, the other folds
    without the rows that share a layer's fold with it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for split in SPLITS[rows.domain]:
        try:
            numbers = fold_numbers(rows, split)
        except SplitError:
            continue
        files.append(folder / f"{rows.domain}-{split.value}-v{VERSION}.csv")
        tested = np.flatnonzero(numbers >= 0)
        write_folds(files[-1], [rows.ids[row] for row in tested], numbers[tested])
    return files


def read_folds(path: Path, ids: Sequence[str], *, partial: bool = False) -> NDArray[np.int64]:
    """Folds of `ids` from a fold file.

    Args:
        path: the file.
        ids: names of rows, "<source>:<name in the source>"; the file may leave the source out.
        partial: whether rows may be missing from the file; they get fold −1.

    Raises:
        FoldFileError: not a fold file, or an id is missing from it (with `partial`: every id).
    """
    try:
        header, *lines = path.read_text(encoding="utf-8-sig").splitlines()
        pairs = [line.rsplit(",", 1) for line in lines if line.strip()]
        known = {name.strip().strip('"'): int(number) for name, number in pairs}
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise FoldFileError(
            f"{path} cannot be read as a fold file.", hint="It needs the header `id,fold` and one row an id."
        ) from error
    if header.strip() != "id,fold":
        raise FoldFileError(f"{path} begins with {header!r}.", hint="A fold file begins with `id,fold`.")
    if min(known.values(), default=0) < 0:
        raise FoldFileError(f"{path} has a fold below 0.", hint="Number the folds from 0.")
    found = [known.get(name, known.get(name.partition(":")[2])) for name in ids]
    missing = [name for name, fold in zip(ids, found, strict=True) if fold is None]
    if missing and (not partial or len(missing) == len(found)):
        raise FoldFileError(
            f"{path} has no fold for {len(missing)} rows, the first being {missing[0]}.",
            hint="Write the folds again from the present data.",
        )
    return np.array([-1 if fold is None else fold for fold in found], np.int64)
