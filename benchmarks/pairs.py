"""Coincidence lattices per second, beside pymatgen's Zur-McGill search on the same pairs.

    python -m benchmarks pairs --c2db FILE.db

One process, a thread a processor.
"""

from __future__ import annotations

import argparse
import os
import resource
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from pymatgen.analysis.interfaces.zsl import ZSLGenerator

from benchmarks.hardware import describe
from schema.plane_lattice import PlaneLattice
from stackscreen.pairs import PairLimits, RowMatcher, ShapeIndex, ShapeTable


def lattices(path: Path) -> tuple[list[np.ndarray], np.ndarray]:
    """Cells in Å and numbers of atoms of every row of an ASE database."""
    with sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True) as database:
        rows = database.execute("SELECT cell, natoms FROM systems").fetchall()
    cells = [np.frombuffer(cell, "<f8").reshape(3, 3) for cell, _ in rows]
    return cells, np.array([natoms for _, natoms in rows])


def _match_rows(index: ShapeIndex, rows: np.ndarray) -> int:
    """Pairs with a match, of each row with itself and all later lattices."""
    matcher = RowMatcher(index)
    return sum(int((matcher.match(int(row), int(row)).n > 0).sum()) for row in rows)


def main(arguments: list[str]) -> None:
    """Time the match on random rows of the pair matrix and print a Markdown table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks pairs", description=__doc__)
    parser.add_argument("--c2db", type=Path, required=True, help="a C2DB .db file")
    parser.add_argument("--rows", type=int, help="random rows of the pair matrix to time; default: all")
    parser.add_argument("--zsl-pairs", type=int, default=40, help="pairs that pymatgen is timed on")
    parser.add_argument("--max-strain", type=float, default=0.02)
    parser.add_argument("--max-area", type=float, default=400.0, help="Å²")
    parser.add_argument("--max-atoms", type=int, default=200)
    options = parser.parse_args(arguments)
    limits = PairLimits(options.max_strain, options.max_area, options.max_atoms)
    cells, atoms = lattices(options.c2db)
    planes = [PlaneLattice.from_vectors(cell[0], cell[1]) for cell in cells]
    ln_area, tau = np.array([p.ln_area for p in planes]), np.array([p.tau for p in planes])
    small = ShapeTable.build(ln_area[:2], tau[:2], atoms[:2], limits)  # compiles
    RowMatcher(ShapeIndex.build(small, 2)).match(0, 0)
    began = time.perf_counter()
    table = ShapeTable.build(ln_area, tau, atoms, limits)
    building = time.perf_counter() - began
    began = time.perf_counter()
    index = ShapeIndex.build(table, len(cells))
    indexing = time.perf_counter() - began
    generator = np.random.default_rng(0)
    n_rows = min(options.rows or len(cells), len(cells))
    rows = np.sort(generator.choice(len(cells), n_rows, replace=False))
    threads = len(os.sched_getaffinity(0))
    began = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        matched = sum(pool.map(lambda part: _match_rows(index, rows[part::threads]), range(threads)))
    seconds = time.perf_counter() - began
    pairs = int((len(cells) - rows).sum())
    # The peer: all supercells up to the area, then the smallest; tolerances as wide as the strain.
    zsl = ZSLGenerator(
        max_area_ratio_tol=2 * limits.max_strain, max_area=limits.max_area, max_length_tol=2 * limits.max_strain,
        max_angle_tol=2 * limits.max_strain,
    )  # fmt: skip
    began = time.perf_counter()
    for _ in range(options.zsl_pairs):
        one, other = generator.choice(len(cells), 2)
        next(zsl(cells[one][:2], cells[other][:2], lowest=True), None)
    peer = (time.perf_counter() - began) / max(options.zsl_pairs, 1)
    total = len(cells) * (len(cells) + 1) // 2
    print(f"{describe()}\n")
    print(f"{len(cells):,} lattices, {total:,} pairs; {limits}\n")
    print("| what | figure |\n|---|---:|")
    print(f"| superlattice shapes enumerated | {len(table.shape_re):,} in {building:.2f} s |")
    print(f"| sorted into the grid | {indexing:.2f} s |")
    print(f"| pairs matched | {pairs:,} in {seconds:.2f} s |")
    print(f"| pairs/s, {threads} threads | {pairs / seconds:,.0f} |")
    print(f"| the same with enumeration and sorting | {pairs / (seconds + building + indexing):,.0f} |")
    print(f"| peak memory of the process | {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MiB |")
    print(f"| with a coincidence lattice within the limits | {100 * matched / pairs:.1f} % |")
    print(f"| all pairs at this rate | {total * seconds / pairs:.0f} s |")
    print(f"| pymatgen ZSL, first (lowest-area) match only | {1 / peer:.1f} pairs/s |")
    print(f"| ratio per pair | {peer / (seconds / pairs):,.0f} |")
