"""What a trained pair model is on disk and in the database: one JSON document, read without running anything.

The trees are LightGBM's own text inside it. The digest is SHA-256 over the document's bytes; a file of it is
compressed, and compression is not part of the digest.
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
from ml.models.tree_ensemble import TreeEnsemble
from ml.uncertainty import ByUnseen
from schema.errors import StackscreenError

FORMAT = "stackscreen.pair-model"
FORMAT_VERSION = 2


class ArtefactError(StackscreenError):
    """An artefact is not what its digest or its format says."""


@dataclass(frozen=True)
class Prediction:
    """Values with their 90 % intervals, each of shape (pairs,), in the target's unit; NaN where unknown."""

    value: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]


@dataclass(frozen=True)
class State:
    """What answers for pairs in one state: with their registry known, or without.

    Attributes:
        ensemble: calibrated physics and trees; physics alone where the trees did not win.
        intervals: half-widths by number of partners that training has not seen.
        source: key of the source that taught it.
    """

    ensemble: TreeEnsemble
    intervals: ByUnseen
    source: str

    def as_json(self) -> dict[str, Any]:
        """For an artefact."""
        return {"ensemble": self.ensemble.as_json(), "intervals": self.intervals.as_json(), "source": self.source}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> State:
        """The inverse of `as_json`."""
        ensemble = TreeEnsemble.from_json(data["ensemble"])
        return cls(ensemble, ByUnseen.from_json(data["intervals"]), str(data["source"]))


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
        return "lightgbm-residual" if any(state.ensemble.members for state in self.states) else "calibrated-baseline"

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
    ) -> Prediction:
        """Predict pairs.

        Args:
            rows: pair features, shape (pairs, len(ml.pair_features.NAMES)).
            registry_known: whether their registry block is filled.
            unseen: how many of a pair's partners training has not seen, shape (pairs,); None if both of them.
        """
        state = self.state(registry_known)
        each = state.ensemble.each(rows)
        value = each.mean(axis=0)
        spread = each.std(axis=0) if len(each) > 1 else None
        strangers = np.full(len(rows), 2) if unseen is None else unseen
        half = state.intervals.half_widths(value, strangers, spread)
        return Prediction(value, np.maximum(value - half, state.ensemble.baseline.floor), value + half)

    def to_bytes(self) -> bytes:
        """The document; the same model gives the same bytes."""
        unknown = self.unknown.as_json()
        if self.unknown.ensemble == self.known.ensemble:
            # One ensemble answers in both states: it is written once.
            unknown["ensemble"] = None
        return orjson.dumps(
            {
                "format": FORMAT,
                "format_version": FORMAT_VERSION,
                "target": self.target,
                "unit": self.unit,
                "domain_name": self.domain_name,
                "pair_features": {"key": pair_features.KEY, "version": pair_features.VERSION},
                "known": self.known.as_json(),
                "unknown": unknown,
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
            if content["format"] != FORMAT or content["format_version"] != FORMAT_VERSION:
                raise KeyError("format")
            inputs = content["pair_features"]
            if content["unknown"]["ensemble"] is None:
                content["unknown"]["ensemble"] = content["known"]["ensemble"]
            known, unknown = State.from_json(content["known"]), State.from_json(content["unknown"])
            if unknown.ensemble == known.ensemble:
                unknown = replace(unknown, ensemble=known.ensemble)
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
        if inputs["version"] != pair_features.VERSION:
            raise ArtefactError(
                f"The model of {model.target} reads pair features v{inputs['version']}, and this version computes "
                f"v{pair_features.VERSION}.",
                hint="Register the shipped models (stackscreen models register) or train anew (stackscreen train).",
            )
        return model


def sha256(data: bytes) -> bytes:
    """SHA-256 of an artefact, 32 bytes."""
    return hashlib.sha256(data).digest()


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
