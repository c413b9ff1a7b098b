"""One file from a server to its place on disk, through cut connections, kills, changed files and servers that lie.

What is received goes to `<name>.part`, with a note beside it (`<name>.part.json`) of how much of it is on the disk for
certain. Only a file of the announced length, with the published checksum and with readable content gets its final
name, in one step. Its receipt (`<name>.fetched.json`) keeps its SHA-256: where the source publishes no checksum, later
downloads are held against that of the first.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import Enum, StrEnum, auto
from pathlib import Path
from typing import BinaryIO

import requests

from etl.fetch.errors import CutError, FetchError, OutOfReachError
from etl.fetch.files import digest_of, locked, put_in_place, secure
from etl.fetch.state import Partial, Receipt, partial_note, partial_path, receipt_path
from etl.fetch.web import Web

_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")
_WORTHWHILE = 1 << 20
"""Bytes of progress after which the count of failures begins anew."""

Progress = Callable[[int, int | None], None]
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Remote:
    """A file on a server.

    Attributes:
        checksum: as the source publishes it, "<algorithm>:<hex>"; None where it does not.
        size: in bytes, as the source publishes it.
    """

    url: str
    checksum: str | None = None
    size: int | None = None


class Outcome(StrEnum):
    """How a file came to be where it is."""

    DOWNLOADED = "downloaded"
    RESUMED = "resumed"
    UNCHANGED = "unchanged"
    OFFLINE = "offline"


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file in its final place.

    Attributes:
        received: bytes that came over the network this time.
        note: what a person should know besides.
    """

    path: Path
    outcome: Outcome
    length: int
    sha256: str
    received: int
    note: str = ""


def download(
    web: Web,
    remote: Remote,
    path: Path,
    check: Callable[[Path], None],
    *,
    force: bool = False,
    progress: Progress = lambda done, total: None,
    say: Say = lambda text: None,
) -> Fetched:
    """Bring a file to `path`, or find that it is there already.

    Args:
        check: raises `FetchError` where a file's content is not what it should be.
        force: download again, and accept a file other than the one fetched before.
        progress: told (bytes so far, bytes in all or None).
        say: told what a person should know while it happens.

    Raises:
        FetchError: the file cannot be had, or what came is not to be trusted; `path` is as it was before.
    """
    with locked(path.parent):
        return _Download(web, remote, path, check, force, progress, say).run()


class _Answer(Enum):
    """What a request has come to."""

    WHOLE = auto()
    UNCHANGED = auto()
    MISFIT = auto()


class _Download:
    def __init__(
        self, web: Web, remote: Remote, path: Path, check: Callable[[Path], None], force: bool, progress: Progress,
        say: Say,
    ) -> None:  # fmt: skip
        self._web, self._remote, self._path, self._check, self._force = web, remote, path, check, force
        self._progress, self._say = progress, say
        self._part, self._note = partial_path(path), partial_note(path)
        self._received_now = 0
        self._resumed = False

    def run(self) -> Fetched:
        cached = self._cached()
        usable = None if self._force else cached
        if usable and self._remote.checksum and usable.published == self._remote.checksum:
            return self._reuse(usable, Outcome.UNCHANGED)
        try:
            answer = self._transfer(usable)
        except OutOfReachError as error:
            if usable is None:
                raise
            note = f"{error.message} This is the copy that was fetched on {usable.fetched_at[:10]}."
            return self._reuse(usable, Outcome.OFFLINE, note)
        if usable and answer is _Answer.UNCHANGED:
            return self._reuse(usable, Outcome.UNCHANGED)
        return self._finish(cached)

    def _cached(self) -> Receipt | None:
        """The receipt of the file in place, if that is the file that was fetched."""
        receipt = Receipt.read(receipt_path(self._path))
        if not self._path.exists():
            return None
        if receipt is None:
            if not self._force:
                raise FetchError(
                    f"{self._path} is there already, and was not fetched by Stackscreen.",
                    hint="Import it as it is, move it away, or have it replaced with --force.",
                )
            return None
        if digest_of(self._path, "sha256") != receipt.sha256:
            self._say(f"{self._path.name} has been altered since it was fetched: downloading it again")
            return None
        return receipt

    def _reuse(self, receipt: Receipt, outcome: Outcome, note: str = "") -> Fetched:
        return Fetched(self._path, outcome, receipt.length, receipt.sha256, self._received_now, note)

    def _transfer(self, cached: Receipt | None) -> _Answer:
        """Receive until the .part file is whole, or the server says that the cached file is still the newest."""
        failures = 0
        while True:
            before = self._received_now
            try:
                answer = self._receive(cached)
                if answer is not _Answer.MISFIT:
                    return answer
            except CutError:
                if self._received_now - before >= _WORTHWHILE:
                    failures = 0
            failures += 1
            if failures >= self._web.limits.attempts:
                raise CutError(
                    f"The transfer of {self._remote.url} broke off {failures} times; it stands at "
                    f"{self._received():,} bytes.",
                    hint="Run the same command again: it goes on from there.",
                )
            time.sleep(self._web.limits.wait_before_retry(failures))

    def _received(self) -> int:
        state = Partial.read(self._note)
        return state.received if state else 0

    def _resumable(self) -> Partial | None:
        """The state of a .part file that can be gone on with."""
        state = Partial.read(self._note)
        if state is None or state.url != self._remote.url or state.received <= 0 or not self._part.exists():
            return None
        if self._part.stat().st_size < state.received or state.validator is None:
            return None
        return state

    def _receive(self, cached: Receipt | None) -> _Answer:
        """One request; where its answer does not fit what is there, that is thrown away.

        Raises:
            CutError: the connection ended early.
        """
        state = self._resumable()
        if state and state.received == state.length:
            return _Answer.WHOLE
        # Lengths and offsets mean bytes as they are stored: nothing may be packed on the way.
        headers = {"Accept-Encoding": "identity"}
        if state and state.validator:
            headers |= {"Range": f"bytes={state.received}-", "If-Range": state.validator}
        elif cached and cached.url == self._remote.url:
            headers |= {"If-None-Match": cached.etag} if cached.etag else {}
            headers |= {"If-Modified-Since": cached.last_modified} if cached.last_modified else {}
        response = self._web.open(self._remote.url, headers, accept=(200, 206, 304, 416))
        if response.status_code == 200:
            if state:
                self._say("the server's file has changed, or it cannot resume: from the beginning")
            self._write(response, self._fresh(response))
            return _Answer.WHOLE
        rest = _continued(response, state) if state else None
        if rest:
            self._resumed = True
            self._write(response, rest)
            return _Answer.WHOLE
        response.close()
        if response.status_code == 304 and state is None and cached:
            return _Answer.UNCHANGED
        self._discard()
        return _Answer.MISFIT

    def _fresh(self, response: requests.Response) -> Partial:
        length = response.headers.get("Content-Length", "")
        state = Partial(
            self._remote.url,
            response.headers.get("ETag"),
            response.headers.get("Last-Modified"),
            int(length) if length.isdigit() else None,
            received=0,
        )
        self._resumed = False
        published, most = self._remote.size, self._web.limits.max_file_bytes
        if state.length is not None and published is not None and state.length != published:
            response.close()
            raise FetchError(
                f"{self._remote.url} announces {state.length:,} bytes, but its source lists {published:,}.",
                hint="Run the same command again later, or give another address with --url.",
            )
        if state.length is not None and state.length > most:
            response.close()
            raise self._too_large(most)
        return state

    def _write(self, response: requests.Response, state: Partial) -> None:
        """Append the body to what is certain; the note keeps up with it, whatever happens."""
        expected = state.length if state.length is not None else self._remote.size
        most = self._web.limits.max_file_bytes if expected is None else expected
        state.write(self._note)
        with self._part.open("r+b" if state.received else "wb") as part:
            part.seek(state.received)
            part.truncate()
            received = state.received
            try:
                for chunk in self._web.chunks(response):
                    received += len(chunk)
                    if received > most:
                        raise self._too_large(most)
                    part.write(chunk)
                    self._received_now += len(chunk)
                    self._progress(received, expected)
                    if received - state.received >= self._web.limits.checkpoint_bytes:
                        state = self._checkpoint(part, state, received)
            except FetchError as error:
                if isinstance(error, CutError):
                    self._checkpoint(part, state, part.tell())
                else:
                    self._discard()
                raise
            except BaseException:
                # Ctrl+C: what has arrived stays, and the next run goes on from there.
                self._checkpoint(part, state, part.tell())
                raise
            if expected is not None and received != expected:
                self._checkpoint(part, state, received)
                raise CutError(f"{self._remote.url} ended after {received:,} of {expected:,} bytes.")
            self._checkpoint(part, replace(state, length=received), received)

    def _checkpoint(self, part: BinaryIO, state: Partial, received: int) -> Partial:
        part.flush()
        secure(part.fileno())
        state = replace(state, received=received)
        state.write(self._note)
        return state

    def _too_large(self, most: int) -> FetchError:
        return FetchError(
            f"{self._remote.url} sends more than {most:,} bytes; the transfer was stopped.",
            hint="If the file really is that large, raise fetch.max_file_mb; else give another address with --url.",
        )

    def _finish(self, cached: Receipt | None) -> Fetched:
        """Give the whole .part file its final name, if it is what it should be."""
        state = Partial.read(self._note)
        if state is None:
            raise FetchError(f"{self._note} has gone while it was in use.", hint="Run the same command again.")
        sha256 = digest_of(self._part, "sha256")
        try:
            self._verify(sha256, cached)
        except FetchError:
            self._discard()
            raise
        receipt = Receipt(
            self._remote.url, state.etag, state.last_modified, state.received, sha256, self._remote.checksum,
            datetime.now(UTC).isoformat(timespec="seconds"),
        )  # fmt: skip
        # In this order, a crash in between leaves a whole .part file, which the next run only has to rename.
        receipt.write(receipt_path(self._path))
        put_in_place(self._part, self._path)
        self._note.unlink(missing_ok=True)
        note = "" if cached is None or cached.sha256 == sha256 else "The file differs from the one fetched before."
        outcome = Outcome.RESUMED if self._resumed else Outcome.DOWNLOADED
        return Fetched(self._path, outcome, receipt.length, sha256, self._received_now, note)

    def _verify(self, sha256: str, cached: Receipt | None) -> None:
        published = self._remote.checksum
        if published is not None:
            algorithm, _, expected = published.partition(":")
            found = digest_of(self._part, algorithm)
            if found != expected.lower():
                raise FetchError(
                    f"The download has {algorithm.upper()} {found}, but its source publishes {expected}; it was "
                    "not kept.",
                    hint="Run the same command again; if that does not help, tell the source's authors.",
                )
        self._check(self._part)
        if cached and not self._force and published is None and cached.sha256 != sha256:
            raise FetchError(
                f"The source's file is no longer the one fetched on {cached.fetched_at[:10]} (SHA-256 {sha256[:12]}... "
                f"instead of {cached.sha256[:12]}...); the old one stays in place.",
                hint="If you expect a new release, accept it with --force.",
            )

    def _discard(self) -> None:
        self._note.unlink(missing_ok=True)
        self._part.unlink(missing_ok=True)


def _continued(response: requests.Response, state: Partial) -> Partial | None:
    """The state that a partial answer goes on with; None unless it is the rest of what is there, of one version."""
    found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if response.status_code != 206 or found is None or int(found[1]) != state.received:
        return None
    length = state.length if found[3] == "*" else int(found[3])
    etag = response.headers.get("ETag")
    if length != (length if state.length is None else state.length) or etag not in {None, state.etag}:
        return None
    return replace(state, length=length)
