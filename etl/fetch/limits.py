"""The limits and manners of fetching, in one place; their defaults are those of the settings under `fetch`."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """How hard a server is asked, and how much is taken from it.

    Attributes:
        user_agent: what servers are told about us.
        requests_per_s: requests begun in a second, at most.
        attempts: tries of one request, and of one transfer that makes no progress.
        backoff_s: wait before the first retry, in seconds; doubles with each further one.
        max_wait_s: longest wait before a retry, in seconds; a server that asks for more is left alone.
        connect_timeout_s, read_timeout_s: silence after which a connection is given up, in seconds.
        max_file_bytes: size of a download, or of one OPTIMADE query's file.
        max_unpacked_bytes: size of what an archive unpacks to.
        page_limit: structures asked for in one OPTIMADE page.
        max_page_bytes: size of one OPTIMADE page, and of an archive's description of its files.
        max_pages: pages of one OPTIMADE query.
        checkpoint_bytes: bytes after which a download is secured on disk.
    """

    user_agent: str
    requests_per_s: float
    attempts: int
    backoff_s: float
    max_wait_s: float
    connect_timeout_s: float
    read_timeout_s: float
    max_file_bytes: int
    max_unpacked_bytes: int
    page_limit: int
    max_page_bytes: int
    max_pages: int
    checkpoint_bytes: int

    def wait_before_retry(self, failures: int) -> float:
        """Seconds to wait after so many failures in a row: exponential, with jitter, so that clients spread out."""
        longest = min(self.max_wait_s, self.backoff_s * 2 ** min(failures - 1, 32))
        return longest * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, protects nothing
