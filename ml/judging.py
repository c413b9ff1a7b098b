"""All that is found out about the methods for one target: every split, repeats and the learning curve on the strict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ml.catalogue import Lineup
from ml.evaluation import Evaluation, evaluate, repeated
from ml.learning import FRACTIONS, learning_curve
from ml.method import Method
from ml.metrics import group_numbers
from ml.report import Report
from ml.rows import InterfaceRows
from ml.splits import BY_UNSEEN, SPLITS, STRICT, Partition, Split, SplitError, pair_names, partitions
from ml.uncertainty import ByUnseen, Conformal

OnStep = Callable[[str], None]


@dataclass(frozen=True)
class Judged:
    """What was found out.

    Attributes:
        lineup: the methods.
        reports: what is kept, by split, the strict one first.
        evaluations: with the out-of-fold predictions, in the same order.
        impossible: splits that these rows do not allow, with the reason.
    """

    lineup: Lineup
    reports: list[Report]
    evaluations: list[Evaluation]
    impossible: dict[Split, str]

    def evaluation(self, split: Split) -> Evaluation | None:
        """The evaluation under a split, if there is one."""
        return next((one for one in self.evaluations if one.split == split.value), None)


def judge(
    rows: InterfaceRows,
    lineup: Lineup,
    *,
    splits: Sequence[Split] | None = None,
    repeats: int = 1,
    curve: bool = True,
    on_step: OnStep | None = None,
) -> Judged:
    """Evaluate a line-up under several splits.

    Args:
        rows: labelled interfaces.
        lineup: methods and target.
        splits: which; those of the domain if None.
        repeats: draws of folds and seeds under the strict split.
        curve: whether the judged method's learning curve is made under the strict split.
        on_step: called with what is being done, as often as `steps` says, or less often.

    Raises:
        SplitError: none of the splits can be made.
    """
    strict = STRICT[rows.domain]
    found: list[Evaluation] = []
    reports: list[Report] = []
    impossible: dict[Split, str] = {}
    for split in SPLITS[rows.domain] if splits is None else splits:

        def told(what: str, split: Split = split) -> Callable[[], None]:
            return lambda: on_step(f"{lineup.target}, {split.value}{what}") if on_step is not None else None

        try:
            one = evaluate(
                rows, lineup.target, lineup.methods, split, baselines=lineup.baselines, classes=lineup.classes,
                views=lineup.views, on_fold=told(""),
            )  # fmt: skip
        except SplitError as error:
            impossible[split] = error.message
            continue
        curves = {}
        if split is strict and repeats > 1:
            one = repeated(
                one, rows, lineup.all, split, repeats, views=lineup.views, on_fold=told(", drawn again")
            )  # fmt: skip
        method = judged_method(lineup)
        if split is strict and curve and method is not None:
            view = lineup.judged.removeprefix(method.name).removeprefix(", ")
            points = learning_curve(
                rows, lineup.target, method, split, classes=lineup.classes, view=lineup.views[view],
                whole=one.metrics[lineup.judged].error, on_fold=told(", learning curve"),
            )  # fmt: skip
            curves = {lineup.judged: points} if points else {}
        found.append(one)
        reports.append(Report.of(one, lineup.judged, learning=curves, truth=rows.targets[lineup.target]))
    if not found:
        n = int(rows.labelled(lineup.target).sum())
        raise SplitError(
            f"The {n} interfaces of {rows.source} with {lineup.target} allow none of the splits: "
            f"{' '.join(impossible.values())}",
            hint="Import more interfaces of this kind.",
        )
    return Judged(lineup, reports, found, impossible)


def judge_folds(rows: InterfaceRows, lineup: Lineup, parts: Sequence[Partition], contents: bytes) -> Judged:
    """Evaluate a line-up on the parts of a fold file.

    Args:
        rows, lineup: as in `judge`.
        parts: made from the file.
        contents: of the file, for the record.
    """
    one = evaluate(
        rows, lineup.target, lineup.methods, parts, baselines=lineup.baselines, classes=lineup.classes,
        views=lineup.views, own=contents,
    )  # fmt: skip
    return Judged(lineup, [Report.of(one, lineup.judged, truth=rows.targets[lineup.target])], [one], {})


def judged_method(lineup: Lineup) -> Method | None:
    """The competitor that is judged; None where a baseline is, which has no learning curve worth drawing."""
    fitting = [
        one for one in lineup.methods if lineup.judged in {one.name, *(f"{one.name}, {v}" for v in lineup.views)}
    ]
    return fitting[0] if fitting else None


def steps(
    rows: InterfaceRows,
    lineup: Lineup,
    *,
    splits: Sequence[Split] | None = None,
    repeats: int = 1,
    curve: bool = True,
) -> int:
    """How often `judge` calls `on_step` at most."""
    labelled = rows.take(rows.labelled(lineup.target))
    total = 0
    for split in SPLITS[rows.domain] if splits is None else splits:
        try:
            parts = len(partitions(labelled, split))
        except SplitError:
            continue
        total += parts * len(lineup.all)
        if split is STRICT[rows.domain]:
            total += parts * len(lineup.all) * (repeats - 1)
            total += parts * (len(FRACTIONS) - 1) * int(curve and judged_method(lineup) is not None)
    return total


def intervals(rows: InterfaceRows, judged: Judged, method: str) -> ByUnseen:
    """Half-widths by number of unseen partners, from the errors under the split that has that many.

    Args:
        rows: labelled interfaces.
        judged: their evaluations.
        method: whose errors, with its view.
    """
    truth = rows.targets[judged.lineup.target]
    groups = group_numbers(pair_names(rows))
    categories = {}
    for number, split in BY_UNSEEN[rows.domain].items():
        one = judged.evaluation(split)
        if one is not None and np.isfinite(one.out_of_fold[method]).any():
            spread = one.disagreement.get(method)
            categories[number] = Conformal.fit(one.out_of_fold[method], truth, groups, spread=spread)
    return ByUnseen(categories)
