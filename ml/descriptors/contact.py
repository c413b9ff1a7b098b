"""Where two layers touch: van der Waals spheres rolled over each other.

The geometric limit of stacking: each nucleus carries a hard sphere of its van der Waals radius (Alvarez 2013), and the
layers rest where the first two spheres meet. Valid for physisorbed layers; a chemical bond across the gap is shorter.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from ml.descriptors.elements import vdw_radius
from ml.descriptors.slab import Slab

PROBE_RADII = (1.5, 2.2)
"""Å: radii of the two probes that map a face; most outer atoms of layers lie between them."""


@numba.njit(cache=True)
def _image_range(cell: NDArray[np.float64], reach: float) -> tuple[int, int]:  # pragma: no cover - compiled
    area = abs(cell[0, 0] * cell[1, 1] - cell[0, 1] * cell[1, 0])
    height_a = area / np.hypot(cell[1, 0], cell[1, 1])
    height_b = area / np.hypot(cell[0, 0], cell[0, 1])
    return int(np.ceil(reach / height_a)) + 1, int(np.ceil(reach / height_b)) + 1


@numba.njit(cache=True)
def _probe_heights(
    xy: NDArray[np.float64],
    depth: NDArray[np.float64],
    radius: NDArray[np.float64],
    cell: NDArray[np.float64],
    probe: float,
    points: int,
) -> NDArray[np.float64]:  # pragma: no cover - compiled
    heights = np.full(points * points, -np.inf)
    na, nb = _image_range(cell, radius.max() + probe)
    for i in range(len(depth)):
        contact = radius[i] + probe
        for u in range(points):
            for v in range(points):
                fa, fb = (u + 0.5) / points, (v + 0.5) / points
                px = fa * cell[0, 0] + fb * cell[1, 0] - xy[i, 0]
                py = fa * cell[0, 1] + fb * cell[1, 1] - xy[i, 1]
                best = heights[u * points + v]
                for a in range(-na, na + 1):
                    for b in range(-nb, nb + 1):
                        dx = px + a * cell[0, 0] + b * cell[1, 0]
                        dy = py + a * cell[0, 1] + b * cell[1, 1]
                        rr = contact * contact - dx * dx - dy * dy
                        if rr > 0:
                            height = np.sqrt(rr) - depth[i]
                            best = max(best, height)
                heights[u * points + v] = best
    return heights


def probe_heights(slab: Slab, top: bool, probe: float, points: int = 16) -> NDArray[np.float64]:
    """Height of a spherical probe's centre where it rests on a face, over a grid of lateral positions.

    h(x, y) = max over atoms of √((R_i + R_p)² − r_i²) − depth_i.

    Args:
        slab: the layer.
        top: which face.
        probe: radius of the probe R_p, Å.
        points: grid points along each in-plane vector.

    Returns:
        Å above the outermost nucleus, shape (points²,); where the probe falls through a hole, −thickness.
    """
    radius = vdw_radius()[slab.numbers]
    depth = slab.depth(top)
    near = depth <= 2 * radius.max() + 2 * probe
    xy = _wrapped(slab.positions[near, :2], slab.cell)
    heights = _probe_heights(xy, depth[near], radius[near], slab.cell, probe, points)
    return np.maximum(heights, -slab.thickness)


def _wrapped(xy: NDArray[np.float64], cell: NDArray[np.float64]) -> NDArray[np.float64]:
    fractional = xy @ np.linalg.inv(cell)
    return np.ascontiguousarray((fractional - np.floor(fractional)) @ cell)


def touching_distance(bottom: Slab, top: Slab) -> float:
    """Interlayer distance at which the van der Waals spheres of two commensurate layers first touch.

    d = max over pairs of √((R_i + R_j)² − r_ij²) − depth_i − depth_j, r_ij the lateral distance.

    Args:
        bottom, top: layers on one in-plane lattice, in registry as given; their heights do not matter.

    Returns:
        Lowest nucleus of the top minus highest of the bottom, Å.
    """
    radii = vdw_radius()
    depth_b, depth_t = bottom.depth(True), top.depth(False)
    keep_b, keep_t = depth_b <= 5.0, depth_t <= 5.0
    return float(
        _touching(
            _wrapped(bottom.positions[keep_b, :2], bottom.cell),
            _wrapped(top.positions[keep_t, :2], bottom.cell),
            depth_b[keep_b],
            depth_t[keep_t],
            radii[bottom.numbers[keep_b]],
            radii[top.numbers[keep_t]],
            bottom.cell,
        )
    )


@numba.njit(cache=True)
def _touching(
    xy_b: NDArray[np.float64],
    xy_t: NDArray[np.float64],
    depth_b: NDArray[np.float64],
    depth_t: NDArray[np.float64],
    radius_b: NDArray[np.float64],
    radius_t: NDArray[np.float64],
    cell: NDArray[np.float64],
) -> float:  # pragma: no cover - compiled
    best = -np.inf
    na, nb = _image_range(cell, radius_b.max() + radius_t.max())
    for i in range(len(depth_b)):
        for j in range(len(depth_t)):
            contact = radius_b[i] + radius_t[j]
            for a in range(-na, na + 1):
                for b in range(-nb, nb + 1):
                    dx = xy_t[j, 0] - xy_b[i, 0] + a * cell[0, 0] + b * cell[1, 0]
                    dy = xy_t[j, 1] - xy_b[i, 1] + a * cell[0, 1] + b * cell[1, 1]
                    rr = contact * contact - dx * dx - dy * dy
                    if rr > 0:
                        best = max(best, np.sqrt(rr) - depth_b[i] - depth_t[j])
    return best
