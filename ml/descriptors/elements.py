"""Element data, as arrays indexed by atomic number, from the tables that matminer and ASE carry.

Nothing is typed in by hand here, so that a number's source is the library's, but for `CORRECTIONS`:

- Magpie tables: L. Ward et al., npj Comput. Mater. 2, 16028 (2016), through matminer;
- free-atom C6 and polarizability: X. Chu and A. Dalgarno, J. Chem. Phys. 121, 4083 (2004), and V. G. Ruiz et al.,
  Phys. Rev. Lett. 108, 146103 (2012), through ASE;
- van der Waals radii: S. Alvarez, Dalton Trans. 42, 8617 (2013), through ASE.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matminer.utils.data import MagpieData

MAX_Z = 118
BOHR = 0.529177210903
HARTREE = 27.211386245988

CORRECTIONS: dict[str, dict[str, float]] = {"Polarizability": {"Bi": 7.4}}
"""Entries of Magpie's tables that are misprints, by table and element, in the table's own unit.

Bismuth's polarizability stands there as 0.4 Å³, where the CRC Handbook, which the table is taken from, has 7.4: 48 ± 4
atomic units, 7.1 ± 0.6 Å³, is recommended (P. Schwerdtfeger and J. K. Nagle, Mol. Phys. 117, 1200 (2019)). All others
from hydrogen to nobelium lie within a factor of 1.5 of the values recommended there, and stay as they are.
"""


@cache
def _magpie() -> MagpieData:
    from matminer.utils.data import MagpieData

    return MagpieData(impute_nan=True)


@cache
def magpie_table(name: str) -> NDArray[np.float64]:
    """One Magpie element property by atomic number, shape (119,); row 0 is NaN.

    An element without a value gets the mean over the elements that have one, exactly as matminer's
    `ElementProperty.from_preset("magpie")` does by default. `CORRECTIONS` replace what is misprinted.

    Args:
        name: a Magpie table, for example "Electronegativity".
    """
    from ase.data import chemical_symbols

    values = {**_magpie().all_elemental_props[name], **CORRECTIONS.get(name, {})}
    out = np.array([np.nan] + [values[symbol] for symbol in chemical_symbols[1 : MAX_Z + 1]])
    out.setflags(write=False)
    return out


@cache
def vdw_radius() -> NDArray[np.float64]:
    """Van der Waals radius by atomic number, Å, shape (119,) (Alvarez 2013; 2.5 Å where none is known)."""
    from ase.data.vdw_alvarez import vdw_radii

    out = np.full(MAX_Z + 1, 2.5)
    known = np.asarray(vdw_radii, float)[: MAX_Z + 1]
    out[: len(known)] = np.where(np.isfinite(known), known, 2.5)
    out.setflags(write=False)
    return out


@cache
def polarizability() -> NDArray[np.float64]:
    """Free-atom static dipole polarizability by atomic number, Å³, shape (119,) (CRC Handbook, through Magpie)."""
    return magpie_table("Polarizability")


@cache
def c6() -> NDArray[np.float64]:
    """Free-atom homonuclear C6 by atomic number, eV Å⁶, shape (119,).

    Chu-Dalgarno and Ruiz values where tabulated. Elsewhere London's estimate ¾ I α² (F. London, Trans. Faraday Soc.
    33, 8 (1937)), I the first ionisation energy, scaled by the median ratio of table to estimate over the tabulated
    elements. The estimate is good to a factor of about 1.5, which is why energies built on it are calibrated.
    """
    from ase.calculators.vdwcorrection import vdWDB_alphaC6
    from ase.data import atomic_numbers

    ionisation = magpie_table("FirstIonizationEnergy")
    london = 0.75 * ionisation * polarizability() ** 2
    table = np.full(MAX_Z + 1, np.nan)
    for symbol, (_, value) in cast(dict[str, list[float]], vdWDB_alphaC6).items():
        table[atomic_numbers[symbol]] = value * HARTREE * BOHR**6
    scale = float(np.nanmedian(table / london))
    out = np.where(np.isfinite(table), table, scale * london)
    out.setflags(write=False)
    return out
