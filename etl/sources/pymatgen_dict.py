"""Structures written as pymatgen dictionaries, read without building pymatgen objects."""

from __future__ import annotations

from typing import Any

import numpy as np
from ase.data import atomic_numbers

from etl.errors import RecordError
from etl.records import Atoms


def atoms_from_dict(structure: Any) -> Atoms:
    """Atoms of a pymatgen `Structure.as_dict()`.

    Raises:
        RecordError: it is no such dictionary, or a site is shared by several elements.
    """
    try:
        matrix = np.array(structure["lattice"]["matrix"], float).reshape(3, 3)
        sites = structure["sites"]
        numbers = [_element(site) for site in sites]
        fractional = np.array([site["abc"] for site in sites], float).reshape(-1, 3)
        flags = structure["lattice"].get("pbc") or (True, True, True)
        periodic = (bool(flags[0]), bool(flags[1]), bool(flags[2]))
    except RecordError:
        raise
    except (KeyError, TypeError, ValueError, IndexError) as error:
        reason = f"The structure is not a pymatgen dictionary: {type(error).__name__} {error}."
        raise RecordError("missing_structure", reason) from error
    return Atoms(np.array(numbers, np.int64), fractional @ matrix, matrix, periodic)


def _element(site: dict[str, Any]) -> int:
    species = site["species"]
    if len(species) != 1 or abs(float(species[0].get("occu", 1)) - 1) > 1e-6:
        raise RecordError("mass_or_charge_nonsense", "A site of the structure is partly occupied or mixed.")
    symbol = str(species[0]["element"])
    number = atomic_numbers.get(symbol)
    if not number:
        raise RecordError("mass_or_charge_nonsense", f"{symbol!r} is no element.")
    return int(number)
