"""The smallest supercells of real pairs, beside pymatgen's exhaustive Zur-McGill search; and published moiré cells.

    python -m benchmarks zsl --c2db FILE.db [--hetdb FILE.db]

Pairs are drawn from every two kinds of lattice alike, and from hard cases: the smallest with the largest cells, cells
of nearly equal area, strongly elongated ones, and two oblique ones. pymatgen searches with tolerances wider than the
strain limit, both ways; its matches are then judged by the same strain. A difference is another n·m, another strain
(beyond 2e-7), or a match of one search alone.
"""

from __future__ import annotations

import argparse
import csv
import io
import math
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from pathlib import Path

import numpy as np
from ase.db import connect
from pymatgen.analysis.interfaces.zsl import ZSLGenerator

from benchmarks.hardware import describe
from benchmarks.lattices import FreeLayer, bravais, layers_of
from schema.plane_lattice import PlaneLattice
from stackscreen.pairs import PairLimits
from stackscreen.pairs.pair_file import LATTICE_COLUMNS, match_file
from stackscreen.pairs.solutions import coincidences

SAME_STRAIN = 2e-7
SAME_TWIST = 0.1
"""Degrees, between a published twist and ours: the published cells were made from other lattice constants."""
ELONGATED = 3.0
"""Im of the shape above which a cell is called elongated."""
TURNS = {"hexagonal": 60, "square": 90}
"""Degrees of the smallest turn that takes a lattice onto itself, where it is less than 180."""
NO_LIMIT = 2**31 - 1


@dataclass(frozen=True, eq=False)
class Lattice:
    """An in-plane lattice: rows of `cell` in Å, shape (2, 2)."""

    name: str
    cell: np.ndarray
    natoms: int
    area: float
    tau: complex

    @classmethod
    def of(cls, name: str, cell: np.ndarray, natoms: int) -> Lattice:
        plane = PlaneLattice.from_vectors(*cell)
        return cls(name, cell, natoms, plane.area, plane.tau)

    @property
    def kind(self) -> str:
        """Its Bravais lattice."""
        return bravais(self.tau)

    @property
    def parameters(self) -> tuple[float, float, float]:
        """Lengths in Å and the angle in degrees of the cell as it is given."""
        a, b = self.cell
        lengths = float(np.linalg.norm(a)), float(np.linalg.norm(b))
        cosine = float(a @ b) / (lengths[0] * lengths[1])
        return *lengths, math.degrees(math.acos(min(max(cosine, -1.0), 1.0)))


Pair = tuple[Lattice, Lattice]


def lattices_of(path: Path) -> list[Lattice]:
    """The lattices of all layers of a C2DB file."""
    return [_lattice(layer) for layer in layers_of(path)]


def _lattice(layer: FreeLayer) -> Lattice:
    return Lattice.of(layer.uid, layer.cell[:2, :2], len(layer.numbers))


def pairs_of_all_kinds(lattices: Sequence[Lattice], count: int, rng: np.random.Generator) -> list[Pair]:
    """`count` pairs: half of them drawn alike from every two kinds of lattice, half from four sorts of hard cases."""
    kinds = defaultdict(list)
    for lattice in lattices:
        kinds[lattice.kind].append(lattice)
    by_area = sorted(lattices, key=lambda lattice: lattice.area)
    tail = max(len(by_area) // 50, 1)
    elongated = [lattice for lattice in lattices if lattice.tau.imag > ELONGATED] or by_area
    oblique = kinds["oblique"] or by_area

    def one(among: Sequence[Lattice]) -> Lattice:
        return among[int(rng.integers(len(among)))]

    def neighbours() -> Pair:
        place = int(rng.integers(len(by_area) - 1))
        return by_area[place], by_area[place + 1]

    hard = (
        lambda: (one(by_area[:tail]), one(by_area[-tail:])),
        neighbours,
        lambda: (one(elongated), one(lattices)),
        lambda: (one(oblique), one(oblique)),
    )
    every_two = list(combinations_with_replacement(sorted(kinds), 2))
    pairs = []
    for k in range(count):
        if k % 2:
            pairs.append(hard[k // 2 % len(hard)]())
        else:
            below, above = every_two[k // 2 % len(every_two)]
            pairs.append((one(kinds[below]), one(kinds[above])))
    return pairs


def exhaustive_zsl(one: Lattice, other: Lattice, limits: PairLimits) -> tuple[int, float] | None:
    """Least n·m and its least strain among all that pymatgen's search yields within the limits, atoms aside.

    It yields in the order of n·m, so that what comes after the first that is good enough is larger.
    """
    # e^(2ε) - 1 in area, e^ε - 1 in length, and less than 2ε of 60 to 90° in angle: with room to spare.
    widest = 4 * limits.max_strain
    generator = ZSLGenerator(
        max_area_ratio_tol=widest,
        max_area=limits.max_area + 1.0,
        max_length_tol=widest,
        max_angle_tol=widest,
        bidirectional=True,
    )
    flat = [np.column_stack([side.cell, np.zeros(2)]) for side in (other, one)]
    areas = abs(np.linalg.det(one.cell)), abs(np.linalg.det(other.cell))
    best: tuple[int, float] | None = None
    for match in generator(*flat):
        film, substrate = (np.array(v) for v in (match.film_sl_vectors, match.substrate_sl_vectors))
        # Lengths and angle, as the search itself sees them: handedness aside.
        grams = [vectors @ vectors.T for vectors in (substrate, film)]
        sizes = [math.sqrt(np.linalg.det(gram)) for gram in grams]
        n, m = (round(size / area) for size, area in zip(sizes, areas, strict=True))
        if best is not None and n * m > best[0]:
            break
        lower, upper = (np.linalg.cholesky(gram) for gram in grams)
        strain = float(np.abs(np.log(np.linalg.svd(np.linalg.solve(lower, upper), compute_uv=False))).max())
        if strain <= limits.max_strain and max(sizes) <= limits.max_area * (1 + 1e-9):
            best = min(best or (n * m, strain), (n * m, strain))
    return best


def ours(pairs: Sequence[Pair], limits: PairLimits) -> list[tuple[int, float] | None]:
    """n·m and strain of the smallest supercells, the way of `stackscreen match --pairs`."""
    rows = io.StringIO()
    writer = csv.writer(rows)
    writer.writerow(LATTICE_COLUMNS)
    writer.writerows([*one.parameters, one.natoms, *other.parameters, other.natoms] for one, other in pairs)
    rows.seek(0)
    answer = io.StringIO()
    match_file(rows, answer, limits)
    answer.seek(0)
    return [
        (int(row["n"]) * int(row["m"]), float(row["strain"])) if row["n"] != "0" else None
        for row in csv.DictReader(answer)
    ]


def differ(one: tuple[int, float] | None, other: tuple[int, float] | None) -> bool:
    """Whether two searches found something else."""
    if one is None or other is None:
        return one is not other
    return one[0] != other[0] or abs(one[1] - other[1]) > SAME_STRAIN


@dataclass
class Reproduced:
    """How many published moiré cells were found again.

    Attributes:
        records: published cells.
        within: of these, those whose n and m cells of the free layers coincide within the limits.
        twist: of these, those whose twist is that of a coincidence of their n and m, or that these are a multiple of.
        smallest: of these, those whose n·m is the smallest within the strain of their own match.
        outside: why the others are not within, with their numbers.
        missed: name, published twist and those that were found, of those within that were not found again.
    """

    records: int = 0
    within: int = 0
    twist: int = 0
    smallest: int = 0
    outside: Counter[str] | None = None
    missed: list[tuple[str, float, list[float]]] | None = None


def hetdb_reproduced(
    hetdb: Path, c2db: Path, limits: PairLimits | None = None, at_most: int | None = None
) -> Reproduced:
    """Look for the published cells of HetDB among the coincidence lattices of C2DB's free layers.

    n and m are told by the atoms of the published cell. A twist is without sign and folded by the turns of the two
    lattices where these are hexagonal or square; of others the file does not say from which vector it counts, and the
    angle is taken as it is.
    """
    limits = limits or PairLimits(0.02, 400.0, NO_LIMIT)
    rows = list(connect(hetdb).select(limit=at_most))
    wanted = {uid for row in rows for uid in (row.uid_a, row.uid_b)}
    free = {layer.uid: layer for layer in layers_of(c2db) if layer.uid in wanted}
    layers = {uid: _lattice(layer) for uid, layer in free.items()}
    composition = {uid: Counter(layer.numbers.tolist()) for uid, layer in free.items()}
    found = Reproduced(outside=Counter(), missed=[])
    assert found.outside is not None
    assert found.missed is not None
    for row in rows:
        found.records += 1
        below, above = layers[row.uid_b], layers[row.uid_a]
        cells = _cells(Counter(row.numbers.tolist()), composition[row.uid_b], composition[row.uid_a])
        cells = {(n, m) for n, m in cells if max(n * below.area, m * above.area) <= limits.max_area}
        if not cells:
            found.outside[f"larger than {limits.max_area:g} Å²"] += 1
            continue
        every = coincidences(below.cell, above.cell, (below.natoms, above.natoms), limits)
        same = [
            one for one in every
            if any(n % one.n == 0 and m * one.n == n * one.m for n, m in cells)
        ]  # fmt: skip
        if not same:
            found.outside[f"more than {100 * limits.max_strain:g} % strained"] += 1
            continue
        found.within += 1
        stated = row.twist_angle
        turns = [TURNS[side.kind] for side in (below, above) if side.kind in TURNS]
        if len(turns) == 2:
            stated = abs(math.remainder(stated, math.gcd(*turns)))
        hits = [one for one in same if abs(one.twist - stated) <= SAME_TWIST]
        if not hits:
            found.missed.append((row.bilayer_uid, row.twist_angle, sorted({round(one.twist, 2) for one in same})))
            continue
        found.twist += 1
        hit = min(hits, key=lambda one: one.strain)
        smaller = any(one.n * one.m < hit.n * hit.m and one.strain <= hit.strain + SAME_STRAIN for one in every)
        found.smallest += not smaller
    return found


def _cells(total: Counter[int], below: Counter[int], above: Counter[int]) -> set[tuple[int, int]]:
    """All n and m with n cells of the one and m of the other layer making up the atoms."""
    elements = set(total) | set(below) | set(above)
    return {
        (n, m)
        for n in range(1, total.total() // below.total() + 1)
        for m in [(total.total() - n * below.total()) // above.total()]
        if m > 0 and all(n * below[z] + m * above[z] == total[z] for z in elements)
    }


def main(arguments: list[str]) -> None:
    """Compare pair by pair and print Markdown."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks zsl", description=__doc__)
    parser.add_argument("--c2db", type=Path, required=True, help="a C2DB .db file")
    parser.add_argument("--hetdb", type=Path, help="a HetDB .db file")
    parser.add_argument("--pairs", type=int, default=2000)
    parser.add_argument("--max-strain", type=float, default=0.02)
    parser.add_argument("--max-area", type=float, default=400.0, help="Å²")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    limits = PairLimits(options.max_strain, options.max_area, NO_LIMIT)
    pairs = pairs_of_all_kinds(lattices_of(options.c2db), options.pairs, np.random.default_rng(options.seed))
    ours(pairs[:2], limits)  # compiles
    exhaustive_zsl(*pairs[0], limits)
    began = time.perf_counter()
    mine = ours(pairs, limits)
    seconds = time.perf_counter() - began
    began = time.perf_counter()
    theirs = [exhaustive_zsl(one, other, limits) for one, other in pairs]
    peer = time.perf_counter() - began
    wrong = [(pair, a, b) for pair, a, b in zip(pairs, mine, theirs, strict=True) if differ(a, b)]
    print(f"{describe()}\n")
    print(f"{len(pairs):,} pairs of C2DB's layers; strain {limits.max_strain:g}, {limits.max_area:g} Å², any atoms\n")
    print("| what | figure |\n|---|---:|")
    print(f"| pairs that match, ours | {sum(found is not None for found in mine):,} |")
    print(f"| pairs that match, exhaustive ZSL | {sum(found is not None for found in theirs):,} |")
    print(f"| different | {len(wrong)} |")
    print(f"| ours, `match --pairs`, twists included | {seconds:.2f} s |")
    print(f"| exhaustive ZSL, up to the smallest match | {peer:.0f} s |")
    print(f"| ratio | {peer / seconds:,.0f} |")
    kinds = Counter(" and ".join(sorted((one.kind, other.kind))) for one, other in pairs)
    print(f"\nKinds: {dict(sorted(kinds.items()))}")
    for (one, other), a, b in wrong:
        print(f"  {one.name} {one.parameters} and {other.name} {other.parameters}: ours {a}, ZSL {b}")
    if options.hetdb:
        found = hetdb_reproduced(options.hetdb, options.c2db, limits)
        print(f"\nHetDB: {found.records} cells, {found.within} within the limits ({dict(found.outside or {})} others);")
        print(f"twist and atoms reproduced: {found.twist} of {found.within};")
        print(f"no smaller supercell within its strain: {found.smallest} of {found.twist}")
        for name, stated, twists in found.missed or []:
            print(f"  {name}: {stated}°, found {twists}")
