"""A parser that crashes, hangs or swells costs one record, and nothing else."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import psutil
import pytest
from misbehaving import Misbehaving
from small_files import c2db_file
from sqlalchemy import Engine, text

from etl.api import import_file
from etl.errors import ImportFileError
from etl.parsing import Parser, ParserLimits
from etl.source import get_source

LIMITS = ParserLimits(workers=2, record_seconds=1.5, memory_bytes=256 << 20, chunk=4)


def lines_file(folder: Path, deeds: list[str]) -> Path:
    path = folder / "deeds.json"
    path.write_text("".join(json.dumps({"id": f"r{i}", "does": deed}) + "\n" for i, deed in enumerate(deeds)))
    return path


@pytest.mark.services
@pytest.mark.parametrize(
    ("deed", "rule", "says"),
    [
        ("crash", "crashed_parser", "exit code -11"),
        ("exit", "crashed_parser", "exit code 3"),
        ("hang", "too_slow", "within 1.5 s"),
        ("swell", "unparsable", "MemoryError"),
        ("recurse", "unparsable", "RecursionError"),
        ("raise", "unparsable", "out of order"),
    ],
)
def test_a_record_that_harms_its_process_is_quarantined_alone(
    engine: Engine, tmp_path: Path, deed: str, rule: str, says: str
) -> None:
    path = lines_file(tmp_path, ["nothing"] * 6 + [deed] + ["nothing"] * 6)
    report = import_file(engine, Misbehaving(), path, limits=LIMITS)
    assert (report.read, report.accepted, report.quarantined) == (13, 12, {rule: 1})
    with engine.connect() as connection:
        name, reason, raw = connection.execute(
            text("SELECT external_id, reason, coalesce(raw_text, payload::text) FROM source_record WHERE rule = :rule"),
            {"rule": rule},
        ).one()
    assert name in {"r6", "line 7"}
    assert says in reason
    assert json.loads(raw) == {"id": "r6", "does": deed}
    again = import_file(engine, Misbehaving(), path, limits=LIMITS)
    assert (again.unchanged, again.accepted, again.quarantined) == (13, 0, {})
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM source_record")).scalar() == 13


def test_records_come_in_the_order_of_the_file_whichever_process_is_faster(tmp_path: Path) -> None:
    path = lines_file(tmp_path, ["nothing"] * 501)
    with Parser(Misbehaving(), frozenset(), ParserLimits(workers=3, chunk=7)) as parser:
        found = [read.external_id for chunk in parser.reads(path) for read in chunk]
    assert found == [f"r{i}" for i in range(501)]


def test_a_parsing_process_killed_from_outside_loses_no_record(tmp_path: Path) -> None:
    path = lines_file(tmp_path, ["nothing"] * 3000)
    found = []
    with Parser(Misbehaving(), frozenset(), ParserLimits(workers=2, chunk=50, record_seconds=4)) as parser:
        for number, chunk in enumerate(parser.reads(path)):
            found += [read.external_id for read in chunk if read.accepted is not None]
            if number in {3, 20}:
                for worker in _parsing_processes():
                    os.kill(worker.pid, signal.SIGKILL)
    assert found == [f"r{i}" for i in range(3000)]


def _parsing_processes() -> list[psutil.Process]:
    """The forks of the fork server: grandchildren of this process."""
    children = psutil.Process().children(recursive=True)
    return [p for p in children if p.ppid() != os.getpid() and "forkserver" in " ".join(p.cmdline())]


def test_no_parsing_process_outlives_the_import(tmp_path: Path) -> None:
    path = lines_file(tmp_path, ["nothing"] * 40)
    with Parser(Misbehaving(), frozenset(), LIMITS) as parser:
        next(parser.reads(path))
        assert _parsing_processes()
    end = time.monotonic() + 5
    while _parsing_processes() and time.monotonic() < end:
        time.sleep(0.02)
    assert not _parsing_processes()


def test_what_came_before_a_damage_is_read(tmp_path: Path) -> None:
    import gzip

    packed = gzip.compress(lines_file(tmp_path, ["nothing"] * 5000).read_bytes())
    broken = tmp_path / "broken.json.gz"
    broken.write_bytes(packed[: len(packed) // 2])
    found: list[int] = []
    with Parser(Misbehaving(), frozenset(), ParserLimits(chunk=100)) as parser:
        sizes = map(len, parser.reads(broken))
        with pytest.raises(ImportFileError, match="is a damaged"):
            found.extend(sizes)
    assert sum(found) >= 1000


def test_a_reader_is_the_same_in_another_process(tmp_path: Path) -> None:
    path = c2db_file(tmp_path)
    here = list(get_source("c2db").records(path))
    with Parser(get_source("c2db"), frozenset(), LIMITS) as parser:
        there = [read for chunk in parser.reads(path) for read in chunk]
    assert [r.external_id for r in here] == [r.external_id for r in there]
    for one, other in zip(here, there, strict=True):
        assert other.accepted is not None
        facts = {(f.quantity, f.method, f.face): f.value for f in one.facts}
        assert {(f.quantity, f.method, f.face): f.value for f in other.accepted.facts} == facts
        # The same definitions, not equal copies: rules compare by identity.
        assert all(f.quantity is g.quantity for f, g in zip(one.facts, other.accepted.facts, strict=True))
