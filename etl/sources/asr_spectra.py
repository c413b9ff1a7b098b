"""Spectra in the results of ASR, the Atomic Simulation Recipes that made C2DB.

Measured on genuine rows: energies of bands and densities of states are on the calculation's own scale, that of the
row's `vbm`, `cbm`, `efermi` and `evac` (which HSE06 and G0W0 share); `efermi` includes spin-orbit coupling, each
result's own level without it stands beside its bands. Phonon energies are in eV, imaginary ones negative.

Two conventions are changed here. A spin-unpolarised projected density of states counts one spin only (its sum over
the projections of a band is that of the band's own weights); ours counts both. The shear of the stiffness tensor is
ε_xy (so C11 - C12 stands where C66 belongs); ours is the engineering shear 2 ε_xy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from etl.records import Doubt
from etl.sources.ase_data import AseData
from etl.sources.values import number
from etl.spectra import (
    UNREADABLE,
    BandStructure,
    DensityOfStates,
    FloatArray,
    PhononSpectrum,
    Projection,
    Spectrum,
    StiffnessTensor,
)
from schema.vocabulary import EnergyReference, Method

_MEV = 1000.0
GROUND_STATE = "results-asr.gs.json"
"""Result with the levels of the ground state."""
_LEVELS = ("gap", "gap_dir", "vbm", "cbm", "evac", "evacdiff", "efermi", "workfunction")
_SAME_SCALE = 0.01
"""eV, between vacuum levels that are one and the same."""
_SAME_POINT = 1e-6
"""Units of the reciprocal vectors, within which a point of a path is a special point."""

Keys = dict[str, Any]


def spectra_of(attachment: bytes, keys: Keys, n_atoms: int) -> tuple[list[Spectrum], list[Doubt]]:
    """All spectra that came with a row; a broken one becomes a doubt and costs no other.

    Args:
        attachment: see `AseData`.
        keys: the row's key-value pairs, for the levels `efermi` and `evac`, eV.
        n_atoms: atoms of its structure.
    """
    try:
        data = AseData(attachment)
    except ValueError as error:
        return [], [Doubt(UNREADABLE, "spectra", f"The data of the row cannot be decoded: {error}.")]
    spectra: list[Spectrum] = []
    doubts: list[Doubt] = []
    for name, kind, read in _RESULTS:
        file = f"results-asr.{name}.json"
        try:
            result = data.result(file)
            if result is not None:
                spectra.extend(read(data, result, keys, n_atoms))
        except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, RecursionError) as error:
            detail = f"{file} cannot be read: {type(error).__name__}: {error}"
            doubts.append(Doubt(UNREADABLE, kind, detail))
    return spectra, doubts


def levels_of(attachment: bytes, keys: Keys) -> Keys:
    """Levels and gaps of the ground state that the row's own keys lack, under C2DB's names, eV.

    The release of 2024 states the gap beside a layer, and its band edges only in the calculation's result.
    """
    try:
        result = AseData(attachment).result(GROUND_STATE) or {}
    except ValueError:
        return {}
    found = {name: _level(result, name) for name in _LEVELS}
    evac = _level(keys, "evac")
    same = evac is None or (found["evac"] is not None and abs(found["evac"] - evac) < _SAME_SCALE)
    return {name: level for name, level in found.items() if same and level is not None and keys.get(name) is None}


def _level(keys: Keys, name: str) -> float | None:
    level = number(keys, name)
    return level if level is not None and np.isfinite(level) else None


def _pdos(data: AseData, result: Keys, keys: Keys, _: int) -> Iterator[Spectrum]:
    for name, spin_orbit in (("pdos_nosoc", False), ("pdos_soc", True)):
        part = result.get(name)
        if part is None:
            continue
        energies = data.array(part["energies"], None)
        channels: dict[tuple[str, str], dict[int, FloatArray]] = {}
        for label, node in part["pdos_syl"].items():
            spin, element, orbital = label.split(",")
            channels.setdefault((element, orbital), {})[int(spin)] = data.array(node, len(energies))
        spins = sorted({spin for values in channels.values() for spin in values})
        if spins not in ([0], [0, 1]):
            raise ValueError(f"the spins of {name} are {spins}")
        both = 2.0 if spins == [0] else 1.0
        yield DensityOfStates(
            Method.PBE,
            EnergyReference.CALCULATION,
            energies,
            None,
            # The level in the result is always the one without spin-orbit coupling.
            _level(keys, "efermi") if spin_orbit else _level(part, "efermi"),
            _level(keys, "evac"),
            spin_orbit,
            [
                Projection(element, orbital, both * np.stack([values[spin] for spin in spins]))
                for (element, orbital), values in channels.items()
            ],
        )


def _bandstructure(data: AseData, result: Keys, keys: Keys, _: int) -> Iterator[Spectrum]:
    for name, spin_orbit in (("bs_nosoc", False), ("bs_soc", True)):
        part = result.get(name)
        if part is not None:
            yield _bands(data, Method.PBE, part["path"], part["energies"], _level(part, "efermi"), keys, spin_orbit)


def _interpolated(method: Method, short: str) -> Callable[[AseData, Keys, Keys, int], Iterator[Spectrum]]:
    """Reader of the bands beyond PBE, which ASR interpolates onto the path."""

    def read(data: AseData, result: Keys, keys: Keys, _: int) -> Iterator[Spectrum]:
        bands = result.get("bandstructure")
        if bands is None:
            return
        for name, spin_orbit, soc in (("e_int_skn", False, "nosoc"), ("e_int_mk", True, "soc")):
            if bands.get(name) is not None:
                fermi = _level(result, f"efermi_{short}_{soc}")
                yield _bands(data, method, bands["path"], bands[name], fermi, keys, spin_orbit)

    return read


def _bands(
    data: AseData, method: Method, path: Keys, node: Any, fermi: float | None, keys: Keys, spin_orbit: bool
) -> BandStructure:
    """Bands with spin-orbit coupling are laid down as (band, k), without it as (spin, k, band)."""
    points, labels = _path(data, path)
    energies = data.array(node, None, len(points)).T[None] if spin_orbit else data.array(node, None, len(points), None)
    evac = _level(keys, "evac")
    return BandStructure(method, EnergyReference.CALCULATION, points, energies, labels, fermi, evac, spin_orbit)


def _path(data: AseData, path: Keys) -> tuple[FloatArray, list[tuple[int, str]]]:
    """Wave vectors of a path, shape (k, 3), and where it passes which special points."""
    points = data.array(path["kpts"], None, 3)
    labels: list[tuple[int, str]] = []
    for name, node in path["special_points"].items():
        special = data.array(node, 3)
        hits = np.flatnonzero(np.abs(points - special).max(axis=1) < _SAME_POINT)
        labels += [(int(hit), str(name)) for hit in hits]
    return points, sorted(labels)


def _phonons(data: AseData, result: Keys, _: Keys, n_atoms: int) -> Iterator[Spectrum]:
    if result.get("omega_kl") is not None:
        vectors = data.array(result["q_qc"], None, 3)
        energies = data.array(result["omega_kl"], len(vectors), 3 * n_atoms)
        yield PhononSpectrum(Method.PBE, vectors, _MEV * energies)
    if result.get("interp_freqs_kl") is not None:
        points, labels = _path(data, result["path"])
        energies = data.array(result["interp_freqs_kl"], len(points), 3 * n_atoms)
        yield PhononSpectrum(Method.PBE, points, _MEV * energies, labels, interpolated=True)


def _stiffness(data: AseData, result: Keys, _: Keys, __: int) -> Iterator[Spectrum]:
    if result.get("stiffness_tensor") is not None:
        tensor = data.array(result["stiffness_tensor"], 3, 3)
        yield StiffnessTensor(Method.PBE, tensor * np.array([1.0, 1.0, 0.5]))


_RESULTS = (
    ("pdos", "density_of_states", _pdos),
    ("bandstructure", "band_structure", _bandstructure),
    ("hse", "band_structure_hse", _interpolated(Method.HSE06, "hse")),
    ("gw", "band_structure_gw", _interpolated(Method.G0W0, "gw")),
    ("phonons", "phonons", _phonons),
    ("stiffness", "stiffness", _stiffness),
)
"""Result, what it is called where it is doubted, and its reader."""
RESULT_FILES = tuple(f"results-asr.{name}.json" for name, _, _ in _RESULTS)
"""Names of the results that hold spectra."""
