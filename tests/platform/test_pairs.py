"""The pair engine finds the smallest coincidence lattice, and it is really one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.analysis.interfaces.zsl import ZSLGenerator

from schema.errors import StackscreenError
from schema.plane_lattice import PlaneLattice
from stackscreen.pairs import NoCoincidenceError, PairLimits, ShapeTable, match_row, solve_pair
from stackscreen.pairs.solution import hermite_normal_forms, principal_strains, von_mises_strain

LIMITS = PairLimits(max_strain=0.03, max_area=100.0, max_atoms=200)


def _basis(a: float, b: float, gamma: float) -> np.ndarray:
    g = np.radians(gamma)
    return np.array([[a, 0.0], [b * np.cos(g), b * np.sin(g)]])


def _table(bases: list[np.ndarray], atoms: list[int], limits: PairLimits = LIMITS) -> ShapeTable:
    lattices = [PlaneLattice.from_vectors(*basis) for basis in bases]
    return ShapeTable.build(
        np.array([lattice.ln_area for lattice in lattices]),
        np.array([lattice.tau for lattice in lattices]),
        np.array(atoms),
        limits,
    )


def _match(one: np.ndarray, other: np.ndarray, limits: PairLimits = LIMITS, atoms: tuple[int, int] = (1, 1)):
    row = match_row(_table([one, other], list(atoms), limits), 0, np.array([1]))
    return int(row.n[0]), int(row.m[0]), float(row.strain[0])


lattices = st.one_of(
    st.builds(lambda a: _basis(a, a, 120.0), st.floats(2.4, 6.0)),
    st.builds(lambda a: _basis(a, a, 90.0), st.floats(2.4, 6.0)),
    st.builds(lambda a, b: _basis(a, b, 90.0), st.floats(2.4, 6.0), st.floats(2.4, 7.0)),
    st.builds(lambda a, g: _basis(a, a, g), st.floats(2.4, 6.0), st.floats(60.0, 120.0)),
    st.builds(_basis, st.floats(2.4, 6.0), st.floats(2.4, 7.0), st.floats(60.0, 120.0)),
)


def _exhaustive(one: np.ndarray, other: np.ndarray, limits: PairLimits) -> tuple[float, float] | None:
    """Least n·m and its least strain by pymatgen's Zur-McGill search with wide tolerances, same strain measure."""
    generator = ZSLGenerator(
        max_area_ratio_tol=0.2, max_area=limits.max_area, max_length_tol=0.1, max_angle_tol=0.1, bidirectional=False
    )
    flat = [np.column_stack([basis, np.zeros(2)]) for basis in (other, one)]
    best = None
    for match in generator(*flat):
        film, substrate = (np.array(v)[:, :3] for v in (match.film_sl_vectors, match.substrate_sl_vectors))
        # lengths and angle, as the search itself sees them: handedness aside
        gram = [v @ v.T for v in (substrate, film)]
        roots = [np.linalg.cholesky(g) for g in gram]
        stretch = np.linalg.svd(np.linalg.solve(roots[0], roots[1]).T, compute_uv=False)
        strain = float(np.abs(np.log(stretch)).max())
        areas = [np.sqrt(np.linalg.det(g)) for g in gram]
        if strain > limits.max_strain or max(areas) > limits.max_area:
            continue
        n, m = round(areas[0] / abs(np.linalg.det(one))), round(areas[1] / abs(np.linalg.det(other)))
        key = (n * m, strain)
        best = key if best is None else min(best, key)
    return best


@settings(max_examples=60, deadline=None)
@given(lattices, lattices)
def test_an_exhaustive_search_finds_nothing_smaller_or_less_strained(one, other) -> None:
    n, m, strain = _match(one, other)
    exhaustive = _exhaustive(one, other, LIMITS)
    if n == 0:
        assert exhaustive is None
        return
    # What is found is real: explicit integer matrices give this strain ...
    solution = solve_pair(one, other, n, m)
    assert solution.max_strain == pytest.approx(strain, abs=1e-8)
    # ... and the exhaustive search, which can miss pairs of nearly equal vectors, finds nothing better.
    if exhaustive is not None:
        assert (n * m, round(strain, 7)) <= (exhaustive[0], round(exhaustive[1], 7) + 1e-7)


@settings(max_examples=60, deadline=None)
@given(lattices, lattices)
def test_exchanging_the_layers_exchanges_the_indices(one, other) -> None:
    n, m, strain = _match(one, other)
    m_2, n_2, strain_2 = _match(other, one)
    assert (n, m) == (n_2, m_2) or (n * m == n_2 * m_2 and strain == pytest.approx(strain_2, abs=1e-9))
    assert strain == pytest.approx(strain_2, abs=1e-9, nan_ok=True)


@settings(max_examples=40, deadline=None)
@given(lattices, lattices, st.floats(0, 360), st.sampled_from([((1, 1), (0, 1)), ((0, 1), (1, 0)), ((2, 1), (1, 1))]))
def test_the_answer_does_not_depend_on_the_choice_of_cell(one, other, turn, change) -> None:
    t = np.radians(turn)
    rotated = np.array(change) @ other @ np.array([[np.cos(t), np.sin(t)], [-np.sin(t), np.cos(t)]])
    assert _match(one, rotated) == pytest.approx(_match(one, other), abs=1e-7, nan_ok=True)


@settings(max_examples=40, deadline=None)
@given(lattices, st.integers(1, 6))
def test_a_lattice_coincides_with_its_own_superlattice_without_strain(basis, index) -> None:
    for form in hermite_normal_forms(index):
        n, m, strain = _match(basis, form @ basis)
        assert n * m <= index
        assert strain == pytest.approx(0.0, abs=1e-6) or n * m < index


def test_the_number_of_superlattices_is_the_divisor_sum() -> None:
    assert [len(hermite_normal_forms(n)) for n in range(1, 13)] == [1, 3, 4, 7, 6, 12, 8, 15, 13, 18, 12, 28]


def test_graphene_on_hexagonal_boron_nitride_is_one_on_one_with_1p8_percent_misfit() -> None:
    # a = 2.460 and 2.505 Å: ln(2.505 / 2.460) = 1.81 %
    assert _match(_basis(2.46, 2.46, 120), _basis(2.505, 2.505, 120)) == pytest.approx((1, 1, 0.01813), abs=1e-5)


def test_a_rotated_superlattice_is_found_with_its_twist() -> None:
    # The commensurate 21.79° cell of twisted graphene: index 7, vectors (2, 1).
    graphene = _basis(2.46, 2.46, 60)
    rotated = np.array([[2, 1], [-1, 3]]) @ graphene
    turn = np.arctan2(rotated[0, 1], rotated[0, 0])
    back = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    seven = rotated @ back
    assert _match(graphene, seven)[:2] == (7, 1)
    solution = solve_pair(graphene, seven, 7, 1)
    assert solution.max_strain == pytest.approx(0.0, abs=1e-9)
    assert min(abs(abs(solution.twist) % 60 - x) for x in (19.107, 40.893, 0)) < 0.01


def test_the_matrices_deformation_and_strains_of_a_solution_agree() -> None:
    one, other = _basis(3.18, 3.18, 120), _basis(2.95, 5.11, 84)
    n, m, strain = _match(one, other, PairLimits(0.03, 400.0, 500))
    solution = solve_pair(one, other, n, m)
    assert abs(round(np.linalg.det(solution.bottom_matrix))) == n
    assert abs(round(np.linalg.det(solution.top_matrix))) == m
    mapped = (solution.bottom_matrix @ one) @ solution.deformation.T
    assert mapped == pytest.approx(solution.top_matrix @ other, abs=1e-9)
    areas = np.log([abs(np.linalg.det(one)), abs(np.linalg.det(other))])
    first, second = principal_strains(areas[0], areas[1], n, m, strain)
    assert (float(first), float(second)) == pytest.approx(solution.strains, abs=1e-8)


def test_an_oblique_lattice_meets_its_mirror_image_only_turned_over() -> None:
    oblique = _basis(3.0, 4.1, 77.0)
    mirrored = oblique * [1, -1]
    assert _match(oblique, mirrored)[:2] == (1, 1)
    assert solve_pair(oblique, mirrored, 1, 1).flip
    assert not solve_pair(oblique, oblique, 1, 1).flip
    # A lattice with a mirror of its own needs no turning.
    assert not solve_pair(_basis(3.0, 4.1, 90.0), _basis(3.0, 4.1, 90.0) * [1, -1], 1, 1).flip


def test_the_von_mises_strain_is_pymatgens() -> None:
    from pymatgen.analysis.elasticity import Strain

    for first, second in ((0.02, 0.02), (0.02, -0.01), (0.0, 0.015)):
        expected = Strain(np.diag([first, second, 0.0])).von_mises_strain
        assert float(von_mises_strain(np.float64(first), np.float64(second))) == pytest.approx(expected)


def test_the_atom_and_area_limits_hold() -> None:
    one, other = _basis(3.18, 3.18, 120), _basis(2.46, 2.46, 120)
    n, m, _ = _match(one, other, PairLimits(0.03, 400, 200), atoms=(3, 2))
    assert n
    assert 3 * n + 2 * m <= 200
    assert _match(one, other, PairLimits(0.03, 400, 3 * n + 2 * m - 1), atoms=(3, 2))[:2] != (n, m)
    assert _match(one, other, PairLimits(0.03, 10.0, 200), atoms=(3, 2)) == pytest.approx((0, 0, np.nan), nan_ok=True)


@pytest.mark.parametrize("limits", [(0.0, 400, 200), (0.5, 400, 200), (0.02, -1, 200), (0.02, 400, 0)])
def test_limits_that_make_no_sense_are_refused(limits) -> None:
    with pytest.raises(StackscreenError, match="must"):
        PairLimits(*limits)


def test_indices_of_no_supercell_are_refused() -> None:
    with pytest.raises(NoCoincidenceError, match="describe no supercell"):
        solve_pair(_basis(3, 3, 90), _basis(3, 3, 90), 0, 1)
