"""Whether a download holds what its source distributes: a server can send half a file, or a web page, as a success."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from etl.errors import ImportFileError
from etl.fetch.errors import FetchError
from etl.payload import load_json
from etl.records import RawFailure

_HEAD = 512
_CHUNK = 1 << 20
_WEB_PAGE = "The address may have moved: look at the source's page (stackscreen fetch --list), and give it with --url."


class Layout(StrEnum):
    """How the records stand in a file, which may be packed as gzip or as a zip archive of one file."""

    LINES = "one JSON object a line"
    ARRAY = "one JSON array"


def check_content(path: Path, layout: Layout, max_unpacked_bytes: int) -> None:
    """Read a file to its end, as its reader will; memory does not grow with the file.

    Raises:
        FetchError: it is a web page, damaged, broken off, empty, larger unpacked than allowed, or of another layout.
    """
    # The readers' own functions decide, so that what passes here can be imported; they load slowly, hence here.
    from etl.sources.json_stream import array_items, lines

    with path.open("rb") as file:
        if file.read(_HEAD).lstrip().startswith(b"<"):
            raise FetchError("The server sent a web page instead of the file; it was not kept.", hint=_WEB_PAGE)
    try:
        _check_size(path, max_unpacked_bytes)
        records = 0
        for item in lines(path) if layout is Layout.LINES else array_items(path):
            if isinstance(item, RawFailure):
                raise FetchError(f"The download is not {layout}, and was not kept: {item.reason}.", hint=_WEB_PAGE)
            if isinstance(item.content, str):
                load_json(item.content)
            records += 1
    except ImportFileError as error:
        raise FetchError(f"The download is damaged, and was not kept: {error.message}", hint=_WEB_PAGE) from error
    except (ValueError, RecursionError) as error:
        raise FetchError(
            f"The download is not {layout}, and was not kept: record {records + 1} is broken ({error}).", hint=_WEB_PAGE
        ) from error
    if not records:
        raise FetchError("The download holds no records, and was not kept.", hint=_WEB_PAGE)


def _check_size(path: Path, max_unpacked_bytes: int) -> None:
    from etl.sources.json_stream import open_text

    size = 0
    with open_text(path) as text:
        while chunk := text.read(_CHUNK):
            size += len(chunk)
            if size > max_unpacked_bytes:
                raise FetchError(
                    f"The download unpacks to more than {max_unpacked_bytes:,} bytes, and was not kept.",
                    hint="If the source has grown so much, raise fetch.max_unpacked_mb.",
                )
