"""The layers of structures as the graph half of a stack looks at them: encoded as they come, each once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sqlalchemy import Connection

from ml.descriptors.slab import Slab
from ml.embedding_store import load_encoder, structure_digest
from ml.interfaces import LayerTable
from ml.models.embeddings import Embeddings
from ml.models.layer_inputs import PairLayers, layer_inputs
from ml.rows import InterfaceRows

if TYPE_CHECKING:
    from ml.models.slab_encoder import SlabEncoder

MEMORY = 50_000
"""Layers whose embedding is remembered: some 25 MB."""


class Encoded:
    """Encodes layers with the encoders that models need, and remembers them.

    Args:
        connection: to read encoders with; None for the one that comes with the project.
    """

    def __init__(self, connection: Connection | None) -> None:
        self._connection = connection
        self._encoders: dict[str, SlabEncoder] = {}
        self._known: dict[tuple[str, bytes], Embeddings] = {}

    def layers_of(self, rows: InterfaceRows, table: LayerTable, encoder: str) -> PairLayers:
        """The layers of rows.

        Args:
            rows: the pairs.
            table: their isolated layers.
            encoder: SHA-256 of the encoder, hexadecimal.

        Raises:
            ArtefactError: there is no such encoder.
        """
        names = sorted(table.row, key=table.row.__getitem__)
        embeddings = self._embeddings([table.layers[name].slab for name in names], encoder)
        inputs = layer_inputs(names, table.features, embeddings, encoder=encoder)
        return PairLayers(inputs, *inputs.rows_of(rows))

    def _embeddings(self, slabs: list[Slab], encoder: str) -> Embeddings:
        keys = [(encoder, structure_digest(slab)) for slab in slabs]
        new = {key: slab for key, slab in zip(keys, slabs, strict=True) if key not in self._known}
        if len(self._known) > MEMORY:
            self._known.clear()
            new = dict(zip(keys, slabs, strict=True))
        if new:
            # Only where a stack is asked does a network run.
            from ml.models.slab_encoder import embed
            from ml.models.slab_graph import slab_graph

            if encoder not in self._encoders:
                self._encoders[encoder] = load_encoder(self._connection, encoder)
            found = embed(self._encoders[encoder], [slab_graph(slab) for slab in new.values()])
            self._known.update({key: found.take(np.array([k])) for k, key in enumerate(new)})
        parts = zip(*(self._known[key] for key in keys), strict=True)
        return Embeddings(*(np.concatenate(part) for part in parts))
