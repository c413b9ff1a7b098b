"""Who carries the misfit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackscreen.pairs.misfit import MisfitPolicy, mean_stiffness, share

STIFFNESS = st.floats(1.0, 1000.0)


@given(bottom=STIFFNESS, top=STIFFNESS)
def test_shares_by_stiffness_cost_least_elastic_energy(bottom: float, top: float) -> None:
    def energy(part: float) -> float:
        return bottom * part**2 + top * (1 - part) ** 2

    below, above = share(MisfitPolicy.STIFFNESS, bottom, top)
    assert below + above == pytest.approx(1.0)
    assert energy(below) <= min(energy(below + 0.01), energy(below - 0.01))


@pytest.mark.parametrize("known", [(None, None), (100.0, None), (None, 100.0)])
def test_where_a_stiffness_is_not_known_both_carry_half(known: tuple[float | None, float | None]) -> None:
    assert share(MisfitPolicy.STIFFNESS, *known) == (0.5, 0.5)


def test_other_policies_do_not_look_at_stiffness() -> None:
    assert share(MisfitPolicy.EQUAL, 1.0, 1000.0) == (0.5, 0.5)
    assert share(MisfitPolicy.TOP, 1.0, 1000.0) == (0.0, 1.0)
    assert share(MisfitPolicy.BOTTOM, 1.0, 1000.0) == (1.0, 0.0)


def test_a_film_on_a_crystal_carries_all_by_default() -> None:
    assert MisfitPolicy.default(bottom_is_surface=True) is MisfitPolicy.TOP
    assert MisfitPolicy.default(bottom_is_surface=False) is MisfitPolicy.STIFFNESS


@pytest.mark.parametrize("wrong", [(None, 130.0), (130.0, float("nan")), (-5.0, 130.0), (0.0, 130.0)])
def test_an_unstable_or_unknown_layer_has_no_stiffness(wrong: tuple[float | None, float | None]) -> None:
    assert mean_stiffness(*wrong) is None
    assert mean_stiffness(120.0, 130.0) == 125.0
