"""Functions of energy or wave vector that belong to a record: densities of states, bands, phonons, stiffness.

Energies are on the scale that `reference` names, and `fermi_energy` and `vacuum_level` lie on the same scale, so that
every spectrum can be referred to either.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from schema.vocabulary import EnergyReference, Method

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Projection:
    """The part of a density of states that one element, or one site, contributes.

    Attributes:
        orbital: s, p, d or f; None for their sum.
        site: index of the atom in the record's structure; None for all atoms of the element.
        values: states/eV per cell, shape (spins, n).
    """

    element: str
    orbital: str | None
    values: FloatArray
    site: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class DensityOfStates:
    """Electronic density of states.

    Attributes:
        energies: eV, ascending, shape (n,).
        total: states/eV per cell, shape (spins, n); spins is 1 or 2. None where only projections are given.
        fermi_energy, vacuum_level: eV on the scale of `energies`; None where not known.
    """

    method: Method
    reference: EnergyReference
    energies: FloatArray
    total: FloatArray | None
    fermi_energy: float | None = None
    vacuum_level: float | None = None
    spin_orbit: bool = False
    projections: list[Projection] = field(default_factory=list)


@dataclass(frozen=True, slots=True, eq=False)
class BandStructure:
    """Electronic bands along a path.

    Attributes:
        wave_vectors: in units of the reciprocal cell of the record's structure, shape (k, 3).
        energies: eV, shape (spins, k, bands).
        labels: names of special points and their indices along the path.
    """

    method: Method
    reference: EnergyReference
    wave_vectors: FloatArray
    energies: FloatArray
    labels: list[tuple[int, str]]
    fermi_energy: float | None = None
    vacuum_level: float | None = None
    spin_orbit: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class PhononSpectrum:
    """Phonon frequencies.

    Attributes:
        wave_vectors: in units of the reciprocal cell of the record's structure, shape (q, 3).
        energies: meV, imaginary ones negative, shape (q, 3 n_atoms).
    """

    method: Method
    wave_vectors: FloatArray
    energies: FloatArray
    labels: list[tuple[int, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True, eq=False)
class StiffnessTensor:
    """In-plane stiffness.

    Attributes:
        tensor: N/m, rows and columns xx, yy, xy (Voigt), shape (3, 3).
    """

    method: Method
    tensor: FloatArray


Spectrum = DensityOfStates | BandStructure | PhononSpectrum | StiffnessTensor
