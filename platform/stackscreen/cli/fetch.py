"""`stackscreen fetch`: public databases brought from the network, or how to ask for those that are not public."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from schema.errors import StackscreenError
from stackscreen.cli.console import progress_bar, step
from stackscreen.settings import FetchSettings, Settings, get_settings

if TYPE_CHECKING:
    from etl.fetch.catalogue import Offer
    from etl.fetch.download import Fetched
    from etl.fetch.limits import Limits

DOWNLOADS: Final = "downloads"
LAYERS_ONLY: Final = "nperiodic_dimensions=2"
_MIB: Final = 1 << 20
_LISTED: Final = (
    "name", "part_of", "title", "size", "licence", "citation", "page", "reader", "obstacle", "asking",
)  # fmt: skip
_CHECKPOINT_BYTES: Final = 4 * _MIB


class FetchOptionError(StackscreenError):
    """Options that do not go with the source."""


def fetch(
    source: Annotated[str | None, typer.Argument(help="name of a source of the list; none for the list")] = None,
    list_: Annotated[bool, typer.Option("--list", help="list the sources, with licence and citation")] = False,
    url: Annotated[str | None, typer.Option(help="address of the file, if it is no longer the list's")] = None,
    to: Annotated[
        Path | None, typer.Option(help="folder to download to; by default downloads in the data folder")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="download again, and accept another file than before")] = False,
    provider: Annotated[
        str | None, typer.Option(help="OPTIMADE: a provider of the list, an id of OPTIMADE's own list, or an address")
    ] = None,
    filter_: Annotated[
        str | None, typer.Option("--filter", help=f"OPTIMADE: filter; {LAYERS_ONLY} if none is given")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="OPTIMADE: most structures")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print the list, or what was fetched, as JSON")] = False,
) -> None:
    """Download a public database; what is interrupted goes on where it stopped, and nothing half-done is imported.

    Prints the files' paths, and the `stackscreen import` command for each. Fetching again asks whether the file has
    changed; offline, the copy of last time is used. Examples: `stackscreen fetch 2dmatpedia`, `stackscreen fetch
    optimade --provider mc2d`.
    """  # fmt: skip
    from etl.fetch.catalogue import OPTIMADE, choose

    if source is None or list_:
        _print_list(as_json)
        return
    query_options = (provider, filter_, limit)
    if source == OPTIMADE:
        if provider is None or url is not None:
            raise FetchOptionError(
                "An OPTIMADE provider is named by --provider, not by --url."
                if url
                else "Which OPTIMADE provider? Name it with --provider.",
                hint="`stackscreen fetch --list` names some; an address does, too.",
            )
        _fetch_optimade(provider, LAYERS_ONLY if filter_ is None else filter_, limit, to, force, as_json)
        return
    if any(option is not None for option in query_options):
        raise FetchOptionError(
            f"--provider, --filter and --limit go with `fetch {OPTIMADE}`, not with {source}.",
            hint=f"For example: stackscreen fetch {OPTIMADE} --provider mc2d",
        )
    offers = choose(source)
    if url is not None and len(offers) > 1:
        names = ", ".join(offer.name for offer in offers)
        raise FetchOptionError(f"{source} is several files: --url needs to know which.", hint=f"Name one of {names}.")
    _fetch_files(offers, url, to, force, as_json)


def _fetch_files(offers: tuple[Offer, ...], url: str | None, to: Path | None, force: bool, as_json: bool) -> None:
    from etl.fetch.source import fetch_offer, require_offered

    settings = get_settings()
    for offer in offers:
        require_offered(offer, url)
    folder = _folder(settings, to)
    done = []
    for offer in offers:
        step(f"{offer.name}: {offer.title}. Licence: {offer.licence}. Cite: {offer.citation}.")
        with progress_bar(offer.file, in_bytes=True) as progress:
            fetched = fetch_offer(
                offer, folder, _limits(settings.fetch), url=url, force=force, progress=progress, say=step
            )
        _report(fetched, offer.reader, as_json)
        done.append((fetched, offer.reader))
    if as_json:
        print(json.dumps([_as_dict(fetched, reader) for fetched, reader in done]))


def _fetch_optimade(
    provider: str, filter_: str, limit: int | None, to: Path | None, force: bool, as_json: bool
) -> None:
    from etl.fetch.catalogue import OPTIMADE
    from etl.fetch.optimade import Query, check_filter, fetch_structures, resolve_provider
    from etl.fetch.web import Web

    settings = get_settings()
    limits = _limits(settings.fetch)
    check_filter(filter_)
    with Web(limits) as web:
        query = Query(resolve_provider(web, provider), filter_, limit)
    step(f"{query.base_url}: structures with {filter_}")
    folder = _folder(settings, to)
    with progress_bar("structures") as progress:
        fetched = fetch_structures(query, folder, limits, force=force, progress=progress, say=step)
    _report(fetched, OPTIMADE, as_json)
    if as_json:
        print(json.dumps([_as_dict(fetched, OPTIMADE)]))


def _folder(settings: Settings, to: Path | None) -> Path:
    """Where downloads go; a data folder that is new is made as `services start` would, which refuses strange ones."""
    if to is not None:
        return to.expanduser().absolute()
    from stackscreen.services.layout import check_folder, layout_of, make_folders, system_lock

    layout = layout_of(settings)
    check_folder(layout)
    with system_lock(layout, settings.services.start_timeout_s):
        make_folders(layout)
    return settings.data_dir / DOWNLOADS


def _limits(settings: FetchSettings) -> Limits:
    from importlib.metadata import version

    from etl.fetch.limits import Limits

    return Limits(
        user_agent=f"Stackscreen/{version('stackscreen')}",
        requests_per_s=settings.requests_per_s,
        attempts=settings.attempts,
        backoff_s=settings.backoff_s,
        max_wait_s=settings.max_wait_s,
        connect_timeout_s=settings.connect_timeout_s,
        read_timeout_s=settings.read_timeout_s,
        max_file_bytes=settings.max_file_mb * _MIB,
        max_unpacked_bytes=settings.max_unpacked_mb * _MIB,
        page_limit=settings.page_limit,
        max_page_bytes=settings.max_page_mb * _MIB,
        max_pages=settings.max_pages,
        checkpoint_bytes=_CHECKPOINT_BYTES,
    )


def _report(fetched: Fetched, reader: str, as_json: bool) -> None:
    from etl.fetch.download import Outcome

    size = f"{fetched.length / _MIB:.1f} MiB"
    said = {
        Outcome.DOWNLOADED: f"downloaded, {size}",
        Outcome.RESUMED: f"downloaded, {size}, going on where it had stopped",
        Outcome.UNCHANGED: f"unchanged: {size}, nothing to download",
        Outcome.OFFLINE: "OFFLINE: nothing was downloaded",
    }[fetched.outcome]
    step(f"  {said}; SHA-256 {fetched.sha256}")
    if fetched.note:
        step(f"  {fetched.note}")
    step(f"  Next: {_next(fetched, reader)}")
    if not as_json:
        print(fetched.path)


def _next(fetched: Fetched, reader: str) -> str:
    import shlex

    return f"stackscreen import {reader} {shlex.quote(str(fetched.path))}"


def _as_dict(fetched: Fetched, reader: str) -> dict[str, str | int]:
    return {**asdict(fetched), "path": str(fetched.path), "next": _next(fetched, reader)}


def _print_list(as_json: bool) -> None:
    from etl.fetch.catalogue import OFFERS, OPTIMADE, PROVIDERS

    folder = get_settings().data_dir / DOWNLOADS
    if as_json:
        sources = [
            {
                **{name: getattr(offer, name) for name in _LISTED},
                "from": offer.location.describe() if offer.location else None,
                "file": str(folder / offer.file),
            }
            for offer in OFFERS
        ]
        print(json.dumps({"sources": sources, OPTIMADE: [asdict(provider) for provider in PROVIDERS]}))
        return
    print(f"Downloads go to {folder} (or --to DIR).\n")
    for offer in OFFERS:
        group = f" (part of {offer.part_of})" if offer.part_of else ""
        print(f"{offer.name}{group}\n  {offer.title}; {offer.size}")
        print(f"  licence   {offer.licence}\n  cite      {offer.citation}\n  page      {offer.page}")
        if offer.location:
            print(f"  from      {offer.location.describe()}")
            print(f"  then      stackscreen import {offer.reader} {folder / offer.file}\n")
        else:
            print(f"  {offer.obstacle}: stackscreen fetch {offer.name} says how to get it")
            print(f"  then      stackscreen import {offer.reader} FILE\n")
    print(f"{OPTIMADE} --provider NAME [--filter FILTER] [--limit N]\n  Structures of any OPTIMADE provider, e.g.")
    for provider in PROVIDERS:
        print(f"    {provider.name:<12}{provider.title}: {provider.base_url}")
    print(f"  licence   as each provider states\n  then      stackscreen import {OPTIMADE} FILE")
