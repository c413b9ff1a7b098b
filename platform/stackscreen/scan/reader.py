"""What one process reads of the published run: candidates and pairs, from memory where it has them there.

A copy of the candidates is opened in the background, and filled first after a new run; until it is there, SQL answers.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYetError
from functools import lru_cache
from threading import Lock
from typing import Final, Generic, TypeVar

from sqlalchemy import Connection, Engine

from schema.errors import StackscreenError
from stackscreen.query import candidates, pictures
from stackscreen.query.candidates import Order, Page, Run
from stackscreen.query.criteria import Criteria
from stackscreen.query.pictures import Histogram, Scatter
from stackscreen.query.reading import reading
from stackscreen.scan.cache import sweep
from stackscreen.scan.candidate_list import CandidateList
from stackscreen.scan.scanner import Found, Scanner, cache_folder
from stackscreen.settings import Settings

LISTED: Final = 1000
"""Best pairs of a scan that are kept: as many as a page of candidates may hold."""
_PATIENCE_S: Final = 1.0
_SCANS: Final = 64
_T = TypeVar("_T")
_log = logging.getLogger(__name__)


class CacheUnavailableError(StackscreenError):
    """The data folder is full or cannot be written."""


class _Latest(Generic[_T]):
    """What is opened once for a run, in the background, and kept until another run is asked for."""

    def __init__(self, open_: Callable[[Run], _T], name: str) -> None:
        self._open = open_
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._lock = Lock()
        self._run: Run | None = None
        self._future: Future[_T] | None = None

    def of(self, run: Run, *, again: bool = False) -> Future[_T]:
        """What belongs to a run, or will; opened again after a failure if wanted."""
        with self._lock:
            failed = self._future is not None and self._future.done() and self._future.exception() is not None
            if self._future is None or self._run != run or (failed and again):
                self._run, self._future = run, self._pool.submit(self._open, run)
            return self._future


class Reader:
    """Counts, pages and pictures of candidates, and scans of all pairs, of the published run.

    Args:
        engine: read-only.
        settings: say where the data folder is.
        patience_s: s, how long a question waits for the copy of the candidates before SQL answers it.
    """

    def __init__(self, engine: Engine, settings: Settings, *, patience_s: float = _PATIENCE_S) -> None:
        self._engine = engine
        self._settings = settings
        self._patience = patience_s
        self._lists = _Latest(self._open_list, "candidates")
        self._scanners = _Latest(self._open_scanner, "pairs")
        # A published run never changes: what was counted and found stays so for as long as it is the published one.
        self._scanning = Lock()
        self._scanned = lru_cache(maxsize=_SCANS)(self._scan)
        self._counted = lru_cache(maxsize=256)(self._count)

    def count(self, run: Run, criteria: Criteria) -> int:
        """See `stackscreen.query.candidates.count`."""
        return self._counted(run, criteria)

    def page(
        self,
        connection: Connection,
        run: Run,
        criteria: Criteria,
        order: Order,
        *,
        limit: int,
        offset: int = 0,
        after: str | None = None,
    ) -> Page:
        """See `stackscreen.query.candidates.page`."""
        found = self._list(run)
        if found is None:
            return candidates.page(connection, run, criteria, order, limit=limit, offset=offset, after=after)
        return found.page(connection, run, criteria, order, limit=limit, offset=offset, after=after)

    def scatter(self, connection: Connection, run: Run, criteria: Criteria, x: str, y: str) -> Scatter:
        """See `stackscreen.query.pictures.scatter`."""
        found = self._list(run)
        return pictures.scatter(connection, run, criteria, x, y) if found is None else found.scatter(criteria, x, y)

    def histogram(self, connection: Connection, run: Run, criteria: Criteria, name: str) -> Histogram:
        """See `stackscreen.query.pictures.histogram`."""
        found = self._list(run)
        return pictures.histogram(connection, run, criteria, name) if found is None else found.histogram(criteria, name)

    def scan(self, run: Run, criteria: Criteria, order: Order) -> Found:
        """All pairs that a filter selects, counted, and the best `LISTED` of them; waits for the run's pairs.

        Raises:
            CriteriaError: see `stackscreen.scan.scanner.Scanner.scan`.
            CacheUnavailableError: the data folder does not take the copy of the pairs.
            TilesMissingError, ServiceError: see `stackscreen.scan.scanner.Scanner.open`.
        """
        try:
            # One at a time: it takes all processors, and the rows and the count of a page ask for the same at once.
            with self._scanning:
                return self._scanned(run, criteria, order)
        except OSError as error:
            raise CacheUnavailableError(
                f"The copy of all pairs in the data folder cannot be used: {error.strerror or error}.",
                hint="Make room there (7 bytes a pair), or let STACKSCREEN_DATA_DIR name another folder.",
            ) from error

    def _count(self, run: Run, criteria: Criteria) -> int:
        found = self._list(run)
        if found is not None:
            return found.count(criteria)
        with reading(self._engine) as connection:
            return candidates.count(connection, run, criteria)

    def _scan(self, run: Run, criteria: Criteria, order: Order) -> Found:
        return self._scanners.of(run, again=True).result().scan(criteria, order, best=LISTED)

    def _list(self, run: Run) -> CandidateList | None:
        try:
            return self._lists.of(run).result(timeout=self._patience)
        except (NotYetError, StackscreenError, OSError):
            return None  # what is wrong has been logged once; SQL answers, more slowly

    def _open_list(self, run: Run) -> CandidateList:
        try:
            with reading(self._engine) as connection:
                sweep(connection, cache_folder(self._settings))
                opened = CandidateList.open(connection, run, self._settings)
        except (StackscreenError, OSError) as error:
            _log.warning("The candidates of run %d are read by SQL only: %s", run.id, error)
            raise
        # Whoever reads candidates may turn to all pairs: by then they are there.
        self._scanners.of(run)
        return opened

    def _open_scanner(self, run: Run) -> Scanner:
        with reading(self._engine) as connection:
            return Scanner.open(connection, run, self._settings)
