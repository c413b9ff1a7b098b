"""Layers on substrates as Hetero2d writes them: film and substrate before either has relaxed.

The unrelaxed structure holds the substrate as cut from its bulk and the film strained to it: what a screen knows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from ase.data import atomic_numbers
from ase.formula import Formula

from ml.descriptors.slab import NotASlabError, Slab
from ml.features import Layer
from ml.interfaces import Interface


def interfaces_of(
    records: Iterable[tuple[str, Mapping[str, Any], Mapping[str, float]]],
) -> tuple[list[Interface], dict[str, Layer]]:
    """Interfaces and the isolated sides of them.

    Args:
        records: name, payload and labels of each. The payload holds `initial_structure` as pymatgen writes it,
            `iface_idx`, `film_composition`, `substrate_composition`, `surface_plane` and `alignment_info`.

    Returns:
        The interfaces with a readable unrelaxed structure whose film is whole cells of its formula (in two of the
        published records it is not); substrate and film of each kind by name, taken from the
        least strained of their interfaces.
    """
    found: list[Interface] = []
    sides: dict[str, tuple[float, str, Layer]] = {}
    for name, payload, labels in sorted(records, key=lambda item: item[0]):
        try:
            lower, upper = unrelaxed(payload)
        except (KeyError, TypeError, ValueError, NotASlabError):
            continue
        if not _is_whole(upper, str(payload.get("film_composition", ""))):
            continue
        bottom = f"{payload.get('substrate_composition', '')}({payload.get('surface_plane', '')})"
        top = str(payload.get("film_composition", ""))
        match = payload.get("alignment_info") or {}
        misfit = max(abs(float(match.get(key) or 0.0)) for key in ("u", "v"))
        for side, slab in ((bottom, lower), (top, upper)):
            sides[side] = min(sides.get(side, (np.inf, "", None)), (misfit, name, Layer(slab)), key=lambda one: one[:2])  # type: ignore[assignment]
        found.append(Interface(name, bottom, top, labels, lower, upper))
    return found, {side: layer for side, (_, _, layer) in sides.items()}


def _is_whole(film: Slab, formula: str) -> bool:
    """Whether the atoms are a whole number of formula units."""
    try:
        wanted = Formula(formula).count()
    except ValueError:
        return False
    counts = {symbol: int((film.numbers == atomic_numbers[symbol]).sum()) for symbol in wanted}
    units = {divmod(counts[symbol], n) for symbol, n in wanted.items()}
    return sum(counts.values()) == len(film) and len(units) == 1 and units.pop()[1] == 0


def unrelaxed(payload: Mapping[str, Any]) -> tuple[Slab, Slab]:
    """Substrate and film of `initial_structure`, the film above.

    Raises:
        KeyError, TypeError, ValueError: the payload does not hold it in pymatgen's form.
        NotASlabError: it is no slab.
    """
    structure = payload["initial_structure"]
    cell = np.array(structure["lattice"]["matrix"], float)
    fractional = np.array([site["abc"] for site in structure["sites"]], float)
    numbers = np.array([atomic_numbers[site["species"][0]["element"]] for site in structure["sites"]], np.int64)
    index = payload["iface_idx"]
    film = sorted({int(i) for key, members in index.items() if key.startswith("2d_layer_") for i in members})
    whole = Slab.from_cell(numbers, fractional @ cell, cell)
    upper = np.array(film, np.int64)
    lower = np.setdiff1d(np.arange(len(whole)), upper)
    below, above = (Slab(whole.numbers[part], whole.positions[part], whole.cell) for part in (lower, upper))
    if above.positions[:, 2].mean() < below.positions[:, 2].mean():
        # Half a turn about x, and not a mirror: the handedness of the two stays.
        turn = np.array([1.0, -1.0, -1.0])
        cell_turned = whole.cell * turn[:2]
        below, above = (Slab(s.numbers, s.positions * turn, cell_turned) for s in (below, above))
    return below, above
