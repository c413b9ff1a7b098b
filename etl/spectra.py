"""Functions of energy or wave vector that belong to a record: densities of states, bands, phonons, stiffness.

Energies are on the scale that `reference` names, and `fermi_energy` and `vacuum_level` lie on the same scale, so that
every spectrum can be referred to either. Arrays are kept in single precision: 4e-6 eV at 60 eV.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ase.data import atomic_numbers
from numpy.typing import NDArray

from schema.vocabulary import EnergyReference, Method

FloatArray = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Projection:
    """The part of a density of states that one element contributes.

    Attributes:
        orbital: s, p, d or f; None for their sum.
        values: states/eV per cell of all atoms of the element, shape (spins, n).
    """

    element: str
    orbital: str | None
    values: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class DensityOfStates:
    """Electronic density of states.

    Attributes:
        energies: eV, ascending, shape (n,).
        total: states/eV per cell, shape (spins, n); a single channel counts both spins. None where only projections
            are given.
        fermi_energy, vacuum_level: eV on the scale of `energies`; None where not known.
        projections: onto atomic orbitals; they need not add up to `total`.
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
        wave_vectors: in units of the reciprocal vectors of the source's own cell, shape (k, 3).
        energies: eV, shape (spins, k, bands); with spin-orbit coupling one channel holds the bands of both spins.
        labels: indices of special points along the path, from 0, and their names.
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
    """Phonon energies ħω.

    Attributes:
        wave_vectors: in units of the reciprocal vectors of the source's own cell, shape (q, 3).
        energies: meV, imaginary ones negative, shape (q, 3 n_atoms).
        interpolated: whether they lie between the wave vectors that the supercell holds exactly. A small supercell
            makes interpolated modes near Γ imaginary that are not: stability is to be read off the exact ones.
    """

    method: Method
    wave_vectors: FloatArray
    energies: FloatArray
    labels: list[tuple[int, str]] = field(default_factory=list)
    interpolated: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class StiffnessTensor:
    """In-plane stiffness.

    Attributes:
        tensor: N/m, rows and columns xx, yy, xy in Voigt's convention (stress per engineering shear 2 ε_xy), so that
            an isotropic layer has C66 = (C11 - C12)/2; shape (3, 3).
    """

    method: Method
    tensor: FloatArray


Spectrum = DensityOfStates | BandStructure | PhononSpectrum | StiffnessTensor

UNREADABLE = "unreadable_spectrum"
"""Rule by which a spectrum is doubted."""
LARGEST = 1e30
"""A number beyond this would not survive single precision, and means nothing in any unit."""
_ORBITALS = frozenset({"s", "p", "d", "f", None})


def name_of(spectrum: Spectrum) -> str:
    """What a kind of spectrum is called where one is doubted."""
    return _NAMES[type(spectrum)]


def identity_of(spectrum: Spectrum) -> tuple[object, ...]:
    """Kind and level of theory: a record has at most one spectrum of each."""
    variant = getattr(spectrum, "spin_orbit", None), getattr(spectrum, "interpolated", None)
    return (type(spectrum), spectrum.method, *variant)


def fault_of(spectrum: Spectrum) -> str | None:
    """What makes a spectrum unusable, as a sentence; None if it is what its class promises."""
    if isinstance(spectrum, DensityOfStates):
        return _fault_of_density(spectrum)
    if isinstance(spectrum, StiffnessTensor):
        return None if _is_shaped(spectrum.tensor, 3, 3) else "The tensor is not 3 × 3 finite numbers."
    vectors, energies = spectrum.wave_vectors, spectrum.energies
    if not _is_shaped(vectors, None, 3):
        return "The wave vectors are not rows of three finite numbers."
    if isinstance(spectrum, PhononSpectrum):
        good = _is_shaped(energies, len(vectors), None) and energies.shape[1] % 3 == 0
    else:
        good = _is_shaped(energies, None, len(vectors), None) and len(energies) <= 2
    if not good:
        return "The energies are not finite numbers, one set a wave vector."
    if not all(0 <= place < len(vectors) for place, _ in spectrum.labels):
        return "A special point lies beyond the path."
    return None


def spectrum_bytes(spectrum: Spectrum) -> int:
    """Bytes of all arrays of a spectrum, as it is in memory."""
    arrays = [getattr(spectrum, name) for name in spectrum.__dataclass_fields__]
    if isinstance(spectrum, DensityOfStates):
        arrays += [projection.values for projection in spectrum.projections]
    return sum(array.nbytes for array in arrays if isinstance(array, np.ndarray))


def _fault_of_density(spectrum: DensityOfStates) -> str | None:
    grid = spectrum.energies
    # In single precision, as it is stored.
    if not _is_shaped(grid, None) or len(grid) < 2 or not (np.diff(grid.astype(np.float32)) > 0).all():
        return "The energies are not an ascending grid of finite numbers."
    arrays = [projection.values for projection in spectrum.projections]
    if spectrum.total is not None:
        arrays.append(spectrum.total)
    if not arrays:
        return "There is neither a total nor a projection."
    spins = len(arrays[0])
    if spins not in (1, 2) or not all(_is_shaped(values, spins, len(grid)) for values in arrays):
        return "The densities are not finite numbers, one an energy and spin."
    named = [(projection.element, projection.orbital) for projection in spectrum.projections]
    if len(set(named)) < len(named):
        return "Two projections have one name."
    for element, orbital in named:
        if element not in atomic_numbers or element == "X" or orbital not in _ORBITALS:
            return f"There is no projection onto {element!r} {orbital!r}."
    return None


def _is_shaped(array: FloatArray, *shape: int | None) -> bool:
    """Whether it is an array of these lengths (None for any but 0) with finite numbers."""
    if array.ndim != len(shape) or not array.size:
        return False
    fits = all(want is None or want == have for want, have in zip(shape, array.shape, strict=True))
    return fits and bool((np.abs(array) < LARGEST).all())


_NAMES: dict[type, str] = {
    DensityOfStates: "density_of_states",
    BandStructure: "band_structure",
    PhononSpectrum: "phonons",
    StiffnessTensor: "stiffness",
}
