"""What the tests of single readers share: reading a whole file, finding a value, and malformed records."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from etl.judge import judge
from etl.records import RawFailure, Record
from etl.source import Raw, Source
from schema import quantities as q
from schema.vocabulary import Face, Method

NONSENSE: tuple[Any, ...] = (
    None, "", "x", "na", math.nan, math.inf, -1e300, 10**400, True, [], [[]], [1, 2], {}, {"a": {}}, [None] * 3,
    "\x00\ud800", [["a"]],
)  # fmt: skip


def items(source: Source, path: Path) -> list[Record | RawFailure]:
    """All records and failures, as an import reads them."""
    source.check(path)
    return list(source.for_file(path).records(path))


def records(source: Source, path: Path) -> list[Record]:
    """All records of a file that holds no failures."""
    found = items(source, path)
    assert all(isinstance(item, Record) for item in found), [i.reason for i in found if isinstance(i, RawFailure)]
    return [item for item in found if isinstance(item, Record)]


def value(
    record: Record, quantity: q.Quantity, method: Method = Method.PBE, face: Face | None = None
) -> float | str | None:
    """The record's value, None if it has none."""
    found = [f.value for f in record.facts if (f.quantity, f.method, f.face) == (quantity, method, face)]
    return found[0] if found else None


def mutilated(content: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The record with one part at a time missing or replaced by nonsense, two levels deep."""
    for key, inner in content.items():
        yield {k: v for k, v in content.items() if k != key}
        for nonsense in NONSENSE:
            yield {**content, key: nonsense}
        if isinstance(inner, dict):
            for part in mutilated(inner):
                yield {**copy.deepcopy(content), key: part}


def survives(source: Source, content: dict[str, Any]) -> int:
    """Read and judge every mutilation of a record: each becomes a record or a failure, none an exception.

    Returns:
        How many were refused.
    """
    verdicts = [judge(source.read(Raw("record 1", part))) for part in mutilated(content)]
    return sum(verdict.accepted is None for verdict in verdicts)
