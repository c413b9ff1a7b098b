"""Bringing a source's file from the catalogue to disk."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from etl.fetch.archives import Address, Location
from etl.fetch.catalogue import Offer
from etl.fetch.content import check_content
from etl.fetch.download import Fetched, Progress, Remote, Say, download
from etl.fetch.errors import NotOfferedError, OutOfReachError
from etl.fetch.limits import Limits
from etl.fetch.state import Receipt, receipt_path
from etl.fetch.web import Web


def require_offered(offer: Offer, url: str | None) -> Location:
    """Where the file of an offer is downloaded from.

    Raises:
        NotOfferedError: there is no public download; the hint says how to get the file.
    """
    location = Address(url) if url else offer.location
    if location is None:
        raise NotOfferedError(
            f"{offer.obstacle}, so nothing was fetched.",
            hint=f"{offer.asking}\n  Page: {offer.page}\n"
            f"  When the file has come: stackscreen import {offer.reader} FILE",
        )
    return location


def fetch_offer(
    offer: Offer,
    folder: Path,
    limits: Limits,
    *,
    url: str | None = None,
    force: bool = False,
    progress: Progress = lambda done, total: None,
    say: Say = lambda text: None,
) -> Fetched:
    """Bring the file of an offer to `folder`, or find that it is there already.

    Args:
        url: address to use instead of the catalogue's.
        force, progress, say: see `download`.

    Raises:
        NotOfferedError: see `require_offered`.
        FetchError: see `download`.
    """
    location = require_offered(offer, url)
    path = folder / offer.file
    check = partial(check_content, layout=offer.layout, max_unpacked_bytes=limits.max_unpacked_bytes)
    with Web(limits) as web:
        try:
            remote = location.locate(web)
        except OutOfReachError:
            # An archive that cannot be asked must not hide what is on disk.
            receipt = Receipt.read(receipt_path(path))
            if receipt is None or not path.exists():
                raise
            remote = Remote(receipt.url, size=receipt.length)
        return download(web, remote, path, check, force=force, progress=progress, say=say)
