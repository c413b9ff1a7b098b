"""From rows to class models that may be served: judge strictly, let trees or physics answer, calibrate, describe."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Any

import numpy as np

from ml import heads, judging, pair_features, splits
from ml.artefact import sha256
from ml.catalogue import lineup
from ml.class_artefact import WORDS, Category, ClassModel
from ml.class_calibration import (
    MOST_FREQUENT,
    ClassCalibration,
    Scores,
    frequency_scores,
    honest_scores,
    probabilities_out_of_fold,
)
from ml.class_explain import class_importance
from ml.cleaning import rule_of
from ml.domain import Domain
from ml.evaluation import Evaluation
from ml.gate import clearly_ahead
from ml.method import Method
from ml.models import tree_settings
from ml.models.class_physics import PhysicsAlone
from ml.models.tree_classes import ClassTrees
from ml.report import Curve, Report
from ml.rows import InterfaceRows
from ml.splits import BY_UNSEEN, STRICT, Split, partitions
from ml.training import MIN_ROWS
from ml.training_card import CITATIONS
from schema.quantities import ALIGNMENT_TYPE, METALLIC, QUANTITIES, SLIDE_STABILITY
from schema.vocabulary import CurveKind

TEACHERS = {SLIDE_STABILITY.key: "bidb", METALLIC.key: "bidb", ALIGNMENT_TYPE.key: "hetml"}
"""Source that teaches each class, by target."""
NEED_REGISTRY = frozenset({SLIDE_STABILITY.key})
"""Classes of one registry: a moiré, which has all of them, has none of these."""
OnStep = Callable[[str], None]


@dataclass(frozen=True)
class TrainedClasses:
    """A class model with everything that its row in the registry says; see `ml.training.Trained`."""

    model: ClassModel
    metrics: dict[str, Any]
    card: dict[str, Any]
    data_digest: bytes
    split: str
    reports: tuple[Report, ...]

    @property
    def artefact(self) -> bytes:
        """The model's document."""
        return self.model.to_bytes()


@dataclass(frozen=True)
class _Answer:
    """What answers under one split: the trees or physics, and how good its probabilities are.

    Attributes:
        name: of what answers, as tables write it.
        trees: whether it is the trees.
        calibration: on all of the split's out-of-fold probabilities.
        scores: honest, by method: what answers, what physics says alone, and how frequent each class is.
    """

    name: str
    trees: bool
    calibration: ClassCalibration
    scores: dict[str, Scores]


def tasks(rows: Mapping[str, InterfaceRows]) -> list[tuple[str, str]]:
    """Domain and target of each class model that these rows allow."""
    return [(domain, target) for domain, target, _ in _tasks(rows)]


def steps(rows: Mapping[str, InterfaceRows], *, repeats: int = 1) -> int:
    """How often `train` calls `on_step` at most."""
    found = _tasks(rows)
    return sum(judging.steps(taught, lineup(taught, target), repeats=repeats) + 1 for _, target, taught in found)


def train(
    rows: Mapping[str, InterfaceRows], *, repeats: int = 1, on_step: OnStep | None = None
) -> list[TrainedClasses]:
    """Train, judge and describe a model of each class that there are rows for.

    Args:
        rows: labelled interfaces by source.
        repeats: draws of folds and seeds under the strict split, for the spread of its figures.
        on_step: called with a line of text as the work goes on.
    """
    return [_train_one(target, taught, repeats, on_step or (lambda _: None)) for _, target, taught in _tasks(rows)]


def _tasks(rows: Mapping[str, InterfaceRows]) -> Iterator[tuple[str, str, InterfaceRows]]:
    for domain, target in heads.CLASSIFIED:
        taught = rows.get(TEACHERS[target])
        if taught is not None and taught.labelled(target).sum() >= MIN_ROWS:
            yield domain, target, taught


def _train_one(target: str, rows: InterfaceRows, repeats: int, on_step: OnStep) -> TrainedClasses:
    line = lineup(rows, target)
    method = heads.CLASSIFIED[rows.domain, target]
    judged = judging.judge(rows, line, repeats=repeats, on_step=on_step)
    labelled = rows.take(rows.labelled(target))
    every = np.ones(len(labelled), bool)
    learned = method.fit(labelled, target, every)
    answers = {
        Split(one.split): _answer(
            labelled,
            one,
            [*line.baselines, method],
            learned.classes,
            trees_win=clearly_ahead(one, method.name, rows.targets[target]),
        )
        for one in judged.evaluations
    }
    categories = {
        number: Category(answers[split].trees, answers[split].calibration)
        for number, split in BY_UNSEEN[rows.domain].items()
        if split in answers
    }
    on_step(f"{target} of a {rows.domain}: fitted on all rows")
    if rows.layers is None:
        raise ValueError(f"the rows of {rows.source} do not carry their layers")
    names = tuple(sorted({*labelled.bottom, *labelled.top}))
    layers = rows.layers.features[[rows.layers.row[name] for name in names]]
    model = ClassModel(
        target, rows.domain, rows.source, learned, categories, target in NEED_REGISTRY, Domain.fit(layers), names
    )
    reports = tuple(
        _report(one, answers[Split(one.split)], rows, report)
        for one, report in zip(judged.evaluations, judged.reports, strict=True)
    )
    first, *others = reports
    reports = (first.with_importance(class_importance(learned, labelled)), *others)
    strict = STRICT[rows.domain]
    return TrainedClasses(
        model,
        {report.split: report.metrics_json() for report in reports},
        _card(model, method, rows, answers, reports[0]),
        rows.digest,
        f"{strict.value}-v{splits.VERSION}, {splits.N_FOLDS} folds",
        reports,
    )


def _answer(
    rows: InterfaceRows, judged: Evaluation, methods: list[Method], classes: tuple[float, ...], *, trees_win: bool
) -> _Answer:
    """Trees where they are clearly ahead of every baseline; the physics that they stand on where they are not."""
    trees = next(one for one in methods if isinstance(one, ClassTrees))
    physics = [one for one in methods if isinstance(one, PhysicsAlone) and one.physics == trees.physics]
    served = trees if trees_win or not physics else physics[0]
    parts = partitions(rows, Split(judged.split))
    true = np.searchsorted(classes, rows.targets[judged.target])
    raw = probabilities_out_of_fold(rows, judged.target, served, parts, classes)
    scores = {
        served.name: honest_scores(raw, true, parts),
        MOST_FREQUENT: frequency_scores(true, len(classes), parts),
    }
    for method in methods:
        if isinstance(method, PhysicsAlone) and method is not served:
            alone = probabilities_out_of_fold(rows, judged.target, method, parts, classes)
            scores[method.name] = honest_scores(alone, true, parts)
    return _Answer(served.name, served is trees, ClassCalibration.fit(raw, true), scores)


def _report(judged: Evaluation, answer: _Answer, rows: InterfaceRows, found: Report) -> Report:
    """The report of what answers under a split, with confusion matrix, reliability and the trees' learning curve."""
    report = Report.of(judged, answer.name, truth=rows.targets[judged.target])
    points = answer.scores[answer.name].reliability
    reliability = Curve(
        answer.name,
        CurveKind.CALIBRATION.value,
        [round(x, 4) for x, _, _ in points],
        [round(y, 4) for _, y, _ in points],
        [n for _, _, n in points],
    )
    covered = round(answer.scores[answer.name].coverage, 4)
    figures = [
        replace(one, coverage=covered) if one.method == answer.name and one.part_kind == "all" else one
        for one in report.figures
    ]
    learning = [curve for curve in found.curves if curve.kind == CurveKind.LEARNING]
    return replace(report, figures=figures, curves=[*report.curves, reliability, *learning])


def _card(
    model: ClassModel, method: ClassTrees, rows: InterfaceRows, answers: Mapping[Split, _Answer], strict: Report
) -> dict[str, Any]:
    quantity = QUANTITIES[model.target]
    number = int(rows.labelled(model.target).sum())
    left_out = {
        f"{rows.source}: {why}": count
        for reason, count in rows.left_out.items()
        for what, _, why in (reason.rpartition(": "),)
        if what in ("", model.target)
    }
    return {
        "kind": "classes",
        "target": model.target,
        "symbol": quantity.symbol,
        "unit": quantity.unit,
        "meaning": quantity.meaning,
        "domain": model.domain_name,
        "family": model.family,
        "digest": sha256(model.to_bytes()).hex(),
        "classes": {str(int(value)): WORDS[model.target][int(value)] for value in model.learned.classes},
        "physics": model.learned.physics.as_json(),
        "best_baseline": strict.best_baseline.method,
        "answers": {
            split.value: {
                "method": answer.name,
                "calibration": answer.calibration.as_json(),
                "probabilities": {name: scores.as_json() for name, scores in answer.scores.items()},
            }
            for split, answer in answers.items()
        },
        "by_unseen": {
            str(k): split.value for k, split in BY_UNSEEN[model.domain_name].items() if k in model.categories
        },
        "needs_registry": model.needs_registry,
        "data": {
            "source": CITATIONS.get(rows.source, rows.source),
            "rows": number,
            "materials": len(model.trained_on),
            "cleaning_rule": rule_of(rows.source, model.target).says,
            "left_out": dict(sorted(left_out.items())),
            "digest": rows.digest.hex(),
        },
        "folds": {"rule": f"SHA-256 of names, version {splits.VERSION}", "number": splits.N_FOLDS},
        "features": {
            "set": f"{pair_features.KEY} v{pair_features.VERSION}",
            "names": list(model.learned.features),
        },
        "parameters": tree_settings.as_json(method.grid(number)),
        "versions": {"lightgbm": version("lightgbm"), "numpy": version("numpy")},
    }
