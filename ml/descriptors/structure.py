"""Structural descriptors of a slab: of the layer as a whole, and of what each face shows its partner."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ml.descriptors.contact import PROBE_RADII, probe_heights
from ml.descriptors.elements import magpie_table, polarizability, vdw_radius
from ml.descriptors.slab import Slab

LAYER_NAMES = ("thickness", "area", "n_atoms", "n_elements", "atom_density", "face_asymmetry")
LAYER_UNITS = ("Å", "Å²", "1", "1", "1/Å²", "1")

FACE_DECAY = 0.8
"""Å: an atom's weight in the averages over a face falls as e^(−depth / FACE_DECAY)."""

FACE_NAMES = (
    "electronegativity", "vdw_radius", "polarizability", "covalent_radius", "column", "row", "n_valence", "metallic",
    "density", "roughness", "second_depth", "charge", "probe_small_mean", "probe_small_max", "probe_small_min",
    "probe_large_mean", "probe_large_max", "probe_large_min",
)  # fmt: skip
FACE_UNITS = (
    "Pauling", "Å", "Å³", "pm", "1", "1", "1", "1",
    "1/Å²", "Å", "Å", "Pauling", "Å", "Å", "Å", "Å", "Å", "Å",
)  # fmt: skip


def layer_descriptors(slab: Slab) -> NDArray[np.float64]:
    """Numbers of the layer as a whole, shape (len(LAYER_NAMES),), units `LAYER_UNITS`.

    `face_asymmetry` is the difference of the mean electronegativities of the two faces: 0 unless polar.
    """
    chi = magpie_table("Electronegativity")[slab.numbers]
    top, bottom = (_weighted(chi, slab.depth(side)) for side in (True, False))
    return np.array(
        [
            slab.thickness,
            slab.area,
            len(slab),
            len(np.unique(slab.numbers)),
            len(slab) / slab.area,
            abs(top - bottom),
        ]
    )


def face_descriptors(slab: Slab, top: bool) -> NDArray[np.float64]:
    """What one face shows, shape (len(FACE_NAMES),), units `FACE_UNITS`.

    Element properties are averages weighted by e^(−depth/0.8 Å). `density` counts atoms within 1 Å of the outermost
    nucleus per area, `roughness` is the standard deviation of their depths, `second_depth` the depth of the first atom
    below them (10 Å if none), `charge` the weighted electronegativity less the layer's mean (positive: the face is
    the negative side of the bonds), the probes are `ml.descriptors.contact.probe_heights`.
    """
    depth = slab.depth(top)
    tables = [
        magpie_table("Electronegativity"),
        vdw_radius(),
        polarizability(),
        magpie_table("CovalentRadius"),
        magpie_table("Column"),
        magpie_table("Row"),
        magpie_table("NValence"),
        magpie_table("IsMetal"),
    ]
    averages = [_weighted(table[slab.numbers], depth) for table in tables]
    facing = depth[slab.facing(top)]
    below = depth[depth > facing.max() + 1e-9]
    chi = magpie_table("Electronegativity")[slab.numbers]
    geometry = [
        len(facing) / slab.area,
        float(facing.std()),
        float(below.min()) if len(below) else 10.0,
        averages[0] - float(chi.mean()),
    ]
    probes = []
    for radius in PROBE_RADII:
        heights = probe_heights(slab, top, radius)
        probes += [float(heights.mean()), float(heights.max()), float(heights.min())]
    return np.array(averages + geometry + probes)


def _weighted(values: NDArray[np.float64], depth: NDArray[np.float64]) -> float:
    weights = np.exp(-depth / FACE_DECAY)
    return float(values @ weights / weights.sum())
