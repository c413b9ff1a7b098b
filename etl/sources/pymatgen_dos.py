"""Densities of states written as pymatgen dictionaries (`CompleteDos.as_dict()`), read without building its objects."""

from __future__ import annotations

from typing import Any

import numpy as np

from etl.spectra import DensityOfStates, FloatArray, Projection
from schema.vocabulary import EnergyReference, Method

_SPINS = (("1",), ("1", "-1"))
"""Keys of the densities: up alone, which then counts both spins, or up and down."""


def dos_from_dict(dos: Any, method: Method) -> DensityOfStates:
    """The density of states in a dictionary, its projections summed over the atoms of each element.

    Raises:
        ValueError, TypeError, KeyError, IndexError: it is no such dictionary.
    """
    energies = np.array(dos["energies"], float)
    total = _densities(dos["densities"], len(energies))
    return DensityOfStates(
        method,
        EnergyReference.CALCULATION,
        energies,
        total,
        None if dos.get("efermi") is None else float(dos["efermi"]),
        projections=_projections(dos, total.shape),
    )


def _densities(by_spin: dict[str, Any], points: int) -> FloatArray:
    names = next((names for names in _SPINS if set(by_spin) == set(names)), None)
    if names is None:
        raise ValueError(f"the spins are {sorted(by_spin)}")
    return np.array([by_spin[name] for name in names], float).reshape(len(names), points)


def _projections(dos: dict[str, Any], shape: tuple[int, ...]) -> list[Projection]:
    """By element and orbital where the sites are resolved, else by element, else none."""
    sites = dos.get("pdos")
    if not sites:
        elements = dos.get("atom_dos") or {}
        return [Projection(name, None, _densities(part["densities"], shape[1])) for name, part in elements.items()]
    species = [site["species"][0]["element"] for site in dos["structure"]["sites"]]
    sums: dict[tuple[str, str], FloatArray] = {}
    for element, orbitals in zip(species, sites, strict=True):
        for orbital, part in orbitals.items():
            # px, dxy, f_3 and the like: the first letter is the angular momentum.
            key = (str(element), str(orbital)[0])
            sums[key] = sums.get(key, np.zeros(shape)) + _densities(part["densities"], shape[1])
    return [Projection(element, orbital, values) for (element, orbital), values in sums.items()]
