"""A stacked supercell in 3D: balls of covalent size, sticks, and the cell, drawn by plotly alone."""

from __future__ import annotations

from functools import cache
from itertools import product
from typing import Any

import numpy as np
import plotly.graph_objects as go
from ase.data import atomic_numbers, covalent_radii
from ase.data.colors import jmol_colors
from numpy.typing import NDArray
from pymatgen.core import Structure

from dashboard.components.words import FONT

_BALL = 0.42
"""Radius of a ball as a part of the covalent radius: bonds stay visible."""
_STICK = 0.11
"""Å, radius of a bond."""
_BOND = 1.18
_NEXT = 1.25
"""Atoms of one side are drawn as bonded when nearer than the first times the sum of their covalent radii, and than the
second times the way to the nearest neighbour: the metals inside a dichalcogenide are not bonded to each other."""
_WANTED_WIDTH = 16.0
"""Å: a smaller cell is repeated until it is about this wide, so that the pattern can be seen."""
_MAX_ATOMS = 260
_LIGHT = {
    "ambient": 0.5,
    "diffuse": 0.62,
    "specular": 0.25,
    "roughness": 0.5,
    "fresnel": 0.1,
    "vertexnormalsepsilon": 0,
    "facenormalsepsilon": 0,
}
_LIGHT_FROM = {"x": -40_000, "y": 60_000, "z": -8_000}
"""In the frame of the camera: from the upper left, and from before the scene (negative z)."""
_FILL = 2.5
"""Diagonal of the drawing in the scene's own length: as large as fits at any angle."""


@cache
def _sphere(rings: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Unit sphere: vertices (k, 3) and triangles (l, 3)."""
    polar = np.linspace(0, np.pi, rings + 1)
    around = np.linspace(0, 2 * np.pi, 2 * rings, endpoint=False)
    vertices = np.array([[np.sin(p) * np.cos(a), np.sin(p) * np.sin(a), np.cos(p)] for p, a in product(polar, around)])
    return vertices, _strips(rings, 2 * rings)


@cache
def _tube(sides: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Unit cylinder along z from 0 to 1."""
    around = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    vertices = np.array([[np.cos(a), np.sin(a), z] for z, a in product((0.0, 1.0), around)])
    return vertices, _strips(1, sides)


def _strips(rows: int, columns: int) -> NDArray[np.int64]:
    faces = []
    for row, column in product(range(rows), range(columns)):
        right = (column + 1) % columns
        a, b = row * columns + column, row * columns + right
        c, d = a + columns, b + columns
        faces += [[a, b, c], [b, d, c]]
    return np.array(faces)


def _mesh(parts: list[NDArray[np.float64]], faces: NDArray[np.int64], colour: str, **more: Any) -> go.Mesh3d:
    size = len(parts[0])
    vertices = np.vstack(parts).astype(np.float32)
    triangles = np.vstack([faces + size * k for k in range(len(parts))]).astype(np.int32)
    x, y, z = vertices.T
    i, j, k = triangles.T
    return go.Mesh3d(
        x=x, y=y, z=z, i=i, j=j, k=k, color=colour, lighting=_LIGHT, lightposition=_LIGHT_FROM, hoverinfo="skip", **more
    )


def _colour(symbol: str) -> str:
    red, green, blue = (int(255 * part) for part in jmol_colors[atomic_numbers[symbol]])
    return f"rgb({red},{green},{blue})"


def structure_figure(structure: Structure) -> go.Figure:
    """A supercell, repeated in the plane where it is small.

    Args:
        structure: a along x, c along z, with the site property `side` (bottom or top).
    """
    repeats = _repeats(structure)
    positions, symbols, sides = _atoms(structure, repeats)
    rings = 10 if len(symbols) <= 120 else 7
    sphere, faces = _sphere(rings)
    radii = np.array([covalent_radii[atomic_numbers[symbol]] for symbol in symbols])
    traces: list[Any] = []
    for symbol in sorted(set(symbols)):
        chosen = np.flatnonzero(symbols == symbol)
        traces.append(
            _mesh(
                [positions[k] + _BALL * radii[k] * sphere for k in chosen], faces, _colour(symbol), name=symbol,
                showlegend=True, flatshading=False,
            )
        )  # fmt: skip
    nearest = np.tile(_nearest(structure), repeats[0] * repeats[1])
    traces += _sticks(positions, symbols, sides, radii, nearest)
    traces += [_cell_lines(structure), _labels(positions, symbols, sides)]
    buttons = [
        {"label": label, "method": "relayout", "args": [{"scene.camera": camera}]}
        for label, camera in (("Oblique", _OBLIQUE), ("Side", _SIDE), ("Top", _TOP))
    ]
    hidden = {"visible": False, "showspikes": False}
    low, high = _bounds(structure, positions)
    axes = {f"{name}axis": {**hidden, "range": [low[k], high[k]]} for k, name in enumerate("xyz")}
    return go.Figure(
        traces,
        go.Layout(
            scene={
                **axes, "aspectmode": "manual", "aspectratio": _aspect(high - low), "camera": _OBLIQUE,
                "bgcolor": "white", "dragmode": "orbit",
            },
            font={"family": FONT, "size": 12, "color": "#374151"},
            margin={"l": 0, "r": 0, "t": 0, "b": 0},
            legend={"x": 0.01, "y": 0.99, "bgcolor": "rgba(255,255,255,0.7)", "itemsizing": "constant"},
            updatemenus=[
                {
                    "type": "buttons", "direction": "left", "buttons": buttons, "x": 0.99, "xanchor": "right",
                    "y": 0.99, "yanchor": "top", "showactive": True, "pad": {"r": 0, "t": 0}, "font": {"size": 11},
                    "bgcolor": "white", "bordercolor": "#c4cad3",
                }
            ],
            paper_bgcolor="white",
            uirevision="structure",
        ),
    )  # fmt: skip


def _bounds(structure: Structure, positions: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lowest and highest corner, Å, of a box around all that is drawn."""
    a, b = structure.lattice.matrix[:2]
    corners = np.array([[*corner[:2], positions[0, 2]] for corner in (np.zeros(3), a, b, a + b)])
    drawn = np.vstack([positions, corners])
    return drawn.min(axis=0) - 1.0, drawn.max(axis=0) + 1.0


def _aspect(size: NDArray[np.float64]) -> dict[str, float]:
    """Equal lengths on all axes. (An orthographic camera's distance does not zoom: the scene's size does.)"""
    return dict(zip("xyz", map(float, size * _FILL / np.linalg.norm(size)), strict=True))


def _camera(x: float, y: float, z: float, up: tuple[int, int, int] = (0, 0, 1)) -> dict[str, Any]:
    return {
        "eye": {"x": x, "y": y, "z": z}, "up": dict(zip("xyz", up, strict=True)),
        "projection": {"type": "orthographic"}, "center": {"x": 0, "y": 0, "z": 0},
    }  # fmt: skip


_OBLIQUE = _camera(0.34, -0.95, 0.32)
_SIDE = _camera(0.0, -1.0, 0.0)
_TOP = _camera(0.0, 0.0, 1.2, (0, 1, 0))


def _repeats(structure: Structure) -> tuple[int, int]:
    a, b = structure.lattice.matrix[:2]
    wanted = [max(1, round(_WANTED_WIDTH / float(np.linalg.norm(vector)))) for vector in (a, b)]
    while len(structure) * wanted[0] * wanted[1] > _MAX_ATOMS and max(wanted) > 1:
        wanted[int(np.argmax(wanted))] -= 1
    return wanted[0], wanted[1]


def _atoms(structure: Structure, repeats: tuple[int, int]) -> tuple[NDArray[np.float64], Any, Any]:
    base = structure.cart_coords
    a, b = structure.lattice.matrix[:2]
    shifts = [i * a + j * b for i, j in product(range(repeats[0]), range(repeats[1]))]
    symbols = np.array([site.specie.symbol for site in structure] * len(shifts))
    sides = np.array(list(structure.site_properties["side"]) * len(shifts))
    return np.vstack([base + shift for shift in shifts]), symbols, sides


def _nearest(structure: Structure) -> NDArray[np.float64]:
    """Way from each atom of the cell to its nearest neighbour on the same side, Å, in the periodic stack."""
    a, b = structure.lattice.matrix[:2]
    base, side = structure.cart_coords, np.array(structure.site_properties["side"])
    ways = [
        np.linalg.norm(base[:, None, :] - (base + i * a + j * b)[None, :, :], axis=2)
        for i, j in product((-1, 0, 1), repeat=2)
    ]
    way = np.min([np.where(one > 0.1, one, np.inf) for one in ways], axis=0)
    return np.asarray(np.where(side[:, None] == side[None, :], way, np.inf).min(axis=1))


def _sticks(
    positions: NDArray[np.float64], symbols: Any, sides: Any, radii: NDArray[np.float64], nearest: NDArray[np.float64]
) -> list[go.Mesh3d]:
    """Half of each bond in the colour of its atom."""
    gap = positions[:, None, :] - positions[None, :, :]
    distance = np.linalg.norm(gap, axis=2)
    bonded = (distance < _BOND * (radii[:, None] + radii[None, :])) & (distance > 0.1)
    # Two faces are held together by dispersion, not by sticks.
    bonded &= sides[:, None] == sides[None, :]
    bonded &= distance < _NEXT * np.maximum(nearest[:, None], nearest[None, :])
    tube, faces = _tube(8)
    halves: dict[str, list[NDArray[np.float64]]] = {}
    for i, j in np.argwhere(bonded):
        axis = (positions[j] - positions[i]) / 2
        halves.setdefault(str(symbols[i]), []).append(positions[i] + _along(tube, axis))
    return [_mesh(parts, faces, _colour(symbol), showlegend=False) for symbol, parts in halves.items()]


def _along(tube: NDArray[np.float64], axis: NDArray[np.float64]) -> NDArray[np.float64]:
    length = np.linalg.norm(axis)
    direction = axis / length
    helper = np.array([0.0, 0.0, 1.0]) if abs(direction[2]) < 0.9 else np.array([1.0, 0.0, 0.0])
    first = np.cross(direction, helper)
    first /= np.linalg.norm(first)
    second = np.cross(direction, first)
    frame = np.array([_STICK * first, _STICK * second, axis])
    return np.asarray(tube @ frame)


def _cell_lines(structure: Structure) -> go.Scatter3d:
    """The cell's outline in the plane, drawn at the heights of the lowest and the highest atom."""
    a, b = structure.lattice.matrix[:2]
    heights = structure.cart_coords[:, 2]
    corners = [np.zeros(3), a, a + b, b, np.zeros(3)]
    low, high = (np.array([0, 0, z]) for z in (heights.min(), heights.max()))
    path: list[Any] = []
    for level in (low, high):
        path += [corner + level for corner in corners] + [None]
    for corner in corners[:-1]:
        path += [corner + low, corner + high, None]
    x, y, z = zip(*((None, None, None) if point is None else tuple(map(float, point)) for point in path), strict=True)
    return go.Scatter3d(
        x=x, y=y, z=z, mode="lines", line={"color": "#475569", "width": 2}, name="supercell", hoverinfo="skip"
    )


def _labels(positions: NDArray[np.float64], symbols: Any, sides: Any) -> go.Scatter3d:
    """Invisible points that say on hover what an atom is."""
    x, y, z = positions.T
    return go.Scatter3d(
        x=x, y=y, z=z, mode="markers", marker={"size": 12, "opacity": 0.001}, showlegend=False,
        text=[f"{symbol}, {side} side" for symbol, side in zip(symbols, sides, strict=True)],
        hovertemplate="%{text}<br>z = %{z:.2f} Å<extra></extra>",
    )  # fmt: skip
