"""Band alignment of a computed stack: which layer its band edges belong to, read off the calculation.

HetML's own column `band_alignment` is Anderson's rule applied to the free layers, to the last row: no result of the
stacks. What the stacks say is where their band edges lie against the vacuum on either side. A stack's valence edge
belongs to the layer whose own valence edge, against the vacuum of that layer's outer face, lies nearer to it; likewise
the conduction edge. One layer for both: straddling (I). Two: staggered (II). No gap between two semiconductors: broken
(III). Charge that moves between the layers shifts their levels against each other: Anderson's rule does not know that.

The stacks are calculated without spin-orbit coupling (`python -m benchmarks noise`), and so the layers' levels are
those without it; those with it where no others are known.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ml.descriptors.band_alignment import Alignment
from ml.features import Layer
from schema.quantities import CBM, GAP, VBM
from schema.vocabulary import Face

MIN_MARGIN = 0.11
"""eV: an edge whose distances to the two layers' levels differ by less is not said to belong to either. The stacks are
calculated with another code and functional than their layers, and so measured, a difference of two levels is uncertain
by 0.108 eV: the root mean square difference between the gaps of 2DMatPedia and C2DB, of the layers that both hold
(`python -m benchmarks noise`). It follows from the layers alone, and from no stack or model."""

StackEdges = Mapping[tuple[str, Face | None], float]


def alignment_class(stack: StackEdges, bottom: Layer, top: Layer, *, margin: float = MIN_MARGIN) -> float | None:
    """The class of a computed stack.

    Args:
        stack: its gap and band edges by quantity key and face, eV, edges against the vacuum of that face; face None
            where both faces are at one level.
        bottom, top: the isolated layers, lying as they do in the stack.
        margin: see `MIN_MARGIN`.

    Returns:
        A value of `ml.descriptors.band_alignment.Alignment`, 1 to 3; 0 where an edge of the stack belongs to neither
        layer clearly, which `ml.cleaning` leaves out; None where a layer is a metal or edges are not known.
    """
    if not all(layer.gap_without_soc > 0 for layer in (bottom, top)):
        return None
    if stack.get((GAP.key, None)) == 0:
        return float(Alignment.BROKEN)
    owners = []
    levels = [(face, layer.edges_without_soc(face)) for face, layer in ((Face.BOTTOM, bottom), (Face.TOP, top))]
    for number, key in enumerate((VBM.key, CBM.key)):
        misses = [abs(stack.get((key, face), stack.get((key, None), np.nan)) - edges[number]) for face, edges in levels]
        if not np.isfinite(misses).all():
            return None
        owners.append(None if abs(misses[0] - misses[1]) < margin else misses[0] < misses[1])
    if None in owners:
        return float(Alignment.UNKNOWN)
    return float(Alignment.STRADDLING if owners[0] == owners[1] else Alignment.STAGGERED)
