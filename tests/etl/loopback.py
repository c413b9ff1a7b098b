"""An HTTP server on loopback that can do to a download whatever the network and other people's servers do."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_PIECE = 1 << 14


@dataclass(frozen=True)
class Seen:
    """A request that the server has got."""

    path: str
    headers: Message


@dataclass
class Loopback:
    """The server: `answers[path]` is asked for each request to that path; the query belongs to the path if given."""

    port: int
    answers: dict[str, Callable[[Answer], None]] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def in_turn(self, path: str, *answers: Callable[[Answer], None]) -> str:
        """The answers one after the other, then the last one for ever."""
        left = list(answers)

        def next_one(answer: Answer) -> None:
            chosen = left.pop(0) if len(left) > 1 else left[0]
            chosen(answer)

        self.answers[path] = next_one
        return self.url(path)


class Answer(BaseHTTPRequestHandler):
    """One answer; `file` and `status` do what servers do, and what they should not."""

    protocol_version = "HTTP/1.1"
    loopback: Loopback

    def do_GET(self) -> None:
        self.loopback.seen.append(Seen(self.path, self.headers))
        answers = self.loopback.answers
        found = answers.get(self.path) or answers.get(self.path.partition("?")[0])
        with suppress(ConnectionError):
            if found is None:
                self.status(404)
            else:
                found(self)

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""

    def status(self, code: int, content: bytes = b"", **headers: str) -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def file(
        self, content: bytes, *, etag: str | None = '"1"', modified: str | None = None, ranges: bool = True,
        cut_after: int | None = None, announced: int | None = None, hang_after: int | None = None,
        range_start: int | None = None, checks_version: bool = True, disposition: str | None = None,
    ) -> None:  # fmt: skip
        """Send a file as a good server does, but for the faults that are asked for.

        Args:
            ranges: whether Range is understood.
            cut_after: bytes of the body after which the connection is cut.
            announced: Content-Length that is told instead of the true one.
            hang_after: bytes of the body after which nothing comes until the server is released.
            range_start: first byte that a partial answer claims to hold, and does not.
            checks_version: whether If-Range is understood.
        """
        asked = self.headers
        if etag is not None and asked["If-None-Match"] == etag:
            self.send_response(304)
            self.send_header("ETag", etag)
            self.end_headers()
            return
        start = 0
        wanted = asked["Range"]
        if ranges and wanted and (asked["If-Range"] in {etag, modified} or not checks_version):
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                self.status(416, Content_Range=f"bytes */{len(content)}")
                return
        body = content[start:]
        self.send_response(206 if start else 200)
        if start:
            first = start if range_start is None else range_start
            self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
        for name, value in (("ETag", etag), ("Last-Modified", modified), ("Content-Disposition", disposition)):
            if value is not None:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if announced is None else announced))
        self.end_headers()
        most = len(body) if announced is None else min(announced, len(body))
        for at in range(0, most, _PIECE):
            piece = body[at : min(at + _PIECE, most)]
            if cut_after is not None and at + len(piece) > cut_after:
                self.wfile.write(piece[: max(cut_after - at, 0)])
                self.cut()
                return
            if hang_after is not None and at + len(piece) > hang_after:
                self.wfile.flush()
                self.loopback.released.wait(30)
                self.cut()
                return
            self.wfile.write(piece)
        if announced is not None and announced > len(body):
            self.cut()

    def endless(self, piece: bytes) -> None:
        """A body without announced length that never ends."""
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while not self.loopback.released.is_set():
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))

    def cut(self) -> None:
        """Hang up."""
        self.close_connection = True
        with suppress(OSError):
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)


@contextmanager
def serving() -> Iterator[Loopback]:
    """A server of its own, on a port of its own."""
    handler = type("Handler", (Answer,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    handler.loopback = Loopback(server.server_address[1])  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield handler.loopback  # type: ignore[attr-defined]
    finally:
        handler.loopback.released.set()  # type: ignore[attr-defined]
        server.shutdown()
        thread.join()
        server.server_close()


def closed_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
