"""How well and how fast deduplication tells which layers are the same, beside pymatgen's StructureMatcher.

    python -m benchmarks dedupe --c2db FILE.db [--peer]

Recall: layers of C2DB, drawn at random from each kind of lattice, against copies of themselves that were changed in
ways that leave the material what it is. Precision: every two entries of C2DB of one formula; different uids are
different materials in the judgement of C2DB's authors. Copies and entries go the way that an import takes them:
canonical slab, then `etl.dedupe.decide.compare`. The peer sees the cells as they come, with their vacuum, as a user of
`StructureMatcher()` would give them.
"""

from __future__ import annotations

import argparse
import math
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np
from ase import Atoms as AseAtoms
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure

from benchmarks.disguise import BASES, PLAIN, Disguise, disguised
from benchmarks.hardware import describe
from benchmarks.lattices import bravais
from etl.canonical import canonical_slab
from etl.dedupe.decide import BROKEN_RMS, MAX_SIZE_RATIO, compare
from etl.dedupe.layers import Layer
from etl.dedupe.matching import match
from etl.formula import formulas
from etl.records import Atoms, Record
from etl.source import get_source
from schema import quantities as q

MAX_ATOMS = 24
"""Atoms of the layers that are drawn."""
NOISE = 0.03
"""Å, standard deviation of each coordinate."""
ACHIRAL = 0.01
"""Å, the rms between a layer and its mirror image below which it is called achiral."""
STRAIN = 0.01
"""Largest strain along either of two directions of the plane."""
REPEATS = ((2, 1, 0), (1, 2, 0), (3, 1, 0), (1, 3, 0), (2, 2, 0), (3, 1, 1), (2, 1, 1), (1, 4, 0))
"""Supercells (p a + s b, q b) as (p, q, s)."""


@dataclass(frozen=True, eq=False)
class Entry:
    """One entry of C2DB: its cell as the file has it, and what deduplication makes of it."""

    uid: str
    atoms: Atoms
    layer: Layer


def as_layer(atoms: Atoms, uid: str, magnetic: str | None = None) -> Layer:
    """A structure on the way that an import takes it."""
    slab = canonical_slab(atoms)
    formula = formulas(slab.numbers.tolist())[0]
    return Layer(0, 0, (10, "c2db", uid), formula, slab.numbers, slab.positions, slab.cell, 2, magnetic)


def read(path: Path) -> list[Entry]:
    """All entries of a C2DB file."""
    entries = []
    for record in get_source("c2db").records(path):
        if isinstance(record, Record) and record.atoms is not None:
            labels = [f.value for f in record.facts if f.quantity is q.MAGNETIC_STATE]
            magnetic = str(labels[0]) if labels else None
            layer = as_layer(record.atoms, record.external_id, magnetic)
            entries.append(Entry(record.external_id, record.atoms, layer))
    return entries


def lattice_kind(layer: Layer) -> str:
    """The Bravais lattice of the cell's shape, to 0.1 %; layers of one atom are a kind of their own."""
    return "one atom" if len(layer.numbers) == 1 else bravais(layer.lattice.tau)


def sample(entries: Sequence[Entry], each: int, rng: np.random.Generator) -> list[Entry]:
    """Up to `each` entries of every kind of lattice, at random."""
    kinds = defaultdict(list)
    for entry in entries:
        if len(entry.layer.numbers) <= MAX_ATOMS:
            kinds[lattice_kind(entry.layer)].append(entry)
    return [
        members[i]
        for _, members in sorted(kinds.items())
        for i in sorted(rng.choice(len(members), min(each, len(members)), replace=False))
    ]


Change = Callable[[Disguise, np.random.Generator], Disguise]


def _supercell(how: Disguise, rng: np.random.Generator, repeats: Sequence[tuple[int, int, int]]) -> Disguise:
    p, q, skew = repeats[int(rng.integers(len(repeats)))]
    return replace(how, repeat=(p, q), skew=skew)


CHANGES: dict[str, Change] = {
    "rotated": lambda how, rng: replace(how, angles=tuple(rng.uniform(0, 2 * np.pi, 3))),
    "other in-plane vectors": lambda how, rng: replace(how, base=int(rng.integers(1, len(BASES)))),
    "2x1 supercell": lambda how, rng: _supercell(how, rng, REPEATS[:2]),
    "other supercells": lambda how, rng: _supercell(how, rng, REPEATS[2:]),
    "flipped": lambda how, rng: replace(how, turned=True),
    "shifted origin": lambda how, rng: replace(how, shift=tuple(rng.uniform(-1, 1, 3))),
    "atoms in another order": lambda how, rng: replace(how, seed=int(rng.integers(2**31))),
    "vacuum 12 to 40 Å": lambda how, rng: replace(how, vacuum=float(rng.uniform(12, 40))),
    "vacuum along the first or second vector": lambda how, rng: replace(how, axis=int(rng.integers(2))),
    "tilted third vector": lambda how, rng: replace(how, tilt=tuple(rng.uniform(-0.5, 0.5, 2))),
    "left-handed cell": lambda how, rng: replace(how, left_handed=True),
    "strained by up to 1 %": lambda how, rng: replace(how, stretch=tuple(rng.uniform(-STRAIN, STRAIN, 2))),
    "noise of 0.03 Å": lambda how, rng: replace(how, gaussian=NOISE, seed=int(rng.integers(2**31))),
}
TOGETHER = "all together"
BESIDES = {
    "supercell and noise": ("2x1 supercell", "noise of 0.03 Å"),
    "other supercells and noise": ("other supercells", "noise of 0.03 Å"),
    TOGETHER: tuple(name for name in CHANGES if name not in {"2x1 supercell", "flipped", "left-handed cell"}),
}
"""Several changes at once; in all together a flip and a left-handed cell come up every other time."""


def copies(entry: Entry, rng: np.random.Generator) -> Iterator[tuple[str, Atoms]]:
    """A disguised copy of an entry for every change, and for several at once; else the cell stays what it was."""
    # In canonical form first: the changes are made to a cell whose third vector crosses the vacuum.
    slab = canonical_slab(entry.atoms)
    work = AseAtoms(slab.numbers, slab.positions, cell=slab.cell, pbc=True)
    for name in (*CHANGES, *BESIDES):
        how = replace(PLAIN, vacuum=slab.vacuum or PLAIN.vacuum, seed=int(rng.integers(2**31)))
        for change in BESIDES.get(name, (name,)):
            how = CHANGES[change](how, rng)
        if name == TOGETHER:
            how = replace(how, turned=bool(rng.integers(2)), left_handed=bool(rng.integers(2)))
        yield name, disguised(work, how)


def mirrored(entry: Entry) -> Layer:
    """The mirror image of an entry, in a plane across the layer."""
    slab = canonical_slab(entry.atoms)
    return as_layer(Atoms(slab.numbers, slab.positions * [-1, 1, 1], slab.cell * [-1, 1, 1]), entry.uid)


def pairs_of_one_formula(entries: Sequence[Entry]) -> list[tuple[Entry, Entry]]:
    """All pairs of entries of one reduced formula."""
    blocks = defaultdict(list)
    for entry in entries:
        blocks[entry.layer.formula].append(entry)
    return [pair for block in blocks.values() for pair in combinations(block, 2)]


def _structure(atoms: Atoms) -> Structure:
    return Structure(Lattice(atoms.cell), atoms.numbers.tolist(), atoms.positions, coords_are_cartesian=True)


def _geometry(layer: Layer) -> Layer:
    """The layer without its magnetic label."""
    return replace(layer, magnetic=None)


def _speed(call: Callable[[], int]) -> float:
    began = time.perf_counter()
    done = call()
    return done / (time.perf_counter() - began)


def main(arguments: list[str]) -> None:
    """Measure recall, precision and speed on a C2DB file and print Markdown tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks dedupe", description=__doc__)
    parser.add_argument("--c2db", type=Path, required=True, help="a C2DB .db file")
    parser.add_argument("--each", type=int, default=160, help="layers of each kind of lattice")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--peer", action="store_true", help="also run pymatgen's StructureMatcher (minutes)")
    options = parser.parse_args(arguments)
    entries = read(options.c2db)
    rng = np.random.default_rng(options.seed)
    drawn = sample(entries, options.each, rng)
    peer = StructureMatcher() if options.peer else None
    compare(drawn[0].layer, mirrored(drawn[0]))  # compiles
    print(f"{describe()}\n")
    kinds = Counter(lattice_kind(entry.layer) for entry in drawn)
    sizes = [len(entry.layer.numbers) for entry in drawn]
    print(f"{len(drawn)} layers of {min(sizes)} to {max(sizes)} atoms: {dict(kinds)}; seed {options.seed}\n")
    _print_recall(drawn, rng, peer)
    _print_precision(entries, peer)
    _print_speed(entries)


def _print_recall(drawn: Sequence[Entry], rng: np.random.Generator, peer: StructureMatcher | None) -> None:
    found: Counter[str] = Counter()
    theirs: Counter[str] = Counter()
    missed = []
    ours_s = theirs_s = 0.0
    for entry in drawn:
        for name, copy in copies(entry, rng):
            began = time.perf_counter()
            verdict = compare(entry.layer, as_layer(copy, entry.uid))
            ours_s += time.perf_counter() - began
            found[name] += verdict.same
            if not verdict.same:
                missed.append((name, entry.uid, verdict.evidence))
            if peer is not None:
                began = time.perf_counter()
                theirs[name] += bool(peer.fit(_structure(entry.atoms), _structure(copy)))
                theirs_s += time.perf_counter() - began
    print("| change | found | pymatgen's default |\n|---|---:|---:|")
    for name in (*CHANGES, *BESIDES):
        other = f"{100 * theirs[name] / len(drawn):.1f} %" if peer is not None else ""
        print(f"| {name} | {100 * found[name] / len(drawn):.2f} % | {other} |")
    n = len(drawn) * (len(CHANGES) + len(BESIDES))
    print(f"\n{n:,} copies, {n / ours_s:,.0f}/s with their canonical slabs", end="")
    print(f"; pymatgen {n / theirs_s:,.0f}/s" if theirs_s else "")
    for name, uid, evidence in missed:
        print(f"  missed: {uid}, {name}: {evidence}")
    hands: Counter[str] = Counter()
    apart: Counter[str] = Counter()
    for entry in drawn:
        own = match(entry.layer.pattern, entry.layer.pattern, mirrored=True)
        kind = "chiral" if own is None or own.rms > BROKEN_RMS else "achiral" if own.rms < ACHIRAL else "weakly chiral"
        hands[kind] += 1
        apart[kind] += not compare(_geometry(entry.layer), mirrored(entry)).same
    print("\n| mirror image of a layer that is | layers | kept apart |\n|---|---:|---:|")
    for kind in ("chiral", "weakly chiral", "achiral"):
        print(f"| {kind} | {hands[kind]} | {apart[kind]} |")
    print()


def _print_precision(entries: Sequence[Entry], peer: StructureMatcher | None) -> None:
    pairs = pairs_of_one_formula(entries)
    near = [abs(math.log(a.layer.size_per_atom / b.layer.size_per_atom)) <= MAX_SIZE_RATIO for a, b in pairs]
    merged = [(a, b) for a, b in pairs if compare(a.layer, b.layer).same]
    unlabelled = [(a, b) for a, b in pairs if compare(_geometry(a.layer), _geometry(b.layer)).same]
    print("| pairs of one formula in C2DB | number | merged | pymatgen's default |\n|---|---:|---:|---:|")
    theirs: list[bool] = []
    rate = 0.0
    if peer is not None:
        structures = {id(e): _structure(e.atoms) for pair in pairs for e in pair}
        began = time.perf_counter()
        theirs = [bool(peer.fit(structures[id(a)], structures[id(b)])) for a, b in pairs]
        rate = len(pairs) / (time.perf_counter() - began)
    close = sum(t and n for t, n in zip(theirs, near, strict=False)) if theirs else ""
    print(f"| all | {len(pairs):,} | {len(merged)} | {sum(theirs) if theirs else ''} |")
    print(f"| of about the same area per atom | {sum(near):,} | {len(merged)} | {close} |")
    print(f"| all, magnetic labels ignored | {len(pairs):,} | {len(unlabelled)} | |")
    if rate:
        print(f"\npymatgen: {rate:,.0f} pairs/s")
    for a, b in unlabelled:
        verdict = compare(_geometry(a.layer), _geometry(b.layer))
        print(f"  merged: {a.uid} ({a.layer.magnetic}) and {b.uid} ({b.layer.magnetic}): {verdict.evidence}")


def _print_speed(entries: Sequence[Entry]) -> None:
    fresh = [replace(entry.layer) for entry in entries]

    def patterns() -> int:
        return len([layer.pattern for layer in fresh])

    def fingerprints() -> int:
        return len([layer.fingerprint_at(layer.size_per_atom) for layer in fresh])

    pairs = pairs_of_one_formula(entries)
    cached = dict(zip((id(e) for e in entries), fresh, strict=True))
    rates = {"primitive cells": _speed(patterns), "fingerprints": _speed(fingerprints)}

    def comparisons() -> int:
        return len([compare(cached[id(a)], cached[id(b)]) for a, b in pairs])

    rates["comparisons of entries of one formula"] = _speed(comparisons)
    print("\n| one process | a second |\n|---|---:|")
    for name, rate in rates.items():
        print(f"| {name} | {rate:,.0f} |")
