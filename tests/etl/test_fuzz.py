"""Whatever a file holds, reading it ends: with records, with raw failures, or with one clear error."""

from __future__ import annotations

import copy
import json
import math
import random
import shutil
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from fuzz_samples import SAMPLES, real_samples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from etl.api import import_file
from etl.errors import ImportFileError
from etl.judge import judge
from etl.parsing import ParserLimits
from etl.records import RawFailure
from etl.source import Source, source_names
from etl.validate import RULES

PATIENCE_S = 20
"""No small file may take longer, whatever is in it."""
RELAXED = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

STRANGE: list[Any] = [
    None, True, False, 0, -1, 2**63, 10**400, 0.0, -0.0, 1e308, -1e308, 5e-324, math.nan, math.inf, -math.inf, "", " ",
    "nan", "inf", "x" * 5000, "\x00", "\ud800", "../../etc/passwd", "'; DROP TABLE source; --", "1MoS2-1", [], {}, [[]],
    [None], {"": None}, [1, 2], [[1, 2, 3]], [[0, 0, 0]] * 3, {"$oid": "x"}, ["a"] * 3,
]  # fmt: skip


ODD_BYTES = (b"\x00", b"{", b"]", b'"', b"NaN", b"1e999", b"\xff\xfe", b"\n" * 9, b"[")


@contextmanager
def patience(seconds: int) -> Iterator[None]:
    """Fail, and not hang, if the block takes longer."""

    def out_of_time(_signal: int, _frame: object) -> None:
        raise AssertionError(f"not done after {seconds} s")

    before = signal.signal(signal.SIGALRM, out_of_time)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def read_whole(source: Source, path: Path) -> tuple[int, int]:
    """Records and failures of a file; raises nothing but `ImportFileError`."""
    good = bad = 0
    # One clear error for the whole file is an answer too.
    with patience(PATIENCE_S), suppress(ImportFileError):
        source.check(path)
        for item in source.for_file(path).records(path):
            read = judge(item)
            assert (read.accepted is None) == (read.rule is not None)
            assert read.rule is None or read.rule in RULES
            assert read.rule is None or read.reason
            assert read.payload is not None or read.raw_text is not None
            bad += isinstance(item, RawFailure) or read.accepted is None
            good += read.accepted is not None
    return good, bad


def test_every_reader_is_fuzzed() -> None:
    assert {sample.reader for sample in SAMPLES} == set(source_names())


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda s: s.id)
def test_the_samples_themselves_are_good(sample: Any, tmp_path: Path) -> None:
    good, bad = read_whole(sample.source(), sample.write(tmp_path))
    assert good > 0
    assert bad == 0


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda s: s.id)
@RELAXED
@given(seed=st.integers(0, 2**32))
def test_damaged_bytes_harm_nobody(sample: Any, tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    path = sample.write(folder)
    damage_bytes(path, random.Random(seed))
    read_whole(sample.source(), path)
    shutil.rmtree(folder)


@pytest.mark.parametrize("sample", [s for s in SAMPLES if s.values is not None], ids=lambda s: s.id)
@RELAXED
@given(seed=st.integers(0, 2**32))
def test_strange_values_harm_nobody(sample: Any, tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    path = sample.write(folder)
    damage_values(path, sample.values, random.Random(seed))
    read_whole(sample.source(), path)
    shutil.rmtree(folder)


@pytest.mark.parametrize("seed", range(12))
def test_real_files_damaged_at_random_harm_nobody(shared_data: Path, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    for sample in real_samples(shared_data):
        path = sample.write(tmp_path)
        if sample.values is not None and chance.random() < 0.6:
            damage_values(path, sample.values, chance)
        else:
            damage_bytes(path, chance)
        read_whole(sample.source(), path)


@pytest.mark.services
@pytest.mark.parametrize("sample", SAMPLES, ids=lambda s: s.id)
def test_no_damaged_file_is_imported_by_half(sample: Any, engine: Engine, tmp_path: Path) -> None:
    """What an import counts is what the database holds, also when the file breaks off; and again it changes nothing."""
    chance = random.Random(sample.id)
    path = sample.write(tmp_path)
    (damage_values if sample.values == "json" else lambda p, _, c: damage_bytes(p, c))(path, sample.values, chance)
    source, limits = sample.source(), ParserLimits(chunk=2, record_seconds=20)
    held = []
    for _ in range(2):
        with suppress(ImportFileError):
            source.check(path)
            report = import_file(engine, source, path, limits=limits)
            assert report.read == report.accepted + sum(report.quarantined.values()) + report.unchanged
        with engine.connect() as connection:
            counted = connection.execute(
                text("SELECT coalesce(sum(n_accepted + n_quarantined), 0) FROM import_run")
            ).scalar()
            rows = connection.execute(text("SELECT count(*) FROM source_record")).scalar()
            halves = connection.execute(
                text(
                    "SELECT count(*) FROM source_record r LEFT JOIN structure s ON s.source_record_id = r.id "
                    "LEFT JOIN interface i ON i.source_record_id = r.id "
                    "LEFT JOIN record_name n ON n.source_record_id = r.id "
                    "WHERE r.state = 'accepted' AND num_nonnulls(s.id, i.id, n.source_record_id) = 0"
                )
            ).scalar()
            running = connection.execute(text("SELECT count(*) FROM import_run WHERE state = 'running'")).scalar()
        assert counted == rows
        assert halves == running == 0
        held.append(rows)
    assert held[0] == held[1]


# -- damage ------------------------------------------------------------------------------------------------------


def damage_bytes(path: Path, chance: random.Random) -> None:
    """Flip, cut, repeat or overwrite bytes of a file, or of a file in a folder."""
    if path.is_dir():
        path = chance.choice(sorted(p for p in path.rglob("*") if p.is_file()))
    content = bytearray(path.read_bytes())
    for _ in range(chance.choice([1, 1, 3, 30])):
        at = chance.randrange(len(content) + 1)
        until = min(len(content), at + chance.choice([1, 8, 200]))
        what = chance.randrange(5)
        if what == 0 and content:
            content[min(at, len(content) - 1)] ^= 1 << chance.randrange(8)
        elif what == 1:
            del content[at:until]
        elif what == 2:
            content[at:at] = content[at:until]
        elif what == 3:
            content[at:until] = chance.randbytes(until - at)
        else:
            content[at:until] = chance.choice(
                [b"\x00", b"{", b"]", b'"', b"NaN", b"1e999", b"\xff\xfe", b"\n" * 9, b"["]
            )
    if chance.random() < 0.2:
        del content[chance.randrange(len(content) + 1) :]
    path.write_bytes(bytes(content))


def damage_values(path: Path, kind: str, chance: random.Random) -> None:
    """Put strange values, with right syntax, where a record has others."""
    if kind == "ase":
        _damage_ase(path, chance)
        return
    if path.is_dir():
        path = chance.choice(sorted(p for p in path.rglob("*.json") if p.is_file()))
    content = path.read_text(encoding="utf-8")
    try:
        value = json.loads(content)
        damaged = _dumps(_strange(value, chance))
    except ValueError:
        lines = content.splitlines()
        at = chance.randrange(len(lines))
        lines[at] = _dumps(_strange(json.loads(lines[at]), chance))
        damaged = "\n".join(lines) + "\n"
    path.write_text(damaged, encoding="utf-8", errors="surrogatepass")


def _damage_ase(path: Path, chance: random.Random) -> None:
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT id, key_value_pairs FROM systems").fetchall()
        identity, pairs = chance.choice(rows)
        if chance.random() < 0.6:
            damaged = _dumps(_strange(json.loads(pairs), chance)).encode("utf-8", "surrogatepass")
            connection.execute("UPDATE systems SET key_value_pairs = CAST(? AS TEXT) WHERE id = ?", (damaged, identity))
        else:
            column = chance.choice(["numbers", "positions", "cell", "pbc", "energy", "magmom", "charge", "data"])
            strange: Callable[[], Any] = chance.choice(
                [lambda: None, lambda: b"", lambda: chance.randbytes(24), lambda: "text", lambda: -1, lambda: 1e308]
            )
            connection.execute(f"UPDATE systems SET {column} = ? WHERE id = ?", (strange(), identity))
        connection.commit()


def _dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _strange(value: Any, chance: random.Random) -> Any:
    """A copy of a JSON value with one to three of its parts removed, exchanged or made strange."""
    value = json.loads(json.dumps(value))
    for _ in range(chance.choice([1, 1, 2, 3])):
        places = list(_places(value))
        if not places:
            return copy.deepcopy(chance.choice(STRANGE))
        holder, key = chance.choice(places)
        what = chance.random()
        if what < 0.2:
            del holder[key]
        elif what < 0.3:
            holder[key] = [holder[key]]
        elif what < 0.4 and isinstance(holder[key], (int, float)):
            holder[key] = str(holder[key])
        elif what < 0.5 and isinstance(holder[key], list):
            holder[key] = holder[key] * 2
        else:
            holder[key] = copy.deepcopy(chance.choice(STRANGE))
    return value


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield value, key
            yield from _places(item)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield value, index
            yield from _places(item)
