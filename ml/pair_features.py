"""Pair feature set v1: what a model sees of two layers put together.

Every component is symmetric under exchange of the two layers (each with the face that it turns to the other), so that a
swap changes no prediction. All but the registry block follow from the two material vectors; the registry block is NaN
for a moiré, which has every registry at once, and known for an explicit commensurate bilayer. No component depends on
the distance between the layers.

Differences of the two layers' own numbers are absent by choice: the homobilayers that the models learn from hold none.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ml import features
from ml.descriptors import dispersion, stacking
from ml.descriptors.band_alignment import anderson, smaller_gap
from ml.descriptors.contact import PROBE_RADII
from ml.descriptors.structure import FACE_NAMES, FACE_UNITS

KEY = "pair"
VERSION = 1

LAYER_MEANS = (
    "thickness", "n_elements", "atom_density", "face_asymmetry",
    *(f"magpie_mean_{name}" for name in (
        "MendeleevNumber", "AtomicWeight", "MeltingT", "Column", "Row", "CovalentRadius", "Electronegativity",
        "NsValence", "NpValence", "NdValence", "NfValence", "NpUnfilled", "NdUnfilled", "NUnfilled", "GSvolume_pa",
        "GSmagmom", "SpaceGroupNumber",
    )),
    "magpie_minimum_Number", "magpie_maximum_Number", "magpie_avg_dev_Number", "magpie_minimum_MendeleevNumber",
    "magpie_maximum_MendeleevNumber", "magpie_minimum_Electronegativity", "magpie_maximum_Electronegativity",
    "magpie_avg_dev_Electronegativity", "magpie_maximum_NdValence",
)  # fmt: skip
ELECTRONIC_MEANS = ("formation_energy", "hull_energy", "polarizability_xy", "polarizability_z")
"""Components that few materials have; models must do without them too."""
EDGE_MEANS = ("vbm", "cbm", "work_function")

PHYSICS = (
    "vdw_distance", "dispersion_distance", "dispersion_energy", "probe_distance_mean", "probe_distance_max",
    "probe_distance_min",
)  # fmt: skip
GAPS = ("gap_min", "gap_aligned", "vacuum_mismatch")
REGISTRY = (*stacking.NAMES, "touching_excess", "dispersion_distance_excess", "dispersion_energy_ratio")

NAMES: tuple[str, ...] = (
    *(f"mean_{name}" for name in LAYER_MEANS),
    *(f"facing_{name}" for name in FACE_NAMES),
    *PHYSICS,
    *GAPS,
    *(f"facing_{name}" for name in EDGE_MEANS),
    *(f"mean_{name}" for name in ELECTRONIC_MEANS),
    *REGISTRY,
)
"""Name of each component."""
UNITS: tuple[str, ...] = (
    *(features.UNITS[features.COLUMN[name]] for name in LAYER_MEANS),
    *FACE_UNITS,
    *("Å", "Å", "meV/Å²", "Å", "Å", "Å"),
    *("eV",) * 6,
    *("eV/atom", "eV/atom", "Å", "Å"),
    *stacking.UNITS,
    *("Å", "Å", "1"),
)
"""Unit of each component."""
COLUMN: dict[str, int] = {name: index for index, name in enumerate(NAMES)}
"""Position of each component."""

STRUCTURAL = tuple(name for name in NAMES if name not in GAPS and not name.endswith(EDGE_MEANS + ELECTRONIC_MEANS))
"""Components that need no electronic property of the layers."""


class _Tables(NamedTuple):
    layer: NDArray[np.float32]
    electronic: NDArray[np.float32]
    face: tuple[NDArray[np.float32], NDArray[np.float32]]
    transforms: tuple[NDArray[np.float32], NDArray[np.float32]]
    edges: tuple[NDArray[np.float64], NDArray[np.float64]]
    gap: NDArray[np.float64]
    half_step: tuple[NDArray[np.float64], NDArray[np.float64]]


class PairFeatures:
    """Puts pair features together from a table of material features, many pairs at a time.

    Args:
        materials: material feature vectors, shape (materials, len(ml.features.NAMES)).
    """

    def __init__(self, materials: NDArray[np.floating]) -> None:
        table = np.asarray(materials, np.float32)

        def columns(names: list[str]) -> NDArray[np.float32]:
            return np.ascontiguousarray(table[:, [features.COLUMN[name] for name in names]])

        def edges(face: str) -> NDArray[np.float64]:
            return columns([f"{name}_{face}" for name in EDGE_MEANS]).astype(float)

        gap = columns(["gap"])[:, 0].astype(float)
        step = columns(["vacuum_step"])[:, 0].astype(float)
        nodes = [name.removeprefix("top_") for name in features.NAMES if name.startswith("top_dispersion_")]
        self._tables = _Tables(
            columns(list(LAYER_MEANS)),
            columns(list(ELECTRONIC_MEANS)),
            (columns([f"bottom_{n}" for n in FACE_NAMES]), columns([f"top_{n}" for n in FACE_NAMES])),
            (columns([f"bottom_{n}" for n in nodes]), columns([f"top_{n}" for n in nodes])),
            (edges("bottom"), edges("top")),
            gap,
            (-0.5 * step, 0.5 * step),
        )

    def __call__(
        self,
        a: NDArray[np.integer],
        b: NDArray[np.integer],
        *,
        top_a: NDArray[np.bool_] | None = None,
        top_b: NDArray[np.bool_] | None = None,
        registry: NDArray[np.floating] | None = None,
    ) -> NDArray[np.float32]:
        """Features of pairs of materials.

        Args:
            a, b: rows of the material table, shape (pairs,).
            top_a, top_b: whether a (b) turns its top face to the partner, shape (pairs,). By default a lies below
                and turns its top face up, b lies above and turns its bottom face down.
            registry: from `ml.descriptors.stacking.registry_descriptors`, shape (pairs, 8); None or NaN rows where
                the registry is not a single one.

        Returns:
            Shape (pairs, len(NAMES)), float32.
        """
        faces_a = np.ones(len(a), bool) if top_a is None else np.asarray(top_a, bool)
        faces_b = np.zeros(len(b), bool) if top_b is None else np.asarray(top_b, bool)
        t = self._tables
        out = np.empty((len(a), len(NAMES)), np.float32)
        face_a, face_b = _by_face(t.face, a, faces_a), _by_face(t.face, b, faces_b)
        contact = dispersion.averaged_contact(_by_face(t.transforms, a, faces_a), _by_face(t.transforms, b, faces_b))
        probes = _probe_distances(face_a, face_b)
        radius = FACE_NAMES.index("vdw_radius")
        blocks: list[NDArray[np.floating]] = [
            0.5 * (t.layer[a] + t.layer[b]),
            0.5 * (face_a + face_b),
            dispersion.vdw_distance(face_a[:, radius], face_b[:, radius])[:, None],
            contact.distance[:, None],
            contact.energy[:, None],
            probes,
            self._gaps(a, b, faces_a, faces_b),
            0.5 * (_by_face(t.edges, a, faces_a) + _by_face(t.edges, b, faces_b)),
            0.5 * (t.electronic[a] + t.electronic[b]),
        ]
        at = 0
        for block in blocks:
            out[:, at : at + block.shape[1]] = block
            at += block.shape[1]
        if registry is None:
            out[:, at:] = np.nan
        else:
            out[:, at : at + len(stacking.NAMES)] = registry
            out[:, at + len(stacking.NAMES) + 0] = registry[:, 0] - probes[:, 0]
            out[:, at + len(stacking.NAMES) + 1] = registry[:, 1] - contact.distance
            out[:, at + len(stacking.NAMES) + 2] = registry[:, 2] / contact.energy
        return out

    def _gaps(
        self,
        a: NDArray[np.integer],
        b: NDArray[np.integer],
        faces_a: NDArray[np.bool_],
        faces_b: NDArray[np.bool_],
    ) -> NDArray[np.float64]:
        """Smaller gap, gap of the aligned bands, and relative shift of the layers' potentials, eV, shape (pairs, 3).

        Where the facing vacuum levels are made one, two polar layers shift against each other by `vacuum_mismatch`.
        The aligned gap is Anderson's where all edges are known, the gap less the shift where a layer meets itself, and
        the smaller gap otherwise; 0 if one is a metal.
        """
        t = self._tables
        small = smaller_gap(t.gap[a], t.gap[b])
        mismatch = np.abs(_by_face(t.half_step, a, faces_a) - _by_face(t.half_step, b, faces_b))
        edges_a, edges_b = _by_face(t.edges, a, faces_a), _by_face(t.edges, b, faces_b)
        aligned = anderson(edges_a[:, 0], edges_a[:, 1], edges_b[:, 0], edges_b[:, 1]).gap
        shifted = np.where(a == b, np.maximum(small - np.nan_to_num(mismatch), 0.0), small)
        aligned = np.where(small == 0, 0.0, np.where(np.isfinite(aligned), aligned, shifted))
        return np.column_stack([small, aligned, mismatch])


def _by_face(
    faces: tuple[NDArray[np.floating], NDArray[np.floating]], rows: NDArray[np.integer], top: NDArray[np.bool_]
) -> NDArray[np.floating]:
    if top.all():
        return faces[1][rows]
    if not top.any():
        return faces[0][rows]
    choose = top if faces[0].ndim == 1 else top[:, None]
    return np.where(choose, faces[1][rows], faces[0][rows])


def _probe_distances(face_a: NDArray[np.floating], face_b: NDArray[np.floating]) -> NDArray[np.floating]:
    """Mean, highest and lowest resting height of one face's atoms on the other, averaged both ways, Å, (pairs, 3).

    The two probe radii of `ml.descriptors.contact` are interpolated to the partner's own van der Waals radius.
    """
    radius = FACE_NAMES.index("vdw_radius")
    small, large = PROBE_RADII

    def resting(own: NDArray[np.floating], other: NDArray[np.floating], kind: str) -> NDArray[np.floating]:
        low = own[:, FACE_NAMES.index(f"probe_small_{kind}")]
        high = own[:, FACE_NAMES.index(f"probe_large_{kind}")]
        return low + (high - low) * (other[:, radius] - small) / (large - small)

    return np.column_stack(
        [0.5 * (resting(face_a, face_b, kind) + resting(face_b, face_a, kind)) for kind in ("mean", "max", "min")]
    )
