"""The structures of an OPTIMADE provider that pass a filter, page by page, as OPTIMADE JSON lines.

The consortium's own `OptimadeClient` keeps all results in memory, begins from the first page after a failure, follows
`links.next` to any host, and its pages are unbounded; a download of hours needs the contrary. So the paging is ours;
filter grammar, API version, types and the list of providers are those of the package `optimade`.

The first line of the file is the header of the OPTIMADE JSON-lines convention, `{"x-optimade": {"meta": ...}}`, the
second the provider's definition of its properties, `{"type": "info", "id": "structures", ...}`, where it gives one.
Each further line is a resource as the provider sent it: `{"id": ..., "type": "structures", "attributes": {...}}`.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urljoin, urlsplit, urlunsplit

import orjson

from etl.fetch.catalogue import PROVIDERS
from etl.fetch.download import Fetched, Outcome, Progress, Say
from etl.fetch.errors import FetchError
from etl.fetch.files import digest_of, locked, put_in_place, secure
from etl.fetch.limits import Limits
from etl.fetch.state import Note, Receipt, partial_note, partial_path, receipt_path
from etl.fetch.web import Web, require_http
from etl.payload import load_json

if TYPE_CHECKING:
    from optimade.models import LinksResource

_VERSION = re.compile(r"/v\d+(\.\d+){0,2}$")
_NAME = re.compile(r"[^a-z0-9]+")
_HEADER_KEYS = ("provider", "implementation", "data_returned", "data_available", "license")
_EXPLAINED = frozenset({200, 400, 403, 422, 501})
"""Statuses with which an OPTIMADE provider answers in JSON: data, or what is wrong with the question."""
_ELSEWHERE = "The provider may be at fault: try again later, or another provider (stackscreen fetch --list)."


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked of a provider.

    Attributes:
        base_url: the provider's address; the version of the API is added where it has none.
        filter: in OPTIMADE's filter language.
        limit: most structures; None for all.
    """

    base_url: str
    filter: str
    limit: int | None = None

    def address(self, page_limit: int) -> str:
        """Address of the first page."""
        size = page_limit if self.limit is None else min(page_limit, self.limit)
        values = ({"filter": self.filter} if self.filter else {}) | {"page_limit": str(size)}
        return f"{self.versioned()}/structures?{urlencode(values)}"

    def versioned(self) -> str:
        """The base address with the API's major version."""
        from optimade import __api_version__

        base = self.base_url.rstrip("/")
        return base if _VERSION.search(base) else f"{base}/v{__api_version__.partition('.')[0]}"

    def file_name(self) -> str:
        """Name of the file: the provider for a person, and what tells this query from others."""
        parts = urlsplit(self.base_url)
        name = _NAME.sub("-", f"{parts.hostname}{parts.path}".lower()).strip("-")[:60]
        key = orjson.dumps([self.versioned(), self.filter, self.limit])
        return f"optimade-{name}-{hashlib.sha256(key).hexdigest()[:8]}.jsonl"


@dataclass(frozen=True, slots=True)
class _Pages(Note):
    """How far a query has come.

    Attributes:
        next: address of the first page that is not in the file; None after the last.
        offset: bytes of whole pages in the .part file.
        records: structures in them.
        pages: how many these are.
        total: structures in all, as the provider says.
    """

    address: str
    next: str | None
    offset: int
    records: int
    pages: int
    total: int | None


@dataclass(frozen=True, slots=True)
class _Page:
    resources: list[dict[str, Any]]
    next: str | None
    meta: dict[str, Any]


def check_filter(text: str) -> None:
    """Parse a filter with OPTIMADE's grammar before any server is asked.

    Raises:
        FetchError: it is not one.
    """
    from optimade.exceptions import BadRequest
    from optimade.filterparser import LarkParser

    try:
        LarkParser().parse(text)
    except BadRequest as error:
        detail = " ".join(str(error.detail or error).split())
        raise FetchError(
            f"{text!r} is not an OPTIMADE filter: {detail[:200]}",
            hint="Example: --filter 'nperiodic_dimensions=2 AND elements HAS \"Mo\"'.",
        ) from error


def resolve_provider(web: Web, name: str) -> str:
    """Base address of a provider.

    Args:
        name: an address; a name of the catalogue; an id of OPTIMADE's list of providers, or "<id>/<database>".

    Raises:
        FetchError: there is none of that name, or it has several databases.
    """
    if "://" in name:
        require_http(name)
        return name
    for provider in PROVIDERS:
        if provider.name == name:
            return provider.base_url
    identifier, _, database = name.partition("/")
    index = _listed_providers().get(identifier)
    if index is None:
        names = ", ".join(provider.name for provider in PROVIDERS)
        raise FetchError(
            f"There is no OPTIMADE provider called {name!r}.",
            hint=f"Choose one of {names}, an id of https://providers.optimade.org, or give an address.",
        )
    children = {child.id: str(_href(child.attributes.base_url)) for child in _children(web, index)}
    if database in children or (not database and len(children) == 1):
        return children.get(database) or next(iter(children.values()))
    raise FetchError(
        f"The provider {identifier} has " + ("several databases." if children else "no database to query."),
        hint=f"Choose one: {', '.join(f'{identifier}/{child}' for child in children)}." if children else _ELSEWHERE,
    )


def fetch_structures(
    query: Query,
    folder: Path,
    limits: Limits,
    *,
    force: bool = False,
    progress: Progress = lambda done, total: None,
    say: Say = lambda text: None,
) -> Fetched:
    """Bring the structures of a query to a JSON-lines file in `folder`; goes on from the last whole page.

    A file that is there already is taken as it is, unless `force`: what a query finds has no version to compare.

    Args:
        progress: told (structures so far, structures in all or None).

    Raises:
        FetchError: the provider cannot be reached, or its answers are not OPTIMADE; whole pages are kept.
    """
    require_http(query.base_url)
    check_filter(query.filter)
    path = folder / query.file_name()
    with locked(folder), Web(limits) as web:
        receipt = Receipt.read(receipt_path(path))
        if receipt and path.exists() and not force and digest_of(path, "sha256") == receipt.sha256:
            note = f"It was fetched on {receipt.fetched_at[:10]}; --force asks the provider again."
            return Fetched(path, Outcome.UNCHANGED, receipt.length, receipt.sha256, 0, note)
        return _Harvest(web, query, path, progress, say).run()


class _Harvest:
    def __init__(self, web: Web, query: Query, path: Path, progress: Progress, say: Say) -> None:
        self._web, self._query, self._path, self._progress, self._say = web, query, path, progress, say
        self._part, self._note = partial_path(path), partial_note(path)
        self._address = query.address(web.limits.page_limit)
        self._received = 0

    def run(self) -> Fetched:
        state = self._resumable()
        resumed = state is not None
        if state:
            try:
                state = self._pages(state)
            except _StaleError:
                self._say("the provider's data have changed since the first pages: from the beginning")
                state, resumed = None, False
        if state is None:
            state = self._pages(_Pages(self._address, self._address, 0, 0, 0, None))
        return self._finish(state, resumed)

    def _resumable(self) -> _Pages | None:
        state = _Pages.read(self._note)
        if state is None or state.address != self._address or not state.pages or not self._part.exists():
            return None
        return state if self._part.stat().st_size >= state.offset else None

    def _pages(self, state: _Pages) -> _Pages:
        """Append page after page, each secured before the next is asked for."""
        seen: set[str] = set()
        resuming = state.pages > 0
        with self._part.open("r+b" if resuming else "wb") as part:
            part.seek(state.offset)
            part.truncate()
            while state.next is not None:
                if state.next in seen or state.pages >= self._web.limits.max_pages:
                    raise FetchError(
                        f"{self._query.base_url} leads in a circle, or to more than {self._web.limits.max_pages:,} "
                        "pages.",
                        hint=_ELSEWHERE,
                    )
                seen.add(state.next)
                page = self._page(state.next, resuming)
                if resuming and _total(page.meta) != state.total:
                    raise _StaleError
                resuming = False
                state = self._append(part, state, page)
        return state

    def _append(self, part: Any, state: _Pages, page: _Page) -> _Pages:
        limit = self._query.limit
        resources = page.resources if limit is None else page.resources[: limit - state.records]
        lines = [*self._header(page.meta), *resources] if not state.pages else resources
        text = b"".join(orjson.dumps(line) + b"\n" for line in lines)
        records = state.records + len(resources)
        complete = limit is not None and records >= limit
        if page.next is None and page.meta.get("more_data_available") is True and not complete:
            raise FetchError(
                f"{state.next} says that there are more structures, but not where (no links.next).", hint=_ELSEWHERE
            )
        most = self._web.limits.max_file_bytes
        if state.offset + len(text) > most:
            raise FetchError(
                f"The structures of {self._query.base_url} take more than {most:,} bytes.",
                hint="Narrow the --filter, set a --limit, or raise fetch.max_file_mb.",
            )
        part.write(text)
        part.flush()
        secure(part.fileno())
        following = None if complete else page.next
        total = state.total if state.pages else _total(page.meta)
        state = replace(
            state, next=following, offset=state.offset + len(text), records=records, pages=state.pages + 1, total=total
        )
        state.write(self._note)
        self._progress(records, total if limit is None or total is None else min(total, limit))
        return state

    def _page(self, address: str, resuming: bool) -> _Page:
        try:
            value = self._json(address)
        except FetchError as error:
            # A provider may forget where a page of hours ago began.
            if resuming and type(error) is FetchError:
                raise _StaleError from error
            raise
        data, meta = value.get("data"), value.get("meta")
        if not isinstance(data, list) or not isinstance(meta, dict):
            raise FetchError(f"{address} does not answer as an OPTIMADE provider: {_errors(value)}", hint=_ELSEWHERE)
        for resource in data:
            if not isinstance(resource, dict) or not isinstance(resource.get("attributes"), dict):
                raise FetchError(f"{address} has an entry that is no OPTIMADE resource.", hint=_ELSEWHERE)
            if resource.get("type") != "structures" or not isinstance(resource.get("id"), str):
                raise FetchError(f"{address} has an entry that is no structure with an id.", hint=_ELSEWHERE)
        following = self._following(value.get("links"), address)
        delay = meta.get("request_delay")
        if following and isinstance(delay, int | float) and delay > 0:
            time.sleep(min(delay, self._web.limits.max_wait_s))
        return _Page(data, following, meta)

    def _following(self, links: Any, address: str) -> str | None:
        """Address of the next page, on the same host: a provider must not send us anywhere else."""
        link = _href(links.get("next")) if isinstance(links, dict) else None
        if not link:
            return None
        here, target = urlsplit(address), urlsplit(urljoin(address, link))
        if here.scheme == "https" and target.scheme == "http" and target.port is None:
            # Servers behind a proxy often do not know that they are reached by https.
            target = target._replace(scheme="https")
        if (target.scheme, target.netloc) != (here.scheme, here.netloc):
            raise FetchError(
                f"{address} leads to {link[:200]!r} for its next page, which is another host, and is not followed.",
                hint="Give that host's address with --provider if you trust it.",
            )
        return urlunsplit(target)

    def _header(self, meta: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The header line, and the provider's definition of its properties."""
        from optimade import __api_version__

        kept: dict[str, Any] = {key: meta[key] for key in _HEADER_KEYS if key in meta}
        kept["api_version"] = meta.get("api_version") or __api_version__
        yield {
            "x-optimade": {
                "meta": kept,
                "query": {"base_url": self._query.base_url, "filter": self._query.filter, "limit": self._query.limit},
                "fetched": {"at": _now(), "by": self._web.limits.user_agent},
            }
        }
        address = f"{self._query.versioned()}/info/structures"
        try:
            info = self._json(address).get("data")
        except FetchError as error:
            self._say(f"the provider does not define its properties: {error.message}")
            return
        if isinstance(info, dict):
            yield {**info, "type": "info", "id": "structures"}

    def _json(self, address: str) -> dict[str, Any]:
        body, _ = self._web.read(address, self._web.limits.max_page_bytes, accept=_EXPLAINED)
        self._received += len(body)
        try:
            value = load_json(body)
        except (ValueError, RecursionError) as error:
            raise FetchError(f"{address} does not answer with JSON.", hint=_ELSEWHERE) from error
        if not isinstance(value, dict):
            raise FetchError(f"{address} does not answer as an OPTIMADE provider.", hint=_ELSEWHERE)
        return value

    def _finish(self, state: _Pages, resumed: bool) -> Fetched:
        if not state.records:
            self._part.unlink()
            self._note.unlink()
            raise FetchError(f"{self._query.base_url} has no structure with {self._query.filter!r}.")
        sha256 = digest_of(self._part, "sha256")
        Receipt(self._address, None, None, state.offset, sha256, None, _now()).write(receipt_path(self._path))
        put_in_place(self._part, self._path)
        self._note.unlink(missing_ok=True)
        note = f"{state.records:,} structures"
        expected = state.total if self._query.limit is None or state.total is None else min(
            state.total, self._query.limit
        )  # fmt: skip
        if expected is not None and state.records != expected:
            note += f", though the provider announced {expected:,}"
        outcome = Outcome.RESUMED if resumed else Outcome.DOWNLOADED
        return Fetched(self._path, outcome, state.offset, sha256, self._received, note)


class _StaleError(Exception):
    """What the provider has now does not fit the pages that were fetched earlier."""


def _listed_providers() -> dict[str, str]:
    """Index address of each provider of the list that comes with the package `optimade`."""
    from optimade.server.data import providers  # set by the module while it loads

    found = {entry["id"]: entry["attributes"].get("base_url") for entry in providers["data"]}
    return {name: url for name, url in found.items() if url}


def _children(web: Web, index_url: str) -> list[LinksResource]:
    """Databases that a provider's index names."""
    from optimade.models import LinksResource
    from optimade.models.links import LinkType
    from pydantic import ValidationError

    body, _ = web.read(f"{index_url.rstrip('/')}/v1/links", web.limits.max_page_bytes)
    try:
        links = [LinksResource(**entry) for entry in load_json(body)["data"]]
    except (ValueError, KeyError, TypeError, ValidationError) as error:
        raise FetchError(f"The index of databases at {index_url} cannot be understood.", hint=_ELSEWHERE) from error
    return [link for link in links if link.attributes.link_type is LinkType.CHILD and link.attributes.base_url]


def _href(link: Any) -> str | None:
    """A JSON:API link: text, or an object with `href`."""
    link = link.get("href") if isinstance(link, dict) else getattr(link, "href", link)
    return str(link) if link else None


def _total(meta: dict[str, Any]) -> int | None:
    total = meta.get("data_returned")
    return total if isinstance(total, int) and total >= 0 else None


def _errors(value: dict[str, Any]) -> str:
    """What a provider says is wrong."""
    errors = value.get("errors")
    first = errors[0] if isinstance(errors, list) and errors else None
    said = first.get("detail") or first.get("title") if isinstance(first, dict) else None
    return str(said)[:300] if said else "no list of data."


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
