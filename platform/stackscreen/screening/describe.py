"""What is said of a pair beside its match: who is strained, how bands align, what models predict, how it ranks.

`docs/ranking.md` tells people each column's formula, source and the point from which it is not to be believed.
"""

from __future__ import annotations

from itertools import product
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from ml.descriptors.band_alignment import (
    Alignment,
    Anderson,
    Faces,
    anderson,
    orientations,
    schottky_barriers,
    vacuum_step,
)
from ml.descriptors.photovoltaics import scharber_limit
from schema.vocabulary import AlignmentType, InterfaceKind, StackSide
from stackscreen.pairs.common_area import parts_and_areas
from stackscreen.pairs.solution import principal_strains, von_mises_strain
from stackscreen.screening.binary_copy import TextColumn
from stackscreen.screening.members import MemberTable
from stackscreen.screening.score import candidate_score

PREDICTED: Final = {"binding_energy": "binding_energy", "interlayer_distance": "distance", "gap": "gap"}
"""Targets of the models and the columns of `candidate` that hold them."""
SCORED: Final = ("domain_distance", "distance_vdw", "dispersion_energy")
"""What else the scorer knows of two layers, by the name of its column."""

ALIGNMENTS: Final = {
    Alignment.STRADDLING: AlignmentType.STRADDLING,
    Alignment.STAGGERED: AlignmentType.STAGGERED,
    Alignment.BROKEN: AlignmentType.BROKEN,
    Alignment.METAL: AlignmentType.METAL,
}
SAME_FACE: Final = 1e-3
"""eV: a layer whose edges differ by less from face to face shows the same ones either way up."""

_KINDS: Final = [kind.value for kind in (InterfaceKind.HOMOBILAYER, InterfaceKind.HETEROBILAYER, InterfaceKind.ON_BULK)]
_ALIGNMENT_WORDS: Final = [word.value for word in ALIGNMENTS.values()]
# Four digits to the base 3: the first is that of the first orientation.
_OPEN: Final = (Alignment.STRADDLING, Alignment.STAGGERED, Alignment.BROKEN)
_ORIENTATION_WORDS: Final = [" ".join(words) for words in product([ALIGNMENTS[kind].value for kind in _OPEN], repeat=4)]

Columns = dict[str, tuple[str, NDArray[Any]] | TextColumn]


class Scorer(Protocol):
    """What predicts pairs of layers: see `ml.scorer.PairScorer.score`."""

    def score(
        self,
        material_a: NDArray[np.integer],
        material_b: NDArray[np.integer],
        *,
        strain: NDArray[np.floating] | None = None,
    ) -> dict[str, NDArray[np.float64]]:
        """Predictions with intervals, each shape (pairs,)."""
        ...


def describe(members: MemberTable, scorer: Scorer, table: NDArray[np.float64]) -> Columns:
    """All columns of candidates but run and block: what follows from match and members, predictions, score.

    Args:
        members: the run's members.
        scorer: the run's models.
        table: see `derived_columns`.
    """
    columns = derived_columns(members, table)
    bottom, top = table[:, 0].astype(np.int64), table[:, 1].astype(np.int64)
    strain, geometric, hull = table[:, 4], table[:, 6], table[:, 7]
    scored = _scored(members, scorer, bottom, top, strain)
    for name, values in scored.items():
        columns[name] = ("float4", values)
    columns["score"] = ("float4", candidate_score(geometric, hull, scored["binding_energy"]))
    return columns


def derived_columns(members: MemberTable, table: NDArray[np.float64]) -> Columns:
    """The columns of pairs that follow from their match and their members alone: geometry and band alignment.

    Args:
        members: the run's members.
        table: one row a pair: bottom, top, n, m, strain, atoms, geometric score, larger hull energy.
    """
    bottom, top = table[:, 0].astype(np.int64), table[:, 1].astype(np.int64)
    return _geometry(members, table, bottom, top) | _alignment(members, bottom, top)


def _geometry(
    members: MemberTable, table: NDArray[np.float64], bottom: NDArray[np.int64], top: NDArray[np.int64]
) -> Columns:
    n, m, strain, n_atoms, hull = table[:, 2], table[:, 3], table[:, 4], table[:, 5], table[:, 7]
    on_bulk = bottom >= members.n_monolayers
    stiffness = members.columns["stiffness"]
    part, area = parts_and_areas(
        np.exp(members.ln_area[bottom]) * n,
        np.exp(members.ln_area[top]) * m,
        stiffness[bottom],
        stiffness[top],
        on_bulk,
    )
    first, second = principal_strains(members.ln_area[bottom], members.ln_area[top], n, m, strain)
    return {
        "bottom": ("int4", bottom),
        "top": ("int4", top),
        "kind": TextColumn(np.where(on_bulk, 2, np.where(bottom == top, 0, 1)), _KINDS),
        "n": ("int2", n.astype(np.int64)),
        "m": ("int2", m.astype(np.int64)),
        "strain": ("float4", strain),
        "strain_von_mises": ("float4", von_mises_strain(first, second)),
        "strain_bottom": ("float4", part * strain),
        "strain_top": ("float4", (1.0 - part) * strain),
        "area": ("float4", area),
        "n_atoms": ("int4", n_atoms.astype(np.int64)),
        "hull_energy": ("float4", hull),
    }


def _alignment(members: MemberTable, bottom: NDArray[np.int64], top: NDArray[np.int64]) -> Columns:
    """How the bands of the facing faces align in the limit of no interaction, and what follows for electrons."""
    below, above = facing_edges(members, "top"), facing_edges(members, "bottom")
    edges = (*(edge[bottom] for edge in below), *(edge[top] for edge in above))
    with np.errstate(invalid="ignore"):
        aligned = anderson(*edges)
    barriers = schottky_barriers(*edges)
    difference = members.columns["work_function_bottom"][top] - members.columns["work_function_top"][bottom]
    steps = _vacuum_steps(members)
    return {
        "alignment": TextColumn(_codes(aligned, ALIGNMENTS), _ALIGNMENT_WORDS),
        "gap_anderson": ("float4", aligned.gap),
        "valence_offset": ("float4", _finite(aligned.vbo)),
        "conduction_offset": ("float4", _finite(aligned.cbo)),
        **_turned(members, bottom, top),
        "work_function_difference": ("float4", difference),
        "electron_donor": TextColumn(
            # Electrons leave the side that binds them less.
            np.select([difference > 0, difference < 0], [0, 1], -1),
            [StackSide.BOTTOM.value, StackSide.TOP.value],
        ),
        "vacuum_step": ("float4", steps[bottom] + steps[top]),
        "schottky_electron": ("float4", barriers.electron),
        "schottky_hole": ("float4", barriers.hole),
        "solar_efficiency": ("float4", scharber_limit(*edges)),
    }


def _codes(aligned: Anderson, known: Any) -> NDArray[np.int64]:
    """Place of each kind of alignment among those known; -1 for others."""
    place = np.full(len(Alignment), -1)
    place[list(known)] = np.arange(len(known))
    return place[aligned.kind]


def _turned(members: MemberTable, bottom: NDArray[np.int64], top: NDArray[np.int64]) -> Columns:
    """Alignment in all four orientations, where the faces of either layer differ and no layer is a metal."""
    faces = Faces(*facing_edges(members, "bottom"), *facing_edges(members, "top"))
    gapped = (members.columns["gap"] != 0) & np.isfinite(np.sum(faces, axis=0))
    with np.errstate(invalid="ignore"):
        differ = gapped & (np.abs(faces.vbm_top - faces.vbm_bottom) > SAME_FACE)
    which = np.flatnonzero(gapped[bottom] & gapped[top] & (differ[bottom] | differ[top]))
    codes = np.full(len(bottom), -1)
    low, high = np.full(len(bottom), np.nan), np.full(len(bottom), np.nan)
    found = orientations(Faces(*(edge[bottom[which]] for edge in faces)), Faces(*(edge[top[which]] for edge in faces)))
    digits = np.array([_codes(aligned, _OPEN) for aligned in found])
    gaps = np.array([aligned.gap for aligned in found])
    codes[which] = len(_OPEN) ** np.arange(3, -1, -1) @ digits
    low[which], high[which] = gaps.min(axis=0), gaps.max(axis=0)
    return {
        "alignments": TextColumn(codes, _ORIENTATION_WORDS),
        "gap_anderson_low": ("float4", low),
        "gap_anderson_high": ("float4", high),
    }


def _vacuum_steps(members: MemberTable) -> NDArray[np.float64]:
    """Vacuum level above each member minus that below it, eV, shape (N,); NaN where unknown, and of a surface."""
    column = members.columns
    by_edge = vacuum_step(column["vbm_bottom"], column["vbm_top"])
    by_fermi = vacuum_step(-column["work_function_bottom"], -column["work_function_top"])
    step = np.where(np.isnan(by_edge), by_fermi, by_edge)
    step[members.n_monolayers :] = np.nan
    return step


def _finite(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The values, NaN where an edge that nobody knows took part."""
    return np.where(np.isfinite(values), values, np.nan)


def facing_edges(members: MemberTable, face: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Valence and conduction edge of every member's top or bottom face, eV against that face's vacuum, shape (N,).

    A metal has both at its Fermi level; one whose work function nobody gives is still a metal: any equal pair of edges
    says so, and -inf is told from every known one.
    """
    metal = members.columns["gap"] == 0
    fermi = -members.columns[f"work_function_{face}"]
    fermi = np.where(np.isnan(fermi), -np.inf, fermi)
    valence, conduction = (np.where(metal, fermi, members.columns[f"{key}_{face}"]) for key in ("vbm", "cbm"))
    return valence, conduction


def hull_energies(members: MemberTable) -> NDArray[np.float64]:
    """Energy above the hull that counts for a pair, eV/atom, shape (N,); NaN where unknown.

    A surface has no hull energy, and needs none: only the layers' stability counts.
    """
    layers = np.arange(len(members)) < members.n_monolayers
    return np.where(layers, members.columns["hull_energy"], 0.0)


def _scored(
    members: MemberTable,
    scorer: Scorer,
    bottom: NDArray[np.int64],
    top: NDArray[np.int64],
    strain: NDArray[np.float64],
) -> dict[str, NDArray[np.float64]]:
    """What models and pair features say of the layer-on-layer pairs; NaN for the rest, which no model has learnt."""
    names = [f"{column}{end}" for column in PREDICTED.values() for end in ("", "_lower", "_upper")]
    result = {name: np.full(len(bottom), np.nan) for name in [*names, *SCORED]}
    layers = bottom < members.n_monolayers
    if layers.any():
        ids = members.material_id
        scored = scorer.score(ids[bottom[layers]], ids[top[layers]], strain=strain[layers])
        for target, column in PREDICTED.items():
            for end in ("", "_lower", "_upper"):
                result[f"{column}{end}"][layers] = scored[f"{target}{end}"]
        for name in SCORED:
            result[name][layers] = scored[name]
    return result
