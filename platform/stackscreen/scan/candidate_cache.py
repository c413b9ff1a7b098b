"""All candidates of a run as one file a field that any process maps into memory: see `stackscreen.scan.store`.

<data_dir>/cache/candidates-<id>/   one element a candidate, in the order of (bottom, top)

Any filter and any order is answered from them in milliseconds, where an index could serve a few of each.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import REAL, Connection, Integer, SmallInteger, Text, bindparam, case, cast, func, literal, select

from schema import Candidate, ScreeningMember
from stackscreen.query.fields import FIELDS, Field, FieldKind
from stackscreen.query.pictures import SAMPLE
from stackscreen.scan.cache import read_ledger
from stackscreen.scan.store import ColumnFiles, Columns, Wanted, open_columns
from stackscreen.screening.packing import TilesMissingError
from stackscreen.screening.spaces import RunKey, of_run

BOTTOM, TOP, DRAW = "bottom", "top", "draw"
"""Columns beside the fields: the numbers of the two members, and the number by which an even sample is drawn."""
UNKNOWN: Final = 255
"""Code of a word that is not known."""
_AT_ONCE: Final = 512
"""Rows of the pair matrix read at a time: some tens of megabytes."""
_HEADER: Final = 20
"""Bytes before the first element of a one-dimensional array in Postgres' binary format."""


def codes(field: Field) -> Mapping[str, int]:
    """Number of each word of a field, in the order in which the words sort."""
    return {word: code for code, word in enumerate(sorted(field.words))}


def _selected() -> dict[str, tuple[str, str, Any]]:
    """By name of a column: its type in the file, its type on the wire, and its SQL expression, which is never null."""
    columns: dict[str, tuple[str, str, Any]] = {
        BOTTOM: ("<i4", ">i4", Candidate.bottom),
        TOP: ("<i4", ">i4", Candidate.top),
        DRAW: ("<i4", ">i4", cast(SAMPLE, Integer)),
    }
    for key, field in FIELDS.items():
        if field.expression is None:
            continue
        if field.kind is FieldKind.NUMBER:
            known = func.coalesce(cast(field.expression, REAL), cast(literal("NaN"), REAL))
            columns[key] = ("<f4", ">f4", known)
        else:
            words = case(codes(field), value=cast(field.expression, Text), else_=UNKNOWN)
            columns[key] = ("u1", ">i2", cast(words, SmallInteger))
    return columns


KINDS: Final = {name: kind for name, (kind, _, _) in _selected().items()}
"""numpy type of each column."""


def open_candidates(connection: Connection, folder: Path, run_id: int) -> Columns:
    """The candidates of a run, mapped read-only; copied from the database first if there is no copy to be trusted.

    Args:
        connection: of a transaction that sees the run.
        folder: the folder of all caches, which exists.
        run_id: a run whose blocks are all done.

    Returns:
        Fields by key, each of shape (K,) in the order of (bottom, top): numbers in single precision, NaN unknown; words
        as `codes`, `UNKNOWN` where not known; and `BOTTOM`, `TOP` and `DRAW`.

    Raises:
        TilesMissingError: the database does not hold the candidates that its ledger speaks of.
        StoreChangedError, OSError: see `stackscreen.scan.store.open_columns`.
    """
    ledger = read_ledger(connection, run_id)
    wanted = Wanted(f"candidates-{run_id}", ledger.digest, KINDS, ledger.n_candidates)

    def write(files: ColumnFiles) -> None:
        rows = _write(connection, files, ledger.run)
        if rows != ledger.n_candidates:
            raise TilesMissingError(
                f"The candidates of run {run_id} are {rows:,}, and its ledger counts {ledger.n_candidates:,}.",
                hint="Those of a superseded run are dropped; those of the published run come back with a restored "
                "database, or when it is screened anew.",
            )

    return open_columns(folder, wanted, write)


def _write(connection: Connection, files: ColumnFiles, run: RunKey) -> int:
    """Some rows of the pair matrix after the other, each column as one array on the wire; how many candidates."""
    columns = _selected()
    piece = (
        select(*(expression.label(name) for name, (_, _, expression) in columns.items()))
        .where(
            of_run(Candidate, run),
            Candidate.bottom >= bindparam("first", type_=Integer),
            Candidate.bottom < bindparam("end", type_=Integer),
        )
        .subquery()
    )
    statement = select(*(func.array_send(func.array_agg(column)) for column in piece.c))
    compiled = statement.compile(dialect=connection.dialect)
    # On the wire as bytes, not as hexadecimal digits.
    driver: Any = connection.connection.driver_connection
    cursor = driver.cursor(binary=True)
    total = 0
    numbers = select(func.count()).select_from(ScreeningMember).where(ScreeningMember.run_id == run.space_id)
    for first in range(0, connection.execute(numbers).scalar_one(), _AT_ONCE):
        cursor.execute(str(compiled), compiled.construct_params({"first": first, "end": first + _AT_ONCE}))
        arrays = cursor.fetchone()
        if arrays[0] is None:
            continue
        values = {
            name: _elements(array, wire).astype(kind)
            for (name, (kind, wire, _)), array in zip(columns.items(), arrays, strict=True)
        }
        order = np.lexsort((values[TOP], values[BOTTOM]))
        for name, column in values.items():
            files.append(name, column[order].tobytes())
        total += order.size
    return total


def _elements(array: bytes, wire: str) -> NDArray[Any]:
    """The elements of an array without nulls: behind a header, each after its length."""
    return np.frombuffer(array, np.dtype([("length", ">i4"), ("value", wire)]), offset=_HEADER)["value"]
