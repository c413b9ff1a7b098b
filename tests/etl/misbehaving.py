"""A reader of JSON lines whose records do to their process what a broken parser would."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from etl.records import Atoms, RawFailure, Record
from etl.source import Raw, Row, Source, SourceInfo
from etl.sources.json_stream import count_lines, line_row, lines
from schema.vocabulary import Subject


class Misbehaving(Source):
    """Lines such as {"id": "a", "does": "crash"}; does: nothing, crash, hang, swell, raise."""

    reader: ClassVar[str] = "misbehaving"
    info = SourceInfo("misbehaving", "Misbehaving", "1", "none", "none", "none", 100)

    def check(self, path: Path) -> int:
        return count_lines(path)

    def cut(self, path: Path) -> Iterator[Raw | RawFailure]:
        return lines(path)

    def row(self, raw: Raw) -> Row:
        return line_row(raw)

    def record(self, row: Row) -> Record:
        _do(row.content.get("does", "nothing"))
        positions = np.array([[0.0, 0.0, 10.0], [0.0, 1.42, 10.0]])
        cell = np.array([[2.46, 0.0, 0.0], [-1.23, 2.1304, 0.0], [0.0, 0.0, 20.0]])
        return Record(row.content["id"], Subject.MONOLAYER, row.content, Atoms(np.array([6, 6]), positions, cell))


def _do(what: Any) -> None:
    if what == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    elif what == "exit":
        os._exit(3)
    elif what == "hang":
        time.sleep(3600)
    elif what == "swell":
        held = []
        while True:
            held.append(bytearray(64 << 20))
    elif what == "recurse":
        _do(what)
    elif what == "raise":
        raise RuntimeError("out of order")
