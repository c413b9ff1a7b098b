"""Fetching, against a real server on loopback that cuts, stalls, lies and changes its mind."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from loopback import Answer, Loopback, closed_port, serving
from typer.testing import CliRunner

from etl.fetch.archives import ArchiveFile, FigshareFile
from etl.fetch.catalogue import OFFERS, OPTIMADE, Offer, choose
from etl.fetch.content import Layout, check_content
from etl.fetch.download import Fetched, Outcome, Remote, download
from etl.fetch.errors import FetchError, NotOfferedError, OutOfReachError
from etl.fetch.files import locked
from etl.fetch.limits import Limits
from etl.fetch.optimade import Query, fetch_structures, resolve_provider
from etl.fetch.source import fetch_offer
from etl.fetch.state import Partial, partial_note, partial_path
from etl.fetch.web import Web
from etl.source import source_names
from schema.errors import StackscreenError
from stackscreen.cli import app
from stackscreen.services.layout import check_folder, layout_of
from stackscreen.settings import load_settings

FAST = Limits(
    user_agent="Stackscreen/test", requests_per_s=1000.0, attempts=3, backoff_s=0.001, max_wait_s=2.0,
    connect_timeout_s=2.0, read_timeout_s=0.3, max_file_bytes=4_000_000, max_unpacked_bytes=4_000_000, page_limit=2,
    max_page_bytes=100_000, max_pages=20, checkpoint_bytes=10_000,
)  # fmt: skip
DATE = "Sat, 01 Nov 2025 10:00:00 GMT"


def lines(n: int = 3000, mark: str = "a") -> bytes:
    """JSON lines, about 40 bytes each."""
    return b"".join(b'{"id": %d, "name": "%s"}\n' % (i, mark.encode() * 16) for i in range(n))


def array(n: int = 3000, mark: str = "a") -> bytes:
    """The same as one array: of all that it may be cut down to, none can be read."""
    return b"[" + b",".join(lines(n, mark).splitlines()) + b"]"


CONTENT, OTHER = lines(), lines(mark="b")


@pytest.fixture
def server() -> Iterator[Loopback]:
    with serving() as loopback:
        yield loopback


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "downloads" / "db.json"


def sends(content: bytes, **faults: Any) -> Callable[[Answer], None]:
    return lambda answer: answer.file(content, **faults)


def fails(code: int, content: bytes = b"", **headers: str) -> Callable[[Answer], None]:
    return lambda answer: answer.status(code, content, **headers)


def fetch(url: str, path: Path, limits: Limits = FAST, layout: Layout = Layout.LINES, **options: Any) -> Fetched:
    check = partial(check_content, layout=layout, max_unpacked_bytes=limits.max_unpacked_bytes)
    remote = Remote(url, options.pop("checksum", None), options.pop("size", None))
    with Web(limits) as web:
        return download(web, remote, path, check, **options)


def refused(url: str, path: Path, match: str, **options: Any) -> FetchError:
    """The error; nothing may stand under the final name."""
    with pytest.raises(FetchError, match=match) as caught:
        fetch(url, path, **options)
    assert not path.exists()
    assert caught.value.hint
    return caught.value


def md5(content: bytes) -> str:
    return "md5:" + hashlib.md5(content).hexdigest()


# Files that arrive


def test_a_file_arrives_whole_and_is_not_sent_twice(server: Loopback, path: Path) -> None:
    url = server.in_turn("/db", sends(CONTENT))
    told: list[tuple[int, int | None]] = []
    first = fetch(url, path, progress=lambda done, total: told.append((done, total)))
    assert path.read_bytes() == CONTENT
    assert (first.outcome, first.received) == (Outcome.DOWNLOADED, len(CONTENT))
    assert first.sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert server.seen[0].headers["User-Agent"] == "Stackscreen/test"
    again = fetch(url, path)
    assert (again.outcome, again.received) == (Outcome.UNCHANGED, 0)
    assert server.seen[-1].headers["If-None-Match"] == '"1"'
    assert fetch(url, path, force=True).received == len(CONTENT)
    assert sorted(p.name for p in path.parent.iterdir()) == ["db.json", "db.json.fetched.json"]


@pytest.mark.parametrize("marks", [{}, {"etag": None, "modified": DATE}, {"etag": 'W/"1"', "modified": DATE}])
def test_a_cut_transfer_goes_on_where_it_was_cut(server: Loopback, path: Path, marks: dict[str, Any]) -> None:
    url = server.in_turn("/db", sends(CONTENT, cut_after=50_000, **marks), sends(CONTENT, **marks))
    fetched = fetch(url, path)
    assert path.read_bytes() == CONTENT
    assert (fetched.outcome, fetched.received) == (Outcome.RESUMED, len(CONTENT))
    assert server.seen[1].headers["Range"] == "bytes=50000-"
    # A weak mark stands for several contents, and If-Range must not carry it.
    assert server.seen[1].headers["If-Range"] == marks.get("modified", '"1"')


def test_what_a_failed_run_has_received_is_not_asked_for_again(server: Loopback, path: Path) -> None:
    url = server.in_turn("/db", sends(CONTENT, cut_after=30_000))
    error = refused(url, path, "broke off 3 times; it stands at 90,000 bytes")
    assert isinstance(error, OutOfReachError)
    server.in_turn("/db", sends(CONTENT))
    assert fetch(url, path).received == len(CONTENT) - 90_000
    assert server.seen[-1].headers["Range"] == "bytes=90000-"
    assert server.seen[-1].headers["If-Range"] == '"1"'
    assert path.read_bytes() == CONTENT


def test_without_a_mark_of_its_version_nothing_is_resumed(server: Loopback, path: Path) -> None:
    url = server.in_turn("/db", sends(CONTENT, etag=None, cut_after=50_000), sends(OTHER, etag=None))
    assert fetch(url, path).outcome is Outcome.DOWNLOADED
    assert "Range" not in server.seen[1].headers
    assert path.read_bytes() == OTHER


@pytest.mark.parametrize(
    "second",
    [
        sends(OTHER, etag='"2"'),
        sends(OTHER, etag='"1"', ranges=False),
        sends(OTHER + lines(10), etag='"1"'),
        sends(OTHER, etag='"1"', range_start=7),
        sends(OTHER, etag='"2"', checks_version=False),
        fails(416),
    ],
    ids=["changed", "ignores Range", "another length", "another range", "ignores If-Range", "416"],
)
def test_an_answer_that_does_not_go_on_begins_anew(
    server: Loopback, path: Path, second: Callable[[Answer], None]
) -> None:
    now = OTHER
    third = sends(now, etag='"2"')
    fetch(server.in_turn("/db", sends(CONTENT, cut_after=50_000), second, third), path)
    assert path.read_bytes() == now


def test_a_slow_server_is_waited_for_and_a_silent_one_given_up(server: Loopback, path: Path) -> None:
    def slowly(answer: Answer) -> None:
        answer.send_response(200)
        answer.send_header("Content-Length", str(len(CONTENT)))
        answer.end_headers()
        for at in range(0, len(CONTENT), 30_000):
            answer.wfile.write(CONTENT[at : at + 30_000])
            answer.wfile.flush()
            time.sleep(0.05)

    assert fetch(server.in_turn("/slow", slowly), path).length == len(CONTENT)
    silent = server.in_turn("/silent", sends(CONTENT, hang_after=50_000))
    refused(silent, path.with_name("other"), "broke off 3 times")


def test_the_file_name_is_ours_whatever_the_server_says(server: Loopback, path: Path) -> None:
    url = server.in_turn("/db", sends(CONTENT, disposition='attachment; filename="../../evil.json"'))
    fetch(url, path)
    assert [p.name for p in path.parent.parent.rglob("*evil*")] == []
    assert path.read_bytes() == CONTENT


_faults = st.one_of(
    st.integers(0, 4000).map(lambda n: {"cut_after": n}),
    st.just({"ranges": False}),
    st.just({"range_start": 3}),
    st.integers(0, 6000).map(lambda n: {"announced": n}),
    st.sampled_from([500, 503, 416]).map(lambda code: {"status": code}),
    st.just({"change": True}),
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(faults=st.lists(_faults, max_size=6), marked=st.booleans())
def test_whatever_a_server_does_the_right_bytes_arrive_or_none(
    faults: list[dict[str, Any]], marked: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    versions = [array(100, mark) for mark in "abcdefg"]
    at = 0
    path = tmp_path_factory.mktemp("any") / "db.json"

    def answer(handler: Answer) -> None:
        nonlocal at
        fault = dict(faults.pop(0)) if faults else {}
        at += fault.pop("change", 0)
        code = fault.pop("status", None)
        if code:
            handler.status(code)
        else:
            handler.file(versions[at], etag=f'"{at}"' if marked else None, **fault)

    with serving() as server:
        url = server.in_turn("/db", answer)
        while faults:
            try:
                fetch(url, path, layout=Layout.ARRAY)
            except FetchError:
                assert not path.exists()
            else:
                break
        if not path.exists():
            fetch(url, path, layout=Layout.ARRAY)
    assert path.read_bytes() in versions[: at + 1]


# Servers that lie


def test_a_length_announced_too_long_leaves_nothing(server: Loopback, path: Path) -> None:
    refused(server.in_turn("/db", sends(CONTENT, announced=len(CONTENT) + 9)), path, "broke off")


def test_a_length_announced_too_short_leaves_nothing(server: Loopback, path: Path) -> None:
    url = server.in_turn("/db", sends(CONTENT, announced=len(CONTENT) - 9))
    refused(url, path, "not one JSON object a line, and was not kept: record 3000 is broken")
    assert not partial_path(path).exists()


def test_a_file_other_than_the_published_one_is_not_kept(server: Loopback, path: Path) -> None:
    url = server.in_turn("/db", sends(OTHER))
    refused(url, path, "but its source publishes", checksum=md5(CONTENT))
    refused(url, path, "announces .* but its source lists", size=len(CONTENT) + 1)
    assert fetch(url, path, checksum=md5(OTHER), size=len(OTHER)).outcome is Outcome.DOWNLOADED
    before = len(server.seen)
    assert fetch(url, path, checksum=md5(OTHER)).outcome is Outcome.UNCHANGED
    assert len(server.seen) == before


def test_a_web_page_is_not_taken_for_a_file(server: Loopback, path: Path) -> None:
    page = b"\n<!DOCTYPE html><html><body>Please enable JavaScript</body></html>"
    refused(server.in_turn("/db", sends(page)), path, "web page instead of the file")


def test_an_endless_answer_is_stopped(server: Loopback, path: Path) -> None:
    refused(server.in_turn("/db", lambda answer: answer.endless(CONTENT)), path, "more than 4,000,000 bytes")
    assert not partial_path(path).exists()
    huge = server.in_turn("/huge", sends(CONTENT, announced=5_000_000))
    refused(huge, path, "more than 4,000,000 bytes")


def test_overloaded_servers_are_asked_again_when_they_say(server: Loopback, path: Path) -> None:
    url = server.in_turn("/db", fails(503, Retry_After="1"), fails(502), sends(CONTENT))
    began = time.monotonic()
    fetch(url, path)
    assert time.monotonic() - began >= 1
    assert len(server.seen) == 3
    impatient = server.in_turn("/busy", fails(429, Retry_After="3600"))
    refused(impatient, path.with_name("busy"), "left alone for 3600 s")
    assert len(server.seen) == 4
    refused(server.in_turn("/down", fails(503)), path.with_name("down"), "cannot answer now: status 503")
    assert len(server.seen) == 4 + FAST.attempts


def test_a_file_that_is_gone_is_said_to_be_gone(server: Loopback, path: Path) -> None:
    error = refused(server.url("/nowhere"), path, "nothing at .*/nowhere any more: status 404")
    assert "--url" in error.hint
    refused(server.in_turn("/no", fails(403)), path, "status 403")
    assert len(server.seen) == 2


def test_redirects_are_followed_to_the_web_only(server: Loopback, path: Path) -> None:
    server.in_turn("/db", sends(CONTENT))
    fetch(server.in_turn("/moved", fails(302, Location="/db")), path)
    assert path.read_bytes() == CONTENT
    other = path.with_name("other")
    for target in ("file:///etc/passwd", "ftp://127.0.0.1/db", "gopher://x"):
        refused(server.in_turn("/evil", fails(302, Location=target)), other, "not followed")
    refused(server.in_turn("/circle", fails(302, Location="/circle")), other, "redirects more than 10 times")


def test_requests_are_paced(server: Loopback, path: Path) -> None:
    server.in_turn("/db", sends(CONTENT))
    url = server.in_turn("/moved", fails(302, Location="/db"))
    began = time.monotonic()
    fetch(url, path, replace(FAST, requests_per_s=5.0))
    fetch(url, path, replace(FAST, requests_per_s=5.0))
    assert time.monotonic() - began >= 0.4


# Packed files


@pytest.mark.parametrize("broken", [False, True])
def test_packed_files_are_read_to_their_end(server: Loopback, path: Path, tmp_path: Path, broken: bool) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("../../d2.json", array())
    packed = (tmp_path / "a.zip").read_bytes()
    for layout, content in ((Layout.ARRAY, packed), (Layout.LINES, gzip.compress(CONTENT)), (Layout.ARRAY, array())):
        sent = content[: len(content) - 9] if broken else content
        url = server.in_turn("/db", sends(sent))
        target = path.with_name(str(len(content)))
        if broken:
            refused(url, target, "was not kept", layout=layout)
        else:
            fetch(url, target, layout=layout)
            assert target.read_bytes() == content
    assert list(tmp_path.rglob("d2.json")) == []


def test_an_archive_of_several_files_or_of_too_much_is_not_kept(server: Loopback, path: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.json", "[1]")
        archive.writestr("b.json", "[2]")
    refused(server.in_turn("/two", sends((tmp_path / "a.zip").read_bytes())), path, "2 files", layout=Layout.ARRAY)
    bomb = gzip.compress(b" " * 5_000_000)
    refused(server.in_turn("/bomb", sends(bomb)), path, "unpacks to more than 4,000,000 bytes")


# What is on disk already


def test_a_changed_file_needs_consent_where_no_checksum_is_published(server: Loopback, path: Path) -> None:
    url = server.in_turn("/db", sends(CONTENT))
    fetch(url, path)
    server.in_turn("/db", sends(OTHER, etag='"2"'))
    with pytest.raises(FetchError, match=r"no longer the one fetched on .* the old one stays"):
        fetch(url, path)
    assert path.read_bytes() == CONTENT
    assert "differs" in fetch(url, path, force=True).note
    assert path.read_bytes() == OTHER
    server.in_turn("/db", sends(CONTENT, etag='"3"'))
    assert fetch(url, path, checksum=md5(CONTENT)).outcome is Outcome.DOWNLOADED


def test_offline_the_copy_of_last_time_is_used_and_said_so(server: Loopback, path: Path) -> None:
    url = server.in_turn("/db", sends(CONTENT))
    fetch(url, path)
    server.in_turn("/db", fails(503))
    for address in (url, f"http://127.0.0.1:{closed_port()}/db"):
        fetched = fetch(address, path)
        assert fetched.outcome is Outcome.OFFLINE
        assert "copy that was fetched on" in fetched.note
    with pytest.raises(OutOfReachError):
        fetch(url, path, force=True)
    assert path.read_bytes() == CONTENT


def test_without_network_the_reason_is_one_sentence(server: Loopback, path: Path) -> None:
    refused(f"http://127.0.0.1:{closed_port()}/db", path, r"^127.0.0.1 cannot be reached: .*[Cc]onnection refused")
    refused("http://stackscreen.invalid/db", path, "^The name stackscreen.invalid is not found")
    refused(f"https://127.0.0.1:{server.port}/db", path, "^No secure connection to 127.0.0.1")
    refused("file:///etc/passwd", path, "not a web address")
    refused("http://[", path, "not a web address")


def test_a_file_that_somebody_put_there_is_not_overwritten(server: Loopback, path: Path) -> None:
    path.parent.mkdir()
    path.write_text("mine")
    url = server.in_turn("/db", sends(CONTENT))
    with pytest.raises(FetchError, match="was not fetched by Stackscreen"):
        fetch(url, path)
    assert path.read_text() == "mine"
    fetch(url, path, force=True)
    path.write_text("altered")
    said: list[str] = []
    assert fetch(url, path, say=said.append).outcome is Outcome.DOWNLOADED
    assert "altered" in said[0]
    assert path.read_bytes() == CONTENT


def test_a_crash_before_the_last_step_costs_no_second_download(server: Loopback, path: Path) -> None:
    url = server.in_turn("/db", sends(CONTENT))
    fetch(url, path)
    path.rename(partial_path(path))
    Partial(url, '"1"', None, len(CONTENT), len(CONTENT)).write(partial_note(path))
    assert fetch(url, path).received == 0
    assert len(server.seen) == 1
    assert path.read_bytes() == CONTENT


def test_what_a_crash_left_unsecured_is_not_trusted(server: Loopback, path: Path) -> None:
    url = server.in_turn("/db", sends(CONTENT))
    path.parent.mkdir()
    partial_path(path).write_bytes(CONTENT[:20_000] + bytes(len(CONTENT)))
    Partial(url, '"1"', None, len(CONTENT), 20_000).write(partial_note(path))
    assert fetch(url, path).outcome is Outcome.RESUMED
    assert path.read_bytes() == CONTENT
    path.unlink()
    partial_path(path).write_bytes(CONTENT[:20_000])
    partial_note(path).write_text("{ broken")
    assert fetch(url, path).outcome is Outcome.DOWNLOADED


def test_two_fetches_do_not_write_to_one_folder(server: Loopback, path: Path) -> None:
    with locked(path.parent):
        refused(server.in_turn("/db", sends(CONTENT)), path, "Another fetch is writing")
    assert server.seen == []


# Archives and the catalogue


def figshare(server: Loopback, content: bytes, **entry: Any) -> FigshareFile:
    listed = [{"id": 7, "name": "other"}, {"id": 42, "size": len(content), "computed_md5": md5(content)[4:], **entry}]
    server.in_turn("/v2/articles/5/files", lambda answer: answer.status(200, json.dumps(listed).encode()))
    return FigshareFile(article=5, file=42, api=server.url("/v2"), downloads=server.url("/files"))


def offered(location: FigshareFile | ArchiveFile) -> Offer:
    return replace(choose("2dmatpedia")[0], location=location)


def test_figshare_is_asked_for_size_and_checksum(server: Loopback, tmp_path: Path) -> None:
    offer = offered(figshare(server, CONTENT))
    server.in_turn("/files/42", fails(302, Location="/storage/xyz"))
    server.in_turn("/storage/xyz", sends(OTHER))
    with pytest.raises(FetchError, match="its source publishes"):
        fetch_offer(offer, tmp_path, FAST)
    server.in_turn("/storage/xyz", sends(CONTENT))
    path = fetch_offer(offer, tmp_path, FAST).path
    assert path.read_bytes() == CONTENT
    assert fetch_offer(offer, tmp_path, FAST).outcome is Outcome.UNCHANGED
    server.in_turn("/v2/articles/5/files", fails(503))
    server.in_turn("/files/42", fails(503))
    assert fetch_offer(offer, tmp_path, FAST).outcome is Outcome.OFFLINE
    with pytest.raises(OutOfReachError):
        fetch_offer(offer, tmp_path / "new", FAST)


def test_a_file_that_figshare_no_longer_lists_is_still_fetched(server: Loopback, tmp_path: Path) -> None:
    server.in_turn("/files/42", sends(CONTENT))
    for listed in (b"[]", b'{"message": "not found"}', b"<html>"):
        server.in_turn("/v2/articles/5/files", fails(200, listed))
        location = replace(figshare(server, CONTENT), article=6)
        assert fetch_offer(offered(location), tmp_path, FAST).length == len(CONTENT)


def test_a_doi_of_the_materials_cloud_leads_to_the_file(server: Loopback, tmp_path: Path) -> None:
    entry = {"checksum": md5(CONTENT), "size": len(CONTENT), "links": {"content": server.url("/content")}}
    record = {"files": {"entries": {"structures.json": entry}}}
    server.in_turn("/doi/10.1/x:az", fails(302, Location="/records/abcde-12345"))
    server.in_turn("/records/abcde-12345", fails(200, b"<html>"))
    server.in_turn("/api/records/abcde-12345", lambda answer: answer.status(200, json.dumps(record).encode()))
    server.in_turn("/content", sends(CONTENT))
    location = ArchiveFile("10.1/x:az", "structures.json", archive=server.url(""))
    with Web(FAST) as web:
        assert location.locate(web) == Remote(server.url("/content"), md5(CONTENT), len(CONTENT))
        newest = {"id": "zyxwv-54321", "files": {"entries": {"structures.json": {"size": 5}}}}
        server.in_turn("/api/records/abcde-12345/versions/latest", fails(200, json.dumps(newest).encode()))
        own = server.url("/api/records/zyxwv-54321/files/structures.json/content")
        assert replace(location, newest=True).locate(web) == Remote(own, None, 5)
        with pytest.raises(FetchError, match="has no file other"):
            replace(location, name="other.json").locate(web)
        entry["links"] = {"content": "file:///etc/passwd"}
        with pytest.raises(FetchError, match="not a web address"):
            location.locate(web)
        server.in_turn("/doi/10.1/x:az", fails(200, b"gone"))
        with pytest.raises(FetchError, match="no longer leads"):
            location.locate(web)


def test_the_catalogue_names_only_readers_that_there_are() -> None:
    assert {offer.reader for offer in OFFERS} | {OPTIMADE} <= set(source_names())
    assert len({offer.name for offer in OFFERS} | {offer.file for offer in OFFERS}) == 2 * len(OFFERS)
    assert [offer.name for offer in choose("mc2d")] == ["mc2d-mounet", "mc2d-campi"]
    with pytest.raises(FetchError, match="no source called 'c3db'"):
        choose("c3db")


def test_what_is_not_public_is_explained_without_network(tmp_path: Path) -> None:
    for name in ("c2db", "bidb", "hetdb", "v2db"):
        with pytest.raises(NotOfferedError) as caught:
            fetch_offer(choose(name)[0], tmp_path, FAST)
        assert f"stackscreen import {name} FILE" in caught.value.hint
        assert "https://" in caught.value.hint


# OPTIMADE


def structure(number: int) -> dict[str, Any]:
    """A square layer of one atom, as the specification has it."""
    return {
        "id": f"x-{number}", "type": "structures",
        "attributes": {
            "last_modified": "2025-11-01T10:00:00Z", "elements": ["C"], "nelements": 1, "elements_ratios": [1.0],
            "chemical_formula_descriptive": "C", "chemical_formula_reduced": "C", "chemical_formula_hill": "C",
            "chemical_formula_anonymous": "A", "dimension_types": [1, 1, 0], "nperiodic_dimensions": 2,
            "lattice_vectors": [[2.0 + 0.01 * number, 0, 0], [0, 2.0, 0], [0, 0, 20.0]],
            "cartesian_site_positions": [[0, 0, 10.0]], "nsites": 1, "species_at_sites": ["C"],
            "species": [{"name": "C", "chemical_symbols": ["C"], "concentration": [1.0]}], "structure_features": [],
        },
    }  # fmt: skip


class Provider:
    """An OPTIMADE provider on loopback with pages of two structures."""

    def __init__(self, server: Loopback, structures: int = 7) -> None:
        self.server, self.structures = server, structures
        self.faults: dict[int, Callable[[Answer], None]] = {}
        self.next_host: str | None = None
        self.as_object = False
        server.answers["/opt/v1/structures"] = self._page
        info = {"data": {"description": "a structure", "properties": {"_x_gap": {"unit": "eV"}}}, "meta": {}}
        server.in_turn("/opt/v1/info/structures", lambda answer: answer.status(200, json.dumps(info).encode()))

    @property
    def query(self) -> Query:
        return Query(self.server.url("/opt"), "nperiodic_dimensions=2")

    def offsets(self) -> list[int]:
        """Pages asked for so far."""
        asked = [urlsplit(seen.path) for seen in self.server.seen]
        return [int(parse_qs(a.query).get("page_offset", ["0"])[0]) for a in asked if a.path.endswith("v1/structures")]

    def _page(self, answer: Answer) -> None:
        asked = parse_qs(urlsplit(answer.path).query)
        assert asked["filter"] == ["nperiodic_dimensions=2"]
        offset, size = int(asked.get("page_offset", ["0"])[0]), int(asked["page_limit"][0])
        if offset in self.faults:
            self.faults[offset](answer)
            return
        answer.status(200, json.dumps(self.page(offset, size)).encode())

    def page(self, offset: int, size: int = 2) -> dict[str, Any]:
        more = offset + size < self.structures
        base = self.next_host or self.server.url("/opt")
        link = f"{base}/v1/structures?filter=nperiodic_dimensions%3D2&page_limit={size}&page_offset={offset + size}"
        return {
            "data": [structure(i) for i in range(offset, min(offset + size, self.structures))],
            "links": {"next": ({"href": link} if self.as_object else link) if more else None},
            "meta": {
                "api_version": "1.1.0", "query": {"representation": "/structures"}, "more_data_available": more,
                "data_returned": self.structures, "provider": {"name": "X", "description": "test", "prefix": "x"},
            },
        }  # fmt: skip


def names(path: Path) -> list[str]:
    found = [json.loads(line) for line in path.read_bytes().splitlines()]
    return [line["id"] for line in found if line.get("type") == "structures"]


@pytest.fixture
def provider(server: Loopback) -> Provider:
    return Provider(server)


def test_all_pages_of_a_provider_become_one_file(provider: Provider, tmp_path: Path) -> None:
    provider.as_object = True
    told: list[tuple[int, int | None]] = []
    fetched = fetch_structures(provider.query, tmp_path, FAST, progress=lambda done, total: told.append((done, total)))
    assert names(fetched.path) == [f"x-{i}" for i in range(7)]
    header, info, *_ = (json.loads(line) for line in fetched.path.read_bytes().splitlines())
    assert header["x-optimade"]["meta"]["api_version"] == "1.1.0"
    assert header["x-optimade"]["meta"]["provider"]["prefix"] == "x"
    assert header["x-optimade"]["query"]["filter"] == "nperiodic_dimensions=2"
    assert (info["type"], info["properties"]["_x_gap"]["unit"]) == ("info", "eV")
    assert told[-1] == (7, 7)
    before = len(provider.server.seen)
    again = fetch_structures(provider.query, tmp_path, FAST)
    assert (again.outcome, len(provider.server.seen)) == (Outcome.UNCHANGED, before)
    assert fetch_structures(provider.query, tmp_path, FAST, force=True).outcome is Outcome.DOWNLOADED


def test_the_file_of_a_provider_can_be_imported(provider: Provider, tmp_path: Path) -> None:
    from etl.records import Record
    from etl.source import get_source

    path = fetch_structures(provider.query, tmp_path, FAST).path
    reader = get_source(OPTIMADE)
    reader.check(path)
    records = list(reader.records(path))
    assert [record.external_id for record in records if isinstance(record, Record)] == [f"x-{i}" for i in range(7)]


def test_a_query_goes_on_from_the_last_whole_page(provider: Provider, tmp_path: Path) -> None:
    body = json.dumps(provider.page(4)).encode()
    provider.faults[4] = lambda answer: answer.file(body, cut_after=100)
    with pytest.raises(OutOfReachError, match="cut off"):
        fetch_structures(provider.query, tmp_path, FAST)
    assert list(tmp_path.glob("*.jsonl")) == []
    assert provider.offsets() == [0, 2, 4, 4, 4]
    provider.faults.clear()
    provider.server.seen.clear()
    fetched = fetch_structures(provider.query, tmp_path, FAST)
    assert (fetched.outcome, provider.offsets()) == (Outcome.RESUMED, [4, 6])
    assert names(fetched.path) == [f"x-{i}" for i in range(7)]


@pytest.mark.parametrize("forgotten", [False, True])
def test_a_query_begins_anew_when_the_providers_data_have_changed(
    provider: Provider, tmp_path: Path, forgotten: bool
) -> None:
    provider.faults[4] = fails(500)
    with pytest.raises(OutOfReachError):
        fetch_structures(provider.query, tmp_path, FAST)
    if forgotten:
        provider.faults[4] = lambda answer: (provider.faults.clear(), answer.status(404))[1]
    else:
        provider.faults.clear()
        provider.structures = 9
    fetched = fetch_structures(provider.query, tmp_path, FAST)
    assert fetched.outcome is Outcome.DOWNLOADED
    assert names(fetched.path) == [f"x-{i}" for i in range(provider.structures)]


def test_a_limit_ends_a_query_early(provider: Provider, tmp_path: Path) -> None:
    fetched = fetch_structures(replace(provider.query, limit=3), tmp_path, FAST)
    assert (names(fetched.path), provider.offsets()) == (["x-0", "x-1", "x-2"], [0, 2])


def test_a_provider_leads_neither_elsewhere_nor_in_circles(provider: Provider, tmp_path: Path) -> None:
    provider.next_host = "http://169.254.169.254/opt"
    with pytest.raises(FetchError, match="another host, and is not followed"):
        fetch_structures(provider.query, tmp_path, FAST)
    provider.next_host = None
    circle = json.dumps({**provider.page(2), "links": provider.page(0)["links"]}).encode()
    provider.faults[2] = lambda answer: answer.status(200, circle)
    provider.server.seen.clear()
    with pytest.raises(FetchError, match="in a circle"):
        fetch_structures(provider.query, tmp_path, FAST)
    assert provider.offsets() == [0, 2]
    assert list(tmp_path.glob("*.jsonl")) == []


@pytest.mark.parametrize(
    ("body", "match"),
    [
        (b"<html>", "does not answer with JSON"),
        (b"[]", "does not answer as an OPTIMADE provider"),
        (b'{"meta": {}, "data": [{"id": 1, "type": "structures", "attributes": {}}]}', "no structure with an id"),
        (b'{"meta": {"more_data_available": true}, "data": []}', "not where"),
        (b'{"meta": {}, "data": []}', "has no structure with"),
        (b'{"x": "%s"}' % (b"x" * 100_000), "larger than 100,000 bytes"),
    ],
)
def test_pages_that_are_not_optimade_are_refused(provider: Provider, tmp_path: Path, body: bytes, match: str) -> None:
    provider.faults[0] = lambda answer: answer.status(200, body)
    with pytest.raises(FetchError, match=match):
        fetch_structures(provider.query, tmp_path, FAST)
    assert list(tmp_path.glob("*.jsonl")) == []


def test_what_the_provider_objects_to_is_said(provider: Provider, tmp_path: Path) -> None:
    errors = {"errors": [{"detail": "unknown property spin"}], "meta": {}}
    provider.faults[0] = lambda answer: answer.status(400, json.dumps(errors).encode())
    with pytest.raises(FetchError, match="unknown property spin"):
        fetch_structures(provider.query, tmp_path, FAST)
    with pytest.raises(FetchError, match="not an OPTIMADE filter"):
        fetch_structures(replace(provider.query, filter="nelements >"), tmp_path, FAST)
    assert provider.offsets() == [0]


def test_a_provider_is_found_by_name_address_or_the_consortiums_list(
    server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    def child(name: str) -> dict[str, Any]:
        return {"id": name, "type": "links", "attributes": {
            "name": name, "description": name, "base_url": f"https://{name}.example", "link_type": "child",
            "homepage": None}}  # fmt: skip

    def links(*children: str) -> Callable[[Answer], None]:
        return fails(200, json.dumps({"data": [child(name) for name in children]}).encode())

    monkeypatch.setattr("etl.fetch.optimade._listed_providers", lambda: {"x": server.url("/index")})
    with Web(FAST) as web:
        assert resolve_provider(web, "mc2d").startswith("https://")
        assert resolve_provider(web, "https://a.example/optimade") == "https://a.example/optimade"
        with pytest.raises(FetchError, match="no OPTIMADE provider called 'nobody'"):
            resolve_provider(web, "nobody")
        assert server.seen == []
        server.in_turn("/index/v1/links", links("one"))
        assert resolve_provider(web, "x").startswith("https://one.example")
        server.in_turn("/index/v1/links", links("one", "two"))
        assert resolve_provider(web, "x/two").startswith("https://two.example")
        with pytest.raises(FetchError, match="several databases") as caught:
            resolve_provider(web, "x")
        assert "x/one, x/two" in caught.value.hint


def test_the_consortiums_list_of_providers_comes_with_its_package(server: Loopback) -> None:
    from etl.fetch.optimade import _listed_providers

    listed = _listed_providers()
    assert {"mcloud", "cmr", "twodmatpedia"} <= set(listed)
    assert all(address.startswith("http") for address in listed.values())


# The command


def environment(tmp_path: Path) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"], "STACKSCREEN_DATA_DIR": str(tmp_path / "data"),
        "STACKSCREEN_FETCH__REQUESTS_PER_S": "1000", "STACKSCREEN_FETCH__BACKOFF_S": "0.01",
        "STACKSCREEN_FETCH__ATTEMPTS": "2",
    }  # fmt: skip


def command(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "stackscreen", "fetch", *arguments],
        env=environment(tmp_path), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_the_command_fetches_and_says_what_to_do_next(server: Loopback, tmp_path: Path) -> None:
    url = server.in_turn("/db", sends(CONTENT))
    done = command(tmp_path, "2dmatpedia", "--url", url)
    path = tmp_path / "data" / "downloads" / "2dmatpedia-db.json"
    assert (done.returncode, done.stdout.strip()) == (0, str(path)), done.stderr
    assert f"stackscreen import 2dmatpedia {path}" in done.stderr
    assert server.seen[0].headers["User-Agent"].startswith("Stackscreen/0.")
    # A first `services start` must not take the data folder for somebody else's.
    check_folder(layout_of(load_settings(data_dir=tmp_path / "data")))
    report = json.loads(command(tmp_path, "2dmatpedia", "--url", url, "--json").stdout)
    assert report[0]["outcome"] == "unchanged"


def test_the_command_lists_explains_and_refuses(tmp_path: Path) -> None:
    listed = command(tmp_path)
    assert listed.returncode == 0
    for offer in OFFERS:
        assert {offer.name, offer.licence, offer.citation} <= set(_parts(listed.stdout))
    asked = command(tmp_path, "c2db")
    assert asked.returncode == 1
    assert "C2DB has no public bulk download" in asked.stderr
    assert "stackscreen import c2db FILE" in asked.stderr
    for arguments, said in (
        (("mc2d", "--url", "http://127.0.0.1/"), "--url needs to know which"),
        (("2dmatpedia", "--limit", "3"), "go with `fetch optimade`"),
        (("optimade",), "Name it with --provider"),
    ):
        error = CliRunner().invoke(app, ["fetch", *arguments]).exception
        assert isinstance(error, StackscreenError)
        assert said in str(error)


def _parts(text: str) -> Iterator[str]:
    for line in text.splitlines():
        yield line.partition(" (part of")[0]
        yield line.strip().partition("   ")[2].strip()
        yield line.strip().partition(" ")[2].strip()


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_fetch_goes_on_where_it_was_killed(server: Loopback, tmp_path: Path, end: signal.Signals) -> None:
    content = lines(220_000)
    url = server.in_turn("/db", sends(content, hang_after=8_500_000), sends(content))
    program = [sys.executable, "-m", "stackscreen", "fetch", "2dmatpedia", "--url", url, "--to", str(tmp_path)]
    path = tmp_path / "2dmatpedia-db.json"
    # A shell in the background starts what it runs deaf to Ctrl-C, and a child inherits that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(program, env=environment(tmp_path), stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 30
        while (state := Partial.read(partial_note(path))) is None or not state.received:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(end)
    assert not path.exists()
    done = command(tmp_path, "2dmatpedia", "--url", url, "--to", str(tmp_path))
    assert done.returncode == 0, done.stderr
    secured = int(server.seen[-1].headers["Range"].removeprefix("bytes=").removesuffix("-"))
    assert secured >= state.received > 1_000_000
    assert path.read_bytes() == content
