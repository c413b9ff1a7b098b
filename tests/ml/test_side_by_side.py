"""Trainings side by side give what they give one after the other."""

from functools import partial

import pytest

from ml.side_by_side import OnStep, side_by_side


def square(number: int, on_step: OnStep) -> int:
    on_step(f"squared {number}")
    if number < 0:
        raise ValueError(f"{number} is negative")
    return number * number


@pytest.mark.parametrize("processes", [1, 2])
def test_results_come_in_the_order_of_the_jobs_and_every_step_is_told(processes: int) -> None:
    said: list[str] = []
    assert side_by_side([partial(square, n) for n in range(5)], processes, said.append) == [0, 1, 4, 9, 16]
    assert sorted(said) == [f"squared {n}" for n in range(5)]


@pytest.mark.parametrize("processes", [1, 2])
def test_an_error_in_one_is_raised(processes: int) -> None:
    with pytest.raises(ValueError, match="-1 is negative"):
        side_by_side([partial(square, n) for n in (1, -1, 2)], processes, lambda _: None)
