"""What the probabilities of classes are worth, as `stackscreen evaluate` prints it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ml.catalogue import Lineup
    from ml.report import Report
    from ml.rows import InterfaceRows


def print_probabilities(rows: InterfaceRows, lineup: Lineup, report: Report) -> None:
    """Brier score, log loss and 90 % sets of every method that gives probabilities, under the split of a report.

    Args:
        rows: labelled interfaces.
        lineup: methods and target.
        report: of one split; of folds from a file nothing is printed.
    """
    from rich.console import Console
    from rich.table import Table

    from ml.class_calibration import scores_by_method
    from ml.splits import Split, partitions

    if report.split not in set(Split):
        return
    labelled = rows.take(rows.labelled(lineup.target))
    found = scores_by_method(labelled, lineup.target, lineup.all, partitions(labelled, Split(report.split)))
    table = Table(
        "method", "rows", "Brier score", "log loss", "90 % sets hold", "classes in a set",
        title=f"{report.target}: probabilities, calibrated without the rows that they are judged on, {report.folds}",
        title_justify="left",
    )  # fmt: skip
    for name, one in found.items():
        coverage = f"{100 * one.coverage:.1f} %"
        table.add_row(
            name, str(one.n), f"{one.brier:.3f}", f"{one.log_loss:.3f}", coverage, f"{one.set_size:.2f}",
            style="bold" if name == report.method else None,
        )  # fmt: skip
    Console().print(table)
