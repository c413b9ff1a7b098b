"""The filtered list as CSV, streamed: memory stays flat however long the list is."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence

from sqlalchemy import Engine

from stackscreen.query.candidates import COLUMNS, SIDES, Order, listing, published_run, row_values
from stackscreen.query.criteria import Criteria
from stackscreen.query.detail import Model, Pair, answering
from stackscreen.query.fields import FIELDS
from stackscreen.query.reading import reading

_CHUNK = 2000


def header(names: Iterable[str] = COLUMNS) -> list[str]:
    """Column names with their stored units, e.g. `gap [eV]`."""
    return [f"{name} [{unit}]" if (unit := _unit(name)) else name for name in names]


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


def scan_csv(rows: Sequence[Mapping[str, object]]) -> str:
    """Pairs that a scan found as CSV text, header first."""
    names = list(rows[0]) if rows else list(SIDES)
    return _text([header(names), *([row[name] for name in names] for row in rows)])


def _predictor(model: Model | None) -> str:
    physics = model.physics if model else None
    return f"baseline {physics}" if physics else f"model {model.name}" if model else "model"


def _text(rows: Iterable[Iterable[object]]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue()


def pair_csv(pair: Pair) -> str:
    """Every number of one pair with its unit, interval and origin, one a row."""
    rows: list[list[object]] = [["subject", "quantity", "value", "unit", "lower", "upper", "method", "origin", "cite"]]
    name = f"{pair.row['bottom_uid']} / {pair.row['top_uid']}"
    models = answering(pair.models, pair.row["kind"])
    targets = {"gap": "gap", "binding_energy": "binding_energy", "distance": "interlayer_distance"}
    for key, field in FIELDS.items():
        if key not in pair.row or pair.row[key] is None:
            continue
        model = models.get(targets.get(key, ""))
        ends = [pair.row.get(f"{key}_{end}") for end in ("lower", "upper")]
        origin = _predictor(model) if key in targets else "screen"
        rows.append([name, key, pair.row[key], field.unit, *ends, "prediction" if key in targets else "", origin, ""])
    subjects = [(side.uid, fact) for side in (pair.bottom, pair.top) for fact in side.facts]
    subjects += [(f"{one.bottom_name} / {one.top_name}", fact) for one in pair.known for fact in one.facts]
    rows += [
        [
            subject, f"{fact.key} ({fact.face})" if fact.face else fact.key, fact.value, fact.unit, fact.lower,
            fact.upper, fact.method, f"{fact.source} {fact.external_id}", fact.citation,
        ]
        for subject, fact in subjects
    ]  # fmt: skip
    return _text(rows)
