"""Solar cells of two layers with a staggered alignment: an upper limit of their power conversion.

Light is absorbed by the donor, the layer with the higher edges; the electron goes to the acceptor. M. C. Scharber et
al., Adv. Mater. 18, 789 (2006), for polymer and fullerene; for pairs of layers M. Bernardi et al., ACS Nano 6, 10082
(2012), and J. Linghu et al., ACS Appl. Mater. Interfaces 10, 32142 (2018), with every photon giving an electron:

    η = β_FF (E_g^d − ΔE_c − 0.3 eV)/e · J(E_g^d) / P ,   β_FF = 0.65

with E_g^d the donor's gap, ΔE_c = E_c(donor) − E_c(acceptor), J(E) the current of all photons above E and P the power
of the light. E_g^d − ΔE_c = E_c(acceptor) − E_v(donor) is the gap of the pair.

Where it stops being valid: no layer a few atoms thin absorbs every photon, so it is a limit for thick stacks of such
pairs; fill factor and the loss of 0.3 eV are those of polymer cells of 2006; excitons bound by more than ΔE_c do not
split; the gap is the one of the edges given, where light sees the optical one, and an indirect gap counts like a direct
one. PBE edges give gaps that are too small: the current then is too large and the voltage too small, so that the limit
may err either way and by several per cent of the light's power; compare pairs by it, and take HSE06 or G0W0 edges for
its value.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

FILL_FACTOR: Final = 0.65
VOLTAGE_LOSS: Final = 0.3
"""V between the pair's gap and the open-circuit voltage (Scharber et al. 2006)."""
POWER: Final = 100.037
"""mW/cm² of the spectrum below, 280 to 4000 nm."""

# Current of one electron per photon of at least the energy, mA/cm²: trapezoidal integral of ASTM G173-03, "global tilt"
# (AM1.5G), 2002 wavelengths from 280 to 4000 nm, made with SMARTS 2.9.2 and published by NREL ("Reference Air Mass 1.5
# Spectra"). Between these energies J is read off a straight line: the largest error is 0.15 mA/cm² (at 0.63 eV), the
# root mean square 0.02 mA/cm². Below 0.31 eV (4000 nm) the spectrum ends.
_FIRST, _STEP = 0.30, 0.02
_CURRENT: Final = np.array((
    68.98, 68.69, 68.06, 67.45, 67.15, 66.95, 66.81, 66.77, 66.77, 66.77, 66.75, 66.20, 65.36, 64.32, 63.24, 62.20,
    61.53, 61.09, 61.08, 61.08, 60.70, 59.60, 58.33, 57.03, 55.74, 54.46, 53.22, 52.47, 52.15, 52.06, 52.06, 52.06,
    51.46, 50.44, 49.35, 48.22, 47.11, 46.12, 45.20, 44.56, 44.23, 43.81, 42.92, 41.95, 40.97, 39.99, 39.01, 38.05,
    37.11, 36.33, 35.82, 35.44, 35.03, 34.34, 33.67, 32.88, 32.05, 31.24, 30.46, 29.68, 28.97, 28.33, 27.63, 26.90,
    26.19, 25.47, 24.82, 24.40, 23.71, 23.06, 22.46, 21.91, 21.37, 20.76, 20.18, 19.65, 19.11, 18.54, 17.99, 17.46,
    16.97, 16.47, 15.97, 15.49, 15.04, 14.59, 14.14, 13.71, 13.28, 12.87, 12.48, 12.10, 11.71, 11.34, 10.97, 10.62,
    10.27, 9.93, 9.60, 9.27, 8.96, 8.64, 8.34, 8.05, 7.76, 7.50, 7.24, 6.96, 6.70, 6.45, 6.20, 5.95, 5.72, 5.50, 5.27,
    5.04, 4.82, 4.61, 4.40, 4.20, 4.00, 3.80, 3.62, 3.43, 3.26, 3.10, 2.95, 2.81, 2.67, 2.55, 2.45, 2.33, 2.20, 2.09,
    1.97, 1.86, 1.75, 1.65, 1.55, 1.45, 1.35, 1.27, 1.22, 1.17, 1.11, 1.06, 1.01, 0.97, 0.92, 0.87, 0.82, 0.78, 0.74,
    0.69, 0.64, 0.60, 0.56, 0.53, 0.50, 0.47, 0.44, 0.41, 0.37, 0.35, 0.32, 0.30, 0.27, 0.25, 0.22, 0.20, 0.18, 0.16,
    0.14, 0.12, 0.10, 0.08, 0.07, 0.06, 0.05, 0.04, 0.03, 0.02, 0.02, 0.01, 0.01, 0.00,
))  # fmt: skip


def photocurrent(gap: ArrayLike) -> NDArray[np.float64]:
    """Current of all photons of AM1.5G sunlight above a gap, one electron each, mA/cm²; NaN for NaN.

    Args:
        gap: eV.
    """
    energy = np.asarray(gap, float)
    # Evenly spaced: the place in the table is a division, which is faster than a search.
    at = np.clip((energy - _FIRST) / _STEP, 0.0, len(_CURRENT) - 1.0)
    known = np.isfinite(energy)
    below = np.minimum(np.where(known, at, 0.0).astype(np.int64), len(_CURRENT) - 2)
    part = np.where(known, at, np.nan) - below
    return _CURRENT[below] + part * (_CURRENT[below + 1] - _CURRENT[below])


def scharber_limit(vbm_a: ArrayLike, cbm_a: ArrayLike, vbm_b: ArrayLike, cbm_b: ArrayLike) -> NDArray[np.float64]:
    """Upper limit of the power conversion of staggered pairs, 0 to 1.

    Args:
        vbm_a, cbm_a, vbm_b, cbm_b: band edges against the vacuum level of the facing faces, eV, broadcastable, as in
            `ml.descriptors.band_alignment.anderson`.

    Returns:
        See the module; 0 where the voltage would not be positive, NaN unless the alignment is staggered (type II).
    """
    va, ca, vb, cb = np.broadcast_arrays(*(np.asarray(x, float) for x in (vbm_a, cbm_a, vbm_b, cbm_b)))
    with np.errstate(invalid="ignore"):
        a_gives = (ca > cb) & (va > vb)
        b_gives = (cb > ca) & (vb > va)
        gap = np.minimum(ca, cb) - np.maximum(va, vb)
        staggered = (a_gives | b_gives) & (gap > 0) & (ca > va) & (cb > vb)
        donor_gap = np.where(staggered, np.where(a_gives, ca - va, cb - vb), np.nan)
        voltage = np.maximum(gap - VOLTAGE_LOSS, 0.0)
        return FILL_FACTOR * voltage * photocurrent(donor_gap) / POWER
