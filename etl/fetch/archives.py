"""Where a file lies: at an address, at Figshare or in the Materials Cloud Archive, which publish size and MD5."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote

from etl.fetch.download import Remote
from etl.fetch.errors import FetchError, OutOfReachError
from etl.fetch.web import Web, require_http
from etl.payload import load_json

_RECORD = re.compile(r"/records?/([a-z0-9]{5}-[a-z0-9]{5})(?:[/?#]|$)")
_MD5 = re.compile(r"[0-9a-f]{32}")
_PAGE = "Download the file from the source's page (stackscreen fetch --list), or give its address with --url."


class Location(Protocol):
    """A place that a file can be had from."""

    def locate(self, web: Web) -> Remote:
        """The file's address, with checksum and size as far as they are published.

        Raises:
            FetchError: the archive does not have it, or cannot be understood.
        """

    def describe(self) -> str:
        """The place, for a person."""


@dataclass(frozen=True, slots=True)
class Address:
    """A file at an address of its own; nothing is published about it."""

    url: str

    def locate(self, web: Web) -> Remote:
        """The address as it is."""
        return Remote(self.url)

    def describe(self) -> str:
        """The address."""
        return self.url


@dataclass(frozen=True, slots=True)
class FigshareFile:
    """A file of a Figshare article: one file id is one content for ever.

    Attributes:
        article: number of the article, whose newest version lists its files with their MD5.
        file: number of the file.
    """

    article: int
    file: int
    api: str = "https://api.figshare.com/v2"
    downloads: str = "https://ndownloader.figshare.com/files"

    def locate(self, web: Web) -> Remote:
        """The download, with what Figshare's API says of it; a file of an older version is not listed there."""
        url = f"{self.downloads}/{self.file}"
        try:
            listed = _json(web, f"{self.api}/articles/{self.article}/files?page_size=1000")
        except OutOfReachError:
            raise
        except FetchError:
            return Remote(url)
        entries = listed if isinstance(listed, list) else []
        entry = next((e for e in entries if isinstance(e, dict) and e.get("id") == self.file), {})
        return Remote(url, _md5(entry.get("computed_md5") or entry.get("supplied_md5")), _size(entry.get("size")))

    def describe(self) -> str:
        """The direct download."""
        return f"{self.downloads}/{self.file}"


@dataclass(frozen=True, slots=True)
class ArchiveFile:
    """A file of a record of the Materials Cloud Archive (InvenioRDM), found by the record's DOI.

    Attributes:
        doi: of one version of the record.
        newest: whether the file is taken of the record's newest version instead.
    """

    doi: str
    name: str
    newest: bool = False
    archive: str = "https://archive.materialscloud.org"

    def locate(self, web: Web) -> Remote:
        """The content of the file, with what the record says of it."""
        _, landing = web.read(f"{self.archive}/doi/{self.doi}", web.limits.max_page_bytes)
        record = _RECORD.search(landing)
        if record is None:
            raise FetchError(f"{self.archive} no longer leads from {self.doi} to its record.", hint=_PAGE)
        api = f"{self.archive}/api/records"
        description = _json(web, f"{api}/{record[1]}" + ("/versions/latest" if self.newest else ""))
        entry = _at(description, "files", "entries", self.name)
        if not isinstance(entry, dict):
            raise FetchError(f"The record {landing} has no file {self.name}.", hint=_PAGE)
        url = _at(entry, "links", "content")
        if not isinstance(url, str):
            url = f"{api}/{quote(str(description.get('id')))}/files/{quote(self.name)}/content"
        require_http(url)
        checksum = entry.get("checksum")
        found = _md5(checksum.removeprefix("md5:")) if isinstance(checksum, str) else None
        return Remote(url, found, _size(entry.get("size")))

    def describe(self) -> str:
        """Record and file."""
        return f"https://doi.org/{self.doi}, {self.name}"


def _json(web: Web, url: str) -> Any:
    body, _ = web.read(url, web.limits.max_page_bytes)
    try:
        return load_json(body)
    except (ValueError, RecursionError) as error:
        raise FetchError(f"{url} does not answer with JSON.", hint=_PAGE) from error


def _at(value: Any, *keys: str) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _md5(value: Any) -> str | None:
    return f"md5:{value.lower()}" if isinstance(value, str) and _MD5.fullmatch(value.lower()) else None


def _size(value: Any) -> int | None:
    return value if isinstance(value, int) and value > 0 else None
