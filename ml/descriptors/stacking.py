"""Registry: how the two layers of one explicit, commensurate bilayer lie on each other.

Every number here depends on lateral positions and on each layer's own heights only. The distance between the layers
never enters, so that moving the upper layer along z changes nothing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ml.descriptors.contact import touching_distance
from ml.descriptors.dispersion import registry_contact
from ml.descriptors.elements import magpie_table
from ml.descriptors.slab import Slab

NAMES = (
    "registry_touching_distance", "registry_dispersion_distance", "registry_dispersion_energy",
    "registry_lateral_nearest", "registry_lateral_mean", "registry_lateral_farthest", "registry_charge_overlap",
    "registry_like_overlap",
)  # fmt: skip
UNITS = ("Å", "Å", "meV/Å²", "Å", "Å", "Å", "Pauling²", "1")


def registry_descriptors(bottom: Slab, top: Slab) -> NDArray[np.float64]:
    """Registry of two layers on one lattice, shape (len(NAMES),), units `UNITS`.

    The lateral figures are, over the facing atoms of both layers, the nearest, mean and farthest of the lateral
    distances to the closest facing atom of the other layer. `charge_overlap` = Σ q_i q_j e^(−r²/2) / N over facing
    pairs, q the electronegativity less the layer's mean (positive: like charges face each other); `like_overlap` the
    share of overlap e^(−r²/2) between atoms of one element.
    """
    touching = touching_distance(bottom, top)
    distance, energy = registry_contact(bottom, top)
    # Two ångström reach the second sublayer of buckled faces, which decides what lies in a hollow.
    below, above = bottom.facing(True, 2.0), top.facing(False, 2.0)
    lateral = _lateral_distances(bottom.positions[below, :2], top.positions[above, :2], bottom.cell)
    nearest = np.concatenate([lateral.min(axis=0), lateral.min(axis=1)])
    overlap = np.exp(-0.5 * lateral**2)
    charge_b, charge_t = _charges(bottom)[below], _charges(top)[above]
    like = bottom.numbers[below][:, None] == top.numbers[above][None, :]
    return np.array(
        [
            touching,
            distance,
            energy,
            nearest.min(),
            nearest.mean(),
            nearest.max(),
            float((overlap * np.outer(charge_b, charge_t)).sum() / len(below)),
            float((overlap * like).sum() / overlap.sum()),
        ]
    )


def named_registry(bottom: Slab, top: Slab, *, eclipsed: bool) -> NDArray[np.float64]:
    """Registry of two hexagonal layers of which only the kind of stacking is told, shape (len(NAMES),).

    In a hexagonal layer atoms lie on three sites of the cell. The upper layer, put on the mean lattice, is shifted by
    (0, 0), (1/3, 2/3) and (2/3, 1/3). Eclipsed (AA) is the shift at which the facing atoms come to lie atop each other:
    the one at which van der Waals spheres touch farthest apart. Which of the two others is meant by AB is not told:
    it is their mean.

    Args:
        bottom, top: isolated layers; each is scaled to the mean lattice.
        eclipsed: whether facing atoms lie atop each other.
    """
    scale = 0.5 * (np.sqrt(bottom.area) + np.sqrt(top.area))
    below = _on_lattice(bottom, bottom.cell * (scale / np.sqrt(bottom.area)), (0.0, 0.0))
    found = np.array([registry_descriptors(below, _on_lattice(top, below.cell, shift)) for shift in _HEXAGONAL_SHIFTS])
    atop = int(found[:, 0].argmax())
    return found[atop] if eclipsed else np.delete(found, atop, axis=0).mean(axis=0)


_HEXAGONAL_SHIFTS = ((0.0, 0.0), (1 / 3, 2 / 3), (2 / 3, 1 / 3))


def _on_lattice(slab: Slab, cell: NDArray[np.float64], shift: tuple[float, float]) -> Slab:
    """The slab's fractional coordinates, shifted, on another lattice of the same angle; heights stay."""
    fractional = slab.positions[:, :2] @ np.linalg.inv(slab.cell) + np.array(shift)
    if np.linalg.det(cell) * np.linalg.det(slab.cell) < 0 or (cell[0] @ cell[1]) * (slab.cell[0] @ slab.cell[1]) < 0:
        # 60° against 120°: the same lattice in another basis, b' = b − a.
        fractional = np.column_stack([fractional[:, 0] + fractional[:, 1], fractional[:, 1]])
    positions = np.column_stack([fractional @ cell, slab.positions[:, 2]])
    return Slab(slab.numbers, positions, cell)


def _charges(slab: Slab) -> NDArray[np.float64]:
    chi = magpie_table("Electronegativity")[slab.numbers]
    return chi - chi.mean()


def _lateral_distances(
    xy_b: NDArray[np.float64], xy_t: NDArray[np.float64], cell: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Shortest lateral distance of each pair over lattice translations, Å, shape (below, above)."""
    difference = xy_t[None, :, :] - xy_b[:, None, :]
    fractional = difference @ np.linalg.inv(cell)
    fractional -= np.rint(fractional)
    # One ring of images is enough for a reduced cell; two cover the skewed ones that databases hold.
    images = np.array([(a, b) for a in range(-2, 3) for b in range(-2, 3)], float)
    vectors = (fractional[:, :, None, :] + images) @ cell
    return np.sqrt((vectors**2).sum(axis=-1)).min(axis=-1)
