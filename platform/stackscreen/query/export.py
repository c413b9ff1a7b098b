"""The filtered list as CSV, streamed: memory stays flat however long the list is."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator

from sqlalchemy import Engine

from stackscreen.query.candidates import COLUMNS, Order, listing, published_run, row_values
from stackscreen.query.criteria import Criteria
from stackscreen.query.fields import FIELDS
from stackscreen.query.reading import reading

_CHUNK = 2000


def header() -> list[str]:
    """Column names with their stored units, e.g. `gap [eV]`."""
    return [f"{name} [{unit}]" if (unit := _unit(name)) else name for name in COLUMNS]


def _unit(name: str) -> str:
    field = FIELDS.get(name) or FIELDS.get(name.removesuffix("_lower").removesuffix("_upper"))
    return field.unit if field is not None else ""


def rows_csv(engine: Engine, criteria: Criteria, order: Order) -> Iterator[str]:
    """The list as pieces of CSV text, header first.

    The run is looked up before the first piece, so that "nothing published" is an error and not half a file.

    Raises:
        NoPublishedRunError: nothing has been published yet.
    """
    with reading(engine) as connection:
        run = published_run(connection)

    def pieces() -> Iterator[str]:
        yield _text([header()])
        with reading(engine) as connection:
            result = connection.execution_options(yield_per=_CHUNK).execute(listing(run, criteria, order))
            for partition in result.partitions():
                yield _text([list(row_values(row).values()) for row in partition])

    return pieces()


def _text(rows: Iterable[Iterable[object]]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue()
