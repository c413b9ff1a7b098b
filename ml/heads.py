"""Which head stands for a target of a domain: its physics, its features, and who teaches it.

A heterobilayer is met in two states. In a single registry (known) the stacks of HetML teach; as a moiré (unknown),
which is what a screen asks about, those of HetDB do, where they have the target, and those of HetML with the registry
hidden where they do not. Functionals differ between the two, and neither is taught with the other's rows: trained
together each got worse on what was held out of HetDB.
"""

from __future__ import annotations

from dataclasses import dataclass

from ml import baselines, pair_features
from ml.models.class_physics import CalibratedAnderson, OneFeature
from ml.models.tree_classes import ClassTrees
from ml.models.tree_ensemble import Trees
from ml.pair_features import (
    ALIGNMENT,
    CONTRASTS,
    EDGE_MEANS,
    ELECTRONIC_MEANS,
    GAPS,
    MATCH,
    NAMES,
    NOSOC,
    REGISTRY,
    SOC,
    STACKING,
)
from schema.quantities import (
    ALIGNMENT_TYPE,
    BINDING_ENERGY,
    BINDING_ENERGY_PER_ATOM,
    CBM,
    GAP,
    INTERLAYER_DISTANCE,
    METALLIC,
    SLIDE_STABILITY,
    VBM,
)
from schema.vocabulary import InterfaceKind

HOMO, HETERO, ON_BULK = (kind.value for kind in InterfaceKind)

_COMPARED = tuple(name for name in NAMES if any(name.startswith((f"{kind}_", f"facing_{kind}_")) for kind in CONTRASTS))
_ELECTRONIC = (
    *GAPS, *ALIGNMENT, *NOSOC,
    *(name for name in NAMES if name.endswith(EDGE_MEANS + ELECTRONIC_MEANS)),
)  # fmt: skip
_ALONE = tuple(name for name in NAMES if name not in (*_COMPARED, *ALIGNMENT, *NOSOC, *STACKING, *MATCH))
"""What a layer on itself has: what v1 of the pair features held."""
BOTH = tuple(name for name in NAMES if name not in NOSOC + STACKING + MATCH)
"""What is known of any two layers, and of their registry where there is a single one."""
BOTH_NOSOC = tuple(name for name in NAMES if name not in SOC + STACKING + MATCH)
"""The same by levels without spin-orbit coupling, as HetML's stacks are calculated: where coupling moves a layer's
conduction edge by more than 0.1 eV, the stack's lies 0.12 eV (median) from the one without it and 0.66 eV from the one
with it (`python -m benchmarks noise`)."""
_MOIRE = tuple(name for name in BOTH if name not in REGISTRY)
_MOIRE_NOSOC = tuple(name for name in BOTH_NOSOC if name not in REGISTRY)
_OF_A_CELL = ("thickness", "area", "n_atoms", "atom_density")
_OF_STRAINED_ATOMS = ("density", "roughness", "second_depth", "dispersion_distance", "dispersion_energy")
_CHEMISTRY = tuple(
    name
    for name in _MOIRE
    if name not in _ELECTRONIC and "probe" not in name and not name.endswith(_OF_A_CELL + _OF_STRAINED_ATOMS)
)
"""What is known alike of a film and a crystal, be they those of a strained stack, of whatever thickness, or isolated:
what they and their faces are made of, and nothing of how the atoms lie."""
_OPTIONAL = tuple(name for name in _ELECTRONIC if name not in ("gap_min", "gap_aligned"))

_LEVELS = tuple(
    name
    for name in _MOIRE_NOSOC
    if name in GAPS + ALIGNMENT + NOSOC or (name.startswith(("mean_", "facing_")) and "probe" not in name)
)
"""What moves levels against each other: the levels themselves, and what the layers and their faces are made of."""

SCREENED = (BINDING_ENERGY.key, INTERLAYER_DISTANCE.key, GAP.key)
"""What a screen asks of every pair."""


CLASSIFIED: dict[tuple[str, str], ClassTrees] = {
    (HOMO, SLIDE_STABILITY.key): ClassTrees(_ALONE),
    # Whether there is a gap is asked with a registry and without: none is read.
    (HOMO, METALLIC.key): ClassTrees(
        tuple(name for name in _ALONE if name not in REGISTRY), OneFeature.of("gap_aligned")
    ),
    (HETERO, ALIGNMENT_TYPE.key): ClassTrees(_LEVELS, CalibratedAnderson.fit),
}
"""How targets that are classes are learned, by domain and target."""


@dataclass(frozen=True)
class Head:
    """How one target of one domain is learned.

    Attributes:
        method: what is fitted.
        hides_registry: whether its rows are taught and judged with their registry hidden.
        stacked: whether a graph fusion on the same physics stands beside the trees, and their stack answers: for all
            but the moiré pairs, which a screen asks about by the million and trees answer at once, and layers on
            bulk, of which there are too few.
    """

    method: Trees
    hides_registry: bool = False
    stacked: bool = False


def head(domain: str, target: str, *, registry_known: bool) -> Head | None:
    """The head of a target; None if there is none.

    Args:
        domain: value of `InterfaceKind`.
        target: quantity key.
        registry_known: whether it is asked about pairs in a single registry.
    """
    floor = baselines.FLOORS.get(target, float("-inf"))
    if domain == HOMO:
        return Head(_homobilayer(target, floor), stacked=True) if target in _HOMOBILAYER else None
    if domain == ON_BULK:
        physics = _ON_BULK.get(target)
        return None if physics is None else Head(Trees(physics, _CHEMISTRY, floor))
    physics = (_REGISTERED if registry_known else _UNREGISTERED).get(target)
    if physics is None:
        return None
    without_soc = teachers(domain, target, registry_known=registry_known)[0] == "hetml"
    is_level = without_soc and f"nosoc_{physics}" in NOSOC
    if is_level:
        physics = f"nosoc_{physics}"
    if registry_known:
        return Head(Trees(physics, BOTH_NOSOC, floor), stacked=True)
    # What a screen asks of a moiré reads one set of levels for all its targets: a second one would cost every pair.
    return Head(Trees(physics, _MOIRE_NOSOC if is_level else _MOIRE, floor), hides_registry=True)


def graph_features(domain: str) -> tuple[str, ...]:
    """Pair features that the graph half of a stack reads."""
    return BOTH if domain == HOMO else BOTH_NOSOC


def is_stacked(domain: str, target: str) -> bool:
    """Whether a stack of trees and graph fusion answers for a target in some state."""
    found = head(domain, target, registry_known=True)
    return found is not None and found.stacked


def teachers(domain: str, target: str, *, registry_known: bool) -> tuple[str, ...]:
    """Sources that may teach a target, by key, the first that has rows of it being taken."""
    if domain == HOMO:
        return ("bidb",)
    if domain == ON_BULK:
        return ("hetero2d",)
    return (
        ("hetml", "hetdb") if registry_known or target not in (GAP.key, INTERLAYER_DISTANCE.key) else ("hetdb", "hetml")
    )


_HOMOBILAYER = (BINDING_ENERGY.key, INTERLAYER_DISTANCE.key, GAP.key)
_UNREGISTERED = {
    **{key: baselines.PHYSICS[key] for key in _HOMOBILAYER},
    VBM.key: "vbm_higher",
    CBM.key: "cbm_lower",
}
_REGISTERED = _UNREGISTERED | {
    BINDING_ENERGY.key: "registry_dispersion_energy",
    INTERLAYER_DISTANCE.key: "registry_dispersion_distance",
}
_ON_BULK = {key: baselines.PHYSICS.get(key, "") for key in (BINDING_ENERGY_PER_ATOM.key, INTERLAYER_DISTANCE.key)}
"""The same physics; of an energy per atom no estimate has the unit, and the mean stands for it."""


def _homobilayer(target: str, floor: float) -> Trees:
    """One head for both states, as every homobilayer is shown in both: with its registry and without.

    Energy and distance need no electronic property (their errors do not change without), so that a layer known by its
    atoms alone is scored as well as any. The gap needs the layers' gaps.
    """
    if target != GAP.key:
        return Trees(baselines.PHYSICS[target], pair_features.STRUCTURAL, floor, hidden=(REGISTRY,))
    return Trees(baselines.PHYSICS[target], _ALONE, floor, hidden=(REGISTRY, REGISTRY + _OPTIONAL))
