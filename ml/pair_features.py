"""Pair feature set v4: what a model sees of two layers put together.

Every component is symmetric under exchange of the two layers (each with the face that it turns to the other), so that a
swap changes no prediction: means, smaller and larger of the two, and absolute differences. All but the last three
blocks follow from the two material vectors. The registry block is NaN for a moiré, which has every registry at once,
and known for an explicit commensurate bilayer; the match block is NaN where no match is given. No component depends on
the distance between the layers.

v4 adds the block `NOSOC` to v3, from the material features v3: gaps and alignment by levels without spin-orbit
coupling, for stacks that are calculated without it. v3 has the components of v2, from the material features v2, in
which bismuth is as polarizable as it is. v2 held every component of v1 under its name and with its meaning.
Homobilayers hold no differences: a model that is trained on them alone reads none.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ml import features
from ml.descriptors import dispersion, stacking
from ml.descriptors.band_alignment import Alignment, Anderson, anderson, smaller_gap
from ml.descriptors.contact import PROBE_RADII
from ml.descriptors.structure import FACE_NAMES, FACE_UNITS

KEY = "pair"
VERSION = 4

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
LAYER_CONTRASTS = (
    "thickness", "area", "n_atoms", "atom_density", "magpie_mean_AtomicWeight", "magpie_mean_MendeleevNumber",
    "magpie_mean_Row", "magpie_mean_Column", "magpie_mean_CovalentRadius", "magpie_mean_Electronegativity",
    "magpie_mean_NValence", "magpie_avg_dev_Electronegativity", "formation_energy", "hull_energy",
    "polarizability_xy", "polarizability_z",
)  # fmt: skip
"""Components of a layer that are also compared between the two."""
FACE_CONTRASTS = (
    "electronegativity", "vdw_radius", "polarizability", "column", "row", "charge", "density", "probe_small_mean",
    "probe_small_min",
)  # fmt: skip
"""Components of a face that are also compared between the two that meet."""
CONTRASTS = ("diff", "min", "max")

PHYSICS = (
    "vdw_distance", "dispersion_distance", "dispersion_energy", "probe_distance_mean", "probe_distance_max",
    "probe_distance_min",
)  # fmt: skip
GAPS = ("gap_min", "gap_aligned", "vacuum_mismatch")
ALIGNMENT = (
    "gap_max", "gap_diff", "gap_overlap", "valence_offset", "conduction_offset", "straddling_margin", "vbm_higher",
    "cbm_lower", "work_function_diff", "alignment_type",
)  # fmt: skip
"""Anderson's rule in full; `gap_overlap` is his gap before it is cut off at 0, negative where it is broken."""
SOC = (
    "gap_min", "gap_aligned", "facing_vbm", "facing_cbm",
    *(name for name in ALIGNMENT if name != "work_function_diff"),
)  # fmt: skip
"""Components that move with spin-orbit coupling, which the layers' levels have."""
NOSOC = tuple(f"nosoc_{name}" for name in SOC)
"""The same by the layers' levels without it (by those with it where no others are known)."""
REGISTRY = (*stacking.NAMES, "touching_excess", "dispersion_distance_excess", "dispersion_energy_ratio")

STACKING = ("stacking_eclipsed", "stacking_flip", "stacking_shift", "stacking_turn")
"""How a commensurate stack is named: facing atoms atop each other (1) or not (0), upper layer turned over (1) or not,
length of the lateral shift (of the root of the cell's area, folded by lattice and inversion), and turn of the upper
layer (degrees, 0 to 180)."""
MATCH = ("match_strain", "match_shear", "match_twist", "match_area", "match_atoms", "match_ln_area_ratio")
"""Coincidence cell from the isolated layers: root mean square and difference of the principal logarithmic strains of
one supercell against the other, twist (degrees, 0 to 180), area, atoms, and |ln| of the areas of the two layers' own
cells."""

NAMES: tuple[str, ...] = (
    *(f"mean_{name}" for name in LAYER_MEANS),
    *(f"facing_{name}" for name in FACE_NAMES),
    *PHYSICS,
    *GAPS,
    *(f"facing_{name}" for name in EDGE_MEANS),
    *(f"mean_{name}" for name in ELECTRONIC_MEANS),
    *(f"{kind}_{name}" for name in LAYER_CONTRASTS for kind in CONTRASTS),
    *(f"facing_{kind}_{name}" for name in FACE_CONTRASTS for kind in CONTRASTS),
    *ALIGNMENT,
    *NOSOC,
    *REGISTRY,
    *STACKING,
    *MATCH,
)
"""Name of each component."""


def _unit(name: str) -> str:
    return features.UNITS[features.COLUMN[name]]


UNITS: tuple[str, ...] = (
    *(_unit(name) for name in LAYER_MEANS),
    *FACE_UNITS,
    *("Å", "Å", "meV/Å²", "Å", "Å", "Å"),
    *("eV",) * 6,
    *("eV/atom", "eV/atom", "Å", "Å"),
    *(_unit(name) for name in LAYER_CONTRASTS for _ in CONTRASTS),
    *(FACE_UNITS[FACE_NAMES.index(name)] for name in FACE_CONTRASTS for _ in CONTRASTS),
    *("eV",) * 9,
    "1",
    *("eV",) * 12,
    "1",
    *stacking.UNITS,
    *("Å", "Å", "1"),
    *("1", "1", "1", "°"),
    *("1", "1", "°", "Å²", "1", "1"),
)
"""Unit of each component."""
COLUMN: dict[str, int] = {name: index for index, name in enumerate(NAMES)}
"""Position of each component."""

_CONTRASTED = frozenset(
    name
    for name in NAMES
    if any(name.startswith((f"{kind}_", f"facing_{kind}_")) for kind in CONTRASTS) or name in ALIGNMENT + NOSOC
)
STRUCTURAL = tuple(
    name
    for name in NAMES
    if name not in GAPS
    and not name.endswith(EDGE_MEANS + ELECTRONIC_MEANS)
    and name not in _CONTRASTED
    and name not in STACKING + MATCH
)
"""Components that need no electronic property of the layers and that two layers of one material do not leave zero."""


class _Plan(NamedTuple):
    """Components that are one function of one table: which columns of the table, and where they go."""

    kind: str
    table: NDArray[np.int64]
    out: NDArray[np.int64]


_COMBINE: dict[str, Callable[[NDArray[np.floating], NDArray[np.floating]], NDArray[np.floating]]] = {
    "mean": lambda a, b: np.float32(0.5) * (a + b),
    "diff": lambda a, b: np.abs(a - b),
    # Unlike fmin and fmax these keep what is unknown of either unknown of both.
    "min": np.minimum,
    "max": np.maximum,
}


def _plans(prefix: str, mean: str, known: Sequence[str], wanted: Collection[str]) -> list[_Plan]:
    """Plans for the components of a table with the columns `known`; means are named by `mean`, others by `prefix`."""
    plans = []
    for kind in _COMBINE:
        start = mean if kind == "mean" else f"{prefix}{kind}_"
        chosen = [(i, COLUMN[start + name]) for i, name in enumerate(known) if start + name in wanted]
        if chosen:
            plans.append(_Plan(kind, *(np.array(part, np.int64) for part in zip(*chosen, strict=True))))
    return plans


class _Levels(NamedTuple):
    """Gap of each layer, and its edges and work function by face, eV."""

    gap: NDArray[np.float64]
    edges: tuple[NDArray[np.float64], NDArray[np.float64]]


class _Tables(NamedTuple):
    layer: NDArray[np.float32]
    face: tuple[NDArray[np.float32], NDArray[np.float32]]
    transforms: tuple[NDArray[np.float32], NDArray[np.float32]]
    levels: _Levels
    levels_nosoc: _Levels
    half_step: tuple[NDArray[np.float64], NDArray[np.float64]]


_LAYER_COLUMNS = tuple(dict.fromkeys((*LAYER_MEANS, *ELECTRONIC_MEANS, *LAYER_CONTRASTS)))
_CONTACT = ("dispersion_distance", "dispersion_energy", "dispersion_distance_excess", "dispersion_energy_ratio")
_PROBES = ("probe_distance_mean", "probe_distance_max", "probe_distance_min", "touching_excess")


class PairFeatures:
    """Puts pair features together from a table of material features, many pairs at a time.

    Args:
        materials: material feature vectors, shape (materials, len(ml.features.NAMES)).
        names: components that are wanted; all if None. The others stay NaN, and cost nothing.
    """

    def __init__(self, materials: NDArray[np.floating], names: Collection[str] | None = None) -> None:
        table = np.asarray(materials, np.float32)
        wanted = frozenset(NAMES if names is None else names)

        def columns(names: Sequence[str]) -> NDArray[np.float32]:
            return np.ascontiguousarray(table[:, [features.COLUMN[name] for name in names]])

        def levels(suffix: str) -> _Levels:
            names = f"vbm{suffix}", f"cbm{suffix}", "work_function"
            bottom, top = (columns([f"{name}_{face}" for name in names]).astype(float) for face in ("bottom", "top"))
            return _Levels(columns([f"gap{suffix}"])[:, 0].astype(float), (bottom, top))

        step = columns(["vacuum_step"])[:, 0].astype(float)
        nodes = [name.removeprefix("top_") for name in features.NAMES if name.startswith("top_dispersion_")]
        self._wanted = wanted
        self._layer_plans = _plans("", "mean_", _LAYER_COLUMNS, wanted)
        self._face_plans = _plans("facing_", "facing_", FACE_NAMES, wanted)
        self._tables = _Tables(
            columns(_LAYER_COLUMNS),
            (columns([f"bottom_{n}" for n in FACE_NAMES]), columns([f"top_{n}" for n in FACE_NAMES])),
            (columns([f"bottom_{n}" for n in nodes]), columns([f"top_{n}" for n in nodes])),
            levels(""),
            levels("_nosoc"),
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
        named: NDArray[np.floating] | None = None,
        match: NDArray[np.floating] | None = None,
    ) -> NDArray[np.float32]:
        """Features of pairs of materials.

        Args:
            a, b: rows of the material table, shape (pairs,).
            top_a, top_b: whether a (b) turns its top face to the partner, shape (pairs,). By default a lies below
                and turns its top face up, b lies above and turns its bottom face down.
            registry: from `ml.descriptors.stacking.registry_descriptors`, shape (pairs, 8); None or NaN rows where
                the registry is not a single one.
            named: the components `STACKING`, shape (pairs, 4), likewise.
            match: the components `MATCH`, shape (pairs, 6), likewise.

        Returns:
            Shape (pairs, len(NAMES)), float32.
        """
        faces_a = np.ones(len(a), bool) if top_a is None else np.asarray(top_a, bool)
        faces_b = np.zeros(len(b), bool) if top_b is None else np.asarray(top_b, bool)
        t, wanted = self._tables, self._wanted
        out = np.full((len(a), len(NAMES)), np.nan, np.float32)
        face_a, face_b = _by_face(t.face, a, faces_a), _by_face(t.face, b, faces_b)
        # Whole rows first: picking columns out of them is then a short step in memory.
        layers = (t.layer[a], t.layer[b]) if self._layer_plans else (t.layer[:0], t.layer[:0])
        for plans, two in ((self._layer_plans, layers), (self._face_plans, (face_a, face_b))):
            for plan in plans:
                out[:, plan.out] = _COMBINE[plan.kind](two[0][:, plan.table], two[1][:, plan.table])

        def put(names: Sequence[str], values: NDArray[np.floating]) -> None:
            out[:, [COLUMN[name] for name in names]] = values

        radius = FACE_NAMES.index("vdw_radius")
        if "vdw_distance" in wanted:
            put(["vdw_distance"], dispersion.vdw_distance(face_a[:, radius], face_b[:, radius])[:, None])
        if not wanted.isdisjoint(_CONTACT):
            contact = dispersion.averaged_contact(
                _by_face(t.transforms, a, faces_a), _by_face(t.transforms, b, faces_b)
            )
            put(["dispersion_distance", "dispersion_energy"], np.column_stack(contact))
        if not wanted.isdisjoint(_PROBES):
            put(_PROBES[:3], _probe_distances(face_a, face_b))
        if not wanted.isdisjoint(GAPS + ALIGNMENT) or not wanted.isdisjoint(f"facing_{n}" for n in EDGE_MEANS):
            means, gaps, alignment = self._aligned(t.levels, a, b, faces_a, faces_b)
            put([f"facing_{name}" for name in EDGE_MEANS], means)
            put(GAPS, gaps)
            put(ALIGNMENT, alignment)
        if not wanted.isdisjoint(NOSOC):
            means, gaps, alignment = self._aligned(t.levels_nosoc, a, b, faces_a, faces_b)
            kept = [ALIGNMENT.index(name) for name in ALIGNMENT if name in SOC]
            put(NOSOC, np.column_stack([gaps[:, :2], means[:, :2], alignment[:, kept]]))
        if registry is not None:
            put(REGISTRY, self._registry(registry, out))
        if named is not None:
            put(STACKING, named)
        if match is not None:
            put(MATCH, match)
        return out

    @staticmethod
    def _registry(registry: NDArray[np.floating], out: NDArray[np.float32]) -> NDArray[np.floating]:
        """The registry block: what the registry is, and against the average over all registries."""
        probe, distance, energy = (
            out[:, COLUMN[name]] for name in ("probe_distance_mean", "dispersion_distance", "dispersion_energy")
        )
        against = [registry[:, 0] - probe, registry[:, 1] - distance, registry[:, 2] / energy]
        return np.column_stack([registry, *against])

    def _aligned(
        self,
        levels: _Levels,
        a: NDArray[np.integer],
        b: NDArray[np.integer],
        faces_a: NDArray[np.bool_],
        faces_b: NDArray[np.bool_],
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Means of the facing `EDGE_MEANS`, the components `GAPS` and the components `ALIGNMENT` by some levels."""
        edges_a, edges_b = _by_face(levels.edges, a, faces_a), _by_face(levels.edges, b, faces_b)
        t = self._tables
        mismatch = np.abs(_by_face(t.half_step, a, faces_a) - _by_face(t.half_step, b, faces_b))
        gap_a, gap_b = levels.gap[a], levels.gap[b]
        rule = anderson(edges_a[:, 0], edges_a[:, 1], edges_b[:, 0], edges_b[:, 1])
        gaps = _gaps(smaller_gap(gap_a, gap_b), rule, mismatch, a == b)
        return 0.5 * (edges_a + edges_b), gaps, _alignment(gap_a, gap_b, edges_a, edges_b, rule)


def _gaps(
    small: NDArray[np.floating], rule: Anderson, mismatch: NDArray[np.floating], same: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Smaller gap, gap of the aligned bands, and relative shift of the layers' potentials, eV, shape (pairs, 3).

    Where the facing vacuum levels are made one, two polar layers shift against each other by `vacuum_mismatch`.
    The aligned gap is Anderson's where all edges are known, the gap less the shift where a layer meets itself, and
    the smaller gap otherwise; 0 if one is a metal.
    """
    shifted = np.where(same, np.maximum(small - np.nan_to_num(mismatch), 0.0), small)
    aligned = np.where(small == 0, 0.0, np.where(np.isfinite(rule.gap), rule.gap, shifted))
    return np.column_stack([small, aligned, mismatch])


def _alignment(
    gap_a: NDArray[np.floating],
    gap_b: NDArray[np.floating],
    edges_a: NDArray[np.floating],
    edges_b: NDArray[np.floating],
    rule: Anderson,
) -> NDArray[np.float64]:
    """The components `ALIGNMENT`, shape (pairs, len(ALIGNMENT)).

    `straddling_margin` is how far the alignment is from turning from straddling (positive) to staggered (negative):
    min(|ΔE_v|, |ΔE_c|), with the sign of −ΔE_v ΔE_c.
    """
    (va, ca, wa), (vb, cb, wb) = edges_a.T, edges_b.T
    nearer = np.minimum(np.abs(rule.vbo), np.abs(rule.cbo))
    # NaN stays NaN: a sign of NaN is NaN.
    margin = -np.sign(rule.vbo * rule.cbo) * nearer
    kind = np.where(rule.kind == Alignment.UNKNOWN, np.nan, rule.kind.astype(float))
    return np.column_stack(
        [
            np.maximum(gap_a, gap_b),
            np.abs(gap_a - gap_b),
            np.minimum(ca, cb) - np.maximum(va, vb),
            np.abs(rule.vbo),
            np.abs(rule.cbo),
            margin,
            np.maximum(va, vb),
            np.minimum(ca, cb),
            np.abs(wa - wb),
            kind,
        ]
    )


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
