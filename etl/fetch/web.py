"""Requests to servers that may be slow, overloaded, gone or lying: paced, retried, bounded, and explained."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping
from itertools import takewhile
from types import TracebackType
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError, InvalidHeader, NameResolutionError, NewConnectionError, ReadTimeoutError
from urllib3.response import BaseHTTPResponse
from urllib3.util import Retry

from etl.fetch.errors import CutError, FetchError, OutOfReachError
from etl.fetch.limits import Limits

_OVERLOADED = frozenset({429, 500, 502, 503, 504})
_MAX_REDIRECTS = 10
_CHUNK = 1 << 16
_AGAIN = "Check the network (HTTPS_PROXY, behind a proxy) and run the same command again: what has arrived is kept."


class Web:
    """A session with servers, within `limits`. Use it as a context manager."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._session = _Session()
        self._session.max_redirects = _MAX_REDIRECTS
        self._session.headers["User-Agent"] = limits.user_agent
        adapter = _PacedAdapter(limits.requests_per_s, _retries(limits))
        self._session.mount("https://", adapter)
        self._session.mount("http://", adapter)

    def __enter__(self) -> Web:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._session.close()

    def open(
        self, url: str, headers: Mapping[str, str] | None = None, accept: Collection[int] = (200,)
    ) -> requests.Response:
        """Begin a GET; the body is still to be read, with `chunks`.

        Args:
            headers: sent besides our own.
            accept: statuses that the caller can deal with.

        Raises:
            OutOfReachError: no answer, or the server is overloaded, after all retries.
            FetchError: another status, a redirect that is not followed, no valid URL, a failure of TLS.
        """
        require_http(url)
        timeout = (self.limits.connect_timeout_s, self.limits.read_timeout_s)
        try:
            response = self._session.get(url, headers=headers, stream=True, timeout=timeout)
        except requests.RequestException as error:
            # After a redirect, it is the new server that cannot be reached.
            where = error.request.url if error.request is not None else None
            raise _explained(error, where if isinstance(where, str) else url, self.limits) from error
        if response.status_code not in accept:
            response.close()
            raise _refused(response)
        return response

    def chunks(self, response: requests.Response, *, decode: bool = False) -> Iterator[bytes]:
        """The body, piece by piece; as it came over the wire, or with its Content-Encoding undone.

        Raises:
            CutError: the connection ended or went silent before the announced end.
        """
        try:
            yield from response.raw.stream(_CHUNK, decode_content=decode)
        except (HTTPError, OSError) as error:
            why = "went silent" if isinstance(error, ReadTimeoutError) else "was cut off"
            host = urlsplit(response.url).hostname
            raise CutError(f"The transfer from {host} {why} before its end.", hint=_AGAIN) from error
        finally:
            response.close()

    def read(self, url: str, max_bytes: int, accept: Collection[int] = (200,)) -> tuple[bytes, str]:
        """A whole small answer, asked for again if it is cut off.

        Args:
            accept: statuses that the caller can deal with.

        Returns:
            The decoded body, and the address it came from, after redirects.

        Raises:
            FetchError, OutOfReachError: as `open`; or the answer is larger than `max_bytes`.
        """
        failures = 0
        while True:
            response = self.open(url, {"Accept": "application/json, */*;q=0.5", "Accept-Encoding": "gzip"}, accept)
            body = bytearray()
            try:
                for chunk in self.chunks(response, decode=True):
                    body += chunk
                    if len(body) > max_bytes:
                        response.close()
                        raise FetchError(
                            f"The answer of {url} is larger than {max_bytes:,} bytes, and was not read to its end.",
                            hint="Check the address.",
                        )
                return bytes(body), response.url
            except CutError:
                failures += 1
                if failures >= self.limits.attempts:
                    raise
                time.sleep(self.limits.wait_before_retry(failures))


def require_http(url: str) -> None:
    """Raise `FetchError` unless `url` is an absolute http or https address."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        usable = False
    if not usable:
        raise FetchError(f"{url!r} is not a web address.", hint="Give one that begins with https:// or http://.")


class _Session(requests.Session):
    """Follows redirects within http and https only, and never from https down to http."""

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        target = super().get_redirect_target(resp)
        if target is None:
            return None
        scheme = urlsplit(urljoin(resp.url, target)).scheme
        if scheme != "https" and not (scheme == "http" and urlsplit(resp.url).scheme == "http"):
            resp.close()
            raise FetchError(
                f"{resp.url} redirects to {target[:200]!r}, which is not followed: only http and https are, "
                "and never from https to http.",
                hint="Look at the source's page for the file's present address, and give it with --url.",
            )
        return target


class _PacedAdapter(HTTPAdapter):
    """Begins no more than so many requests in a second."""

    def __init__(self, requests_per_s: float, retries: Retry) -> None:
        self._interval_s = 1 / requests_per_s
        self._next = 0.0
        super().__init__(max_retries=retries)

    def send(self, *arguments: Any, **options: Any) -> requests.Response:
        now = time.monotonic()
        if now < self._next:
            time.sleep(self._next - now)
        self._next = max(now, self._next) + self._interval_s
        return super().send(*arguments, **options)


def _retries(limits: Limits) -> Retry:
    # An offline machine must be told so soon: one more try for a connection that cannot be made, none for TLS.
    tries = limits.attempts - 1
    return _PatientRetry(
        limits, total=tries, connect=min(tries, 1), read=tries, status=tries, other=0,
        status_forcelist=_OVERLOADED, allowed_methods={"GET"}, raise_on_status=False,
    )  # fmt: skip


class _PatientRetry(Retry):
    """urllib3's retries, which wait before the first one too, and honour Retry-After as far as our patience goes."""

    def __init__(self, limits: Limits, **options: Any) -> None:
        self._limits = limits
        super().__init__(**options)

    def new(self, **changes: Any) -> _PatientRetry:
        return super().new(limits=self._limits, **changes)

    def get_backoff_time(self) -> float:
        failures = len(list(takewhile(lambda past: past.redirect_location is None, reversed(self.history))))
        return max(self._limits.wait_before_retry(failures), 1 / self._limits.requests_per_s) if failures else 0.0

    def get_retry_after(self, response: BaseHTTPResponse) -> float | None:
        try:
            seconds = super().get_retry_after(response)
        except InvalidHeader:
            return None
        if seconds is not None and seconds > self._limits.max_wait_s:
            raise OutOfReachError(
                f"The server asks to be left alone for {seconds:.0f} s (status {response.status}).",
                hint="Run the same command again later, or raise fetch.max_wait_s.",
            )
        return seconds


def _refused(response: requests.Response) -> FetchError:
    """An answer with a status that is of no use."""
    status, url = response.status_code, response.url
    if status in _OVERLOADED:
        return OutOfReachError(
            f"{urlsplit(url).hostname} cannot answer now: status {status} ({response.reason}).",
            hint="Run the same command again later: what has arrived is kept.",
        )
    if status in {404, 410}:
        return FetchError(
            f"There is nothing at {url} any more: status {status}.",
            hint="Look at the source's page (stackscreen fetch --list) for the present address; give it with --url.",
        )
    return FetchError(
        f"{url} answers with status {status} ({response.reason}) instead of the file.",
        hint="Open the source's page (stackscreen fetch --list) in a browser, download the file there and import it.",
    )


def _explained(  # noqa: PLR0911 - one return a kind of failure
    error: requests.RequestException, url: str, limits: Limits
) -> FetchError:
    """What happened to a request, as a sentence."""
    host = urlsplit(url).hostname
    reason = getattr(error.args[0], "reason", None) if error.args else None
    if isinstance(error, requests.exceptions.SSLError):
        return FetchError(
            f"No secure connection to {host} can be made: {reason or error}.",
            hint="Check this machine's clock and certificates, and whether a proxy stands between.",
        )
    if isinstance(error, requests.exceptions.ProxyError):
        return OutOfReachError(f"The proxy on the way to {host} cannot be reached.", hint="Check HTTPS_PROXY.")
    if isinstance(error, requests.exceptions.TooManyRedirects):
        return FetchError(f"{url} redirects more than {_MAX_REDIRECTS} times.", hint="Give another address with --url.")
    if isinstance(reason, NameResolutionError):
        return OutOfReachError(f"The name {host} is not found: this machine seems to be offline.", hint=_AGAIN)
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return OutOfReachError(f"{host} cannot be reached within {limits.connect_timeout_s:g} s.", hint=_AGAIN)
    if isinstance(reason, NewConnectionError):
        cause = str(reason).rpartition(": ")[2]
        return OutOfReachError(f"{host} cannot be reached: {cause}.", hint=_AGAIN)
    if isinstance(error, requests.exceptions.Timeout) or isinstance(reason, ReadTimeoutError):
        return OutOfReachError(f"{host} gives no answer within {limits.read_timeout_s:g} s.", hint=_AGAIN)
    if isinstance(error, requests.exceptions.ConnectionError):
        return OutOfReachError(f"The connection to {host} was lost before an answer came.", hint=_AGAIN)
    return FetchError(f"{url} cannot be fetched: {error}.", hint="Give another address with --url.")
