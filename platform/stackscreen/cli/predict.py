"""`stackscreen predict`: predictions with intervals for structures and pairs that were never imported."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from schema.errors import StackscreenError
from stackscreen.cli.console import progress_bar, step
from stackscreen.settings import get_settings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

    from stackscreen.predict.predictor import NotPredicted, Prediction

app = typer.Typer(
    no_args_is_help=True,
    help="Predict binding energy, distance and gap, with 90 % intervals, of structures and pairs of your own.",
    epilog="Examples: `stackscreen predict interfaces stacks.db -o out.csv`, `stackscreen predict pairs pairs.csv`.",
)

_EVERY = 64
"""Structures between two steps of the progress bar."""

Out = Annotated[
    Path | None,
    typer.Option("-o", "--out", metavar="OUT", help="*.csv or *.parquet; `-` or none: CSV on standard output"),
]
Targets = Annotated[
    list[str] | None, typer.Option("--target", metavar="KEY", help="only this quantity; may be given again")
]
Errors = Annotated[
    Path | None, typer.Option("--errors", metavar="FILE.csv", help="write what could not be predicted, and why")
]
Database = Annotated[
    bool,
    typer.Option(
        "--database/--no-database",
        help="recognise layers among the known materials, and predict with the served models; without, layers are "
        "known by their atoms alone, and the models are those that ship",
    ),
]


class NothingPredictedError(StackscreenError):
    """Not one structure or pair of the file could be predicted."""


@app.command(no_args_is_help=True)
def interfaces(
    file: Annotated[
        Path,
        typer.Argument(help="ASE .db, folder or .zip of CIF or POSCAR files, one of these, extended XYZ, JSON"),
    ],
    out: Out = None,
    target: Targets = None,
    errors: Errors = None,
    database: Database = True,
) -> None:
    """Predict stacked structures: bilayers, and layers on a crystal.

    Each is taken apart into its two layers, which are recognised among the
    known materials by uid or by structure and bring their properties. The
    registry is read off the lateral positions. Results in the file, and the
    distance between the layers, are not looked at. Out comes one row a target:
    id,target,value,lower,upper,unit,model,domain_distance (1 = the edge of what
    the model knows). Classes go by number: alignment_type 1 to 3 is I to III, 4
    a metal; slide_stability 1 is stable and metallic 1 a metal, 0 not. Their probability has a row of its
    own. A structure that cannot be predicted stops nothing.

    Examples:

    stackscreen predict interfaces bidb.db -o predicted.csv --errors not.csv

    stackscreen predict interfaces my_cifs/ --target gap -o gaps.parquet

    stackscreen predict interfaces stack.vasp --no-database
    """
    from stackscreen.predict.inputs import count_structures, given_structures
    from stackscreen.predict.predictor import Predictor

    # A wrong path must not start servers first.
    given = given_structures(file)
    total = count_structures(file)
    with _connection(database) as connection:
        predictor = Predictor(connection, tuple(target or ()))
        _write("structures", predictor.structures(given), total, out, errors)
        if connection is not None:
            step(
                f"  layers: {predictor.recognised:,} recognised, {predictor.unrecognised:,} known by their atoms alone"
            )


@app.command(no_args_is_help=True)
def pairs(
    file: Annotated[Path, typer.Argument(metavar="FILE.csv", help="columns bottom,top and others")],
    out: Out = None,
    target: Targets = None,
    errors: Errors = None,
    database: Database = True,
) -> None:
    """Predict pairs of layers that a CSV file names.

    The columns bottom and top hold uids, external ids or formulas of known
    materials, or paths of structure files, counted from the CSV file. Optional:
    id; n,m (cells of the match); twist (degrees); flip_bottom, flip_top (true:
    turned over); registry (AA, AB ..., of one cell on one). Without a registry
    the pair is predicted in none in particular, as a moire has them all. A
    column strain is passed over: strain follows from n, m and the lattices.

    Examples:

    stackscreen predict pairs pairs.csv -o predicted.csv

    stackscreen predict pairs pairs.csv --target gap --target binding_energy
    """
    from stackscreen.predict.pairs import predict_pairs, read_pairs
    from stackscreen.predict.predictor import Predictor

    rows = list(read_pairs(file))
    with _connection(database) as connection:
        predictor = Predictor(connection, tuple(target or ()))
        _write("pairs", predict_pairs(predictor, rows, file.parent), len(rows), out, errors)


@contextmanager
def _connection(wanted: bool) -> Iterator[Connection | None]:
    """The database, read in one snapshot; None where it is not wanted or has no tables."""
    if not wanted:
        yield None
        return
    from sqlalchemy import inspect

    from schema.engine import make_engine
    from stackscreen.query.reading import reading
    from stackscreen.services import database_url, ensure_started

    settings = get_settings()
    ensure_started(settings, step)
    engine = make_engine(database_url(settings), read_only=True)
    try:
        with reading(engine) as connection:
            if inspect(connection).has_table("model_version"):
                yield connection
                return
        step("The database has no tables yet: layers are known by their atoms alone, models are those that ship.")
        yield None
    finally:
        engine.dispose()


def _write(
    noun: str,
    found: Iterable[list[Prediction] | NotPredicted],
    total: int | None,
    out: Path | None,
    errors: Path | None,
) -> None:
    """Write what comes, with a progress bar, and say at the end what did not.

    Raises:
        NothingPredictedError: nothing was predicted.
    """
    from stackscreen.predict.output import Tally, errors_to, predictions_to

    tally = Tally(noun)
    with progress_bar(noun) as progress, predictions_to(out) as write, errors_to(errors) as not_predicted:
        for one in found:
            tally.count(one)
            if isinstance(one, list):
                write(one)
            else:
                not_predicted(one)
            if tally.done % _EVERY == 0:
                progress(tally.done, total)
        progress(tally.done, tally.done)
    for line in tally.lines(errors):
        step(line)
    if not tally.predicted:
        raise NothingPredictedError(f"None of {tally.done:,} {noun} could be predicted.")
