"""A line-up judged under every split that its rows allow, and the intervals that follow."""

from dataclasses import replace

import numpy as np
import pytest
from made_up_rows import TARGET, made_up_rows
from plain_methods import Line, Mean

from ml.catalogue import Lineup
from ml.judging import intervals, judge, judge_folds, steps
from ml.splits import BY_UNSEEN, SPLITS, Split, SplitError, of_folds
from schema.vocabulary import CurveKind

PHYSICS = Line(("physics",), "physics, calibrated")
FULL = Line(("physics", "mean_0", "mean_1", "mean_2", "mean_3", "registry"), "full line")
LINEUP = Lineup(TARGET, (Mean(), PHYSICS), (FULL,), "full line")


@pytest.fixture(scope="module")
def rows():
    return made_up_rows(80, 3000)


@pytest.fixture(scope="module")
def judged(rows):
    said: list[str] = []
    found = judge(rows, LINEUP, repeats=2, on_step=said.append)
    # A learning curve leaves out fractions that are too small.
    assert 0.9 * steps(rows, LINEUP, repeats=2) < len(said) <= steps(rows, LINEUP, repeats=2)
    return found


def test_every_split_of_the_domain_is_reported_the_strict_one_first(judged) -> None:
    assert [report.split for report in judged.reports] == [split.value for split in SPLITS["heterobilayer"]]
    assert judged.reports[0].strict
    assert judged.reports[0].repeats == 2
    assert judged.reports[0].judged.spread is not None
    assert judged.reports[0].curve(CurveKind.LEARNING) is not None
    assert all(report.curve(CurveKind.LEARNING) is None for report in judged.reports[1:])


def test_a_split_that_the_rows_do_not_allow_is_named_and_the_others_are_made() -> None:
    rows = made_up_rows(40, 600)
    one_family = ["A"] * len(rows)
    rows = replace(rows, bottom_family=one_family, top_family=one_family)
    found = judge(rows, LINEUP, curve=False)
    assert set(found.impossible) == {Split.FAMILY}
    assert len(found.reports) == len(SPLITS["heterobilayer"]) - 1
    with pytest.raises(SplitError, match="allow none"):
        judge(rows, LINEUP, splits=[Split.FAMILY])


def test_parts_of_a_fold_file_give_one_report(rows) -> None:
    found = judge_folds(rows, LINEUP, of_folds(np.arange(len(rows)) % 3), b"id,fold\n")
    (report,) = found.reports
    assert report.split == "own folds"
    assert report.beats_baseline


def test_intervals_are_there_for_every_number_of_strangers_and_grow_with_it(rows, judged) -> None:
    found = intervals(rows, judged, "full line")
    assert set(found.categories) == set(BY_UNSEEN["heterobilayer"]) == {0, 1, 2}
    width = [float(np.mean(found.categories[k].half_width)) for k in (0, 2)]
    assert width[0] <= width[1] * 1.05
