"""`stackscreen evaluate`: how far to trust the models, on interfaces that they could not know."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from schema.errors import StackscreenError
from schema.vocabulary import InterfaceKind
from stackscreen.cli.console import progress_bar, step
from stackscreen.cli.probabilities import print_probabilities
from stackscreen.settings import get_settings

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from ml.judging import Judged
    from ml.models.layer_inputs import LayerInputs
    from ml.report import Figure, Report
    from ml.rows import InterfaceRows
    from ml.splits import Split


class NothingToEvaluateError(StackscreenError):
    """There are no labelled interfaces of what was asked for."""


def evaluate(
    target: Annotated[str | None, typer.Option(help="key of the property, such as gap; all that are there")] = None,
    domain: Annotated[InterfaceKind | None, typer.Option(help="kind of interface; all that are there")] = None,
    split: Annotated[str | None, typer.Option(help="such as both-unseen or random; all that mean something")] = None,
    folds: Annotated[Path | None, typer.Option(help="a fold file of your own: `id,fold`, then one row an id")] = None,
    out: Annotated[Path | None, typer.Option(help="also write cards, plots and out-of-fold predictions here")] = None,
    write_folds: Annotated[Path | None, typer.Option(help="write the fold files to this folder, and stop")] = None,
    repeats: Annotated[int, typer.Option(min=1, max=20, help="draws of folds and seeds under the strict split")] = 1,
    curve: Annotated[bool, typer.Option("--curve/--no-curve", help="learning curve under the strict split")] = True,
) -> None:
    """Judge the models and their baselines out of fold on the computed interfaces of the database.

    Every number is of rows that the method did not learn from; choices are made on inner folds. The figures go to the
    terminal and to the database (analyst.model_metrics). Examples:

    stackscreen evaluate --target gap --domain homobilayer --split leave-material-out

    stackscreen evaluate --target gap --folds my_folds.csv --out judged
    """
    from stackscreen.cli.models import engine_of

    wanted = _split(split)
    with engine_of(get_settings()) as engine:
        tables = _rows(engine, domain)
        if write_folds is not None:
            _write_folds(write_folds, tables)
            return
        chosen = [(rows, key) for rows in tables for key in _targets(rows) if target in {None, key}]
        if folds is not None:
            chosen = [(rows, key) for rows, key in chosen if _covers(folds, rows)]
        if not chosen:
            raise NothingToEvaluateError(
                f"No computed interfaces with {target or 'any target'} are there to be judged"
                + (f" by {folds}." if folds is not None else "."),
                hint="Import some first (stackscreen import bidb PATH), with the layers that they are made of "
                "(stackscreen import c2db PATH). `stackscreen models list` shows what there is.",
            )
        encoded = _encoded(engine, chosen)
        for rows, key in chosen:
            judged = _judge(rows, key, encoded.get(rows.source), wanted, folds, repeats, curve)
            for report in judged.reports:
                _print(report)
                if judged.lineup.classes:
                    print_probabilities(rows, judged.lineup, report)
            for impossible, why in judged.impossible.items():
                step(f"  {impossible.value}: not possible. {why}")
            _store(engine, judged.reports)
            if out is not None:
                _write(out, rows, judged)


def _split(name: str | None) -> Split | None:
    from ml.splits import Split

    if name is None:
        return None
    try:
        return Split(name)
    except ValueError as error:
        raise typer.BadParameter(f"{name} is none of {', '.join(Split)}", param_hint="--split") from error


def _rows(engine: Engine, domain: InterfaceKind | None) -> list[InterfaceRows]:
    from ml.interface_store import load_rows

    with progress_bar("reading interfaces") as progress, engine.connect() as connection:
        kinds = list(InterfaceKind) if domain is None else [domain]
        found = []
        for number, kind in enumerate(kinds):
            progress(number, len(kinds))
            found += load_rows(connection, kind.value)
        progress(len(kinds), len(kinds))
    return found


def _targets(rows: InterfaceRows) -> list[str]:
    """Targets with enough labels to be judged."""
    from ml.catalogue import TARGETS
    from ml.evaluation import MIN_TRAINING

    return [key for key in TARGETS if int(rows.labelled(key).sum()) >= 2 * MIN_TRAINING]


def _encoded(engine: Engine, chosen: Sequence[tuple[InterfaceRows, str]]) -> dict[str, LayerInputs]:
    """The encoded layers by source, of the rows of which stacks speak."""
    from ml import heads
    from ml.embedding_store import present_encoder
    from ml.models.layer_inputs import inputs_of

    wanted = {rows.source: rows for rows, key in chosen if heads.is_stacked(rows.domain, key)}
    if not wanted:
        return {}
    with engine.connect() as connection:
        encoder = present_encoder(connection)
    return {} if encoder is None else {source: inputs_of(rows, encoder) for source, rows in wanted.items()}


def _covers(folds: Path, rows: InterfaceRows) -> bool:
    """Whether a fold file names any of the rows; what is wrong with the file itself is an error."""
    from ml.splits import FoldFileError, read_folds

    read_folds(folds, [])
    try:
        read_folds(folds, rows.ids, partial=True)
    except FoldFileError:
        return False
    return True


def _judge(
    rows: InterfaceRows,
    target: str,
    inputs: LayerInputs | None,
    split: Split | None,
    folds: Path | None,
    repeats: int,
    curve: bool,
) -> Judged:
    from ml import judging
    from ml.catalogue import lineup
    from ml.splits import of_folds, read_folds

    methods = lineup(rows, target, inputs)
    if folds is not None:
        fold = read_folds(folds, rows.ids, partial=True)
        used = (fold >= 0) & rows.labelled(target)
        step(f"  {rows.source}, {target}: {int(used.sum())} of {int(rows.labelled(target).sum())} rows have a fold")
        with progress_bar(f"{rows.source}: {target}, own folds"):
            return judging.judge_folds(rows, methods, of_folds(fold), folds.read_bytes())
    splits = None if split is None else [split]
    total = judging.steps(rows, methods, splits=splits, repeats=repeats, curve=curve)
    with progress_bar(f"{rows.source}: {target}") as progress:
        done = [0]

        def advance(_: str) -> None:
            done[0] += 1
            progress(done[0], total)

        return judging.judge(rows, methods, splits=splits, repeats=repeats, curve=curve, on_step=advance)


def _print(report: Report) -> None:
    from rich.console import Console
    from rich.table import Table

    from schema.quantities import QUANTITIES
    from schema.vocabulary import PartKind

    classes = report.judged.mae is None
    unit = QUANTITIES[report.target].unit if report.target in QUANTITIES else ""
    title = f"{report.target} ({'classes' if classes else unit}), {report.domain} of {report.source}, {report.folds}"
    head = [
        "method",
        "rows",
        *(["accuracy", "mean recall"] if classes else ["MAE", "RMSE", "R²", "90 % covers rows/pairs", "half-width"]),
    ]
    table = Table(title=title, title_justify="left")
    for name in head:
        table.add_column(name, overflow="fold")
    whole = [figure for figure in report.figures if figure.part_kind == PartKind.ALL]
    for figure in sorted(whole, key=lambda one: -one.error):
        cells = [figure.method, str(figure.n)]
        if classes:
            cells += [_share(figure.accuracy), _share(figure.balanced_accuracy)]
        else:
            moved = "" if figure.spread is None else f" ± {figure.spread:.2g}"
            cells += [f"{figure.mae:.4g}{moved}", f"{figure.rmse:.4g}", "" if figure.r2 is None else f"{figure.r2:.3f}"]
            cells += [_both(figure), "" if figure.width is None else f"{figure.width:.3g}"]
        table.add_row(*cells, style="bold" if figure.method == report.method else None)
    Console().print(table)
    if report.baselines and report.method not in report.baselines:
        verdict = "beats" if report.beats_baseline else "does not beat"
        typer.echo(f"{report.method} {verdict} the best baseline, {report.best_baseline.method}.\n")


def _both(figure: Figure) -> str:
    """What intervals cover, of rows and of pairs of layers."""
    if figure.coverage is None or figure.coverage_by_material is None:
        return ""
    return f"{100 * figure.coverage:.1f}/{_share(figure.coverage_by_material)}"


def _share(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f} %"


def _store(engine: Engine, reports: Sequence[Report]) -> None:
    from ml import evaluation_store

    with engine.begin() as connection:
        for report in reports:
            evaluation_store.store(connection, report)


def _write(out: Path, rows: InterfaceRows, judged: Judged) -> None:
    """One folder a target and domain: a page of tables, plots, and the out-of-fold predictions of every split."""
    from ml import plots
    from ml.report_card import how_good
    from schema.quantities import QUANTITIES

    target = judged.lineup.target
    unit = QUANTITIES[target].unit if target in QUANTITIES else ""
    folder = out / f"{target}-{rows.domain}-{rows.source}"
    folder.mkdir(parents=True, exist_ok=True)
    first = judged.reports[0]
    drawn = {file.stem: file.name for file in plots.write(first, folder)}
    lines = [f"# {target} of {rows.source} ({rows.domain})", "", f"Rows SHA-256 `{first.data_digest}`.", ""]
    (folder / "README.md").write_text("\n".join([*lines, *how_good(judged.reports, unit, drawn)]), encoding="utf-8")
    for evaluation in judged.evaluations:
        name = evaluation.split.replace(" ", "-")
        with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            _out_of_fold(csv.writer(file), rows, target, evaluation)
    step(f"  wrote {folder}")


def _out_of_fold(writer: Any, rows: InterfaceRows, target: str, evaluation: Any) -> None:
    methods = list(evaluation.out_of_fold)
    writer.writerow(["id", "calculated", *methods])
    for k in range(len(rows)):
        found = [evaluation.out_of_fold[method][k] for method in methods]
        if any(map(math.isfinite, found)):
            numbers = [rows.targets[target][k], *found]
            writer.writerow([rows.ids[k], *(f"{value:.6g}" if math.isfinite(value) else "" for value in numbers)])


def _write_folds(folder: Path, tables: Sequence[InterfaceRows]) -> None:
    from ml.splits import write_all

    for rows in tables:
        for file in write_all(folder / rows.source, rows):
            step(f"  wrote {file}")
