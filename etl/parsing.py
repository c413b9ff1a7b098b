"""Reading records in worker processes: what crashes, hangs or swells there costs one record, never the import.

The importing process cuts the file; workers decode, interpret and judge chunks of records. A chunk whose worker dies or
overruns its time is read again record by record, each in a process that may die of it, and the culprit is quarantined.
"""

from __future__ import annotations

import multiprocessing
import resource
import time
import warnings
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import CancelledError, wait
from concurrent.futures import TimeoutError as OutOfTime
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from pebble import ProcessExpired, ProcessFuture, ProcessPool

from etl.errors import ImportFileError
from etl.judge import Read, judge
from etl.records import RawFailure
from etl.source import Raw, Source, kept_text

Item = Raw | RawFailure

_TRIES = 2
"""How often a record is tried alone: its process may have been killed by somebody else."""
_PATIENCE_S = 0.5
_CHUNK_BYTES = 8 << 20
"""Rows with spectra hold megabytes: a hundred of them would not be a small message."""
CRASHED, TOO_SLOW = "crashed_parser", "too_slow"


@dataclass(frozen=True, slots=True)
class ParserLimits:
    """What the parsing of an import may use.

    Attributes:
        workers: processes.
        record_seconds: s, time for one record (and for a chunk of them).
        memory_bytes: data memory of one process, beyond what it needs to start.
        chunk: records handed over at a time.
    """

    workers: int = 2
    record_seconds: float = 60.0
    memory_bytes: int = 1 << 30
    chunk: int = 100


class _Worker:
    """What a parsing process holds for as long as it lives."""

    source: Source
    known: frozenset[bytes]


def _start(source: Source, known: frozenset[bytes], memory_bytes: int) -> None:
    _Worker.source, _Worker.known = source, known
    used = _data_bytes()
    resource.setrlimit(resource.RLIMIT_DATA, (used + memory_bytes, used + memory_bytes))
    # What a damaged number does to arithmetic is told by the rules, not by numpy.
    warnings.simplefilter("ignore")
    # A crash is expected and reported; its memory image is of no use.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _data_bytes() -> int:
    """Bytes of writable private memory of this process, which `RLIMIT_DATA` counts."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1]) * 1024
    return 0


def _parse(items: list[Item]) -> list[Read]:
    source, known = _Worker.source, _Worker.known
    return [judge(item if isinstance(item, RawFailure) else source.read(item), known) for item in items]


class Parser:
    """Parsing processes for one file; a context manager.

    Args:
        source: the reader.
        known: fingerprints of what the database holds, see `etl.judge.fingerprint`: such content is not checked again.
        limits: what the processes may use.
    """

    def __init__(self, source: Source, known: frozenset[bytes], limits: ParserLimits) -> None:
        self._source = source
        self._limits = limits
        self._arguments = (source, known, limits.memory_bytes)

    def __enter__(self) -> Self:
        self._pool = self._new_pool()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _end(self._pool)

    def _new_pool(self) -> ProcessPool:
        return ProcessPool(self._limits.workers, initializer=_start, initargs=self._arguments, context=_context())

    def reads(self, path: Path) -> Iterator[list[Read]]:
        """The judged records of the file in its order, a chunk at a time.

        Raises:
            ImportFileError: the file turns out to be damaged on the way; what was read before has been yielded.
        """
        under_way: deque[tuple[list[Item], _Task]] = deque()
        damage: Exception | None = None
        chunks = _chunks(self._source.cut(path), self._limits.chunk)
        while True:
            # Enough chunks ahead to keep every worker busy, few enough to keep memory flat.
            while damage is None and len(under_way) < 2 * self._limits.workers + 1:
                try:
                    chunk = next(chunks, None)
                except Exception as error:  # the file's damage is reported after what came before it
                    damage = error
                    break
                if chunk is None:
                    break
                under_way.append((chunk, self._schedule(chunk)))
            if not under_way:
                break
            items, task = under_way.popleft()
            yield self._result(items, task)
        if damage is not None:
            raise damage

    def _schedule(self, items: list[Item]) -> _Task:
        if not self._pool.active:
            self._renew()
        future = self._pool.schedule(_parse, args=(items,), timeout=self._limits.record_seconds)
        return _Task(self._pool, future)

    def _renew(self) -> None:
        """Begin anew with other processes: one that was killed may have held a lock that all others wait for."""
        _end(self._pool)
        self._pool = self._new_pool()

    def _result(self, items: list[Item], task: _Task) -> list[Read]:
        try:
            return task.result()
        except _BrokenPoolError:
            # Another chunk's doing, most likely.
            return self._again(items)
        except (ProcessExpired, OutOfTime):
            self._renew()
        except MemoryError:
            pass
        return [self._alone(item) for item in items]

    def _again(self, items: list[Item]) -> list[Read]:
        try:
            return self._schedule(items).result()
        except (ProcessExpired, OutOfTime, _BrokenPoolError):
            self._renew()
        except MemoryError:
            pass
        return [self._alone(item) for item in items]

    def _alone(self, item: Item) -> Read:
        reason = ""
        rule = CRASHED
        for _ in range(_TRIES):
            started = time.monotonic()
            try:
                return self._schedule([item]).result()[0]
            except MemoryError:
                size = self._limits.memory_bytes >> 20
                return judge(_failure(item, CRASHED, f"{item_name(item)} needs more than {size} MiB to be read."))
            except OutOfTime:
                rule, reason = TOO_SLOW, f"{item_name(item)} was not read within {self._limits.record_seconds:g} s."
            except ProcessExpired as error:
                spent = time.monotonic() - started
                reason = f"{item_name(item)} ended its reader with exit code {error.exitcode} after {spent:.1f} s."
                rule = CRASHED
            except _BrokenPoolError:
                rule, reason = CRASHED, f"{item_name(item)} ended all parsing processes."
            self._renew()
        return judge(_failure(item, rule, reason))


class _BrokenPoolError(Exception):
    """A process died within the pool's own bookkeeping, and took the pool with it."""


@dataclass(frozen=True, slots=True)
class _Task:
    """A chunk under way in one pool."""

    pool: ProcessPool
    future: ProcessFuture[list[Read]]

    def result(self) -> list[Read]:
        """Wait for the outcome.

        Raises:
            _BrokenPoolError: it will never come.
        """
        # A pool that broke leaves its futures unanswered, so its health is asked for while waiting.
        while not wait([self.future], timeout=_PATIENCE_S).done:
            if not self.pool.active:
                raise _BrokenPoolError
        try:
            return self.future.result()
        except (CancelledError, RuntimeError) as error:
            if self.pool.active:
                raise
            raise _BrokenPoolError from error


def _end(pool: ProcessPool) -> None:
    pool.stop()
    # What is broken cannot be joined; its processes see the closed pipes and leave.
    with suppress(RuntimeError, OSError):
        pool.join()


def item_name(item: Item) -> str:
    """Where the record stands in its file."""
    return item.position if isinstance(item, Raw) else item.external_id


def _failure(item: Item, rule: str, reason: str) -> RawFailure:
    if isinstance(item, RawFailure):
        return item
    return RawFailure(item.position, rule, reason, raw_text=kept_text(item.content))


def _context() -> multiprocessing.context.ForkServerContext:
    # Forked from a process that has imported the readers and holds no connection, thread or lock of ours.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["__main__", "etl.parsing", "etl.sources"])
    return context


def _chunks(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Up to `size` records together, fewer where they are large; what came before a damage is handed out first."""
    chunk: list[Item] = []
    weight = 0
    try:
        for item in items:
            chunk.append(item)
            weight += _bytes_of(item)
            if len(chunk) >= size or weight >= _CHUNK_BYTES:
                yield chunk
                chunk, weight = [], 0
    except ImportFileError:
        if chunk:
            yield chunk
        raise
    if chunk:
        yield chunk


def _bytes_of(item: Item) -> int:
    """Size of what is undecoded in a record, which is what can be large."""
    content = item.content if isinstance(item, Raw) else item.raw_text
    parts = content if isinstance(content, (tuple, list)) else [content]
    return sum(len(part) for part in parts if isinstance(part, (bytes, str)))
