"""Monolayer prototypes: a formula and a few lengths in Å make a structure.

Every builder places the layer's middle at z = 0 and returns in-plane fractional coordinates with heights; `monolayer`
adds the cell and the vacuum. In a hexagonal cell (a, b at 120°) A, B, C are the three-fold sites (0,0), (1/3,2/3) and
(2/3,1/3).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.formula import Formula

VACUUM = 15.0
"""Å of empty space in a cell, shared between both faces."""

A, B, C = (0.0, 0.0), (1 / 3, 2 / 3), (2 / 3, 1 / 3)

Site = tuple[str, tuple[float, float], float]
"""Element, in-plane fractional coordinates, height in Å."""
Builder = Callable[[list[str], Mapping[str, float]], list[Site]]


@dataclass(frozen=True)
class Prototype:
    """A layer type: how to place its atoms, what it needs, and the space group that must come out."""

    build: Builder
    lengths: frozenset[str]
    space_group: tuple[int, ...]
    """Allowed numbers: an elemental honeycomb is more symmetric than a binary one."""
    hexagonal: bool = True


def _mx2_h(e: list[str], p: Mapping[str, float]) -> list[Site]:
    return [(e[0], A, 0.0), (e[1], B, p["h"]), (e[1], B, -p["h"])]


def _mx2_t(e: list[str], p: Mapping[str, float]) -> list[Site]:
    return [(e[0], A, 0.0), (e[1], B, p["h"]), (e[1], C, -p["h"])]


def _janus_h(e: list[str], p: Mapping[str, float]) -> list[Site]:
    return [(e[0], A, 0.0), (e[1], B, p["h_top"]), (e[2], B, -p["h_bottom"])]


def _janus_t(e: list[str], p: Mapping[str, float]) -> list[Site]:
    return [(e[0], A, 0.0), (e[1], B, p["h_top"]), (e[2], C, -p["h_bottom"])]


def _mx_layer(e: list[str], p: Mapping[str, float]) -> list[Site]:
    half = p["d"] / 2
    return [(e[0], A, half), (e[0], A, -half), (e[1], B, p["h"]), (e[1], B, -p["h"])]


def _honeycomb(e: list[str], _: Mapping[str, float]) -> list[Site]:
    return [(e[0], B, 0.0), (e[-1], C, 0.0)]


def _honeycomb_buckled(e: list[str], p: Mapping[str, float]) -> list[Site]:
    return [(e[0], B, p["buckling"] / 2), (e[-1], C, -p["buckling"] / 2)]


def _phosphorene(e: list[str], p: Mapping[str, float]) -> list[Site]:
    u, z = p["u"], p["z"]
    return [
        (e[0], (u, 0.0), z),
        (e[0], (0.5 - u, 0.5), z),
        (e[0], (0.5 + u, 0.5), -z),
        (e[0], (-u, 0.0), -z),
    ]


def _mx_puckered(e: list[str], p: Mapping[str, float]) -> list[Site]:
    delta, z_m, z_x = p["delta"], p["z_m"], p["z_x"]
    return [
        (e[0], (0.0, 0.0), z_m),
        (e[0], (0.5, 0.5), -z_m),
        (e[1], (delta, 0.5), z_x),
        (e[1], (delta + 0.5, 0.0), -z_x),
    ]


def _mxene_m2x(e: list[str], p: Mapping[str, float]) -> list[Site]:
    return [(e[1], A, 0.0), (e[0], B, p["h_m"]), (e[0], C, -p["h_m"])]


def _mxene_m2xt2(e: list[str], p: Mapping[str, float]) -> list[Site]:
    # A terminating atom sits above the metal of the far side, its most stable hollow.
    return [*_mxene_m2x(e, p), (e[2], C, p["h_t"]), (e[2], B, -p["h_t"])]


def _mxene_m3x2(e: list[str], p: Mapping[str, float]) -> list[Site]:
    return [
        (e[0], A, 0.0),
        (e[1], B, p["h_x"]),
        (e[1], C, -p["h_x"]),
        (e[0], C, p["h_m"]),
        (e[0], B, -p["h_m"]),
    ]


def _mxene_m3x2t2(e: list[str], p: Mapping[str, float]) -> list[Site]:
    return [*_mxene_m3x2(e, p), (e[2], A, p["h_t"]), (e[2], A, -p["h_t"])]


def _mx3(e: list[str], p: Mapping[str, float]) -> list[Site]:
    x, h = p["x"], p["h"]
    metal: list[Site] = [(e[0], B, 0.0), (e[0], C, 0.0)]
    top: list[Site] = [(e[1], site, h) for site in ((x, 0.0), (0.0, x), (-x, -x))]
    bottom: list[Site] = [(e[1], site, -h) for site in ((-x, 0.0), (0.0, -x), (x, x))]
    return metal + top + bottom


def _moh2(e: list[str], p: Mapping[str, float]) -> list[Site]:
    return [
        (e[0], A, 0.0),
        (e[1], B, p["h_o"]),
        (e[1], C, -p["h_o"]),
        (e[2], B, p["h_h"]),
        (e[2], C, -p["h_h"]),
    ]


def _litharge(e: list[str], p: Mapping[str, float]) -> list[Site]:
    # The flat sheet is iron in FeSe but oxygen in SnO: the element that bonds from both sides.
    flat, outer = (e[0], e[1]) if e[0] == "Fe" else (e[1], e[0])
    h = p["h"]
    return [(flat, (0.0, 0.0), 0.0), (flat, (0.5, 0.5), 0.0), (outer, (0.0, 0.5), h), (outer, (0.5, 0.0), -h)]


def _prototype(build: Builder, lengths: str, *space_group: int, hexagonal: bool = True) -> Prototype:
    return Prototype(build, frozenset(lengths.split()), space_group, hexagonal)


PROTOTYPES: dict[str, Prototype] = {
    "mx2_h": _prototype(_mx2_h, "h", 187),
    "mx2_t": _prototype(_mx2_t, "h", 164),
    "janus_h": _prototype(_janus_h, "h_top h_bottom", 156),
    "janus_t": _prototype(_janus_t, "h_top h_bottom", 156),
    "mx_layer": _prototype(_mx_layer, "d h", 187),
    "honeycomb": _prototype(_honeycomb, "", 191, 187),
    "honeycomb_buckled": _prototype(_honeycomb_buckled, "buckling", 164),
    "phosphorene": _prototype(_phosphorene, "u z", 53, hexagonal=False),
    "mx_puckered": _prototype(_mx_puckered, "delta z_m z_x", 31, hexagonal=False),
    "mxene_m2x": _prototype(_mxene_m2x, "h_m", 164),
    "mxene_m2xt2": _prototype(_mxene_m2xt2, "h_m h_t", 164),
    "mxene_m3x2": _prototype(_mxene_m3x2, "h_x h_m", 164),
    "mxene_m3x2t2": _prototype(_mxene_m3x2t2, "h_x h_m h_t", 164),
    "mx3": _prototype(_mx3, "x h", 162),
    "moh2": _prototype(_moh2, "h_o h_h", 164),
    "litharge": _prototype(_litharge, "h", 129, hexagonal=False),
}


def monolayer(
    formula: str, prototype: str, a: float, b: float | None, internal: Mapping[str, float], vacuum: float = VACUUM
) -> Atoms:
    """Build a freestanding layer, centred in its cell.

    Args:
        formula: elements in the order in which the prototype places them, e.g. MoSSe with S on top.
        prototype: a key of `PROTOTYPES`.
        a, b: in-plane lattice constants in Å; b only where the cell is rectangular and not square.
        internal: the prototype's lengths in Å (and dimensionless coordinates for the puckered types).
        vacuum: Å of empty space along the normal, in all.

    Returns:
        Atoms periodic in the plane only, normal along z.

    Raises:
        KeyError: for an unknown prototype.
        ValueError: if the lengths given are not those which the prototype needs.
    """
    kind = PROTOTYPES[prototype]
    if set(internal) != kind.lengths:
        raise ValueError(f"{formula}: prototype {prototype} needs {sorted(kind.lengths)}, got {sorted(internal)}")
    sites = kind.build(list(Formula(formula).count()), internal)
    heights = np.array([height for _, _, height in sites])
    c = float(np.ptp(heights)) + vacuum
    if kind.hexagonal:
        cell = [[a, 0, 0], [-a / 2, a * np.sqrt(3) / 2, 0], [0, 0, c]]
    else:
        cell = [[a, 0, 0], [0, b if b is not None else a, 0], [0, 0, c]]
    middle = (heights.max() + heights.min()) / 2
    scaled = [[*site, (height - middle) / c + 0.5] for _, site, height in sites]
    atoms = Atoms([element for element, _, _ in sites], cell=cell, scaled_positions=scaled, pbc=[True, True, False])
    # Rounded so that the same table gives the same bytes on every machine.
    atoms.set_cell(atoms.cell.array.round(6))
    atoms.set_positions(atoms.positions.round(6))
    return atoms
