"""Labelled interfaces of one source, as a screen would see them: the one table that every model is fitted on.

A row knows the two isolated layers and how they are stacked. What the relaxed stack says beyond that, first of all the
distance between its layers, is a target and never an input.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ml.interfaces import LayerTable


@dataclass(frozen=True)
class InterfaceRows:
    """Labelled interfaces of one source.

    Attributes:
        domain: value of `schema.vocabulary.InterfaceKind`: "homobilayer", "heterobilayer" or "2d-on-bulk".
        source: key of the source, for example "bidb".
        ids: stable name of each row, "<source>:<name in the source>", sorted.
        bottom: name of the lower layer, or of the substrate.
        top: name of the upper layer; the same as `bottom` in a homobilayer.
        bottom_family, top_family: anonymous formulas.
        features: shape (rows, len(names)), float32; NaN = unknown.
        names: what the columns are: pair features, stacking and match.
        targets: by quantity key, shape (rows,), NaN where unlabelled or left out of this target by its cleaning rule;
            classes as small integers in floats.
        left_out: cleaning: "<quantity key>: <reason>" or "<reason>" to number of rows.
        faces: which faces meet, shape (rows, 2): whether the lower layer turns its top face to the upper, and whether
            the upper one turns its top face to the lower; None where all lie top face up.
        layers: the isolated layers, for models that look at their atoms; None where rows come without.
    """

    domain: str
    source: str
    ids: list[str]
    bottom: list[str]
    top: list[str]
    bottom_family: list[str]
    top_family: list[str]
    features: NDArray[np.float32]
    names: tuple[str, ...]
    targets: dict[str, NDArray[np.float64]]
    left_out: dict[str, int] = field(default_factory=dict)
    faces: NDArray[np.bool_] | None = None
    layers: LayerTable | None = field(default=None, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.ids)

    def column(self, name: str) -> NDArray[np.float32]:
        """One feature, shape (rows,).

        Raises:
            ValueError: no such feature.
        """
        return self.features[:, self.names.index(name)]

    def columns(self, names: tuple[str, ...]) -> NDArray[np.float32]:
        """Several features, shape (rows, len(names)); NaN throughout for one that this source does not have."""
        at = {name: index for index, name in enumerate(self.names)}
        out = np.full((len(self), len(names)), np.nan, np.float32)
        for index, name in enumerate(names):
            if name in at:
                out[:, index] = self.features[:, at[name]]
        return out

    def take(self, which: NDArray[np.bool_] | NDArray[np.integer]) -> InterfaceRows:
        """Some of the rows, by mask or by rising numbers; the cleaning counts stay those of the whole."""
        numbers = np.flatnonzero(which) if np.asarray(which).dtype == bool else np.asarray(which)
        return replace(
            self,
            ids=[self.ids[i] for i in numbers],
            bottom=[self.bottom[i] for i in numbers],
            top=[self.top[i] for i in numbers],
            bottom_family=[self.bottom_family[i] for i in numbers],
            top_family=[self.top_family[i] for i in numbers],
            features=self.features[numbers],
            targets={key: values[numbers] for key, values in self.targets.items()},
            faces=None if self.faces is None else self.faces[numbers],
        )

    def labelled(self, target: str) -> NDArray[np.bool_]:
        """Whether each row has a value of a target, shape (rows,); nowhere if the source does not have the target."""
        values = self.targets.get(target)
        return np.zeros(len(self), bool) if values is None else np.isfinite(values)

    @property
    def digest(self) -> bytes:
        """SHA-256 of names, features and targets: the same digest, the same training data."""
        hasher = hashlib.sha256(f"{self.domain}/{self.source};".encode())
        for names in (self.ids, self.bottom, self.top, self.bottom_family, self.top_family, self.names):
            hasher.update(("\n".join(names) + "\n\n").encode())
        hasher.update(np.ascontiguousarray(self.features, np.float32).tobytes())
        for key in sorted(self.targets):
            hasher.update(f"{key};".encode())
            hasher.update(np.ascontiguousarray(self.targets[key], float).tobytes())
        return hasher.digest()
