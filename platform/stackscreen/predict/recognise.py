"""Which known material a layer is: by the name that a file gives it, or by its structure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, bindparam, select, text

from etl.dedupe.decide import compare
from etl.dedupe.fingerprint import distance
from etl.dedupe.layers import Layer as DedupeLayer
from etl.dedupe.link import FILM_AMBIGUITY, FILM_AREA_RATIO, FILM_FINGERPRINT
from etl.dedupe.store import layers_of_materials
from etl.formula import formulas
from ml.descriptors.slab import Slab
from ml.feature_store import load_layers
from ml.features import Layer, compute
from schema.materials import Material
from schema.vocabulary import MaterialKind
from stackscreen.predict.cells import as_canonical, foldings, primitive

# A uid, an external id, or a further name that a record carries; of several sources the better one.
_NAMED = text("""
    SELECT DISTINCT ON (name) name, material_id
    FROM (
        SELECT m.uid AS name, m.id AS material_id, -1 AS precedence, 0 AS alias
        FROM material m WHERE m.uid IN :names AND m.kind = 'monolayer' AND m.withdrawn_at IS NULL
        UNION ALL
        SELECT r.external_id, a.id, s.precedence, 0
        FROM source_record r
        JOIN source s ON s.id = r.source_id
        JOIN material_member mm ON mm.source_record_id = r.id
        JOIN material a ON a.id = mm.material_id AND a.kind = 'monolayer'
        WHERE r.state = 'accepted' AND r.external_id IN :names
        UNION ALL
        SELECT n.name, a.id, s.precedence, 1
        FROM record_name n
        JOIN source_record r ON r.id = n.source_record_id AND r.state = 'accepted'
        JOIN source s ON s.id = r.source_id
        JOIN material_member mm ON mm.source_record_id = r.id
        JOIN material a ON a.id = mm.material_id AND a.kind = 'monolayer'
        WHERE n.name IN :names
    ) named
    ORDER BY name, alias, precedence, material_id
""").bindparams(bindparam("names", expanding=True))

# The same names of faces as a screening run gives.
_FACES = text("""
    SELECT uid, numbers, positions, cell
    FROM (
        SELECT m.uid || '(' || f.miller_h || f.miller_k || f.miller_l || ')'
                   || CASE WHEN f.termination > 0 THEN '-' || f.termination ELSE '' END AS uid,
               m.uid AS material, m.formula, f.numbers, f.positions, f.cell
        FROM surface f JOIN material m ON m.id = f.material_id WHERE m.withdrawn_at IS NULL
    ) face
    WHERE :name IN (uid, material, formula)
    ORDER BY uid
""")

_FAR = 0.6
"""Å, of fingerprints: layers farther apart are never one material, as no atom may lie 0.3 Å from its place."""
_MEMORY = 50_000
"""Layers whose recognition is remembered."""


@dataclass(frozen=True, eq=False)
class KnownLayer:
    """A known material, as the models see it.

    Attributes:
        uid: its name.
        family: anonymous formula.
        layer: isolated layer with its properties.
        features: `ml.features.compute` of it.
    """

    uid: str
    family: str
    layer: Layer
    features: NDArray[np.float32]

    @cached_property
    def composition(self) -> Counter[int]:
        """Atoms of one cell, by atomic number."""
        return Counter(self.layer.slab.numbers.tolist())

    def cells_in(self, layer: Slab) -> int:
        """How many cells of the material a layer consists of by its composition; 0 if it does not."""
        n, rest = divmod(len(layer), len(self.layer.slab))
        counts = {z: n * count for z, count in self.composition.items()}
        return n if not rest and Counter(layer.numbers.tolist()) == counts else 0


class KnownLayers:
    """The monolayers of a database; what was looked up is remembered.

    Args:
        connection: to read with; None for a world in which nothing is known.
    """

    def __init__(self, connection: Connection | None) -> None:
        self._connection = connection
        self._names: dict[str, int | None] = {}
        self._layers: dict[int, KnownLayer] = {}
        self._formulas: dict[str, list[tuple[int, DedupeLayer]]] = {}
        self._found: dict[tuple[Any, ...], int | None] = {}

    def look_up(self, names: Iterable[str]) -> None:
        """Read what the names stand for, all at once."""
        new = sorted(set(names) - self._names.keys())
        if self._connection is None or not new:
            return
        self._names.update(dict.fromkeys(new))
        found = {row.name: int(row.material_id) for row in self._connection.execute(_NAMED, {"names": new})}
        self._names.update(found)
        self._read(found.values())

    def named(self, name: str) -> KnownLayer | None:
        """The material of a uid, an external id or an older name; None if there is none."""
        self.look_up([name])
        number = self._names.get(name)
        return None if number is None else self._layers.get(number)

    def of_formula(self, formula: str) -> list[KnownLayer]:
        """All known layers of a reduced formula, in the order in which they became known."""
        numbers = list(dict.fromkeys(number for number, _ in self._of(formula)))
        self._read(numbers)
        return [self._layers[number] for number in numbers if number in self._layers]

    def faces(self, name: str) -> dict[str, Slab]:
        """The faces of crystals that the name of a face, the uid of a crystal or a formula may mean, by their names."""
        if self._connection is None:
            return {}
        return {
            row.uid: Slab.from_cell(row.numbers, np.reshape(row.positions, (-1, 3)), np.reshape(row.cell, (3, 3)))
            for row in self._connection.execute(_FACES, {"name": name})
        }

    def recognised(self, layer: Slab) -> KnownLayer | None:
        """The material that a layer is, told by its structure.

        Its primitive cell, at one area, must be that of the material as deduplication judges it. A layer strained into
        a supercell is a little different from itself: where nothing is the same, the material whose fingerprint is
        nearest, and clearly nearer than any other's, is taken.
        """
        formula, _ = formulas(layer.numbers.tolist())
        if not self._of(formula):
            return None
        small = primitive(layer)
        turned = small.positions - small.positions.mean(axis=0)
        key = (small.numbers.tobytes(), np.round(turned, 4).tobytes(), np.round(small.cell, 4).tobytes())
        if key not in self._found:
            if len(self._found) > _MEMORY:
                self._found.clear()
            tried = [small, *(one.layer for one in foldings(small))]
            self._found[key] = next((n for n in map(self._same, tried) if n is not None), None)
            if self._found[key] is None:
                self._found[key] = next((n for n in map(self._nearest, tried) if n is not None), None)
        number = self._found[key]
        if number is None:
            return None
        self._read([number])
        return self._layers.get(number)

    def _of(self, formula: str) -> list[tuple[int, DedupeLayer]]:
        if self._connection is None:
            return []
        if formula not in self._formulas:
            self._formulas[formula] = layers_of_materials(self._connection, formula, MaterialKind.MONOLAYER)
        return self._formulas[formula]

    def _same(self, layer: Slab) -> int | None:
        mine = _for_dedupe(layer)
        verdicts = [
            (compare(known, mine), number)
            for number, known in self._of(mine.formula)
            if _apart(mine, known, known.size_per_atom) <= _FAR
        ]
        return min(((v.distance, number) for v, number in verdicts if v.same), default=(0.0, None))[1]

    def _nearest(self, layer: Slab) -> int | None:
        mine = _for_dedupe(layer)
        ranked = sorted(
            (_apart(mine, known, mine.size_per_atom), number)
            for number, known in self._of(mine.formula)
            if abs(math.log(known.size_per_atom / mine.size_per_atom)) <= FILM_AREA_RATIO
        )
        if not ranked or ranked[0][0] > FILM_FINGERPRINT:
            return None
        nearest, chosen = ranked[0]
        others = [apart for apart, number in ranked if number != chosen]
        return None if others and others[0] - nearest < FILM_AMBIGUITY else chosen

    def _read(self, numbers: Iterable[int]) -> None:
        new = sorted(set(numbers) - self._layers.keys())
        if self._connection is None or not new:
            return
        names = {
            row.id: (row.uid, row.formula_anonymous)
            for row in self._connection.execute(
                select(Material.id, Material.uid, Material.formula_anonymous).where(Material.id.in_(new))
            )
        }
        layers = load_layers(self._connection, new)
        # Of today's layers, as training does, and not of those that stored features were made of.
        described = compute(list(layers.values()))
        for (number, layer), row in zip(layers.items(), described, strict=True):
            self._layers[number] = KnownLayer(*names[number], layer, row)


def _for_dedupe(layer: Slab) -> DedupeLayer:
    slab = as_canonical(layer)
    formula, _ = formulas(slab.numbers.tolist())
    return DedupeLayer(0, 0, (0, "", ""), formula, slab.numbers, slab.positions, slab.cell, 2, None)


def _apart(one: DedupeLayer, other: DedupeLayer, size_per_atom: float) -> float:
    return distance(one.fingerprint_at(size_per_atom), other.fingerprint_at(size_per_atom))
