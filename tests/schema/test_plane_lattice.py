"""The reduced in-plane lattice does not depend on how a cell was chosen."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schema.plane_lattice import DegenerateLatticeError, PlaneLattice

lengths = st.floats(1.5, 30.0)
angles = st.floats(20.0, 160.0)
unimodular = st.lists(
    st.sampled_from([((1, 1), (0, 1)), ((1, 0), (1, 1)), ((0, 1), (1, 0)), ((-1, 0), (0, 1))]), max_size=6
)


def _vectors(a: float, b: float, gamma: float, turn: float) -> np.ndarray:
    g, t = np.radians([gamma, turn])
    rows = np.array([[a, 0.0], [b * np.cos(g), b * np.sin(g)]])
    rotation = np.array([[np.cos(t), np.sin(t)], [-np.sin(t), np.cos(t)]])
    return rows @ rotation


@given(lengths, lengths, angles, st.floats(0, 360), unimodular)
def test_any_cell_any_orientation_gives_the_same_point(a, b, gamma, turn, steps) -> None:
    vectors = _vectors(a, b, gamma, 0.0)
    first = PlaneLattice.from_vectors(*vectors)
    other = _vectors(a, b, gamma, turn)
    for step in steps:
        other = np.array(step) @ other
    second = PlaneLattice.from_vectors(*other)
    assert second.ln_area == pytest.approx(first.ln_area, abs=1e-9)
    # At Re tau = 0 and 1/2 and on the unit circle two names of a point meet, so lengths are compared, not names.
    assert second.lengths_and_angle == pytest.approx(first.lengths_and_angle, rel=1e-6)


@given(lengths, lengths, angles)
def test_the_reduced_basis_is_reduced_and_is_a_basis(a, b, gamma) -> None:
    vectors = _vectors(a, b, gamma, 17.0)
    lattice = PlaneLattice.from_vectors(*vectors)
    assert abs(round(np.linalg.det(lattice.transform))) == 1
    assert lattice.transform @ vectors == pytest.approx(lattice.basis, abs=1e-9)
    tau = lattice.tau
    assert 0 <= tau.real <= 0.5
    assert abs(tau) >= 1 - 1e-9


def test_graphene_is_the_hexagonal_point() -> None:
    lattice = PlaneLattice.from_vectors([2.46, 0.0], [-1.23, 2.46 * np.sqrt(3) / 2])
    assert lattice.area == pytest.approx(5.2409, abs=1e-3)
    assert lattice.tau == pytest.approx(complex(0.5, np.sqrt(3) / 2))


@pytest.mark.parametrize("vectors", [([1.0, 0.0], [2.0, 0.0]), ([np.nan, 0.0], [0.0, 1.0]), ([0.0, 0.0], [0.0, 3.0])])
def test_vectors_that_span_nothing_are_refused(vectors) -> None:
    with pytest.raises(DegenerateLatticeError, match="span no area"):
        PlaneLattice.from_vectors(*vectors)
