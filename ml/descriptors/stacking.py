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
