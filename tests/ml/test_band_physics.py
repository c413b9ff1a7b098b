"""What follows from the band edges of two layers: orientations, steps, barriers, the limit of a solar cell."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.descriptors.band_alignment import (
    ORIENTATIONS,
    Alignment,
    Faces,
    anderson,
    orientations,
    schottky_barriers,
    vacuum_step,
)
from ml.descriptors.photovoltaics import FILL_FACTOR, POWER, VOLTAGE_LOSS, photocurrent, scharber_limit

energies = st.floats(-8.0, -3.0)
gaps = st.floats(0.05, 4.0)
steps = st.floats(-1.5, 1.5)


@st.composite
def layers(draw: st.DrawFn) -> Faces:
    """A semiconducting layer of any dipole step: all edges move together from face to face."""
    valence, gap, step = draw(energies), draw(gaps), draw(steps)
    return Faces(*(np.array([one]) for one in (valence, valence + gap, valence - step, valence - step + gap)))


def turned(layer: Faces) -> Faces:
    return Faces(layer.vbm_top, layer.cbm_top, layer.vbm_bottom, layer.cbm_bottom)


@given(layers(), layers())
def test_turning_a_layer_over_is_the_orientation_that_says_so(lower: Faces, upper: Faces) -> None:
    found = orientations(lower, upper)
    for aligned, (below, above) in zip(found, ORIENTATIONS, strict=True):
        as_it_is = orientations(turned(lower) if below else lower, turned(upper) if above else upper)[0]
        assert [field[0] for field in aligned] == [field[0] for field in as_it_is]


@given(layers(), layers())
def test_a_stack_upside_down_is_the_same_stack_with_offsets_of_the_other_sign(lower: Faces, upper: Faces) -> None:
    # Upside down the upper layer lies below, and both are turned over.
    one, other = orientations(lower, upper)[0], orientations(turned(upper), turned(lower))[0]
    assert one.kind == other.kind
    assert one.gap == pytest.approx(other.gap)
    assert one.vbo == pytest.approx(-other.vbo)
    assert one.cbo == pytest.approx(-other.cbo)


@given(layers(), layers())
def test_a_polar_layer_moves_against_its_partner_by_its_whole_step(lower: Faces, upper: Faces) -> None:
    as_is, below, above, _ = orientations(lower, upper)
    step_below = vacuum_step(lower.vbm_bottom, lower.vbm_top)
    step_above = vacuum_step(upper.vbm_bottom, upper.vbm_top)
    assert as_is.vbo - below.vbo == pytest.approx(step_below)
    assert as_is.vbo - above.vbo == pytest.approx(step_above)


def test_layers_with_equal_faces_align_in_one_way_only() -> None:
    one, other = (Faces(*map(np.array, (v, c, v, c))) for v, c in ((-6.0, -4.3), (-5.2, -3.6)))
    found = orientations(one, other)
    assert {int(aligned.kind) for aligned in found} == {Alignment.STAGGERED}
    assert len({float(aligned.gap) for aligned in found}) == 1


def test_the_face_that_janus_mosse_shows_to_mos2_decides_where_the_electron_goes() -> None:
    # C2DB, PBE: the valence edge of MoSSe lies at -5.95 eV from the S side and at -5.20 eV from the Se side; gap 1.47.
    janus = Faces(*map(np.array, (-5.20, -3.73, -5.95, -4.48)))  # Se below, S above
    mos2 = Faces(*map(np.array, (-5.89, -4.31, -5.89, -4.31)))
    found = orientations(janus, mos2)
    assert {int(aligned.kind) for aligned in found} == {Alignment.STAGGERED}
    # Its S face lies below MoS2, its Se face above: the electron goes the other way.
    assert found[0].cbo > 0 > found[1].cbo
    assert vacuum_step(janus.vbm_bottom, janus.vbm_top) == pytest.approx(0.75)


@given(energies, energies, gaps)
def test_both_barriers_add_up_to_the_gap_whichever_side_the_metal_is_on(
    fermi: float, valence: float, gap: float
) -> None:
    below = schottky_barriers(fermi, fermi, valence, valence + gap)
    above = schottky_barriers(valence, valence + gap, fermi, fermi)
    assert (below.electron, below.hole) == (above.electron, above.hole)
    assert below.electron + below.hole == pytest.approx(gap)
    assert below.electron == pytest.approx(valence + gap - fermi)


def test_barriers_of_gold_on_mos2_are_those_of_schottky_and_mott() -> None:
    # Work function 5.31 eV, electron affinity 4.31 eV, gap 1.58 eV.
    found = schottky_barriers(-5.31, -5.31, -5.89, -4.31)
    assert (found.electron, found.hole) == (pytest.approx(1.00), pytest.approx(0.58))


@pytest.mark.parametrize(
    "edges",
    [
        (-5.0, -5.0, -4.0, -4.0),  # two metals
        (-6.0, -4.0, -5.0, -3.0),  # two semiconductors
        (-np.inf, -np.inf, -6.0, -4.0),  # a metal whose work function nobody gives
        (np.nan, np.nan, -6.0, -4.0),
        (-5.0, -5.0, np.nan, -4.0),
    ],
)
def test_there_is_no_barrier_without_one_metal_and_one_semiconductor_that_are_known(edges: tuple[float, ...]) -> None:
    assert np.isnan(schottky_barriers(*edges)).all()


def test_the_current_above_a_gap_is_that_of_the_reference_spectrum() -> None:
    # All photons of ASTM G173-03 AM1.5G: 43.8 mA/cm² above silicon's gap, 32.1 above that of gallium arsenide.
    assert photocurrent([1.12, 1.42]) == pytest.approx([43.81, 32.05], abs=0.05)
    assert photocurrent([0.0, 0.1]) == pytest.approx([68.98, 68.98])
    assert photocurrent([4.5, 9.0]) == pytest.approx([0.0, 0.0])
    assert np.isnan(photocurrent(np.nan))


def test_the_current_falls_with_the_gap_without_a_jump() -> None:
    current = photocurrent(np.linspace(0.2, 4.6, 5000))
    assert (np.diff(current) <= 1e-12).all()
    assert np.abs(np.diff(current)).max() < 0.07


def test_the_limit_of_a_known_pair_follows_from_scharbers_formula() -> None:
    # Donor gap 1.5 eV, conduction offset 0.3 eV: 0.65 * (1.5 - 0.3 - 0.3) V * 29.0 mA/cm² / 100 mW/cm² = 16.9 %.
    donor, acceptor = (-5.0, -3.5), (-5.6, -3.8)
    expected = FILL_FACTOR * (1.2 - VOLTAGE_LOSS) * float(photocurrent(1.5)) / POWER
    assert scharber_limit(*donor, *acceptor) == pytest.approx(expected)
    assert expected == pytest.approx(0.169, abs=0.002)


@given(layers(), layers())
def test_the_limit_does_not_depend_on_which_layer_lies_below_and_is_for_staggered_pairs_only(
    lower: Faces, upper: Faces
) -> None:
    edges = (lower.vbm_top, lower.cbm_top, upper.vbm_bottom, upper.cbm_bottom)
    limit, swapped = scharber_limit(*edges), scharber_limit(*edges[2:], *edges[:2])
    np.testing.assert_array_equal(limit, swapped)
    assert np.isfinite(limit) == (anderson(*edges).kind == Alignment.STAGGERED)
    # Without an offset, at a gap of 1.34 eV: no pair does better.
    assert not limit > 0.237


def test_a_pair_whose_voltage_is_lost_altogether_converts_nothing() -> None:
    assert scharber_limit(-5.0, -3.8, -6.0, -4.75) == 0.0
    assert np.isnan(scharber_limit(-5.0, -5.0, -6.0, -4.0))
    assert np.isnan(scharber_limit(np.nan, -3.8, -6.0, -4.75))
