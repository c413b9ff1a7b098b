"""A plain Parquet writer for one flat table of texts and floats: nothing that is installed writes the format.

Per https://github.com/apache/parquet-format: row groups of one gzip-packed data page a column, PLAIN encoding, every
value required (an unknown float is NaN), metadata in Thrift's compact protocol.
"""

from __future__ import annotations

import gzip
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

_MAGIC = b"PAR1"
_I32, _I64, _BINARY, _LIST, _STRUCT = 5, 6, 8, 9, 12
_DOUBLE, _BYTE_ARRAY = 5, 6
_UTF8, _PLAIN, _RLE, _GZIP, _REQUIRED = 0, 0, 3, 2, 0

_Field = tuple[int, int, bytes]


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _whole(number: int) -> bytes:
    return _varint(number << 1 ^ number >> 63)


def _text(text: str) -> bytes:
    data = text.encode()
    return _varint(len(data)) + data


def _list(kind: int, items: Sequence[bytes]) -> bytes:
    head = bytes([len(items) << 4 | kind]) if len(items) < 15 else bytes([0xF0 | kind]) + _varint(len(items))
    return head + b"".join(items)


def _struct(*fields: _Field) -> bytes:
    """Fields as (number, type, content), numbers rising by less than 16."""
    out, last = bytearray(), 0
    for number, kind, content in fields:
        out += bytes([number - last << 4 | kind]) + content
        last = number
    return bytes(out + b"\x00")


@dataclass(frozen=True, slots=True)
class _Chunk:
    offset: int
    packed: int
    unpacked: int


class ParquetTable:
    """Writes a table row group by row group.

    Args:
        file: where to, from its beginning.
        columns: their names.
        texts: which of them are texts; the others are floats.
    """

    def __init__(self, file: BinaryIO, columns: Sequence[str], texts: frozenset[str]) -> None:
        self._file = file
        self._columns = tuple(columns)
        self._texts = texts
        self._groups: list[tuple[int, list[_Chunk]]] = []
        self._at = file.write(_MAGIC)

    def write(self, rows: Sequence[Sequence[str | float]]) -> None:
        """Add rows as a row group."""
        if not rows:
            return
        chunks = []
        for k, name in enumerate(self._columns):
            values = [row[k] for row in rows]
            if name in self._texts:
                data = b"".join(struct.pack("<I", len(t)) + t for t in (str(value).encode() for value in values))
            else:
                data = struct.pack(f"<{len(values)}d", *(float(value) for value in values))
            chunks.append(self._page(data, len(rows)))
        self._groups.append((len(rows), chunks))

    def _page(self, data: bytes, count: int) -> _Chunk:
        # No time stamp inside: the same table gives the same file.
        packed = gzip.compress(data, compresslevel=6, mtime=0)
        page = _struct((1, _I32, _whole(count)), (2, _I32, _whole(_PLAIN)), (3, _I32, _whole(_RLE)),
                       (4, _I32, _whole(_RLE)))  # fmt: skip
        head = _struct((1, _I32, _whole(0)), (2, _I32, _whole(len(data))), (3, _I32, _whole(len(packed))),
                       (5, _STRUCT, page))  # fmt: skip
        chunk = _Chunk(self._at, len(head) + len(packed), len(head) + len(data))
        self._at += self._file.write(head) + self._file.write(packed)
        return chunk

    def close(self) -> None:
        """Write the metadata, without which the file cannot be read; the file stays open."""
        schema = [_struct((4, _BINARY, _text("table")), (5, _I32, _whole(len(self._columns))))]
        for name in self._columns:
            fields = [(1, _I32, _whole(self._type(name))), (3, _I32, _whole(_REQUIRED)), (4, _BINARY, _text(name))]
            schema.append(_struct(*fields, *([(6, _I32, _whole(_UTF8))] if name in self._texts else [])))
        footer = _struct(
            (1, _I32, _whole(1)),
            (2, _LIST, _list(_STRUCT, schema)),
            (3, _I64, _whole(sum(count for count, _ in self._groups))),
            (4, _LIST, _list(_STRUCT, [self._group(count, chunks) for count, chunks in self._groups])),
            (6, _BINARY, _text("stackscreen")),
        )
        self._file.write(footer + struct.pack("<I", len(footer)) + _MAGIC)

    def _type(self, name: str) -> int:
        return _BYTE_ARRAY if name in self._texts else _DOUBLE

    def _group(self, count: int, chunks: list[_Chunk]) -> bytes:
        columns = []
        for name, chunk in zip(self._columns, chunks, strict=True):
            meta = _struct(
                (1, _I32, _whole(self._type(name))),
                (2, _LIST, _list(_I32, [_whole(_PLAIN)])),
                (3, _LIST, _list(_BINARY, [_text(name)])),
                (4, _I32, _whole(_GZIP)),
                (5, _I64, _whole(count)),
                (6, _I64, _whole(chunk.unpacked)),
                (7, _I64, _whole(chunk.packed)),
                (9, _I64, _whole(chunk.offset)),
            )
            columns.append(_struct((2, _I64, _whole(chunk.offset)), (3, _STRUCT, meta)))
        return _struct(
            (1, _LIST, _list(_STRUCT, columns)),
            (2, _I64, _whole(sum(chunk.unpacked for chunk in chunks))),
            (3, _I64, _whole(count)),
        )
