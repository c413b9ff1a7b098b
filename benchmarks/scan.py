"""Filters over all pairs of a C2DB-sized run: exact count and the best fifty.

    python -m benchmarks scan [--run [--refill]]

With --run, the pairs of the published run, where `stackscreen` finds a database with one (STACKSCREEN_DATA_DIR or
STACKSCREEN_DATABASE_URL). Without it no database is needed: the pairs are random numbers, written as the files of a
cache: their number, types and places are those of a real run of 17,932 layers and 181 faces, their contents are not, so
the counts mean nothing. Half of the pairs match. Uniform numbers leave more pairs after each condition than real ones,
which a scan must look at longer.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from benchmarks.hardware import describe
from stackscreen.pairs import PairLimits
from stackscreen.query.candidates import Order, published_run
from stackscreen.query.criteria import Criteria
from stackscreen.query.reading import reading, reading_engine
from stackscreen.scan.cache import open_cache
from stackscreen.scan.kernel import Tiles
from stackscreen.scan.layout import PairLayout
from stackscreen.scan.levels import Kept, Levels
from stackscreen.scan.members import Directory
from stackscreen.scan.scanner import Scanner, cache_folder
from stackscreen.scan.store import locked, remove
from stackscreen.screening.members import MemberTable
from stackscreen.screening.packing import COLUMNS, NO_MATCH, STRAIN_UNIT
from stackscreen.settings import get_settings

FILTERS = (
    ("", "-score"),
    ("strain.max=0.005", "-score"),
    ("strain.max=0.007", "n_atoms"),
    ("strain.max=0.01&n_atoms.max=60", "-score"),
    ("n_atoms.max=20", "strain"),
    ("area.max=100", "-score"),
    ("n.max=2&m.max=2", "-score"),
    ("score.min=0.8", "-score"),
    ("alignment.in=II", "-score"),
    ("alignment.in=II&gap_anderson.min=1.1&gap_anderson.max=1.5", "-score"),
    ("alignment.in=I,III&strain.max=0.01", "-gap_anderson"),
    ("gap_anderson.min=2", "gap_anderson"),
    ("valence_offset.min=0.3&conduction_offset.min=0.3", "-score"),
    ("work_function_difference.min=1", "-work_function_difference"),
    ("kind.in=2d-on-bulk&strain.max=0.01", "-score"),
    ("kind.in=homobilayer", "-score"),
    ("elements.all=Mo,S", "-score"),
    ("elements.none=Pb,Cd,Hg,Tl,As&hull_energy.max=0.05", "-score"),
    ("layers.either=MoS2", "-score"),
    ("text.has=mo s2&strain.max=0.01", "strain"),
    (
        "alignment.in=II&gap_anderson.min=1&strain.max=0.015&n_atoms.max=80&area.max=200"
        "&hull_energy.max=0.1&elements.none=Pb,Cd",
        "-score",
    ),
)
KEPT_PART = {0.005: 0.013, 0.01: 0.07}
"""Strain levels, and the part of all pairs of which each keeps another supercell than the next wider one."""
_SYMBOLS = (
    "H", "B", "C", "N", "O", "F", "Na", "Mg", "Al", "Si", "P", "S", "Cl", "Ti", "V", "Cr", "Mn", "Fe", "Co", "Ni", "Cu",
    "Zn", "As", "Se", "Br", "Mo", "Cd", "Te", "I", "W", "Pb", "Hg", "Tl", "Bi", "Hf", "Zr",
)  # fmt: skip


def members(n_monolayers: int, n_surfaces: int, generator: np.random.Generator) -> Directory:
    """Members with the numbers that layers have: a third metals, every eighth value unknown."""
    size = n_monolayers + n_surfaces
    layers = np.arange(size) < n_monolayers

    def known(values: np.ndarray) -> np.ndarray:
        return np.where(generator.random(size) < 1 / 8, np.nan, values)

    gap = np.where(layers & (generator.random(size) < 2 / 3), generator.uniform(0.1, 5, size), 0.0)
    valence, tilt = generator.uniform(-8, -4, size), np.where(generator.random(size) < 0.2, 0.5, 0.0)
    columns = {
        "gap": gap,
        "hull_energy": known(np.abs(generator.normal(0, 0.15, size))),
        "stiffness": np.where(layers, known(generator.uniform(10, 300, size)), np.nan),
    }
    for face, shift in (("bottom", 0.0), ("top", 1.0)):
        columns[f"vbm_{face}"] = known(valence + shift * tilt)
        columns[f"cbm_{face}"] = columns[f"vbm_{face}"] + gap
        columns[f"work_function_{face}"] = -(valence + shift * tilt + gap / 2)
    table = MemberTable(
        n_monolayers,
        np.arange(size),
        np.arange(size),
        generator.integers(2, 13, size),
        np.log(generator.uniform(5, 120, size)),
        np.full(size, 0.5 + 0.87j),
        columns,
    )
    described = [("MoS2-00000000", "MoS2", ["Mo", "S"])]
    for k in range(1, size):
        symbols = sorted(
            generator.choice(_SYMBOLS, 1 if k >= n_monolayers else generator.integers(1, 4), replace=False)
        )
        formula = "".join(f"{symbol}{generator.integers(2, 4)}" for symbol in symbols)
        described.append(
            (f"{formula}-{k:08x}{'(111)' if k >= n_monolayers else ''}", formula, [str(s) for s in symbols])
        )
    return Directory.of(table, described)


def pairs(folder: Path, layout: PairLayout, generator: np.random.Generator, *, piece: int = 8_000_000) -> Tiles:
    """Random pairs as files, mapped as a cache is."""
    files = {name: (folder / name).open("wb") for name in COLUMNS}
    for begin in range(0, layout.n_pairs, piece):
        size = min(piece, layout.n_pairs - begin)
        matched = generator.random(size, np.float32) < 0.5
        numbers = {
            "n": generator.integers(1, 31, size, np.uint8),
            "m": generator.integers(1, 31, size, np.uint8),
            "strain": generator.integers(0, 20_001, size, np.uint16),
            "score": generator.integers(1, 65_536, size, np.uint16),
        }
        for name, kind in COLUMNS.items():
            missing = NO_MATCH if name == "strain" else 0
            files[name].write(np.where(matched, numbers[name], missing).astype(kind).tobytes())
    for file in files.values():
        file.close()
    return Tiles(
        *(np.asarray(np.memmap(folder / name, kind, "r", shape=(layout.n_pairs,))) for name, kind in COLUMNS.items())
    )


def levels(layout: PairLayout, tiles: Tiles, generator: np.random.Generator) -> Levels:
    """What two strain levels keep of random pairs: as large a part of all pairs as of C2DB's."""
    limits = PairLimits(0.02, 400.0, 200, tuple(KEPT_PART))
    starts, first = layout.starts(), layout.first_columns()
    parts: dict[str, list[np.ndarray]] = {name: [] for name in Kept._fields[1:]}
    kept = [0]
    for row in range(layout.n_rows):
        strain = tiles.strain[starts[row] : starts[row + 1]]
        columns, strains = [], []
        for level, part in sorted(KEPT_PART.items(), reverse=True):
            beyond = (strain != NO_MATCH) & (strain > level / STRAIN_UNIT)
            chosen = np.flatnonzero(
                beyond & (generator.random(strain.size, np.float32) < part / (0.5 * (1 - level / 0.02)))
            )
            columns.append(chosen)
            strains.append(generator.integers(0, round(level / STRAIN_UNIT) + 1, chosen.size, np.uint16))
        column = np.concatenate(columns)
        order = np.argsort(column, kind="stable")
        parts["column"].append((first[row] + column[order]).astype(np.uint32))
        parts["strain"].append(np.concatenate(strains)[order])
        for name in ("n", "m"):
            parts[name].append(generator.integers(1, 61, column.size, np.uint8))
        parts["score"].append(generator.integers(1, 65_536, column.size, np.uint16))
        kept.append(kept[-1] + column.size)
    return Levels(limits, Kept(np.array(kept), **{name: np.concatenate(values) for name, values in parts.items()}))


@contextmanager
def random_run(layers: int, faces: int, workers: int | None) -> Iterator[tuple[Scanner, str]]:
    """A scanner of random pairs, and what it scans in words."""
    generator = np.random.default_rng(0)
    directory = members(layers, faces, generator)
    with tempfile.TemporaryDirectory(prefix="stackscreen-bench-") as folder:
        tiles = pairs(Path(folder), directory.layout, generator)
        yield Scanner(directory, tiles, workers, levels=levels(directory.layout, tiles, generator)), "random pairs"


@contextmanager
def published(refill: bool, workers: int | None) -> Iterator[tuple[Scanner, str]]:
    """A scanner of the published run's pairs, and what it scans in words, with the time that its opening took."""
    settings = get_settings()
    engine = reading_engine(settings)
    folder = cache_folder(settings)
    with reading(engine) as connection:
        run = published_run(connection)
        filled = not refill and (folder / f"run-{run.id}").exists()
        if refill:
            with locked(folder):
                remove(folder / f"run-{run.id}")
        began = time.perf_counter()
        opened = open_cache(connection, folder, run.id)
        seconds = time.perf_counter() - began
        began = time.perf_counter()
        directory = Directory.load(connection, run.id)
        told = (
            "opened" if filled else f"filled from the database's tiles in {seconds:.1f} s, with its checks, and opened"
        )
        yield (
            Scanner(directory, opened.tiles, workers, levels=opened.levels),
            f"pairs of the published run {run.id} (cache {told}; members read in {time.perf_counter() - began:.1f} s)",
        )
    engine.dispose()


def main(arguments: list[str]) -> None:
    """Time every filter and print a Markdown table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks scan", description=__doc__)
    parser.add_argument("--run", action="store_true", help="scan the published run of the settings' database")
    parser.add_argument("--refill", action="store_true", help="with --run: fill its cache anew, and time that")
    parser.add_argument("--layers", type=int, default=17_932, help="random layers")
    parser.add_argument("--faces", type=int, default=181, help="random faces")
    parser.add_argument("--best", type=int, default=50, help="best pairs that are described; the dashboard lists 1000")
    parser.add_argument("--repeat", type=int, default=5, help="scans of each filter; the median counts")
    parser.add_argument("--workers", type=int, help="threads; default one a processor")
    options = parser.parse_args(arguments)
    opened = (
        published(options.refill, options.workers)
        if options.run or options.refill
        else random_run(options.layers, options.faces, options.workers)
    )
    with opened as (scanner, what):
        began = time.perf_counter()
        scanner.scan(Criteria.from_query("layers.either=MoS2&n.min=1&m.min=1&score.min=0"), Order())
        first = time.perf_counter() - began
        files = (*scanner.tiles, *(scanner.levels.kept if scanner.levels else ()))
        for column in files:
            column.max(initial=0)  # into the page cache
        lines = []
        for query, order in FILTERS:
            criteria, key = Criteria.from_query(query), Order.parse(order)
            before = time.process_time()
            found = [scanner.scan(criteria, key, best=options.best) for _ in range(options.repeat)]
            computing = 1000 * (time.process_time() - before) / options.repeat
            times = sorted(1000 * one.seconds for one in found)
            lines.append((query or "(none)", order, found[0].count, times[len(times) // 2], times[-1], computing))
        size = sum(column.nbytes for column in files)
        layout = scanner.directory.layout
    print(f"{describe()}\n")
    print(
        f"{layout.n_pairs:,} {what}: {layout.n_monolayers:,} layers and {layout.n_surfaces} faces, "
        f"{size / 1e9:.2f} GB of files in the page cache. "
        f"First scan of the process, which loads the compiled code: {first:.1f} s"
    )
    print(f"\n| filter | best {options.best} by | pairs found | median, ms | slowest, ms | processor, ms |")
    print("|---|---|---:|---:|---:|---:|")
    for query, order, count, median, longest, computing in lines:
        print(f"| `{query}` | `{order}` | {count:,} | {median:.0f} | {longest:.0f} | {computing:.0f} |")
    medians, slowest = [line[3] for line in lines], [line[4] for line in lines]
    print(f"\nSlowest median {max(medians):.0f} ms, slowest of all {max(slowest):.0f} ms.")
