"""Material feature set v3: everything that a pair model asks of one isolated layer, in one vector.

A material is described once; pairs are then put together from two rows (`ml.pair_features`). The vector holds numbers
of the layer as a whole, its electronic properties where some source knows them (NaN where none does), the 132 Magpie
statistics of its composition, and for either face what that face shows a partner.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ml.descriptors import composition, dispersion, structure
from ml.descriptors.slab import Slab
from schema.quantities import (
    CBM,
    CBM_NOSOC,
    FORMATION_ENERGY,
    GAP,
    GAP_NOSOC,
    HULL_ENERGY,
    POLARIZABILITY_X,
    POLARIZABILITY_Y,
    POLARIZABILITY_Z,
    VACUUM_STEP,
    VBM,
    VBM_NOSOC,
    WORK_FUNCTION,
)
from schema.vocabulary import Face

KEY = "material"
VERSION = 3
"""v3 adds the levels without spin-orbit coupling to those of v2.

v2: bismuth's polarizability is right (`ml.descriptors.elements.CORRECTIONS`), and with it its dispersion."""

ELECTRONIC_NAMES = (
    "gap", "vbm_bottom", "vbm_top", "cbm_bottom", "cbm_top", "work_function_bottom", "work_function_top", "vacuum_step",
    "formation_energy", "hull_energy", "polarizability_xy", "polarizability_z", "gap_nosoc", "vbm_nosoc_bottom",
    "vbm_nosoc_top", "cbm_nosoc_bottom", "cbm_nosoc_top",
)  # fmt: skip
ELECTRONIC_UNITS = ("eV",) * 8 + ("eV/atom", "eV/atom", "Å", "Å") + ("eV",) * 5

_TRANSFORM_NAMES = tuple(f"dispersion_{kind}_{k}" for kind in ("f", "g") for k in range(dispersion.NODES))
_TRANSFORM_UNITS = ("eV^½ Å",) * dispersion.NODES + ("eV^½ Å⁴",) * dispersion.NODES


def _face_names(face: Face) -> tuple[str, ...]:
    return tuple(f"{face.value}_{name}" for name in structure.FACE_NAMES + _TRANSFORM_NAMES)


NAMES: tuple[str, ...] = (
    structure.LAYER_NAMES + ELECTRONIC_NAMES + composition.NAMES + _face_names(Face.BOTTOM) + _face_names(Face.TOP)
)
"""Name of each component."""
UNITS: tuple[str, ...] = (
    structure.LAYER_UNITS
    + ELECTRONIC_UNITS
    + ("1",) * len(composition.NAMES)
    + 2 * (structure.FACE_UNITS + _TRANSFORM_UNITS)
)
"""Unit of each component; Magpie's statistics are marked 1, each being in its element property's own unit."""
COLUMN: dict[str, int] = {name: index for index, name in enumerate(NAMES)}
"""Position of each component."""


@dataclass(frozen=True)
class Layer:
    """One isolated layer as the models know it.

    Attributes:
        slab: its atoms.
        properties: values by (quantity key, face), in the unit of `schema.quantities`; face None where the two faces
            do not differ.
    """

    slab: Slab
    properties: dict[tuple[str, Face | None], float] = field(default_factory=dict)

    def value(self, key: str, face: Face | None = None) -> float:
        """A property's value at a face, else the one of the layer as a whole; NaN if unknown."""
        own = self.properties.get((key, face))
        return float(own if own is not None else self.properties.get((key, None), np.nan))

    @property
    def gap_without_soc(self) -> float:
        """Gap without spin-orbit coupling, eV; the one with it where no other is known."""
        return self.value(GAP_NOSOC.key if (GAP_NOSOC.key, None) in self.properties else GAP.key)

    def edges_without_soc(self, face: Face) -> tuple[float, float]:
        """Valence and conduction edge against the vacuum of a face without spin-orbit coupling, eV.

        Those with it where not both are known without: two edges of one calculation belong together.
        """
        edges = self.value(VBM_NOSOC.key, face), self.value(CBM_NOSOC.key, face)
        return edges if np.isfinite(edges).all() else (self.value(VBM.key, face), self.value(CBM.key, face))

    @property
    def digest(self) -> bytes:
        """SHA-256 of everything that the features depend on: atoms to 1e-4 Å, properties, version of the set."""
        hasher = hashlib.sha256(f"{KEY}/{VERSION};".encode())
        hasher.update(np.ascontiguousarray(self.slab.numbers, np.int64).tobytes())
        for numbers in (self.slab.positions, self.slab.cell):
            # Adding zero turns -0.0 into 0.0, which is the same place.
            hasher.update((np.round(numbers, 4) + 0.0).tobytes())
        for (key, face), value in sorted(self.properties.items(), key=lambda item: (item[0][0], item[0][1] or "")):
            hasher.update(f"{key}/{face.value if face else ''}={value!r};".encode())
        return hasher.digest()


def compute(layers: Sequence[Layer]) -> NDArray[np.float32]:
    """The features of each layer.

    Args:
        layers: isolated layers.

    Returns:
        Shape (layers, len(NAMES)), float32, the precision in which they are kept; NaN = unknown.
    """
    if not layers:
        return np.empty((0, len(NAMES)), np.float32)
    magpie = composition.magpie([layer.slab.numbers for layer in layers])
    rows = [
        np.concatenate(
            [
                structure.layer_descriptors(layer.slab),
                _electronic(layer),
                magpie[row],
                structure.face_descriptors(layer.slab, False),
                dispersion.face_transforms(layer.slab, False),
                structure.face_descriptors(layer.slab, True),
                dispersion.face_transforms(layer.slab, True),
            ]
        )
        for row, layer in enumerate(layers)
    ]
    return np.array(rows, np.float32)


def _electronic(layer: Layer) -> NDArray[np.float64]:
    vbm_bottom, vbm_top = (layer.value(VBM.key, face) for face in (Face.BOTTOM, Face.TOP))
    cbm_bottom, cbm_top = (layer.value(CBM.key, face) for face in (Face.BOTTOM, Face.TOP))
    work_bottom, work_top = (layer.value(WORK_FUNCTION.key, face) for face in (Face.BOTTOM, Face.TOP))
    # The step of the vacuum level is also the difference of anything measured against it on either side.
    steps = (layer.value(VACUUM_STEP.key), work_top - work_bottom, vbm_bottom - vbm_top)
    step = next((value for value in steps if np.isfinite(value)), np.nan)
    return np.array(
        [
            layer.value(GAP.key),
            vbm_bottom,
            vbm_top,
            cbm_bottom,
            cbm_top,
            work_bottom,
            work_top,
            step,
            layer.value(FORMATION_ENERGY.key),
            layer.value(HULL_ENERGY.key),
            0.5 * (layer.value(POLARIZABILITY_X.key) + layer.value(POLARIZABILITY_Y.key)),
            layer.value(POLARIZABILITY_Z.key),
            layer.gap_without_soc,
            *(
                edge
                for pair in zip(*map(layer.edges_without_soc, (Face.BOTTOM, Face.TOP)), strict=True)
                for edge in pair
            ),
        ]
    )
