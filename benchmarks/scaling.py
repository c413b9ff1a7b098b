"""What a pair costs as a function of how many layers there are, and of how large a supercell may be.

    python -m benchmarks scaling --c2db FILE.db [--plot docs/images/cost-per-pair.svg]

Lattices are drawn from C2DB with a fixed seed, each set within the next larger one; all pairs of a set are matched. The
figures hold everything that a match does: superlattices are enumerated and sorted once a lattice, so their share falls
with N, and the rest is the pairs'.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from benchmarks.hardware import describe
from benchmarks.matching import Lattices, Timed, compile_match, match_all
from stackscreen.pairs import PairLimits

SIZES = (1000, 2000, 4000, 8000)
AREAS = (100.0, 200.0, 400.0, 800.0)
ANY_ATOMS = 2**31 - 1
_COLOUR = "#2a5c94"
_STYLE: Any = {
    "svg.hashsalt": "stackscreen",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


@dataclass(frozen=True)
class Point:
    """One match: lattices, its limits, and the best of its repetitions."""

    size: int
    limits: PairLimits
    timed: Timed

    @property
    def rate(self) -> float:
        """Pairs a second."""
        return self.timed.pairs / self.timed.seconds

    @property
    def per_pair(self) -> float:
        """ns of computing, on however many processors."""
        return 1e9 * self.timed.processor / self.timed.pairs


def measure(lattices: Lattices, limits: PairLimits, repeat: int) -> Point:
    """The fastest of some repetitions: other work on the machine only ever adds."""
    timed = min((match_all(lattices, limits) for _ in range(repeat)), key=lambda one: one.seconds)
    return Point(len(lattices), limits, timed)


def table(points: list[Point]) -> str:
    """The points as Markdown."""
    names = ("layers", "pairs", "area limit, Å²", "atoms limit", "match", "shapes a layer",
             "enumeration and sorting, s", "pairs, s", "pairs/s", "processor, ns a pair")  # fmt: skip
    lines = [f"| {' | '.join(names)} |", "|---:" * len(names) + "|"]
    for one in points:
        timed, limits = one.timed, one.limits
        atoms = "any" if limits.max_atoms == ANY_ATOMS else str(limits.max_atoms)
        figures = (
            f"{one.size:,}", f"{timed.pairs:,}", f"{limits.max_area:g}", atoms,
            f"{100 * timed.matched / timed.pairs:.1f} %", f"{timed.shapes / one.size:.0f}",
            f"{timed.enumerating + timed.sorting:.2f}", f"{timed.matching:.2f}", f"{one.rate:,.0f}",
            f"{one.per_pair:.0f}",
        )  # fmt: skip
        lines.append(f"| {' | '.join(figures)} |")
    return "\n".join(lines)


def plot(by_size: list[Point], by_area: list[Point], path: Path) -> None:
    """Cost of a pair in both series, as SVG."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(7.2, 2.9), layout="constrained")
        FigureCanvasSVG(figure)
        left, right = figure.subplots(1, 2)
        left.plot([one.size for one in by_size], [one.per_pair for one in by_size], "o-", color=_COLOUR)
        left.set(xlabel="layers", ylabel="processor time, ns a pair", xscale="log")
        left.set_xticks([one.size for one in by_size], [f"{one.size:,}" for one in by_size], minor=False)
        left.minorticks_off()
        left.set_title(f"{by_size[0].limits.max_area:g} Å², {by_size[0].limits.max_atoms} atoms", fontsize=9)
        right.plot([one.limits.max_area for one in by_area], [one.per_pair for one in by_area], "o-", color=_COLOUR)
        right.set(xlabel="largest supercell (Å²)", ylabel="processor time, ns a pair", xscale="log", yscale="log")
        right.set_xticks([one.limits.max_area for one in by_area], [f"{one.limits.max_area:g}" for one in by_area])
        right.minorticks_off()
        right.set_title(f"{by_area[0].size:,} layers, any number of atoms", fontsize=9)
        left.set_ylim(bottom=0)
        figure.savefig(path, format="svg", metadata={"Date": None})


def main(arguments: list[str]) -> None:
    """Match sets of lattices, print Markdown and draw."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks scaling", description=__doc__)
    parser.add_argument("--c2db", type=Path, required=True, help="a C2DB .db file")
    parser.add_argument("--repeat", type=int, default=3, help="times that each set is matched; the fastest counts")
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES, help="layers of the first series, before all")
    parser.add_argument("--area-layers", type=int, default=4000, help="layers of the series of area limits")
    parser.add_argument("--max-strain", type=float, default=0.02)
    parser.add_argument("--plot", type=Path, help="an .svg file to draw both series into")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    every = Lattices.of(options.c2db)
    drawn = np.random.default_rng(options.seed).permutation(len(every))
    usual = PairLimits(options.max_strain, 400.0, 200)
    compile_match(every, usual)
    sizes = [size for size in options.sizes if size < len(every)] + [len(every)]
    by_size = [measure(every.take(drawn[:size]), usual, options.repeat) for size in sizes]
    some = every.take(drawn[: options.area_layers])
    by_area = [measure(some, PairLimits(options.max_strain, area, ANY_ATOMS), options.repeat) for area in AREAS]
    print(f"{describe()}\n")
    print(f"Strain up to {options.max_strain:g}; lattices of C2DB drawn with seed {options.seed}.\n")
    print(table(by_size))
    print()
    print(table(by_area))
    costs = [one.per_pair for one in by_size]
    print(f"\nA pair costs {min(costs):.0f} to {max(costs):.0f} ns of processor time over all numbers of layers.")
    if options.plot:
        plot(by_size, by_area, options.plot)
