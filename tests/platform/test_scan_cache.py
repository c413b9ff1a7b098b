"""A cache is a faithful copy of a run's tiles, whatever happened to it or beside it."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import orjson
import pytest
from sqlalchemy import Connection, Engine, insert, text, update

from schema import PairBlock, PairTile, ScreeningRun
from stackscreen.scan import store
from stackscreen.scan.cache import open_cache, sweep
from stackscreen.scan.layout import PairLayout
from stackscreen.screening.blocks import cut
from stackscreen.screening.packing import COLUMNS, TilesMissingError

LAYERS, FACES = 9, 3


def _make_run(connection: Connection, seed: int, state: str = "published") -> tuple[int, dict[str, bytes]]:
    """A run of random pairs in several blocks; its number, and what each column holds row after row."""
    generator = np.random.default_rng(seed)
    layout = PairLayout(LAYERS, FACES)
    run_id = connection.execute(
        insert(ScreeningRun)
        .values(state=state, inputs_digest=hashlib.sha256(bytes([seed])).digest(), engine_version="1",
                n_monolayers=LAYERS, n_surfaces=FACES, n_pairs=layout.n_pairs, max_strain=0.02, max_area=400,
                max_atoms=200, candidate_rule={}, published_at=text("now()"))
        .returning(ScreeningRun.id)
    ).scalar_one()  # fmt: skip
    whole = dict.fromkeys(COLUMNS, b"")
    for number, block in enumerate(cut(LAYERS, FACES, 15)):
        tiles = []
        for row in range(block.row_from, block.row_to):
            size = block.col_to - block.first_column(row)
            tile = {name: generator.integers(0, 3, size).astype(kind).tobytes() for name, kind in COLUMNS.items()}
            tiles.append({"run_id": run_id, "row": row, "col_from": block.first_column(row), "block": number,
                          "n_pairs": size, **tile})  # fmt: skip
            whole = {name: whole[name] + tile[name] for name in COLUMNS}
        matched = sum(int(np.count_nonzero(np.frombuffer(tile["n"], np.uint8))) for tile in tiles)
        digest = hashlib.sha256(b"".join(tile[name] for tile in tiles for name in COLUMNS)).digest()
        connection.execute(
            insert(PairBlock).values(
                run_id=run_id, block=number, row_from=block.row_from, row_to=block.row_to, col_from=block.col_from,
                col_to=block.col_to, state="done", n_pairs=block.n_pairs, n_matched=matched, digest=digest,
            )
        )  # fmt: skip
        connection.execute(insert(PairTile), tiles)
    return run_id, whole


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    with engine.connect() as connection:
        yield connection


@pytest.fixture
def run(connection: Connection) -> tuple[int, dict[str, bytes]]:
    made = _make_run(connection, 1)
    connection.commit()
    return made


def _is_copy(connection: Connection, folder: Path, run: tuple[int, dict[str, bytes]]) -> bool:
    tiles = open_cache(connection, folder, run[0]).tiles
    return {name: column.tobytes() for name, column in zip(COLUMNS, tiles, strict=True)} == run[1]


def _changed_at(folder: Path, run_id: int) -> int:
    return (folder / f"run-{run_id}").stat().st_ino


def test_the_cache_holds_every_byte_of_the_tiles_row_after_row(
    connection: Connection, run: tuple[int, dict[str, bytes]], tmp_path: Path
) -> None:
    assert _is_copy(connection, tmp_path, run)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lock", f"run-{run[0]}"]
    before = _changed_at(tmp_path, run[0])
    assert _is_copy(connection, tmp_path, run)
    assert _changed_at(tmp_path, run[0]) == before  # opened again, not filled again


@pytest.mark.parametrize("harm", ["truncate", "overwrite", "remove a file", "spoil the manifest", "empty"])
def test_a_cache_that_was_harmed_is_filled_anew(
    connection: Connection, run: tuple[int, dict[str, bytes]], tmp_path: Path, harm: str
) -> None:
    assert _is_copy(connection, tmp_path, run)
    path = tmp_path / f"run-{run[0]}"
    if harm == "truncate":
        os.truncate(path / "strain", 10)
    elif harm == "overwrite":
        with (path / "score").open("r+b") as file:
            file.write(b"\xff\xff")
        os.utime(path / "score", ns=(1, 1))  # however coarse the clock of the file system
    elif harm == "remove a file":
        (path / "n").unlink()
    elif harm == "spoil the manifest":
        (path / "manifest.json").write_text("[1, 2")
    else:
        for file in path.iterdir():
            file.unlink()
    assert _is_copy(connection, tmp_path, run)


def test_a_copied_cache_is_read_through_and_used(
    connection: Connection, run: tuple[int, dict[str, bytes]], tmp_path: Path
) -> None:
    assert _is_copy(connection, tmp_path, run)
    for name in COLUMNS:
        os.utime(tmp_path / f"run-{run[0]}" / name, ns=(1, 1))
    before = _changed_at(tmp_path, run[0])
    assert _is_copy(connection, tmp_path, run)
    assert _changed_at(tmp_path, run[0]) == before


def test_the_cache_of_another_database_with_the_same_run_number_is_not_used(
    connection: Connection, run: tuple[int, dict[str, bytes]], tmp_path: Path
) -> None:
    manifest = tmp_path / f"run-{run[0]}" / "manifest.json"
    assert _is_copy(connection, tmp_path, run)
    foreign = orjson.loads(manifest.read_bytes())
    foreign["ledger"] = "0" * 64
    manifest.write_bytes(orjson.dumps(foreign))
    (manifest.parent / "n").write_bytes(bytes(len(run[1]["n"])))
    assert _is_copy(connection, tmp_path, run)


def test_maps_stay_valid_when_the_cache_is_filled_anew(
    connection: Connection, run: tuple[int, dict[str, bytes]], tmp_path: Path
) -> None:
    tiles = open_cache(connection, tmp_path, run[0]).tiles
    (tmp_path / f"run-{run[0]}" / "manifest.json").unlink()
    assert _is_copy(connection, tmp_path, run)
    assert tiles.strain.tobytes() == run[1]["strain"]


def test_what_a_killed_filler_left_is_in_nobodys_way(
    connection: Connection, run: tuple[int, dict[str, bytes]], tmp_path: Path
) -> None:
    left = tmp_path / f".filling-run-{run[0]}"
    left.mkdir()
    (left / "n").write_bytes(b"half")
    assert _is_copy(connection, tmp_path, run)
    assert not left.exists()


def test_a_failed_filling_leaves_nothing(
    connection: Connection, run: tuple[int, dict[str, bytes]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        open_cache(connection, tmp_path, run[0])
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]


_FILLER = """
import sys
from pathlib import Path
from schema.engine import make_engine
from stackscreen.scan.cache import open_cache
with make_engine(sys.argv[1]).connect() as connection:
    for column in open_cache(connection, Path(sys.argv[2]), int(sys.argv[3])).tiles:
        sys.stdout.buffer.write(column.tobytes())
"""


def test_processes_that_fill_at_the_same_time_all_get_the_tiles(
    database_url: str, run: tuple[int, dict[str, bytes]], tmp_path: Path
) -> None:
    command = [sys.executable, "-c", _FILLER, database_url, str(tmp_path), str(run[0])]
    fillers = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(4)]
    assert [filler.communicate(timeout=60)[0] for filler in fillers] == [b"".join(run[1].values())] * 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lock", f"run-{run[0]}"]


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        ("DELETE FROM pair_tile WHERE row = 4", "out of place"),
        ("DELETE FROM pair_tile WHERE row = 11", "row 11 are out of place"),
        ("UPDATE pair_tile SET n = decode(repeat('01', n_pairs), 'hex') WHERE row = 0", "matches other pairs"),
        ("DELETE FROM pair_tile", "row 0 are out of place"),
    ],
)
def test_tiles_that_are_not_those_of_the_ledger_are_an_error_and_no_cache(
    connection: Connection, run: tuple[int, dict[str, bytes]], tmp_path: Path, harm: str, says: str
) -> None:
    connection.execute(text(harm))
    with pytest.raises(TilesMissingError, match=says):
        open_cache(connection, tmp_path, run[0])
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]


def test_an_unfinished_run_has_no_cache(
    connection: Connection, run: tuple[int, dict[str, bytes]], tmp_path: Path
) -> None:
    connection.execute(update(PairBlock).where(PairBlock.block == 1).values(state="pending"))
    for run_id in (run[0], 10**6):
        with pytest.raises(TilesMissingError, match="is not finished"):
            open_cache(connection, tmp_path, run_id)


def test_the_cache_of_a_run_that_is_gone_is_removed_and_others_stay(connection: Connection, tmp_path: Path) -> None:
    old, new = _make_run(connection, 1, "superseded"), _make_run(connection, 2)
    for one in (old, new):
        assert _is_copy(connection, tmp_path, one)
    (tmp_path / "run-99999999999999999999").mkdir()
    (tmp_path / "notes").mkdir()
    (tmp_path / ".filling-run-7").mkdir()
    connection.execute(text("DELETE FROM pair_tile WHERE run_id = :run"), {"run": old[0]})
    assert set(sweep(connection, tmp_path)) == {old[0], 99999999999999999999}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lock", "notes", f"run-{new[0]}"]
    assert sweep(connection, tmp_path / "nowhere") == []
