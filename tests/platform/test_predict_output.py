"""Predictions as files: CSV for people, Parquet for tables."""

from __future__ import annotations

import gzip
import struct
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from stackscreen.predict.errors import PredictInputError
from stackscreen.predict.output import COLUMNS, predictions_to
from stackscreen.predict.predictor import Prediction

MADE = [
    Prediction(f"row {k}", target, k + 0.5, k - 0.25, float("nan") if k == 2 else k + 1.25, "meV/Å²", "m v1", 0.1 * k)
    for k in range(20)
    for target in ("binding_energy", "gap")
]


class _Thrift:
    """Reads Thrift's compact protocol, as its specification says, for lack of a Parquet reader."""

    def __init__(self, data: bytes) -> None:
        self.file = BytesIO(data)

    def varint(self) -> int:
        number = shift = 0
        while True:
            byte = self.file.read(1)[0]
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                return number
            shift += 7

    def zigzag(self) -> int:
        number = self.varint()
        return number >> 1 ^ -(number & 1)

    def value(self, kind: int) -> Any:
        if kind in (4, 5, 6):
            return self.zigzag()
        if kind == 8:
            return self.file.read(self.varint())
        if kind == 9:
            head = self.file.read(1)[0]
            size = head >> 4 if head >> 4 < 15 else self.varint()
            return [self.value(head & 15) for _ in range(size)]
        assert kind == 12, kind
        found, last = {}, 0
        while (head := self.file.read(1)[0]) != 0:
            last += head >> 4
            found[last] = self.value(head & 15)
        return found


def read_parquet(path: Path) -> list[tuple[Any, ...]]:
    data = path.read_bytes()
    assert data[:4] == data[-4:] == b"PAR1"
    (size,) = struct.unpack("<I", data[-8:-4])
    footer = _Thrift(data[-8 - size : -8]).value(12)
    assert tuple(field[4].decode() for field in footer[2][1:]) == COLUMNS
    rows: list[tuple[Any, ...]] = []
    for group in footer[4]:
        columns = []
        for chunk in group[1]:
            meta = chunk[3]
            page = _Thrift(data[meta[9] :])
            head = page.value(12)
            assert head[5][1] == meta[5] == group[3]
            content = gzip.decompress(page.file.read(head[3]))
            assert len(content) == head[2]
            if meta[1] == 5:
                columns.append(list(struct.unpack(f"<{meta[5]}d", content)))
                continue
            texts, at = [], 0
            while at < len(content):
                (length,) = struct.unpack_from("<I", content, at)
                texts.append(content[at + 4 : at + 4 + length].decode())
                at += 4 + length
            columns.append(texts)
        rows += zip(*columns, strict=True)
    assert footer[3] == len(rows)
    return rows


def write(path: Path) -> None:
    with predictions_to(path) as add:
        for one in MADE:
            add([one])


def test_parquet_holds_what_csv_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stackscreen.predict.output._GROUP", 15)
    write(tmp_path / "x.parquet")
    write(tmp_path / "x.csv")
    lines = [line.split(",") for line in (tmp_path / "x.csv").read_text(encoding="utf-8").splitlines()]
    assert tuple(lines[0]) == COLUMNS
    shown = [
        [f"{one:.6g}" if isinstance(one, float) and one == one else "" if one != one else one for one in row]
        for row in read_parquet(tmp_path / "x.parquet")
    ]
    assert shown == lines[1:]


def test_other_readers_read_the_parquet(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    write(tmp_path / "x.parquet")
    table = pandas.read_parquet(tmp_path / "x.parquet")
    assert tuple(table) == COLUMNS
    assert table["value"].tolist() == [one.value for one in MADE]
    assert table["unit"].tolist() == [one.unit for one in MADE]


def stop_halfway(path: Path) -> None:
    with predictions_to(path) as add:
        add(MADE[:3])
        raise RuntimeError("stopped")


def test_a_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="stopped"):
        stop_halfway(tmp_path / "x.csv")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_said_to_be_none(tmp_path: Path) -> None:
    with pytest.raises(PredictInputError, match="no folder"), predictions_to(tmp_path / "none" / "x.csv"):
        pass
