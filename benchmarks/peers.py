"""The same pairs through ours and through what people use today: pymatgen's ZSL a pair, LightGBM a row.

    python -m benchmarks peers

Run it where `stackscreen` finds a database with a published run (STACKSCREEN_DATA_DIR or STACKSCREEN_DATABASE_URL).
Some of its layers are drawn, and all pairs of them are looked at twice, one after the other on the same machine:

- the peer: for each pair pymatgen's ZSLGenerator up to its first, lowest-area match, with tolerances as wide as the
  strain limit; then `predict` of one LightGBM model of its default size on the row of a pair that matches. The pair
  features are made, and the model is fitted to them, beforehand and untimed; what it answers is not looked at;
- ours: the smallest supercell of every pair, least strained of that size; then every served model on all pairs that
  match, with intervals; pair features included.

Ours is measured once more on all pairs of these layers with all layers of the run: it enumerates superlattices once a
layer, which few pairs must bear alone.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import lightgbm
import numpy as np
from pymatgen.analysis.interfaces.zsl import ZSLGenerator

from benchmarks.hardware import describe
from ml.pair_features import PairFeatures
from ml.scorer import PairScorer
from stackscreen.pairs import PairLimits, RowMatcher, ShapeIndex, ShapeTable
from stackscreen.query.candidates import published_run
from stackscreen.query.reading import reading, reading_engine
from stackscreen.screening.members import MemberTable, load_members
from stackscreen.settings import get_settings

Matched = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Row, column and strain of each pair with a coincidence lattice."""


def plane(ln_area: float, tau: complex) -> np.ndarray:
    """In-plane vectors of a reduced lattice, rows, Å, shape (2, 3)."""
    length = math.sqrt(math.exp(ln_area) / tau.imag)
    return np.array([[length, 0.0, 0.0], [length * tau.real, length * tau.imag, 0.0]])


def ours(
    members: MemberTable, scorer: PairScorer, numbers: np.ndarray, n_rows: int, limits: PairLimits
) -> tuple[float, float, int, int]:
    """Seconds of the match and of the prediction, pairs, and matched pairs: the first rows with all from there on."""
    began = time.perf_counter()
    table = ShapeTable.build(members.ln_area[numbers], members.tau[numbers], members.n_atoms[numbers], limits)
    index = ShapeIndex.build(table, len(numbers))
    threads = len(os.sched_getaffinity(0))

    def match(rows: range) -> list[Matched]:
        matcher = RowMatcher(index)
        found = []
        for row in rows:
            one = matcher.match(row, row)
            places = np.flatnonzero(one.n)
            found.append((np.full(places.size, row), row + places, one.strain[places]))
        return found

    with ThreadPoolExecutor(threads) as pool:
        parts = list(pool.map(match, [range(first, n_rows, threads) for first in range(threads)]))
    bottom, top, strain = (
        np.concatenate(column) for column in zip(*(one for part in parts for one in part), strict=True)
    )
    matching = time.perf_counter() - began
    ids = members.material_id[numbers]
    began = time.perf_counter()
    # LightGBM uses all processors by itself.
    scorer.score(ids[bottom], ids[top], strain=strain)
    scoring = time.perf_counter() - began
    return matching, scoring, sum(len(numbers) - row for row in range(n_rows)), bottom.size


def peer(
    members: MemberTable, numbers: np.ndarray, limits: PairLimits, predict: Callable[[int, int], object]
) -> tuple[float, float, int]:
    """Seconds of the search and of the predictions, and matched pairs, of every pair of some layers."""
    # The peer: all supercells up to the area, then the smallest; tolerances as wide as the strain.
    zsl = ZSLGenerator(
        max_area_ratio_tol=2 * limits.max_strain, max_area=limits.max_area, max_length_tol=2 * limits.max_strain,
        max_angle_tol=2 * limits.max_strain,
    )  # fmt: skip
    planes = [plane(members.ln_area[number], members.tau[number]) for number in numbers]
    searching = predicting = 0.0
    matched = 0
    for i, one in enumerate(planes):
        for j in range(i, len(planes)):
            began = time.perf_counter()
            found = next(zsl(planes[j], one, lowest=True), None)
            searched = time.perf_counter()
            searching += searched - began
            if found is not None:
                predict(i, j)
                predicting += time.perf_counter() - searched
                matched += 1
    return searching, predicting, matched


def main(arguments: list[str]) -> None:
    """Run both and print Markdown."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks peers", description=__doc__)
    parser.add_argument("--layers", type=int, default=60, help="layers that are drawn; all pairs of them are looked at")
    parser.add_argument("--max-strain", type=float, default=0.02)
    parser.add_argument("--max-area", type=float, default=400.0, help="Å²")
    parser.add_argument("--max-atoms", type=int, default=200, help="for ours; ZSL knows no atoms")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    limits = PairLimits(options.max_strain, options.max_area, options.max_atoms)
    engine = reading_engine(get_settings())
    with reading(engine) as connection:
        run = published_run(connection)
        members = load_members(connection, run.id)
        scorer = PairScorer.load(connection, run_id=run.id)
    engine.dispose()
    described = np.flatnonzero(scorer.table.rows(members.material_id[: members.n_monolayers]) >= 0)
    drawn = np.random.default_rng(options.seed).permutation(described)
    some = drawn[: options.layers]

    places = scorer.table.rows(members.material_id[some])
    first, second = np.triu_indices(len(some))
    rows = np.nan_to_num(PairFeatures(scorer.table.values)(places[first], places[second]).astype(float))
    place = {(int(i), int(j)): k for k, (i, j) in enumerate(zip(first, second, strict=True))}
    model = lightgbm.LGBMRegressor(verbose=-1).fit(rows, rows.sum(axis=1)).booster_

    ours(members, scorer, some[:3], 3, limits)  # loads the compiled code
    searching, predicting, theirs = peer(
        members, some, limits, lambda i, j: model.predict(rows[place[i, j]][None, :], num_threads=1)
    )
    mine = ours(members, scorer, some, len(some), limits)
    wide = ours(members, scorer, drawn, len(some), limits)

    print(f"{describe()}\n")
    print(f"{len(first):,} pairs of {len(some)} layers of run {run.id}; {limits}\n")
    print("| what | pairs | with a match | match, s | prediction, s | µs a pair | ratio |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    theirs_each = 1e6 * (searching + predicting) / len(first)
    name = "pymatgen ZSL a pair, one LightGBM model a row"
    print(f"| {name} | {len(first):,} | {theirs:,} | {searching:.2f} | {predicting:.2f} | {theirs_each:,.0f} | 1 |")
    for name, (matching, scoring, pairs, matched) in (
        ("ours, the same pairs", mine),
        (f"ours, these layers with all {len(drawn):,}", wide),
    ):
        each = 1e6 * (matching + scoring) / pairs
        figures = f"{pairs:,} | {matched:,} | {matching:.3f} | {scoring:.3f} | {each:.2f} | {theirs_each / each:,.0f}"
        print(f"| {name} | {figures} |")
