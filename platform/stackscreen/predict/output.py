"""Where predictions go: CSV or Parquet, a row a target; and what could not be predicted, with reasons."""

from __future__ import annotations

import csv
import math
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import TextIO

from stackscreen.predict.errors import PredictInputError
from stackscreen.predict.parquet import ParquetTable
from stackscreen.predict.predictor import NotPredicted, Prediction

COLUMNS = ("id", "target", "value", "lower", "upper", "unit", "model", "domain_distance")
ERROR_COLUMNS = ("id", "reason", "detail")
_TEXTS = frozenset({"id", "target", "unit", "model"})
_GROUP = 50_000
"""Rows of a row group of Parquet."""
_SHOWN = 3

Write = Callable[[Iterable[Prediction]], None]


@contextmanager
def predictions_to(path: Path | None) -> Iterator[Write]:
    """A function that writes predictions to a file, which appears when all are written, or to standard output.

    Args:
        path: *.parquet for Parquet, anything else for CSV; `-` or None for CSV on standard output.

    Raises:
        PredictInputError: its folder does not exist.
    """
    if path is None or str(path) == "-":
        yield _csv(sys.stdout)
        return
    if not path.absolute().parent.is_dir():
        raise PredictInputError(f"There is no folder {path.parent}.", hint="Make it first, or write somewhere else.")
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        if path.suffix.lower() == ".parquet":
            with part.open("wb") as binary:
                table = ParquetTable(binary, COLUMNS, _TEXTS)
                waiting: list[tuple[str | float, ...]] = []

                def write(predictions: Iterable[Prediction]) -> None:
                    waiting.extend(astuple(one) for one in predictions)
                    if len(waiting) >= _GROUP:
                        table.write(waiting)
                        waiting.clear()

                yield write
                table.write(waiting)
                table.close()
        else:
            with part.open("w", encoding="utf-8", newline="") as text:
                yield _csv(text)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _csv(target: TextIO) -> Write:
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow(COLUMNS)

    def write(predictions: Iterable[Prediction]) -> None:
        for one in predictions:
            numbers = (_number(x) for x in (one.value, one.lower, one.upper))
            writer.writerow([one.id, one.target, *numbers, one.unit, one.model, _number(one.domain_distance)])

    return write


def _number(value: float) -> str:
    return f"{value:.6g}" if math.isfinite(value) else ""


@dataclass
class Tally:
    """What became of the structures or pairs of a file.

    Attributes:
        noun: what they are, in the plural.
        done: how many.
        reasons: of those without predictions, the kinds of reasons.
    """

    noun: str
    done: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    _examples: list[NotPredicted] = field(default_factory=list)

    @property
    def failed(self) -> int:
        """How many have no prediction."""
        return self.reasons.total()

    @property
    def predicted(self) -> int:
        """How many have."""
        return self.done - self.failed

    def count(self, one: list[Prediction] | NotPredicted) -> None:
        """Count one."""
        self.done += 1
        if isinstance(one, NotPredicted):
            self.reasons[one.error.reason.value] += 1
            if len(self._examples) < _SHOWN:
                self._examples.append(one)

    def lines(self, errors: Path | None) -> list[str]:
        """For people: how many are predicted, and why the others are not."""
        said = [f"{self.predicted:,} of {self.done:,} {self.noun} predicted"]
        if self.failed:
            kinds = "; ".join(f"{reason} ({count:,})" for reason, count in self.reasons.most_common())
            said.append(f"  {self.failed:,} not: {kinds}")
            said += [f"    {one.id}: {one.error.message}" for one in self._examples]
            if self.failed > len(self._examples):
                where = f"in {errors}" if errors is not None else "with --errors FILE"
                said.append(f"    all of them {where}")
        return said


@contextmanager
def errors_to(path: Path | None) -> Iterator[Callable[[NotPredicted], None]]:
    """A function that writes what has no prediction as CSV, id, reason and detail; nowhere if there is no path."""
    if path is None:
        yield lambda _: None
        return
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(ERROR_COLUMNS)
        yield lambda one: writer.writerow([one.id, one.error.reason.value, one.error.message])
