"""What a trained pair model is on disk and in the database: one JSON document, read without running anything.

The trees are LightGBM's own text inside it. The digest is SHA-256 over the document's bytes; a file of it is
compressed, and compression is not part of the digest.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from ml import pair_features
from ml.baselines import Calibrated
from ml.domain import Domain
from ml.models.lightgbm_pair import ResidualModel
from ml.uncertainty import Conformal
from schema.errors import StackscreenError

FORMAT = "stackscreen.pair-model"
FORMAT_VERSION = 1


class ArtefactError(StackscreenError):
    """An artefact is not what its digest or its format says."""


@dataclass(frozen=True)
class Prediction:
    """Values with their 90 % intervals, each of shape (pairs,), in the target's unit; NaN where unknown."""

    value: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]


@dataclass(frozen=True)
class Fallback:
    """Physics, as it is, that is given in place of the model.

    Attributes:
        feature: pair feature that is the estimate.
        half_width: of its 90 % interval, in the target's unit.
    """

    feature: str
    half_width: float


@dataclass(frozen=True)
class PairModel:
    """A served model of one target.

    Attributes:
        target: quantity key.
        unit: of the target.
        domain_name: what it was trained and validated on.
        baseline: calibrated physics; alone, the whole prediction where the trees did not win.
        trees: LightGBM's text, or None.
        features: pair features that the trees read.
        known, unknown: intervals where the registry is known, and where it is not.
        domain: region that training covered.
        different: what is given for two different semiconductors, where the model has been seen to lose there; None
            if the model itself is.
    """

    target: str
    unit: str
    domain_name: str
    baseline: Calibrated
    trees: str | None
    features: tuple[str, ...]
    known: Conformal
    unknown: Conformal
    domain: Domain
    different: Fallback | None = None
    _residual: list[ResidualModel] = field(default_factory=list, compare=False, repr=False)

    @property
    def family(self) -> str:
        """Kind of model, as the registry names it."""
        return "calibrated-baseline" if self.trees is None else "lightgbm-residual"

    def predict(
        self,
        rows: NDArray[np.floating],
        *,
        registry_known: bool = False,
        different: NDArray[np.bool_] | None = None,
    ) -> Prediction:
        """Predict pairs.

        Args:
            rows: pair features, shape (pairs, len(ml.pair_features.NAMES)).
            registry_known: whether their registry block is filled.
            different: whether the two layers of a pair are different semiconductors, shape (pairs,); None if none are.
        """
        rule = self.different
        if rule is not None and different is not None and different.any():
            # The trees are what takes time: they see only the pairs that they decide.
            value = np.maximum(rows[:, pair_features.COLUMN[rule.feature]].astype(float), self.baseline.floor)
            half = np.full(len(rows), rule.half_width)
            if not different.all():
                same = self.predict(rows[~different], registry_known=registry_known)
                value[~different], half[~different] = same.value, same.upper - same.value
            return self._with_interval(value, half)
        value = self._value(rows)
        return self._with_interval(value, (self.known if registry_known else self.unknown).half_widths(value))

    def _value(self, rows: NDArray[np.floating]) -> NDArray[np.float64]:
        if self.trees is None:
            return self.baseline.predict(rows)
        if not self._residual:
            self._residual.append(ResidualModel(self.target, self.baseline, self.trees, self.features))
        return self._residual[0].predict(rows)

    def _with_interval(self, value: NDArray[np.float64], half: NDArray[np.float64]) -> Prediction:
        return Prediction(value, np.maximum(value - half, self.baseline.floor), value + half)

    def to_bytes(self) -> bytes:
        """The document; the same model gives the same bytes."""
        return orjson.dumps(
            {
                "format": FORMAT,
                "format_version": FORMAT_VERSION,
                "target": self.target,
                "unit": self.unit,
                "domain_name": self.domain_name,
                "pair_features": {
                    "key": pair_features.KEY,
                    "version": pair_features.VERSION,
                    "names": list(self.features),
                },
                "baseline": self.baseline.as_json(),
                "trees": self.trees,
                "intervals": {"known": self.known.as_json(), "unknown": self.unknown.as_json()},
                "domain": self.domain.as_json(),
                "different": None if self.different is None else asdict(self.different),
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
            model = cls(
                content["target"],
                content["unit"],
                content["domain_name"],
                Calibrated.from_json(content["baseline"]),
                content["trees"],
                tuple(inputs["names"]),
                Conformal.from_json(content["intervals"]["known"]),
                Conformal.from_json(content["intervals"]["unknown"]),
                Domain.from_json(content["domain"]),
                None if content["different"] is None else Fallback(**content["different"]),
            )
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
            raise ArtefactError(
                "The model's artefact is not a pair model that this version reads.",
                hint="Register the shipped models again: stackscreen models register",
            ) from error
        if inputs["version"] not in pair_features.READABLE:
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
