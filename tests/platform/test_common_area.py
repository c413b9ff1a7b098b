"""The area in which a match meets, as candidates and scans have it, is that of the cell that is built."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from layers import MOS2, WSE2

from stackscreen.pairs.common_area import common_area, part_of_bottom, parts_and_areas
from stackscreen.pairs.common_cell import common_cell
from stackscreen.pairs.misfit import MisfitPolicy, share

areas = st.floats(5.0, 400.0)
misfits = st.floats(-0.13, 0.13)
parts = st.floats(0.0, 1.0)


@given(areas, misfits, parts)
def test_the_series_is_the_power_that_it_stands_for(area: float, misfit: float, part: float) -> None:
    other = area * np.exp(misfit)
    assert common_area(area, other, part) == pytest.approx(area ** (1 - part) * other**part, rel=1e-10)


@given(areas, misfits)
def test_half_and_half_is_the_geometric_mean_to_the_last_bit(area: float, misfit: float) -> None:
    other = area * np.exp(misfit)
    assert common_area(area, other, 0.5) == np.sqrt(area * other)


@given(areas, misfits, parts)
def test_swapping_the_layers_changes_no_area(area: float, misfit: float, part: float) -> None:
    other = area * np.exp(misfit)
    assert common_area(area, other, part) == pytest.approx(common_area(other, area, 1 - part), rel=1e-12)


@pytest.mark.parametrize("known", [(130.0, 110.0), (340.0, 20.0), (130.0, None), (None, None)])
@pytest.mark.parametrize("on_bulk", [True, False])
def test_parts_are_those_of_the_default_policy(known: tuple[float | None, float | None], on_bulk: bool) -> None:
    numbers = [np.nan if one is None else one for one in known]
    expected = share(MisfitPolicy.default(on_bulk), *known)
    assert part_of_bottom(*numbers, on_bulk) == pytest.approx(expected[0])


@pytest.mark.parametrize("stiffness", [(134.0, 117.0), (340.0, 20.0), (None, None)])
def test_the_area_is_that_of_the_cell_that_is_built(stiffness: tuple[float | None, float | None]) -> None:
    built = common_cell(MOS2, WSE2, 1, 1, stiffness=stiffness)
    numbers = [np.array([np.nan if one is None else one]) for one in stiffness]
    bottom, top = (np.array([abs(np.linalg.det(layer.cell))]) for layer in (MOS2, WSE2))
    part, area = parts_and_areas(bottom, top, *numbers, np.array([False]))
    assert part == pytest.approx([built.fractions[0]])
    assert area == pytest.approx([abs(np.linalg.det(built.lattice))], rel=1e-9)


def test_a_crystal_keeps_its_area() -> None:
    one, other, stiff = np.array([100.0]), np.array([103.0]), np.array([50.0])
    part, area = parts_and_areas(one, other, stiff, stiff, np.array([True]))
    assert (part[0], area[0]) == (0.0, 100.0)
