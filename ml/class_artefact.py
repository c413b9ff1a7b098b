"""What a trained class model is on disk and in the database: one JSON document, LightGBM's text inside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from ml import pair_features
from ml.artefact import ArtefactError, PairModel, check_digest, check_features
from ml.class_calibration import ClassCalibration
from ml.descriptors.band_alignment import Alignment
from ml.domain import Domain
from ml.models.class_physics import most_probable
from ml.models.tree_classes import FittedClasses
from ml.rows import InterfaceRows
from schema.quantities import ALIGNMENT_TYPE, METALLIC, SLIDE_STABILITY
from schema.vocabulary import AlignmentType

FORMAT = "stackscreen.class-model"
FORMAT_VERSION = 1
TREES_FAMILY = "lightgbm-classes"
PHYSICS_FAMILY = "calibrated-baseline"
WORDS: dict[str, dict[int, str]] = {
    ALIGNMENT_TYPE.key: {
        int(Alignment.STRADDLING): AlignmentType.STRADDLING.value,
        int(Alignment.STAGGERED): AlignmentType.STAGGERED.value,
        int(Alignment.BROKEN): AlignmentType.BROKEN.value,
        int(Alignment.METAL): AlignmentType.METAL.value,
    },
    METALLIC.key: {0: "Semiconductor", 1: "Metal"},
    SLIDE_STABILITY.key: {0: "Unstable", 1: "Stable"},
}
"""What the numbers of each class model's classes mean."""


@dataclass(frozen=True)
class ClassPrediction:
    """Classes of rows, each field of shape (rows,); NaN where unknown.

    Attributes:
        value: number of the most probable class.
        lower, upper: smallest and largest class of the set that holds the right one nine times in ten.
        probability: of the most probable class.
    """

    value: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    probability: NDArray[np.float64]


@dataclass(frozen=True)
class Category:
    """What answers for pairs with some number of partners that training has not seen.

    Attributes:
        trees: whether the trees won there; physics answers alone where they did not.
        calibration: of what answers.
    """

    trees: bool
    calibration: ClassCalibration


@dataclass(frozen=True)
class ClassModel:
    """A served model of a target that is a class.

    Attributes:
        target: quantity key.
        domain_name: kind of interface: value of `InterfaceKind`.
        source: key of the source that taught it.
        learned: physics and trees.
        categories: by number of unseen partners; a number that is not there takes the next larger one, or the largest.
        needs_registry: whether it speaks of stacks in a known registry only.
        domain: region that training covered.
        trained_on: names of the layers that training has seen, sorted.
    """

    target: str
    domain_name: str
    source: str
    learned: FittedClasses
    categories: dict[int, Category]
    needs_registry: bool
    domain: Domain
    trained_on: tuple[str, ...] = ()

    @property
    def unit(self) -> str:
        """A class has none."""
        return ""

    @property
    def family(self) -> str:
        """Kind of model, as the registry names it."""
        return TREES_FAMILY if any(one.trees for one in self.categories.values()) else PHYSICS_FAMILY

    def predict(self, rows: InterfaceRows, unseen: NDArray[np.integer]) -> ClassPrediction:
        """Name the class of each row.

        Args:
            rows: with the pair features.
            unseen: how many of a row's partners training has not seen, shape (rows,).
        """
        out = np.full((4, len(rows)), np.nan)
        numbers = np.array(self.learned.classes)
        for number in np.unique(unseen):
            chosen = unseen == number
            learned, category = self.answering(int(number))
            p = category.calibration.probabilities(learned.probabilities(rows, chosen))
            held = category.calibration.sets(p)
            found = np.stack(
                [
                    most_probable(p, self.learned.classes),
                    np.where(held, numbers, np.inf).min(axis=1),
                    np.where(held, numbers, -np.inf).max(axis=1),
                    p.max(axis=1),
                ]
            )
            out[:, chosen] = np.where(np.isfinite(p).all(axis=1), found, np.nan)
        if self.needs_registry:
            out[:, np.isnan(rows.columns(pair_features.REGISTRY[:1])[:, 0])] = np.nan
        if self.target == ALIGNMENT_TYPE.key:
            out[:3, beside_metal(rows)] = float(Alignment.METAL)
        return ClassPrediction(*out)

    def answering(self, unseen: int) -> tuple[FittedClasses, Category]:
        """What answers for pairs with so many partners that training has not seen."""
        known = sorted(self.categories)
        category = self.categories[next((k for k in known if k >= unseen), known[-1])]
        return self.learned if category.trees else self.learned.without_trees, category

    def to_bytes(self) -> bytes:
        """The document; the same model gives the same bytes."""
        return orjson.dumps(
            {
                "format": FORMAT,
                "format_version": FORMAT_VERSION,
                "target": self.target,
                "domain_name": self.domain_name,
                "source": self.source,
                "pair_features": {"key": pair_features.KEY, "version": pair_features.VERSION},
                "learned": self.learned.as_json(),
                "categories": {
                    str(number): {"trees": one.trees, "calibration": one.calibration.as_json()}
                    for number, one in sorted(self.categories.items())
                },
                "needs_registry": self.needs_registry,
                "domain": self.domain.as_json(),
                "trained_on": list(self.trained_on),
            },
            option=orjson.OPT_SORT_KEYS,
        )

    @classmethod
    def from_bytes(cls, data: bytes, *, digest: bytes | None = None) -> ClassModel:
        """Read a document.

        Args:
            data: from `to_bytes`.
            digest: SHA-256 that it must have, if one is known.

        Raises:
            ArtefactError: another digest, not such a document, or one for another set of pair features.
        """
        if digest is not None:
            check_digest(data, digest, "class model")
        try:
            content: dict[str, Any] = orjson.loads(data)
            if content["format"] != FORMAT or content["format_version"] != FORMAT_VERSION:
                raise KeyError("format")
            version = content["pair_features"]["version"]
            model = cls(
                content["target"],
                content["domain_name"],
                content["source"],
                FittedClasses.from_json(content["learned"]),
                {
                    int(number): Category(bool(one["trees"]), ClassCalibration.from_json(one["calibration"]))
                    for number, one in content["categories"].items()
                },
                bool(content["needs_registry"]),
                Domain.from_json(content["domain"]),
                tuple(content["trained_on"]),
            )
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
            raise ArtefactError(
                "The model's artefact is not a class model that this version reads.",
                hint="Register the shipped models again: stackscreen models register",
            ) from error
        check_features(model.target, version)
        return model


def beside_metal(rows: InterfaceRows) -> NDArray[np.bool_]:
    """Whether a layer of each row is a metal: that leaves the other no alignment, by definition; nothing is learned."""
    return np.asarray(
        (rows.column("nosoc_alignment_type") == Alignment.METAL) | (rows.column("nosoc_gap_min") == 0), bool
    )


def model_of(target: str, data: bytes) -> PairModel | ClassModel:
    """The model of a target from its document, whichever kind it is.

    Raises:
        ArtefactError: it is none.
    """
    return ClassModel.from_bytes(data) if target in WORDS else PairModel.from_bytes(data)
