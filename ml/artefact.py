"""What a trained pair model is on disk and in the database: one JSON document, read without running anything.

The trees are LightGBM's own text inside it, and the network of a stack its safetensors in base64. The digest is SHA-256
over the document's bytes; a file of it is compressed, and compression is not part of the digest.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from ml import pair_features
from ml.domain import Domain
from ml.graph_half import GraphHalf
from ml.models.layer_inputs import PairLayers
from ml.models.stack import half_and_half, spread_of
from ml.models.tree_ensemble import TreeEnsemble
from ml.uncertainty import ByUnseen
from schema.errors import StackscreenError

FORMAT = "stackscreen.pair-model"
FORMAT_VERSION = 3
READABLE = (2, 3)
"""Versions of the document that are read: 2 knew no stacks."""


class ArtefactError(StackscreenError):
    """An artefact is not what its digest or its format says."""


@dataclass(frozen=True)
class Prediction:
    """Values with their 90 % intervals, each of shape (pairs,), in the target's unit; NaN where unknown.

    `stacked` is whether trees and graph said it together, shape (pairs,).
    """

    value: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    stacked: NDArray[np.bool_]


@dataclass(frozen=True)
class State:
    """What answers for pairs in one state: with their registry known, or without.

    Attributes:
        ensemble: calibrated physics and trees; physics alone where the trees did not win.
        intervals: half-widths of what these say, by number of partners that training has not seen.
        source: key of the source that taught it.
        graph: the other half of a stack; None for trees alone.
    """

    ensemble: TreeEnsemble
    intervals: ByUnseen
    source: str
    graph: GraphHalf | None = None

    def predict(
        self, rows: NDArray[np.floating], unseen: NDArray[np.integer], layers: PairLayers | None = None
    ) -> Prediction:
        """See `PairModel.predict`."""
        each = self.ensemble.each(rows)
        value = each.mean(axis=0)
        spread = each.std(axis=0) if len(each) > 1 else None
        half = self.intervals.half_widths(value, unseen, spread)
        stacked = np.zeros(len(value), bool)
        if self.graph is not None and layers is not None:
            theirs, disagreement = self.graph.values(rows, layers)
            stacked = np.isfinite(theirs)
            all_spread = spread_of(value, theirs, each.std(axis=0), disagreement)
            value = half_and_half(value, theirs)
            half = np.where(stacked, self.graph.intervals.half_widths(value, unseen, all_spread), half)
        return Prediction(value, np.maximum(value - half, self.ensemble.baseline.floor), value + half, stacked)

    def as_json(self, *, like: State | None = None) -> dict[str, Any]:
        """For an artefact; what is the same in a state that is written beside it is left out."""
        same = like is not None and like.ensemble == self.ensemble
        graph = None
        if self.graph is not None:
            head_too = like is not None and like.graph is not None and like.graph.head == self.graph.head
            graph = self.graph.as_json(without_head=head_too)
        ensemble = None if same else self.ensemble.as_json()
        return {"ensemble": ensemble, "intervals": self.intervals.as_json(), "source": self.source, "graph": graph}

    @classmethod
    def from_json(cls, data: dict[str, Any], *, like: State | None = None) -> State:
        """The inverse of `as_json`."""
        shared = like.ensemble if like is not None else None
        ensemble = shared if data["ensemble"] is None else TreeEnsemble.from_json(data["ensemble"])
        graph = data.get("graph")
        if ensemble is None:
            raise KeyError("ensemble")
        other = None
        if graph is not None and graph["head"] is None and like is not None and like.graph is not None:
            other = replace(like.graph, encoder=str(graph["encoder"]), intervals=ByUnseen.from_json(graph["intervals"]))
        elif graph is not None:
            other = GraphHalf.from_json(graph)
        return cls(ensemble, ByUnseen.from_json(data["intervals"]), str(data["source"]), other)


@dataclass(frozen=True)
class PairModel:
    """A served model of one target.

    Attributes:
        target: quantity key.
        unit: of the target.
        domain_name: kind of interface that it was trained and validated on: value of `InterfaceKind`.
        known, unknown: what answers where the registry is known, and where it is not, as in a moiré.
        domain: region that training covered.
        trained_on: names of the layers that training has seen, sorted.
    """

    target: str
    unit: str
    domain_name: str
    known: State
    unknown: State
    domain: Domain
    trained_on: tuple[str, ...] = ()

    @property
    def family(self) -> str:
        """Kind of model, as the registry names it."""
        if any(state.graph is not None for state in self.states):
            return "trees-and-graph"
        return "lightgbm-residual" if any(state.ensemble.members for state in self.states) else "calibrated-baseline"

    @property
    def encoder(self) -> str | None:
        """SHA-256 of the encoder that it needs, hexadecimal; None for trees or physics."""
        return next((state.graph.encoder for state in self.states if state.graph is not None), None)

    @property
    def states(self) -> tuple[State, State]:
        """With the registry known, and without."""
        return self.known, self.unknown

    def state(self, registry_known: bool) -> State:
        """What answers."""
        return self.known if registry_known else self.unknown

    def predict(
        self,
        rows: NDArray[np.floating],
        *,
        registry_known: bool = False,
        unseen: NDArray[np.integer] | None = None,
        layers: PairLayers | None = None,
    ) -> Prediction:
        """Predict pairs.

        Args:
            rows: pair features, shape (pairs, len(ml.pair_features.NAMES)).
            registry_known: whether their registry block is filled.
            unseen: how many of a pair's partners training has not seen, shape (pairs,); None if both of them.
            layers: the pairs' layers as a graph head looks at them. Without them, and where one has not been encoded,
                the trees of a stack answer alone, with intervals of their own.

        Raises:
            ArtefactError: the layers were encoded by another encoder than the one that the model needs.
        """
        strangers = np.full(len(rows), 2) if unseen is None else unseen
        return self.state(registry_known).predict(rows, strangers, layers)

    def to_bytes(self) -> bytes:
        """The document; the same model gives the same bytes."""
        return orjson.dumps(
            {
                "format": FORMAT,
                "format_version": FORMAT_VERSION,
                "target": self.target,
                "unit": self.unit,
                "domain_name": self.domain_name,
                "pair_features": {"key": pair_features.KEY, "version": pair_features.VERSION},
                "known": self.known.as_json(),
                # Where one ensemble answers in both states it is written once.
                "unknown": self.unknown.as_json(like=self.known),
                "domain": self.domain.as_json(),
                "trained_on": list(self.trained_on),
            },
            option=orjson.OPT_SORT_KEYS,
        )

    @classmethod
    def from_bytes(cls, data: bytes, *, digest: bytes | None = None) -> PairModel:
        """Read a document.

        Args:
            data: from `to_bytes`.
            digest: SHA-256 that it must have, if one is known.

        Raises:
            ArtefactError: another digest, not such a document, or one for another set of pair features.
        """
        if digest is not None:
            check_digest(data, digest, "model")
        try:
            content: dict[str, Any] = orjson.loads(data)
            if content["format"] != FORMAT or content["format_version"] not in READABLE:
                raise KeyError("format")
            inputs = content["pair_features"]
            known = State.from_json(content["known"])
            unknown = State.from_json(content["unknown"], like=known)
            model = cls(
                content["target"],
                content["unit"],
                content["domain_name"],
                known,
                unknown,
                Domain.from_json(content["domain"]),
                tuple(content["trained_on"]),
            )
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
            raise ArtefactError(
                "The model's artefact is not a pair model that this version reads.",
                hint="Register the shipped models again: stackscreen models register",
            ) from error
        check_features(model.target, inputs["version"])
        return model


def sha256(data: bytes) -> bytes:
    """SHA-256 of an artefact, 32 bytes."""
    return hashlib.sha256(data).digest()


def check_features(target: str, version: int) -> None:
    """Make sure that a model reads the pair features that this version computes.

    Raises:
        ArtefactError: it reads others.
    """
    if version != pair_features.VERSION:
        raise ArtefactError(
            f"The model of {target} reads pair features v{version}, and this version computes "
            f"v{pair_features.VERSION}.",
            hint="Register the shipped models (stackscreen models register) or train anew (stackscreen train).",
        )


def check_digest(data: bytes, digest: bytes, what: str) -> None:
    """Make sure that bytes are the ones that a digest was made of.

    Raises:
        ArtefactError: they are not.
    """
    found = sha256(data)
    if found != digest:
        raise ArtefactError(
            f"The artefact of the {what} has digest {found.hex()[:12]}, and {digest.hex()[:12]} is on record: "
            "it was changed or damaged.",
            hint="Register the shipped models again: stackscreen models register",
        )
