"""A reader of JSON lines for records that a test makes up: MX2 layers, records with names only, stacks of two."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from small_files import dichalcogenide

from etl.records import Atoms, Fact, RawFailure, Record, Stack
from etl.source import Raw, Row, Source, SourceInfo
from etl.sources.json_stream import count_lines, line_row, lines
from schema import quantities as q
from schema.vocabulary import InterfaceKind, Method, Subject


class Plain(Source):
    """Lines as `layer` makes them, or {"id": "a", "names": ["b"]}, or {"id": "a", "stack": ["b", "c"]}."""

    reader: ClassVar[str] = "plain"

    def __init__(self, key: str, precedence: int, names_from: str | None = None) -> None:
        self.info = SourceInfo(key, key, "1", "made up", "none", "none", precedence, names_from)

    def check(self, path: Path) -> int:
        return count_lines(path)

    def cut(self, path: Path) -> Iterator[Raw | RawFailure]:
        return lines(path)

    def row(self, raw: Raw) -> Row:
        return line_row(raw)

    def record(self, row: Row) -> Record:
        content = row.content
        names = content.get("names", [])
        if "stack" in content:
            bottom, top = content["stack"]
            kind = InterfaceKind.HOMOBILAYER if bottom == top else InterfaceKind.HETEROBILAYER
            stack = Stack(kind, bottom, top, None, Method.PBE)
            return Record(content["id"], Subject.INTERFACE, content, None, stack=stack)
        facts = [Fact(q.GAP, content["gap"], Method.PBE)] if "gap" in content else []
        subject = Subject(content.get("subject", "monolayer"))
        return Record(content["id"], subject, content, _atoms(content.get("layer")), facts, names=names)


def _atoms(layer: dict[str, Any] | None) -> Atoms | None:
    if layer is None:
        return None
    made = dichalcogenide(**{**layer, "chalcogen": tuple(layer.get("chalcogen", ("S", "S")))})
    return Atoms(made.numbers.astype(np.int64), made.positions, np.array(made.cell))


def written(path: Path, *records: dict[str, Any]) -> Path:
    """A file of records."""
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def layer(identity: str, kind: str = "H", a: float = 3.18, **more: Any) -> dict[str, Any]:
    """A record of MoS2, or of what `more` makes of it: chalcogen, metal, gap, names."""
    keys = {"metal", "chalcogen", "height", "vacuum"}
    inner = {key: value for key, value in more.items() if key in keys}
    outer = {key: value for key, value in more.items() if key not in keys}
    return {"id": identity, "layer": {"kind": kind, "a": a, **inner}, **outer}
