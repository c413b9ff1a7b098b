"""Importing a file, as a function: what the command, the tasks and the tests call."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from etl.batch import Counts
from etl.errors import ImportFileError
from etl.judge import Read, weight
from etl.load import BATCH, Loader
from etl.parsing import Parser, ParserLimits
from etl.runs import (
    alone,
    count_unchanged,
    end_run,
    ensure_source,
    identify,
    records_of_same_file,
    refresh_statistics,
    source_key,
    start_run,
)
from etl.source import Source, get_source

_FILLED = ("source_record", "structure", "property_value", "interface", "stacking", "record_flag")

BATCH_BYTES = 64 << 20
"""Bytes of content after which a transaction ends, however few its records."""

Progress = Callable[[int, int | None], None]
"""Called with the number of records done and, where known, their total."""


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What became of the records of one file.

    Attributes:
        source: key of the source, e.g. c2db or starter-c2db.
        flags: doubted properties by rule; `flagged` counts the records that have any.
        quarantined: records set aside, by rule.
        superseded: older versions that this import replaced.
    """

    source: str
    file: str
    run_id: int
    read: int
    accepted: int
    flagged: int
    flags: dict[str, int]
    quarantined: dict[str, int]
    unchanged: int
    superseded: int
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """JSON-like."""
        return asdict(self)


def import_file(
    engine: Engine,
    reader: str | Source,
    path: Path,
    *,
    label: str | None = None,
    progress: Progress | None = None,
    limits: ParserLimits | None = None,
) -> ImportReport:
    """Import one file (or folder); importing it again changes nothing.

    Each batch of records is one transaction: whatever interrupts the import, what is committed is whole, and importing
    the file again completes it.

    Args:
        engine: the database, at the newest migration.
        reader: a reader, or the name of one, see `etl.source.source_names`.
        path: the file.
        label: keeps the records apart as source `<label>-<reader>`, which yields to the plain source.
        progress: called after every batch.
        limits: processes, time and memory for parsing.

    Raises:
        ImportFileError: the file is missing, of another kind or damaged.
        ImportBusyError: the same source is being imported by another process.
        DatabaseDownError: the database does not answer.
    """
    source = get_source(reader) if isinstance(reader, str) else reader
    total = source.check(path)
    source = source.for_file(path)
    key = source_key(source.info, label)
    with alone(engine, f"stackscreen import {key}", f"Another import of {key} is under way."):
        return _import(engine, source, path, label, progress, total, limits or ParserLimits())


def _import(
    engine: Engine,
    source: Source,
    path: Path,
    label: str | None,
    progress: Progress | None,
    total: int | None,
    limits: ParserLimits,
) -> ImportReport:
    started = time.monotonic()
    file = identify(path)
    with engine.begin() as connection:
        source_id = ensure_source(connection, source, label)
        known = records_of_same_file(connection, source_id, file, source.version)
        run_id = start_run(connection, source_id, file, source.version)
        if known is not None:
            count_unchanged(connection, run_id, known)
            end_run(connection, run_id)
    if known is not None:
        if progress is not None:
            progress(known, known)
        counts = Counts(read=known, unchanged=known)
        return _report(source_key(source.info, label), file.name, run_id, counts, time.monotonic() - started)
    loader = Loader(engine, source_id, run_id)
    try:
        with Parser(source, loader.known(), limits) as parser:
            for batch in _batches(parser.reads(path)):
                loader.load(batch)
                if progress is not None:
                    progress(loader.counts.read, total)
        with engine.begin() as connection:
            end_run(connection, run_id)
        if loader.counts.accepted:
            refresh_statistics(engine, _FILLED)
    except ImportFileError as error:
        _fail(engine, run_id, error.message)
        kept = loader.counts.read
        raise ImportFileError(f"{error.message} {kept} records before the damage are kept.", hint=error.hint) from error
    except BaseException as error:
        _fail(engine, run_id, f"{type(error).__name__}: {error}")
        raise
    return _report(source_key(source.info, label), file.name, run_id, loader.counts, time.monotonic() - started)


def _fail(engine: Engine, run_id: int, error: str) -> None:
    """Note the failure if the database still answers; if not, the next import of the source notes it."""
    try:
        with engine.begin() as connection:
            end_run(connection, run_id, error)
    except (OperationalError, psycopg.OperationalError):
        return


def _batches(chunks: Iterator[list[Read]]) -> Iterator[list[Read]]:
    """Batches of at least `BATCH` records, or `BATCH_BYTES`; what came before a damage is handed out first."""
    batch: list[Read] = []
    size = 0
    try:
        for chunk in chunks:
            batch += chunk
            size += sum(map(weight, chunk))
            if len(batch) >= BATCH or size >= BATCH_BYTES:
                yield batch
                batch, size = [], 0
    except ImportFileError:
        if batch:
            yield batch
        raise
    if batch:
        yield batch


def _report(key: str, file: str, run_id: int, counts: Counts, seconds: float) -> ImportReport:
    return ImportReport(
        source=key,
        file=file,
        run_id=run_id,
        read=counts.read,
        accepted=counts.accepted,
        flagged=counts.flagged,
        flags=dict(sorted(counts.flags.items())),
        quarantined=dict(sorted(counts.quarantined.items())),
        unchanged=counts.unchanged,
        superseded=counts.superseded,
        seconds=seconds,
    )
