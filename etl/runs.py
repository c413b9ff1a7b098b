"""The bookkeeping of imports: which source, which file, and what became of its records."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psycopg
from sqlalchemy import Connection, Engine, exists, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError, OperationalError

from etl.errors import DatabaseDownError, ImportBusyError
from etl.parsing import CRASHED, TOO_SLOW
from etl.source import Source as Reader
from etl.source import SourceInfo
from schema.provenance import ImportRun, Source, SourceRecord
from schema.vocabulary import ImportState, RecordState

LABELLED_PRECEDENCE = 200
"""Added to the precedence of a labelled import (the starter set, a trial): the plain source wins over it."""
GIVEN_UP = (CRASHED, TOO_SLOW)
"""Rules of records that might be read with more time or memory."""
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class FileIdentity:
    """Name, size in bytes and SHA-256 of a file, or of all files of a folder."""

    name: str
    size: int
    sha256: bytes


def identify(path: Path) -> FileIdentity:
    """Size and digest of a file; for a folder, of its files' names and contents in the order of their names."""
    hasher = hashlib.sha256()
    size = 0
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    for file in files:
        if path.is_dir():
            hasher.update(file.relative_to(path).as_posix().encode() + b"\0")
        with file.open("rb") as content:
            while chunk := content.read(_CHUNK):
                hasher.update(chunk)
                size += len(chunk)
    return FileIdentity(path.resolve().name, size, hasher.digest())


@contextmanager
def exclusive(engine: Engine, name: str, busy: str) -> Iterator[None]:
    """Hold a named lock in the database for as long as the block runs; the server frees it if this process dies.

    Raises:
        ImportBusyError: another process holds it; `busy` is the sentence that says so.
    """
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        key = func.hashtextextended(name, 0)
        if not connection.scalar(select(func.pg_try_advisory_lock(key))):
            raise ImportBusyError(busy, hint="Wait for it to finish, then start again.")
        try:
            yield
        finally:
            # A closed connection has given the lock back already.
            if not connection.closed and not connection.invalidated:
                connection.execute(select(func.pg_advisory_unlock(key)))


@contextmanager
def alone(engine: Engine, name: str, busy: str) -> Iterator[None]:
    """As `exclusive`, on a database that may not be there.

    Raises:
        ImportBusyError: another process holds the lock.
        DatabaseDownError: the database does not answer, now or within the block.
    """
    try:
        ping(engine)
        with exclusive(engine, name, busy):
            yield
    except (OperationalError, psycopg.OperationalError) as error:
        raise _database_down(error) from error


def _database_down(error: Exception) -> DatabaseDownError:
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    first = next(iter(str(cause).strip().splitlines()), type(cause).__name__)
    return DatabaseDownError(
        f"The database does not answer: {first}.".replace("..", "."),
        hint="Start it with `stackscreen services start`, or check STACKSCREEN_DATABASE_URL; what was committed stays.",
    )


def source_key(info: SourceInfo, label: str | None) -> str:
    """Key of the source that an import feeds: the reader's own, or `<label>-<reader>`."""
    return f"{label}-{info.key}" if label else info.key


def ensure_source(connection: Connection, reader: Reader, label: str | None) -> int:
    """Id of the source's row, which is made if this is its first import."""
    info = reader.info
    key = source_key(info, label)
    statement = (
        insert(Source)
        .values(
            key=key,
            database=info.database,
            release=label or info.release,
            method=info.method,
            licence=info.licence,
            citation=info.citation,
            precedence=info.precedence + (LABELLED_PRECEDENCE if label else 0),
            reader=reader.reader,
            names_from=info.names_from,
        )
        .on_conflict_do_nothing(index_elements=[Source.key])
    )
    connection.execute(statement)
    found: int = connection.scalars(select(Source.id).where(Source.key == key)).one()
    return found


def records_of_same_file(connection: Connection, source_id: int, file: FileIdentity, version: str) -> int | None:
    """Number of records of this very file, if it was imported whole before and everything that it brought still stands.

    None if it has to be read: it is new, the reader has changed since, a later import superseded records, or a record
    of the source was given up for want of time or memory, of which there may be more now.
    """
    statement = (
        select(ImportRun.id, ImportRun.n_read)
        .where(
            ImportRun.source_id == source_id,
            ImportRun.file_sha256 == file.sha256,
            ImportRun.file_bytes == file.size,
            ImportRun.reader_version == version,
            ImportRun.state == ImportState.FINISHED,
        )
        .order_by(ImportRun.id.desc())
        .limit(1)
    )
    earlier = connection.execute(statement).first()
    if earlier is None:
        return None
    since = select(func.coalesce(func.sum(ImportRun.n_superseded), 0)).where(
        ImportRun.source_id == source_id, ImportRun.id > earlier.id
    )
    given_up = select(
        exists().where(
            SourceRecord.source_id == source_id,
            SourceRecord.state == RecordState.QUARANTINED,
            SourceRecord.rule.in_(GIVEN_UP),
        )
    )
    if connection.scalar(since) or connection.scalar(given_up):
        return None
    return int(earlier.n_read)


def start_run(connection: Connection, source_id: int, file: FileIdentity, version: str) -> int:
    """Open an import run; runs of this source that died are marked failed (the caller holds the source's lock)."""
    connection.execute(
        update(ImportRun)
        .where(ImportRun.source_id == source_id, ImportRun.state == ImportState.RUNNING)
        .values(
            state=ImportState.FAILED,
            error="The import was interrupted; what it had committed stays, and a later import completes it.",
            finished_at=datetime.now(UTC),
        )
    )
    statement = (
        insert(ImportRun)
        .values(
            source_id=source_id,
            file_name=file.name,
            file_sha256=file.sha256,
            file_bytes=file.size,
            reader_version=version,
            state=ImportState.RUNNING,
        )
        .returning(ImportRun.id)
    )
    run_id: int = connection.scalars(statement).one()
    return run_id


def count_unchanged(connection: Connection, run_id: int, records: int) -> None:
    """Note that all records of the run's file are held already."""
    connection.execute(update(ImportRun).where(ImportRun.id == run_id).values(n_read=records, n_unchanged=records))


def end_run(connection: Connection, run_id: int, error: str | None = None) -> None:
    """Close an import run: finished, or failed if `error` says why."""
    state = ImportState.FINISHED if error is None else ImportState.FAILED
    connection.execute(
        update(ImportRun)
        .where(ImportRun.id == run_id, ImportRun.state == ImportState.RUNNING)
        .values(state=state, error=error, finished_at=datetime.now(UTC))
    )


def refresh_statistics(engine: Engine, tables: Sequence[str]) -> None:
    """Tell Postgres's planner about many new rows now, not when autovacuum gets to it.

    Args:
        tables: their names; of the program, never of a user.
    """
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE " + ", ".join(tables)))


def ping(engine: Engine) -> None:
    """Ask the database for a sign of life; raises what the driver raises."""
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
