"""From computed interfaces and the isolated layers that they are made of to rows: what a screen would have known.

Of a relaxed stack only three things are read, none of which changes when the upper layer is moved along z: which faces
meet, how the two layers lie laterally, and the labels, which are no inputs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ml import pair_features
from ml.cleaning import clean
from ml.descriptors import stacking
from ml.descriptors.slab import Slab
from ml.features import Layer, compute
from ml.pair_features import PairFeatures
from ml.rows import InterfaceRows
from ml.stacks import seen
from schema.plane_lattice import DegenerateLatticeError, PlaneLattice
from schema.quantities import GAP, METALLIC, SLIDE_STABILITY
from schema.vocabulary import InterfaceKind

IDENTITY = (1, 0, 0, 1)
MAX_STRAIN = 0.15
"""Logarithmic: a larger strain means that the matrices do not belong to the layers' own reduced cells."""


@dataclass(frozen=True)
class Interface:
    """One computed interface.

    Attributes:
        id: the source's name of it.
        bottom, top: names of the layers.
        labels: values by quantity key, in the unit of `schema.quantities`; classes as numbers.
        lower, upper: the layers as they lie in the stack, on its in-plane lattice; their distance is not read.
        stacktype: AA or AB, where the source names the registry so and gives no coordinates.
        flip: whether the upper layer is turned over; None if not told.
        operation: of the upper layer, in its lattice basis, rows flattened; None if not told.
        shift: of the upper layer, fractions of its cell; None if not told.
        matrices: supercells of bottom and top in their reduced bases, rows flattened; None if not known.
        twist: degrees; None if not known.
        faces: whether bottom and top turn their top faces to each other, where no coordinates tell; None if the lower
            one turns its top face up and the upper one its bottom face down.
    """

    id: str
    bottom: str
    top: str
    labels: Mapping[str, float]
    lower: Slab | None = None
    upper: Slab | None = None
    stacktype: str | None = None
    flip: bool | None = None
    operation: Sequence[float] | None = None
    shift: tuple[float, float] | None = None
    matrices: tuple[Sequence[int], Sequence[int]] | None = None
    twist: float | None = None
    faces: tuple[bool, bool] | None = None


@dataclass(frozen=True)
class LayerTable:
    """The isolated layers, described once.

    Attributes:
        layers: by name.
        families: anonymous formula by name.
        row: of each name in `features`.
        features: shape (layers, len(ml.features.NAMES)).
    """

    layers: Mapping[str, Layer]
    families: Mapping[str, str]
    row: Mapping[str, int] = field(default_factory=dict)
    features: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 0), np.float32))

    @classmethod
    def of(cls, layers: Mapping[str, Layer], families: Mapping[str, str]) -> LayerTable:
        """Describe layers; the order of their names is that of the rows."""
        names = sorted(layers)
        row = {name: number for number, name in enumerate(names)}
        return cls(layers, families, row, compute([layers[name] for name in names]))


def assemble(domain: str, source: str, interfaces: Iterable[Interface], table: LayerTable) -> InterfaceRows:
    """Rows of one source.

    Args:
        domain, source: see `InterfaceRows`.
        interfaces: in any order.
        table: the isolated layers.
    """
    left_out: Counter[str] = Counter()
    kept: list[Interface] = []
    for interface in sorted(interfaces, key=lambda item: item.id):
        if {interface.bottom, interface.top} <= table.row.keys():
            kept.append(interface)
        else:
            left_out["layer not among the known monolayers"] += 1
    labels = [clean(source, _with_metallic(domain, interface.labels), left_out) for interface in kept]
    blocks = [_blocks(interface, table) for interface in kept]
    if kept:
        features = PairFeatures(table.features)(
            np.array([table.row[interface.bottom] for interface in kept]),
            np.array([table.row[interface.top] for interface in kept]),
            top_a=np.array([block.faces[0] for block in blocks]),
            top_b=np.array([block.faces[1] for block in blocks]),
            registry=np.array([block.registry for block in blocks]),
            named=np.array([block.named for block in blocks]),
            match=np.array([block.match for block in blocks]),
        )
    else:
        features = np.empty((0, len(pair_features.NAMES)), np.float32)
    targets = sorted({key for row in labels for key in row})
    return InterfaceRows(
        domain,
        source,
        [f"{source}:{interface.id}" for interface in kept],
        [interface.bottom for interface in kept],
        [interface.top for interface in kept],
        [table.families.get(interface.bottom, "") for interface in kept],
        [table.families.get(interface.top, "") for interface in kept],
        features,
        pair_features.NAMES,
        {key: np.array([row.get(key, np.nan) for row in labels], float) for key in targets},
        dict(sorted(left_out.items())),
        np.array([block.faces for block in blocks], bool).reshape(-1, 2),
        table,
    )


@dataclass(frozen=True)
class _Blocks:
    faces: tuple[bool, bool]
    registry: NDArray[np.float64]
    named: NDArray[np.float64]
    match: NDArray[np.float64]


def _blocks(interface: Interface, table: LayerTable) -> _Blocks:
    bottom, top = table.layers[interface.bottom].slab, table.layers[interface.top].slab
    faces, registry = interface.faces or (True, False), np.full(len(stacking.NAMES), np.nan)
    if interface.lower is not None and interface.upper is not None:
        stacked = seen(interface.lower, interface.upper, bottom, top)
        faces, registry = (stacked.top_a, stacked.top_b), stacked.registry
    elif interface.stacktype is not None:
        registry = stacking.named_registry(bottom, top, eclipsed=interface.stacktype == "AA")
    return _Blocks(faces, registry, _named(interface, bottom), _match(interface, bottom, top))


def _named(interface: Interface, bottom: Slab) -> NDArray[np.float64]:
    """The components `ml.pair_features.STACKING` of one stack."""
    out = np.full(len(pair_features.STACKING), np.nan)
    if interface.stacktype in ("AA", "AB"):
        out[0] = float(interface.stacktype == "AA")
    if interface.flip is not None:
        out[1] = float(interface.flip)
    if interface.shift is not None:
        images = np.array([(a, b) for a in range(-2, 3) for b in range(-2, 3)], float)
        vectors = (np.array(interface.shift) % 1.0 + images) @ bottom.cell
        # A shift and its inverse have one length: folding by inversion comes by itself.
        out[2] = float(np.sqrt((vectors**2).sum(axis=1)).min() / np.sqrt(bottom.area))
    if interface.operation is not None:
        trace = float(interface.operation[0] + interface.operation[3])
        out[3] = float(np.degrees(np.arccos(np.clip(0.5 * trace, -1.0, 1.0))))
    return out


def _match(interface: Interface, bottom: Slab, top: Slab) -> NDArray[np.float64]:
    """The components `ml.pair_features.MATCH` of one stack, from the isolated layers' own lattices."""
    out = np.full(len(pair_features.MATCH), np.nan)
    out[5] = abs(float(np.log(top.area / bottom.area)))
    if interface.twist is not None:
        out[2] = abs((interface.twist + 180.0) % 360.0 - 180.0)
    if interface.matrices is None:
        return out
    under, over = (np.reshape(matrix, (2, 2)).astype(float) for matrix in interface.matrices)
    cells = abs(np.linalg.det(under)), abs(np.linalg.det(over))
    out[3], out[4] = bottom.area * cells[0], len(bottom) * cells[0] + len(top) * cells[1]
    try:
        metrics = [
            matrix @ PlaneLattice.from_vectors(*slab.cell).basis for matrix, slab in ((under, bottom), (over, top))
        ]
    except DegenerateLatticeError:
        return out
    stretch = np.linalg.eigvals(np.linalg.solve(metrics[0] @ metrics[0].T, metrics[1] @ metrics[1].T)).real
    strains = 0.5 * np.log(np.maximum(stretch, 1e-9))
    if np.abs(strains).max() <= MAX_STRAIN:
        out[0], out[1] = float(np.sqrt((strains**2).mean())), float(abs(strains[0] - strains[1]))
    return out


def _with_metallic(domain: str, labels: Mapping[str, float]) -> Mapping[str, float]:
    """Labels of a homobilayer with whether it is a metal, where its gap is known.

    Of two layers the type of alignment says it: a broken one leaves no gap.
    """
    if domain != InterfaceKind.HOMOBILAYER.value or GAP.key not in labels:
        return labels
    return {**labels, METALLIC.key: float(labels[GAP.key] == 0)}


_SLIDE = {"Stable": 1.0, "Unstable": 0.0}


def label(key: str, value: object) -> float | None:
    """A label as a number: classes by their place, None for words that are no label."""
    if key == SLIDE_STABILITY.key:
        return _SLIDE.get(str(value))
    return None if isinstance(value, str) else float(value)  # type: ignore[arg-type]
