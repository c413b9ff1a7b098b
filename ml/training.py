"""From rows to models that may be served: judge strictly, gate, calibrate, fit on all, describe."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ml import heads, judging, splits
from ml.artefact import PairModel, State, sha256
from ml.baselines import FLOORS, Calibrated
from ml.catalogue import REGISTRY_UNKNOWN, hide_registry, lineup
from ml.domain import Domain
from ml.explain import importance
from ml.graph_half import GraphHalf
from ml.judging import Judged
from ml.method import Fitted
from ml.models.layer_inputs import LayerInputs, inputs_of
from ml.models.stack import FittedStack, Stack
from ml.models.tree_ensemble import TreeEnsemble
from ml.report import Report
from ml.rows import InterfaceRows
from ml.side_by_side import side_by_side
from ml.splits import STRICT
from ml.training_card import card_of
from ml.uncertainty import ByUnseen
from schema.errors import StackscreenError
from schema.quantities import (
    BINDING_ENERGY,
    BINDING_ENERGY_PER_ATOM,
    CBM,
    GAP,
    INTERLAYER_DISTANCE,
    QUANTITIES,
    VBM,
)

if TYPE_CHECKING:
    from ml.models.slab_encoder import SlabEncoder

MIN_ROWS = 80
"""Fewer labelled rows give no honest folds."""
TARGETS: dict[str, tuple[str, ...]] = {
    heads.HOMO: (BINDING_ENERGY.key, INTERLAYER_DISTANCE.key, GAP.key),
    heads.HETERO: (BINDING_ENERGY.key, INTERLAYER_DISTANCE.key, GAP.key, VBM.key, CBM.key),
    heads.ON_BULK: (BINDING_ENERGY_PER_ATOM.key, INTERLAYER_DISTANCE.key),
}
"""Targets that a model is trained for, by domain."""

Rows = Mapping[str, InterfaceRows]
OnStep = Callable[[str], None]


class TooFewRowsError(StackscreenError):
    """There is not enough to train on."""


@dataclass(frozen=True)
class Trained:
    """A model with everything that its row in the registry says.

    Attributes:
        model: the model.
        metrics: by split, then by method.
        card: what else the model card says.
        data_digest: SHA-256 of the training rows.
        split: name and version of the folds behind the gate.
        reports: evaluations of the methods in it, those of the state that a screen asks about last.
    """

    model: PairModel
    metrics: dict[str, Any]
    card: dict[str, Any]
    data_digest: bytes
    split: str
    reports: tuple[Report, ...] = ()

    @property
    def artefact(self) -> bytes:
        """The model's document."""
        return self.model.to_bytes()


@dataclass(frozen=True)
class Task:
    """One model to be trained: the rows that teach it, with the registry known and without."""

    domain: str
    target: str
    known: InterfaceRows
    unknown: InterfaceRows

    @property
    def one_state(self) -> bool:
        """Whether one head answers in both states, taught by the same rows."""
        return self.known is self.unknown

    @property
    def states(self) -> list[InterfaceRows]:
        """The rows of each state that is judged by itself."""
        return [self.known] if self.one_state else [self.known, self.unknown]


def tasks(rows: Rows) -> list[tuple[str, str]]:
    """Domain and target of each model that these rows allow."""
    return [(task.domain, task.target) for task in _tasks(rows)]


def steps(rows: Rows, encoder: SlabEncoder | None = None, *, repeats: int = 1) -> int:
    """How often `train` calls `on_step` at most."""
    inputs = _inputs(rows, encoder)
    total = 0
    for task in _tasks(rows):
        for seen in task.states:
            line = lineup(seen, task.target, inputs.get(seen.source))
            total += judging.steps(seen, line, repeats=repeats, curve=seen is task.unknown) + 1
    return total


def train(
    rows: Rows,
    encoder: SlabEncoder | None = None,
    *,
    repeats: int = 1,
    processes: int = 1,
    on_step: OnStep | None = None,
) -> list[Trained]:
    """Train, judge and describe a model of each target of each domain that there are rows for.

    Args:
        rows: labelled interfaces by source.
        encoder: for graph fusion and stacks; None leaves them out.
        repeats: draws of folds and seeds under the strict split, for the spread of its figures.
        processes: models that are trained side by side. Each is trained on one thread, and how many are at work changes
            none of them.
        on_step: called with a line of text as the work goes on.

    Raises:
        TooFewRowsError: no target has `MIN_ROWS` labelled rows.
    """
    found = list(_tasks(rows))
    if not found:
        raise TooFewRowsError(
            f"No source has {MIN_ROWS} computed interfaces with labels, and training needs as many.",
            hint="Import C2DB and BiDB first (stackscreen import c2db PATH, stackscreen import bidb PATH).",
        )
    inputs = _inputs(rows, encoder)
    jobs = [partial(_train_one, task, {s.source: inputs.get(s.source) for s in task.states}, repeats) for task in found]
    return side_by_side(jobs, processes, on_step or (lambda _: None))


def _inputs(rows: Rows, encoder: SlabEncoder | None) -> dict[str, LayerInputs]:
    """The encoded layers by source, of those that teach stacks."""
    if encoder is None:
        return {}
    wanted = {task.known.source for task in _tasks(rows) if heads.is_stacked(task.domain, task.target)}
    return {source: inputs_of(rows[source], encoder) for source in sorted(wanted)}


def _tasks(rows: Rows) -> Iterator[Task]:
    for domain, targets in TARGETS.items():
        for target in targets:
            known = _taught(rows, domain, target, registry_known=True)
            unknown = known if domain != heads.HETERO else _taught(rows, domain, target, registry_known=False)
            if known is not None and unknown is not None:
                yield Task(domain, target, known, unknown)


def _taught(rows: Rows, domain: str, target: str, *, registry_known: bool) -> InterfaceRows | None:
    """The rows that teach a target in one state; None if no source has enough."""
    for source in heads.teachers(domain, target, registry_known=registry_known):
        found = rows.get(source)
        if found is not None and found.labelled(target).sum() >= MIN_ROWS:
            head = heads.head(domain, target, registry_known=registry_known)
            return hide_registry(found) if head is not None and head.hides_registry else found
    return None


@dataclass(frozen=True)
class Made:
    """One state of a model, with how it was judged."""

    state: State
    judged: Judged
    method: str
    importance: Sequence[tuple[str, float]]
    fitted: Fitted

    @property
    def reports(self) -> list[Report]:
        """Evaluations, those of the strict split first, with what the trees go by."""
        first, *others = self.judged.reports
        return [first.with_importance(self.importance), *others]


def _train_one(task: Task, inputs: Mapping[str, LayerInputs | None], repeats: int, on_step: OnStep) -> Trained:
    target = task.target
    seen = task.states
    judged = [
        # What a screen asks about is looked at hardest.
        judging.judge(
            rows, lineup(rows, target, inputs[rows.source]), repeats=repeats, curve=rows is task.unknown,
            on_step=on_step,
        )
        for rows in seen
    ]  # fmt: skip
    known = _made(task.known, target, judged[0], registry_known=True)
    unknown = _made(task.unknown, target, judged[-1], registry_known=False, like=known if task.one_state else None)
    on_step(f"{target} of a {task.domain}: fitted on all rows")
    names, layers = _layers(seen, target)
    model = PairModel(
        target, QUANTITIES[target].unit, task.domain, known.state, unknown.state, Domain.fit(layers), names
    )
    made = [known] if task.one_state else [known, unknown]
    # What a state without trees was judged by comes first: the gate looks at what would be let through.
    made.sort(key=lambda one: bool(one.state.ensemble.members))
    reports = tuple(report for one in made for report in one.reports)
    strict = STRICT[task.domain]
    digest = sha256(b"".join(rows.digest for rows in seen))
    return Trained(
        model,
        {report.split: report.metrics_json() for report in unknown.reports},
        card_of(task, model, [known, unknown], names),
        digest,
        f"{strict.value}-v{splits.VERSION}, {splits.N_FOLDS} folds",
        reports,
    )


def _made(rows: InterfaceRows, target: str, judged: Judged, *, registry_known: bool, like: Made | None = None) -> Made:
    """Fit on all rows what won on the strict split, with intervals from its out-of-fold errors.

    Args:
        rows: that teach.
        target: quantity key.
        judged: what is known of the methods.
        registry_known: which state it is.
        like: the other state, if one method answers in both: what it fitted is taken.
    """
    line = judged.lineup
    method = judging.judged_method(line)
    view = REGISTRY_UNKNOWN if not registry_known and REGISTRY_UNKNOWN in line.views else ""
    labelled = rows.labelled(target)
    strict = judged.reports[0]
    fitted: Fitted
    if method is not None and strict.beats_baseline:
        name = method.name
        fitted = like.fitted if like is not None else method.fit(rows, target, labelled)
        ensemble = fitted.trees if isinstance(fitted, FittedStack) else fitted
        if not isinstance(ensemble, TreeEnsemble):
            raise TypeError(f"{method.name} does not make trees")
    else:
        name = strict.best_baseline.method
        fitted = ensemble = TreeEnsemble(_baseline(rows, target, name, labelled))

    def intervals(asked: str) -> ByUnseen:
        return judging.intervals(rows, judged, f"{asked}, {view}" if view else asked)

    if isinstance(method, Stack) and isinstance(fitted, FittedStack):
        graph = GraphHalf.of(fitted.fusion, intervals(name))
        state = State(ensemble, intervals(method.trees.name), rows.source, graph)
    else:
        state = State(ensemble, intervals(name), rows.source)
    said = f"{name}, {view}" if view else name
    return Made(state, judged, said, importance(ensemble, rows.features[labelled]), fitted)


def _baseline(rows: InterfaceRows, target: str, name: str, labelled: NDArray[np.bool_]) -> Calibrated:
    """The baseline of a line-up as an artefact holds it."""
    floor, truth = FLOORS.get(target, -np.inf), rows.targets[target][labelled]
    feature, _, how = name.partition(", ")
    if how not in ("calibrated", "as it is"):
        return Calibrated.fit("", truth, truth, floor=floor)
    if how == "as it is":
        return Calibrated(feature, 0.0, 1.0, floor)
    return Calibrated.fit(feature, rows.column(feature)[labelled], truth, floor=floor)


def _layers(seen: list[InterfaceRows], target: str) -> tuple[tuple[str, ...], NDArray[np.floating]]:
    """Names and features of the layers that a model learns from, sorted by name."""
    found: dict[str, NDArray[np.floating]] = {}
    for rows in seen:
        if rows.layers is None:
            raise ValueError(f"the rows of {rows.source} do not carry their layers")
        labelled = np.flatnonzero(rows.labelled(target))
        for name in {name for i in labelled for name in (rows.bottom[i], rows.top[i])}:
            found[name] = rows.layers.features[rows.layers.row[name]]
    names = tuple(sorted(found))
    return names, np.array([found[name] for name in names])
