"""No split lets training see what its name says is unseen."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_rows import made_up_rows

from ml.rows import InterfaceRows
from ml.splits import (
    BY_UNSEEN,
    N_FOLDS,
    SPLITS,
    STRICT,
    FoldFileError,
    Split,
    SplitError,
    fold_numbers,
    fold_of,
    of_folds,
    pair_names,
    partitions,
    read_folds,
    substrate,
    write_all,
)
from schema.vocabulary import InterfaceKind

NAMES = st.sampled_from([f"layer-{k}" for k in range(12)])


@st.composite
def interfaces(draw: st.DrawFn, domain: str = "heterobilayer") -> InterfaceRows:
    pairs = draw(st.lists(st.tuples(NAMES, NAMES), min_size=2, max_size=40))
    bottom = [a for a, _ in pairs]
    top = bottom if domain == "homobilayer" else [b for _, b in pairs]
    n = len(pairs)
    return InterfaceRows(
        domain, "s", [f"s:{k:03d}" for k in range(n)], bottom, top, [f"F{a[-1]}" for a in bottom],
        [f"F{b[-1]}" for b in top], np.zeros((n, 1), np.float32), ("x",), {"t": np.zeros(n)},
    )  # fmt: skip


def parts(rows: InterfaceRows, split: Split) -> list:
    try:
        return partitions(rows, split)
    except SplitError:
        return []


def layers(rows: InterfaceRows, mask: np.ndarray) -> set[str]:
    return {name for row in np.flatnonzero(mask) for name in (rows.bottom[row], rows.top[row])}


@pytest.mark.parametrize("split", list(Split))
@given(rows=interfaces())
@settings(max_examples=40)
def test_no_row_is_learned_from_and_tested_at_once_nor_tested_twice(split: Split, rows: InterfaceRows) -> None:
    found = parts(rows, split)
    assert not any((part.train & part.test).any() for part in found)
    assert np.sum([part.test for part in found] or [np.zeros(len(rows))], axis=0).max() <= 1


@pytest.mark.parametrize("split", [Split.MATERIAL, Split.BOTH_UNSEEN])
@given(rows=interfaces())
@settings(max_examples=60)
def test_no_layer_of_a_test_row_is_in_training(split: Split, rows: InterfaceRows) -> None:
    for train, test, _ in parts(rows, split):
        assert not layers(rows, train) & layers(rows, test)


@given(rows=interfaces())
@settings(max_examples=60)
def test_no_pair_of_a_test_row_is_in_training_either_way_round(rows: InterfaceRows) -> None:
    names = np.array(pair_names(rows), object)
    for train, test, _ in parts(rows, Split.PAIR):
        assert not set(names[train]) & set(names[test])


@given(rows=interfaces())
@settings(max_examples=60)
def test_exactly_one_layer_of_a_test_row_is_in_training(rows: InterfaceRows) -> None:
    for train, test, _ in parts(rows, Split.ONE_UNSEEN):
        seen = layers(rows, train)
        for row in np.flatnonzero(test):
            assert (rows.bottom[row] in seen) + (rows.top[row] in seen) == 1


@given(rows=interfaces())
@settings(max_examples=60)
def test_no_family_of_a_test_row_is_in_training(rows: InterfaceRows) -> None:
    for train, test, _ in parts(rows, Split.FAMILY):
        assert not layers(_families(rows), train) & layers(_families(rows), test)


def _families(rows: InterfaceRows) -> InterfaceRows:
    return replace(rows, bottom=rows.bottom_family, top=rows.top_family)


def test_a_substrate_is_left_out_with_all_its_surfaces() -> None:
    rows = made_up_rows(domain="2d-on-bulk")
    planes = ["(111)", "(100)", "(0001)"]
    rows = replace(rows, bottom=[f"{substrate(name)}{planes[k % 3]}" for k, name in enumerate(rows.bottom)])
    names = np.array([substrate(name) for name in rows.bottom], object)
    found = partitions(rows, Split.SUBSTRATE)
    for train, test, _ in found:
        assert not set(names[train]) & set(names[test])
    assert np.sum([part.test for part in found], axis=0).min() == 1


def test_for_homobilayers_leaving_materials_out_is_the_split_by_name() -> None:
    rows = made_up_rows(domain="homobilayer")
    found = partitions(rows, Split.MATERIAL)
    assert len(found) == N_FOLDS
    expected = np.array([fold_of(name, Split.MATERIAL) for name in rows.bottom])
    for train, test, _ in found:
        (fold,) = set(expected[test])
        np.testing.assert_array_equal(test, expected == fold)
        np.testing.assert_array_equal(train, expected != fold)


def test_every_pair_is_tested_where_both_layers_are_strangers() -> None:
    rows = made_up_rows()
    found = partitions(rows, Split.BOTH_UNSEEN)
    assert len(found) == N_FOLDS * (N_FOLDS + 1) // 2
    assert np.sum([part.test for part in found], axis=0).min() == 1


def test_nearly_every_pair_of_different_folds_is_tested_with_one_stranger() -> None:
    rows = made_up_rows()
    tested = np.sum([part.test for part in partitions(rows, Split.ONE_UNSEEN)], axis=0)
    apart = np.array(
        [fold_of(a, Split.MATERIAL) != fold_of(b, Split.MATERIAL) for a, b in zip(rows.bottom, rows.top, strict=True)]
    )
    np.testing.assert_array_equal(tested == 1, apart)


def test_another_draw_gives_other_folds_and_the_same_draw_the_same() -> None:
    rows = made_up_rows()

    def tests(draw: int) -> np.ndarray:
        return np.argmax([part.test for part in partitions(rows, Split.PAIR, draw=draw)], axis=0)

    np.testing.assert_array_equal(tests(3), tests(3))
    assert (tests(0) != tests(1)).mean() > 0.5


def test_every_domain_has_a_strict_split_among_those_it_is_judged_by() -> None:
    for kind in InterfaceKind:
        assert SPLITS[kind.value][0] is STRICT[kind.value]
        assert set(BY_UNSEEN[kind.value].values()) <= set(SPLITS[kind.value])


def test_layers_that_all_lie_in_one_fold_cannot_be_split() -> None:
    rows = made_up_rows(n_materials=1)
    with pytest.raises(SplitError, match="cannot be split by leave-material-out"):
        partitions(rows, Split.MATERIAL)


def test_fold_files_of_pairs_say_where_each_row_is_tested(tmp_path) -> None:
    rows = made_up_rows()
    files = write_all(tmp_path, rows)
    assert [file.name for file in files] == [f"heterobilayer-{split.value}-v1.csv" for split in SPLITS["heterobilayer"]]
    for file, split in zip(files, SPLITS["heterobilayer"], strict=True):
        np.testing.assert_array_equal(read_folds(file, rows.ids, partial=True), fold_numbers(rows, split))


def test_a_fold_file_of_ones_own_may_leave_out_rows_and_the_name_of_the_source(tmp_path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("id,fold\n00001,0\n00002,1\nmade-up:00003,1\n", encoding="utf-8")
    rows = made_up_rows()
    fold = read_folds(path, rows.ids, partial=True)
    assert fold[:5].tolist() == [-1, 0, 1, 1, -1]
    found = of_folds(fold)
    assert [(int(part.train.sum()), int(part.test.sum())) for part in found] == [(2, 1), (1, 2)]
    path.write_text("id,fold\nstranger,0\n", encoding="utf-8")
    with pytest.raises(FoldFileError, match="no fold for 600 rows"):
        read_folds(path, rows.ids, partial=True)
    path.write_text("id,fold\n00001,-4\n", encoding="utf-8")
    with pytest.raises(FoldFileError, match="below 0"):
        read_folds(path, rows.ids, partial=True)
