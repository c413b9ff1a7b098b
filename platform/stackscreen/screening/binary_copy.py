"""Rows of numpy columns as Postgres' binary COPY format, built without a Python loop over rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from psycopg import sql

_HEADER: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER: Final = b"\xff\xff"
_WIRE: Final = {"int2": ">i2", "int4": ">i4", "int8": ">i8", "float4": ">f4", "float8": ">f8"}


class TextColumn:
    """A column of words from a short list.

    Args:
        codes: index into `words`, shape (K,); negative is NULL.
        words: the list.
    """

    def __init__(self, codes: NDArray[np.integer[Any]], words: Sequence[str]) -> None:
        self.codes = np.asarray(codes)
        self.words = [word.encode() for word in words]


def encode_rows(columns: Mapping[str, tuple[str, NDArray[Any]] | TextColumn]) -> bytes:
    """Encode columns as one binary COPY stream; a NaN becomes NULL.

    Every field is laid out at its full width, then the bytes that a NULL or a shorter word does not have are dropped.

    Args:
        columns: name to (Postgres type: int2, int4, int8, float4, float8; values, shape (K,)) or a `TextColumn`.
    """
    first = next(iter(columns.values()))
    rows = len(first.codes if isinstance(first, TextColumn) else first[1])
    fields = np.frombuffer(len(columns).to_bytes(2, "big"), np.uint8)
    pieces: list[NDArray[np.uint8]] = [np.tile(fields, (rows, 1))]
    keep: list[NDArray[np.bool_]] = [np.ones((rows, 2), bool)]
    for column in columns.values():
        payload, width, present = _field(column, rows)
        length = np.where(width >= 0, width, -1).astype(">i4")
        pieces += [length.view(np.uint8).reshape(rows, 4), payload]
        keep += [np.ones((rows, 4), bool), present]
    body = np.concatenate(pieces, axis=1)[np.concatenate(keep, axis=1)]
    return _HEADER + body.tobytes() + _TRAILER


def _field(
    column: tuple[str, NDArray[Any]] | TextColumn, rows: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.bool_]]:
    """Padded payload (K, W), length of each value (-1 for NULL), and which payload bytes exist."""
    if isinstance(column, TextColumn):
        longest = max(len(word) for word in column.words)
        table = np.array([list(word.ljust(longest, b"\0")) for word in column.words], np.uint8)
        lengths = np.array([len(word) for word in column.words])
        null = column.codes < 0
        codes = np.where(null, 0, column.codes)
        width = np.where(null, -1, lengths[codes])
        present = np.arange(longest)[None, :] < width[:, None]
        return table[codes], width, present
    kind, values = column
    wire = np.dtype(_WIRE[kind])
    values = np.asarray(values)
    null = np.isnan(values) if values.dtype.kind == "f" else np.zeros(rows, bool)
    payload = np.ascontiguousarray(np.where(null, 0, values).astype(wire)).view(np.uint8).reshape(rows, wire.itemsize)
    width = np.where(null, -1, wire.itemsize)
    return payload, width, np.repeat(~null[:, None], wire.itemsize, axis=1)


def copy_columns(cursor: Any, table: str, columns: Mapping[str, tuple[str, NDArray[Any]] | TextColumn]) -> None:
    """Append rows to a table by binary COPY.

    Args:
        cursor: a psycopg cursor, in the caller's transaction.
        table: name of the table.
        columns: see `encode_rows`.
    """
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary)").format(
        sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, columns))
    )
    with cursor.copy(statement) as copy:
        copy.write(encode_rows(columns))
