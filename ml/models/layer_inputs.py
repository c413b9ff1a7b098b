"""What the fusion networks know of each layer with the face that it shows: modalities, a row a material and face.

Each material is described and encoded once; a pair is two rows of this table and what is known of the pair.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ml import features
from ml.descriptors import composition
from ml.models.embeddings import Embeddings
from ml.rows import InterfaceRows
from ml.states_store import states_table
from schema.errors import StackscreenError
from schema.vocabulary import Face

if TYPE_CHECKING:
    from ml.models.slab_encoder import SlabEncoder

GRAPH = "graph"
COMPOSITION = "composition"
PROPERTIES = "properties"
STATES = "density_of_states"


class NoLayersError(StackscreenError):
    """Rows came without the layers that they are made of."""


_OUTWARD = "vacuum_step"
"""The one property that changes sign when the layer is turned over: given as the face sees it."""


@dataclass(frozen=True)
class LayerInputs:
    """Modalities of layers.

    Attributes:
        row: first of the two rows of each material, by name: that of its bottom face, then that of its top face.
        modalities: by name, shape (2 × materials, width), float32; NaN = unknown.
        encoder: SHA-256 of the encoder behind the graph, hexadecimal; empty without a graph.
    """

    row: Mapping[str, int]
    modalities: Mapping[str, NDArray[np.float32]]
    encoder: str = ""

    def rows_of(self, rows: InterfaceRows) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Row of the lower and of the upper layer of each interface, shapes (rows,); −1 where a layer is not known."""
        faces = np.tile([True, False], (len(rows), 1)) if rows.faces is None else rows.faces
        sides = []
        for names, shows_top in zip((rows.bottom, rows.top), faces.T, strict=True):
            first = np.array([self.row.get(name, -1) for name in names], np.int64)
            sides.append(np.where(first < 0, -1, first + shows_top))
        return sides[0], sides[1]


class PairLayers(NamedTuple):
    """The layers of pairs as a fusion head looks at them.

    Attributes:
        inputs: the layers.
        lower, upper: rows of `inputs`, shapes (pairs,); −1 for a layer that is not known.
    """

    inputs: LayerInputs
    lower: NDArray[np.int64]
    upper: NDArray[np.int64]

    def take(self, pairs: NDArray[np.integer]) -> PairLayers:
        """Those of some of the pairs."""
        return PairLayers(self.inputs, self.lower[pairs], self.upper[pairs])


def inputs_of(
    rows: InterfaceRows, encoder: SlabEncoder | None, states: Mapping[str, NDArray[np.float32]] | None = None
) -> LayerInputs:
    """The modalities of all layers that rows are made of, each described and encoded once.

    Args:
        rows: with their isolated layers.
        encoder: None leaves the graph out.
        states: densities of states by name (`ml.states_store.load_states`), of however few.

    Raises:
        NoLayersError: the rows came without their layers.
    """
    table = rows.layers
    if table is None:
        raise NoLayersError(
            f"The rows of {rows.source} came without their isolated layers, which a graph head looks at.",
            hint="Read them anew from the database or from the published files.",
        )
    names = sorted(table.row, key=table.row.__getitem__)
    densities = None if states is None else states_table(names, states)
    if encoder is None:
        return layer_inputs(names, table.features, states=densities)
    # Only here does a network run: what is stored is read without its libraries.
    from ml.models.slab_encoder import digest, embed
    from ml.models.slab_graph import slab_graph

    embeddings = embed(encoder, [slab_graph(table.layers[name].slab) for name in names])
    return layer_inputs(names, table.features, embeddings, states=densities, encoder=digest(encoder))


def layer_inputs(
    names: Sequence[str],
    materials: NDArray[np.floating],
    embeddings: Embeddings | None = None,
    *,
    states: NDArray[np.floating] | None = None,
    encoder: str = "",
) -> LayerInputs:
    """Put the modalities of layers together.

    Args:
        names: of the materials.
        materials: their feature vectors, shape (materials, len(ml.features.NAMES)).
        embeddings: of the slab encoder; None leaves the graph out.
        states: density of states of each layer on one grid, shape (materials, energies), NaN where there is none.
        encoder: SHA-256 of the encoder that made the embeddings, hexadecimal.
    """
    table = np.asarray(materials, np.float32)
    in_composition = [features.COLUMN[name] for name in composition.NAMES]
    found = {COMPOSITION: _twice(table[:, in_composition]), PROPERTIES: _properties(table)}
    if embeddings is not None:
        sides = [np.concatenate([embeddings.whole, side], axis=1) for side in (embeddings.bottom, embeddings.top)]
        found = {GRAPH: _interleave(*sides), **found}
    if states is not None:
        found[STATES] = _twice(np.asarray(states, np.float32))
    return LayerInputs({name: 2 * i for i, name in enumerate(names)}, found, encoder)


def _properties(table: NDArray[np.float32]) -> NDArray[np.float32]:
    """The layer's other numbers, those of a face for that face; the transforms behind the physics are left to it."""
    left_out = {*composition.NAMES, *(name for name in features.NAMES if "dispersion_" in name)}
    sides = []
    for face, other in ((Face.BOTTOM, Face.TOP), (Face.TOP, Face.BOTTOM)):
        chosen = [
            name
            for name in features.NAMES
            if name not in left_out and not name.startswith(f"{other.value}_") and not name.endswith(f"_{other.value}")
        ]
        side = table[:, [features.COLUMN[name] for name in chosen]].copy()
        if face is Face.BOTTOM:
            side[:, chosen.index(_OUTWARD)] *= -1
        sides.append(side)
    return _interleave(*sides)


def _twice(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.repeat(values, 2, axis=0)


def _interleave(bottom: NDArray[np.float32], top: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.stack([bottom, top], axis=1).reshape(2 * len(bottom), -1)
