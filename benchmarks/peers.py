"""The same screen the way people do it today: pymatgen's ZSL a pair, LightGBM a row; and through ours.

    python -m benchmarks peers

Run it where `stackscreen` finds a database with a published run (STACKSCREEN_DATA_DIR or STACKSCREEN_DATABASE_URL).
Both answer the same questions of each pair, on one processor: which is its smallest supercell within the run's strain,
area and atoms; does it pass the run's rule for candidates; and if so, what do the models predict of it.

- The peer: pymatgen's ZSLGenerator, which yields coincidence lattices in the order of their size, up to the first
  within the limits; then one LightGBM model of its default size a target, `predict` on the row of the pair. The pair
  features are made, and the models fitted to them, beforehand and untimed; what they answer is not looked at.
- Ours: what a worker computes of a block, from the enumeration of the superlattices of all layers to the digest of the
  packed tile, with predictions in ensembles with intervals and all physics columns of every candidate.

Rows of the pair matrix are drawn. Ours computes them whole; of their pairs some are drawn for the peer, which would
take months for all. On these the sizes of both supercells are compared.
"""

from __future__ import annotations

import argparse
import math
import time
from dataclasses import asdict, dataclass
from functools import partial

import lightgbm
import numpy as np
from pymatgen.analysis.interfaces.zsl import ZSLGenerator
from sqlalchemy import select

from benchmarks.hardware import describe
from ml.heads import SCREENED
from ml.pair_features import PairFeatures
from ml.scorer import PairScorer
from schema import ScreeningRun
from stackscreen.pairs import PairLimits, RowMatcher, ShapeIndex, ShapeTable
from stackscreen.query.candidates import published_run
from stackscreen.query.reading import reading, reading_engine
from stackscreen.screening.blocks import Block
from stackscreen.screening.compute import CandidateRule, RunContext, compute_block
from stackscreen.screening.describe import hull_energies
from stackscreen.screening.members import MemberTable, load_members
from stackscreen.settings import get_settings


@dataclass(frozen=True)
class Screen:
    """A published run, to be computed again in parts."""

    number: int
    members: MemberTable
    limits: PairLimits
    rule: CandidateRule
    scorer: PairScorer


@dataclass(frozen=True)
class Answers:
    """What was computed, on one processor.

    Attributes:
        pairs, matched, candidates: how many.
        matching: s, match and, with ours, everything but predictions.
        predicting: s.
        products: n·m of the smallest supercell by pair, 0 = none.
    """

    pairs: int
    matched: int
    candidates: int
    matching: float
    predicting: float
    products: dict[tuple[int, int], int]

    @property
    def each(self) -> float:
        """µs a pair."""
        return 1e6 * (self.matching + self.predicting) / self.pairs


class TimedScorer:
    """A scorer that knows how long it took."""

    def __init__(self, scorer: PairScorer) -> None:
        self._scorer = scorer
        self.seconds = 0.0

    def score(
        self, material_a: np.ndarray, material_b: np.ndarray, *, strain: np.ndarray | None = None
    ) -> dict[str, np.ndarray]:
        """See `ml.scorer.PairScorer.score`."""
        began = time.thread_time()
        found = self._scorer.score(material_a, material_b, strain=strain)
        self.seconds += time.thread_time() - began
        return found


def ours(screen: Screen, rows: np.ndarray) -> Answers:
    """Whole rows of the run, as a worker computes them; processor time of this thread."""
    members = screen.members
    scorer = TimedScorer(screen.scorer)
    began = time.thread_time()
    shapes = ShapeTable.build(members.ln_area, members.tau, members.n_atoms, screen.limits)
    index = ShapeIndex.build(shapes, members.n_monolayers)
    context = RunContext(members, shapes, screen.rule, scorer, lambda _: RowMatcher(index))
    pairs = matched = candidates = 0
    products = {}
    for row in np.sort(rows).tolist():
        block = Block(row, row + 1, row, members.n_monolayers, triangular=True)
        result = compute_block(context, block)
        pairs += block.n_pairs
        matched += result.n_matched
        candidates += result.n_candidates
        (tile,) = result.tiles
        product = np.frombuffer(tile.n, np.uint8).astype(int) * np.frombuffer(tile.m, np.uint8)
        products.update({(row, row + k): int(value) for k, value in enumerate(product)})
    seconds = time.thread_time() - began
    return Answers(pairs, matched, candidates, seconds - scorer.seconds, scorer.seconds, products)


def plane(members: MemberTable, number: int) -> np.ndarray:
    """In-plane vectors of a member's reduced lattice, rows, Å, shape (2, 3)."""
    tau = members.tau[number]
    length = math.sqrt(math.exp(members.ln_area[number]) / tau.imag)
    return np.array([[length, 0.0, 0.0], [length * tau.real, length * tau.imag, 0.0]])


def smallest(members: MemberTable, limits: PairLimits, below: int, above: int) -> tuple[int, int] | None:
    """n and m of the first coincidence lattice of pymatgen's search that is within the limits; None if there is none.

    Its tolerances are as wide as they must be to hold every lattice within the strain (see `benchmarks.zsl`).
    """
    widest = 4 * limits.max_strain
    generator = ZSLGenerator(
        max_area_ratio_tol=widest, max_area=limits.max_area, max_length_tol=widest, max_angle_tol=widest,
        bidirectional=True,
    )  # fmt: skip
    area_below, area_above = math.exp(members.ln_area[below]), math.exp(members.ln_area[above])
    for match in generator(plane(members, above), plane(members, below)):
        film, substrate = (np.array(v)[:, :2] for v in (match.film_sl_vectors, match.substrate_sl_vectors))
        n = round(abs(np.linalg.det(substrate)) / area_below)
        m = round(abs(np.linalg.det(film)) / area_above)
        if n * members.n_atoms[below] + m * members.n_atoms[above] > limits.max_atoms:
            continue
        stretches = np.linalg.svd(np.linalg.solve(substrate, film), compute_uv=False)
        if np.abs(np.log(stretches)).max() <= limits.max_strain:
            return n, m
    return None


def peer(screen: Screen, drawn: list[tuple[int, int]]) -> Answers:
    """Some pairs, one after another."""
    members, rule = screen.members, screen.rule
    hull = hull_energies(members)
    places = screen.scorer.table.rows(members.material_id)
    first, second = (places[list(side)] for side in zip(*drawn, strict=True))
    rows = np.nan_to_num(PairFeatures(screen.scorer.table.values)(first, second).astype(float))
    models = [
        lightgbm.LGBMRegressor(verbose=-1, n_jobs=1, random_state=k).fit(rows, rows.sum(axis=1)).booster_
        for k in range(len(SCREENED))
    ]
    matching = predicting = 0.0
    matched = candidates = 0
    products = {}
    for k, (below, above) in enumerate(drawn):
        began = time.thread_time()
        found = smallest(members, screen.limits, below, above)
        matching += time.thread_time() - began
        products[below, above] = 0 if found is None else found[0] * found[1]
        if found is None:
            continue
        matched += 1
        atoms = found[0] * members.n_atoms[below] + found[1] * members.n_atoms[above]
        energies = hull[below], hull[above]
        most = rule.max_atoms_unknown if np.isnan(energies).any() else rule.max_atoms
        if atoms > most or max(np.nan_to_num(energies)) > rule.max_hull_energy:
            continue
        candidates += 1
        began = time.perf_counter()  # LightGBM computes in a thread of its own
        for predict in (partial(model.predict, num_threads=1) for model in models):
            predict(rows[k][None, :])
        predicting += time.perf_counter() - began
    return Answers(len(drawn), matched, candidates, matching, predicting, products)


def main(arguments: list[str]) -> None:
    """Run both and print Markdown."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks peers", description=__doc__)
    parser.add_argument("--rows", type=int, default=600, help="rows of the pair matrix that ours computes")
    parser.add_argument("--pairs", type=int, default=1000, help="of their pairs, those that the peer computes")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    engine = reading_engine(get_settings())
    with reading(engine) as connection:
        run = published_run(connection)
        asked = connection.execute(select(ScreeningRun.__table__).where(ScreeningRun.id == run.id)).one()
        members = load_members(connection, run.id)
        scorer = PairScorer.load(connection, run_id=run.id)
    engine.dispose()
    limits = PairLimits(asked.max_strain, asked.max_area, asked.max_atoms)
    screen = Screen(run.id, members, limits, CandidateRule(**asked.candidate_rule), scorer)
    rng = np.random.default_rng(options.seed)
    layers = members.n_monolayers
    rows = rng.permutation(layers)[: options.rows]
    drawn = [(int(row), int(rng.integers(row, layers))) for row in rng.choice(rows, options.pairs)]

    ours(screen, rows[:2])  # loads the compiled code
    mine, theirs = ours(screen, rows), peer(screen, drawn)
    other = sum(mine.products[pair] != product for pair, product in theirs.products.items())
    print(f"{describe()}\n")
    print(f"Run {screen.number}: {layers:,} layers; {limits}; candidates by {asdict(screen.rule)}. One processor.\n")
    print("| what | pairs | matched | candidates | match and description, s | prediction, s | µs a pair | ratio |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for name, one in (("pymatgen ZSL a pair, LightGBM a row", theirs), (f"ours, {len(rows)} whole rows", mine)):
        print(
            f"| {name} | {one.pairs:,} | {one.matched:,} | {one.candidates:,} | {one.matching:.2f} "
            f"| {one.predicting:.2f} | {one.each:,.2f} | {theirs.each / one.each:,.0f} |"
        )
    print(f"\nOf the {theirs.pairs:,} pairs that both looked at, {other} have a supercell of another size.")
