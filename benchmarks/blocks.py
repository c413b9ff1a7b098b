"""How alike the blocks of a screen are: time of matching, cut by pairs and cut by cost.

    python -m benchmarks blocks --c2db FILE.db

One thread. Processor time, which other work on the machine changes little.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from benchmarks.hardware import describe
from benchmarks.pairs import lattices
from schema.plane_lattice import PlaneLattice
from stackscreen.pairs import PairLimits, RowMatcher, ShapeIndex, ShapeTable
from stackscreen.screening.blocks import cut, row_costs


def main(arguments: list[str]) -> None:
    """Time every few rows of the pair matrix, and print the spread of the blocks' times as a Markdown table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks blocks", description=__doc__)
    parser.add_argument("--c2db", type=Path, required=True, help="a C2DB .db file")
    parser.add_argument(
        "--every", type=int, default=4, help="time each so many-th row, and let it stand for the others"
    )
    parser.add_argument("--block-pairs", type=int, default=2_000_000)
    options = parser.parse_args(arguments)
    cells, atoms = lattices(options.c2db)
    planes = [PlaneLattice.from_vectors(cell[0], cell[1]) for cell in cells]
    ln_area, tau = np.array([p.ln_area for p in planes]), np.array([p.tau for p in planes])
    table = ShapeTable.build(ln_area, tau, atoms, PairLimits(0.02, 400.0, 200))
    matcher = RowMatcher(ShapeIndex.build(table, len(table)))
    matcher.match(0, 0)  # compiles
    seconds = np.zeros(len(table))
    for row in range(0, len(table), options.every):
        began = time.thread_time()
        matcher.match(row, row)
        seconds[row : row + options.every] = time.thread_time() - began
    costs = row_costs(table.n_shapes, len(table))
    print(f"{describe()}\n")
    print(f"{len(table):,} lattices, 2 %, 400 Å², 200 atoms; every {options.every}th row timed\n")
    print("| cut by | blocks | least, s | median, s | most, s | most / median | standard deviation / mean |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for name, chosen in (("pairs", None), ("cost", costs)):
        blocks = cut(len(table), 0, options.block_pairs, chosen)
        took = np.array([seconds[block.row_from : block.row_to].sum() for block in blocks])
        print(
            f"| {name} | {len(blocks)} | {took.min():.2f} | {np.median(took):.2f} | {took.max():.2f} "
            f"| {took.max() / np.median(took):.2f} | {took.std() / took.mean():.2f} |"
        )
