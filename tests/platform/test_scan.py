"""A scan finds what a naive pass over every pair finds, and what plain SQL finds in the tiles."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from benchmarks.scan import FILTERS, levels, members, pairs
from schema.vocabulary import AlignmentType, InterfaceKind
from stackscreen.query.candidates import Order, published_run
from stackscreen.query.conditions import where
from stackscreen.query.criteria import Criteria, CriteriaError, condition
from stackscreen.query.reading import reading
from stackscreen.scan.cache import open_cache
from stackscreen.scan.kernel import STRETCH, Tiles
from stackscreen.scan.layout import PairLayout
from stackscreen.scan.levels import Levels
from stackscreen.scan.members import Directory
from stackscreen.scan.scanner import Scanner
from stackscreen.screening.describe import derived_columns
from stackscreen.screening.packing import STRAIN_UNIT
from stackscreen.settings import Settings

PACKED = {"n": 1.0, "m": 1.0, "n_atoms": 1.0, "strain": STRAIN_UNIT, "score": 1 / 65535}
REAL = ("area", "gap_anderson", "valence_offset", "conduction_offset", "work_function_difference", "hull_energy")


class Naive:
    """Every pair as a row of columns, and every condition as a Python expression over it."""

    def __init__(self, directory: Directory, tiles: Tiles) -> None:
        layers = directory.table.n_monolayers
        found = [(i, j) for i in range(layers) for j in range(i, layers)]
        found += [(i, j) for i in range(layers, len(directory.table)) for j in range(layers)]
        bottom, top = np.array(found).T
        n, m, strain, score = (column.astype(float) for column in tiles)
        atoms = n * directory.table.n_atoms[bottom] + m * directory.table.n_atoms[top]
        hull = np.where(bottom < layers, directory.table.columns["hull_energy"][bottom], 0.0)
        hull = np.maximum(hull, directory.table.columns["hull_energy"][top])
        with np.errstate(all="ignore"):
            described = derived_columns(
                directory.table, np.column_stack([bottom, top, n, m, strain * STRAIN_UNIT, atoms, score / 65535, hull])
            )
        self.directory, self.bottom, self.top = directory, bottom, top
        self.columns: dict[str, Any] = {name: np.float32(described[name][1]) for name in REAL}  # type: ignore[index]
        self.columns |= {"n": n, "m": m, "n_atoms": atoms, "strain": strain * STRAIN_UNIT, "score": score / 65535}
        for name in ("kind", "alignment"):
            column: Any = described[name]
            words = np.array([*(word.decode() for word in column.words), ""])
            self.columns[name] = words[column.codes]
        self.matched = n > 0

    def _sides(self, rule: Callable[[int, Any], bool], value: Any) -> tuple[np.ndarray, np.ndarray]:
        mask = np.array([rule(member, value) for member in range(len(self.directory.table))], bool)
        return mask[self.bottom], mask[self.top]

    def _has(self, member: int, symbol: str) -> bool:
        return bool(self.directory.with_element(symbol)[member])

    def _is(self, member: int, names: set[str]) -> bool:
        d = self.directory
        uid, formula = d.uids[member].lower(), d.formulas[member].lower()
        return bool({uid, formula, formula + uid[uid.index("(") :] if "(" in uid else formula} & names)

    def _reads(self, member: int, word: str) -> bool:
        uid, formula = self.directory.uids[member].lower(), self.directory.formulas[member].lower()
        return word in f"{formula}{uid[uid.index('(') :] if '(' in uid else ''} {uid}"

    def holds(self, criteria: Criteria) -> np.ndarray:
        """Which pairs a filter selects."""
        passes = self.matched.copy()
        for one in criteria.conditions:
            value: Any = one.value
            if one.operator in {"min", "max"}:
                column = self.columns[one.field]
                limit = value if one.field in PACKED else np.float32(np.clip(value, -3.4e38, 3.4e38))
                slack = 1e-6 * PACKED.get(one.field, 0.0)
                with np.errstate(invalid="ignore"):
                    passes &= column >= limit - slack if one.operator == "min" else column <= limit + slack
            elif one.operator == "in":
                passes &= np.isin(self.columns[one.field], value)
            elif one.operator in {"either", "both"}:
                below, above = self._sides(self._is, {name.lower() for name in value})
                passes &= below | above if one.operator == "either" else below & above
            elif one.operator == "all":
                for symbol in value:
                    below, above = self._sides(self._has, symbol)
                    passes &= below | above
            elif one.operator == "none":
                for symbol in value:
                    below, above = self._sides(self._has, symbol)
                    passes &= ~below & ~above
            else:
                for word in value.lower().split():
                    below, above = self._sides(self._reads, word)
                    passes &= below | above
        return passes

    def best(self, passes: np.ndarray, order: Order, k: int) -> list[tuple[int, int]]:
        """The best pairs; unknown last, ties by the pair."""
        column = np.asarray(self.columns[order.field], float)
        keys = np.where(np.isnan(column), np.inf, -column if order.descending else column)
        ranked = np.lexsort((self.top, self.bottom, keys))
        return [(int(self.bottom[one]), int(self.top[one])) for one in ranked[passes[ranked]][:k]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Directory, Tiles]:
    """Random members and pairs; rows longer than a stretch would take too many, so stretches end within few rows."""
    generator = np.random.default_rng(7)
    directory = members(90, 9, generator)
    return directory, pairs(tmp_path_factory.mktemp("tiles"), directory.layout, generator)


@pytest.fixture(scope="module")
def kept(made: tuple[Directory, Tiles]) -> Levels:
    return levels(made[0].layout, made[1], np.random.default_rng(8))


@pytest.fixture(scope="module")
def scanner(made: tuple[Directory, Tiles], kept: Levels) -> Scanner:
    return Scanner(*made, levels=kept)


def narrowed(scanner: Scanner, criteria: Criteria) -> Naive:
    """Every pair with the supercell of the widest level that lies within the strain that a filter allows."""
    asked = [one.value for one in criteria.conditions if (one.field, one.operator) == ("strain", "max")]
    limit = min([65534, *(int(np.floor(float(value) / STRAIN_UNIT + 1e-6)) for value in asked)])  # type: ignore[arg-type]
    tiles, layout = Tiles(*(column.copy() for column in scanner.tiles)), scanner.directory.layout
    assert scanner.levels is not None
    kept, starts, first = scanner.levels.kept, layout.starts(), layout.first_columns()
    for row in range(layout.n_rows):
        for e in range(kept.start[row], kept.start[row + 1]):
            at = starts[row] + kept.column[e] - first[row]
            if tiles.strain[at] > limit >= kept.strain[e]:
                for column, values in zip(tiles, kept[2:], strict=True):
                    column[at] = values[e]
    return Naive(scanner.directory, tiles)


RANGES = {
    "n": (0, 35), "m": (0, 35), "strain": (-0.001, 0.03), "score": (-0.1, 1.1), "n_atoms": (0, 700), "area": (0, 3000),
    "gap_anderson": (-1, 5), "valence_offset": (-4, 4), "conduction_offset": (-5, 5),
    "work_function_difference": (-4, 4), "hull_energy": (-0.1, 0.4),
}  # fmt: skip
SYMBOLS = st.lists(st.sampled_from(["Mo", "S", "Se", "H", "Au", "O"]), min_size=1, max_size=3)


@st.composite
def filters(draw: st.DrawFn) -> Criteria:
    conditions = []
    for key in draw(st.lists(st.sampled_from(list(RANGES)), unique=True, max_size=3)):
        ends = sorted(draw(st.lists(st.floats(*RANGES[key]), min_size=2, max_size=2)))
        ends = draw(st.sampled_from([ends, ends[:1], [None, ends[1]]]))
        conditions += [
            condition(key, op, end) for op, end in zip(("min", "max"), ends, strict=False) if end is not None
        ]
    for key, words in (("kind", InterfaceKind), ("alignment", AlignmentType)):
        chosen = draw(st.lists(st.sampled_from(list(words)), max_size=3))
        conditions += [condition(key, "in", [str(word) for word in chosen])] if chosen else []
    member = draw(st.sampled_from([None, "all", "none", "either", "both", "has"]))
    if member in {"all", "none"}:
        conditions.append(condition("elements", str(member), draw(SYMBOLS)))
    elif member == "has":
        conditions.append(condition("text", "has", " ".join(draw(SYMBOLS))))
    elif member:
        chosen = draw(st.lists(st.integers(0, 98), min_size=1, max_size=12))
        conditions.append(condition("layers", member, [f"member {k}" for k in chosen]))
    return Criteria.of(conditions)


def _resolved(criteria: Criteria, directory: Directory) -> Criteria:
    """`member 7` as the uid of member 7."""
    return Criteria.of(
        condition(one.field, one.operator, [directory.uids[int(name.split()[1])] for name in one.value])  # type: ignore[union-attr]
        if one.field == "layers"
        else one
        for one in criteria.conditions
    )


def _pairs(scanner: Scanner, rows: list[dict[str, Any]]) -> list[tuple[int, int]]:
    uids = scanner.directory.uids
    return [(uids.index(row["bottom_uid"]), uids.index(row["top_uid"])) for row in rows]


@hypothesis_settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(criteria=filters(), key=st.sampled_from([k for k in RANGES if k != "hull_energy"]), down=st.booleans())
def test_any_filter_finds_what_a_naive_pass_finds(scanner: Scanner, criteria: Criteria, key: str, down: bool) -> None:
    criteria, order = _resolved(criteria, scanner.directory), Order(key, down)
    naive = narrowed(scanner, criteria)
    passes = naive.holds(criteria)
    found = scanner.scan(criteria, order, best=20)
    assert found.count == passes.sum()
    assert _pairs(scanner, found.rows) == naive.best(passes, order, 20)


@pytest.mark.parametrize(("query", "order"), FILTERS)
def test_the_filters_of_the_benchmark_find_what_a_naive_pass_finds(scanner: Scanner, query: str, order: str) -> None:
    criteria, key = Criteria.from_query(query), Order.parse(order)
    naive = narrowed(scanner, criteria)
    passes = naive.holds(criteria)
    found = scanner.scan(criteria, key, best=50)
    assert found.count == passes.sum()
    best = naive.best(passes, key, 50)
    assert _pairs(scanner, found.rows) == best
    at = {pair: k for k, pair in enumerate(zip(naive.bottom.tolist(), naive.top.tolist(), strict=True))}
    for row, pair in zip(found.rows, best, strict=True):
        assert all(row[name] == naive.columns[name][at[pair]] for name in ("n", "m", "n_atoms"))
        assert row["strain"] == pytest.approx(naive.columns["strain"][at[pair]], abs=1e-7)


def test_a_tighter_strain_finds_supercells_that_the_widest_limit_did_not_keep(
    made: tuple[Directory, Tiles], scanner: Scanner
) -> None:
    for strain in (0.005, 0.007, 0.01):
        criteria = Criteria.from_query(f"strain.max={strain}")
        assert scanner.scan(criteria, best=0).count > Scanner(*made).scan(criteria, best=0).count
    whole = Criteria.from_query("strain.max=0.02")
    assert scanner.scan(whole, best=0).count == scanner.scan(Criteria(), best=0).count


@pytest.mark.parametrize(
    ("strain", "said"),
    [
        (None, None), (0.03, None), (0.02, None), (0.01, None), (0.005, None),
        (0.007, "between the strain levels 0.5 % and 1 %"),
        (0.015, "between the strain levels 1 % and 2 %"),
        (0.004, "0.4 % lies below 0.5 %"),
    ],
)  # fmt: skip
def test_only_a_strain_between_two_levels_is_answered_with_a_warning(
    scanner: Scanner, strain: float | None, said: str | None
) -> None:
    note = scanner.scan(Criteria.from_query("" if strain is None else f"strain.max={strain}"), best=0).note
    assert note is None if said is None else note is not None and said in note


def test_rows_longer_than_a_stretch_are_scanned_whole(tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    directory = members(STRETCH + 300, 2, generator)
    tiles = pairs(tmp_path, directory.layout, generator)
    scanner = Scanner(directory, tiles, levels=levels(directory.layout, tiles, generator))
    for query in ("strain.max=0.004&score.min=0.2", "strain.max=0.01", "score.min=0.9"):
        criteria = Criteria.from_query(query)
        naive = narrowed(scanner, criteria)
        passes = naive.holds(criteria)
        found = scanner.scan(criteria, best=7)
        assert found.count == passes.sum()
        assert _pairs(scanner, found.rows) == naive.best(passes, Order(), 7)


def test_one_thread_and_many_find_the_same(made: tuple[Directory, Tiles], kept: Levels) -> None:
    criteria = Criteria.from_query("alignment.in=II&strain.max=0.01")
    few, many = (Scanner(*made, workers=workers, levels=kept).scan(criteria) for workers in (1, 7))
    assert (few.count, few.rows) == (many.count, many.rows)


def test_every_place_is_a_pair_and_every_pair_a_place() -> None:
    layout = PairLayout(7, 3)
    rows, columns = layout.locate(np.arange(layout.n_pairs))
    assert list(zip(rows, columns, strict=True)) == [(i, j) for i in range(7) for j in range(i, 7)] + [
        (i, j) for i in range(7, 10) for j in range(7)
    ]


@pytest.mark.parametrize("query", ["gap.min=1", "binding_energy.max=20", "domain_distance.max=1"])
def test_what_only_candidates_have_is_refused_in_a_sentence(scanner: Scanner, query: str) -> None:
    with pytest.raises(CriteriaError, match="known of candidates only"):
        scanner.scan(Criteria.from_query(query))


def test_a_number_of_rows_that_cannot_be_had_is_refused(scanner: Scanner) -> None:
    with pytest.raises(CriteriaError, match="cannot be had"):
        scanner.scan(Criteria(), best=1_000_000)
    assert scanner.scan(Criteria(), best=0).rows == []


# The tiles themselves in plain SQL: every pair with what its members and its packed bytes say, of several supercells
# that tile and strain levels keep with the widest one that lies within a strain.
EVERY_PAIR = """
    WITH kept AS (
        SELECT t.row, t.col_from + k AS col, k AS place, 1.0 AS level, t.n, t.m, t.strain, t.score
        FROM pair_tile t CROSS JOIN LATERAL generate_series(0, t.n_pairs - 1) AS k WHERE t.run_id = :run
        UNION ALL
        SELECT t.row, t.col_from + k, row_number() OVER (PARTITION BY l.row, l.col_from, l.max_strain ORDER BY k) - 1,
               l.max_strain, l.n, l.m, l.strain, l.score
        FROM pair_tile t JOIN pair_tile_level l USING (run_id, row, col_from)
        CROSS JOIN LATERAL generate_series(0, t.n_pairs - 1) AS k WHERE t.run_id = :run AND get_bit(l.kept, k) = 1
    ), packed AS (
        SELECT row, col, level, get_byte(n, place::int) AS n, get_byte(m, place::int) AS m,
               get_byte(strain, 2 * place::int) + 256 * get_byte(strain, 2 * place::int + 1) AS strain,
               get_byte(score, 2 * place::int) + 256 * get_byte(score, 2 * place::int + 1) AS score
        FROM kept
    ), pair AS (
        SELECT DISTINCT ON (row, col) * FROM packed WHERE strain <= :most ORDER BY row, col, level DESC
    )
    SELECT b.uid AS bottom, u.uid AS top
    FROM pair p
    JOIN screening_member b ON b.run_id = :run AND b.member = p.row
    JOIN screening_member u ON u.run_id = :run AND u.member = p.col
    WHERE p.n > 0 AND {condition}
    ORDER BY p.score DESC, p.row, p.col
"""
IN_SQL = {
    "": "true",
    "strain.max=0.005&n_atoms.max=40": "p.strain <= 5000 AND p.n * b.n_atoms + p.m * u.n_atoms <= 40",
    "n.max=1&m.max=1": "p.n = 1 AND p.m = 1",
    "score.min=0.5": "p.score >= 32768",
    "strain.max=0.01": "true",
    "strain.max=0.008&n_atoms.max=60": "p.n * b.n_atoms + p.m * u.n_atoms <= 60",
    "strain.max=0.01&layers.either=MoS2": "'MoS2' IN (b.formula, u.formula)",
    "kind.in=2d-on-bulk&strain.max=0.01": "b.surface_id IS NOT NULL AND p.strain <= 10000",
    "kind.in=heterobilayer&layers.either=MoS2": "b.surface_id IS NULL AND b.member <> u.member "
    "AND 'MoS2' IN (b.formula, u.formula)",
    "elements.all=Mo,Se": "b.elements || u.elements @> ARRAY['Mo', 'Se']",
    "elements.none=S": "NOT b.elements || u.elements @> ARRAY['S']",
    "area.max=60&kind.in=2d-on-bulk": "b.surface_id IS NOT NULL AND (exp(b.ln_area) * p.n)::real <= 60",
    "area.max=60&kind.in=heterobilayer": "b.surface_id IS NULL AND b.member <> u.member "
    "AND exp(ln(exp(b.ln_area) * p.n) "
    "+ coalesce(u.stiffness / (b.stiffness + u.stiffness), 0.5) * ln(exp(u.ln_area) * p.m / (exp(b.ln_area) * p.n)))"
    "::real <= 60",
    "work_function_difference.min=0.2": "(u.work_function_bottom - b.work_function_top)::real >= 0.2::real",
    "hull_energy.max=0.02": "CASE WHEN b.surface_id IS NULL THEN b.hull_energy ELSE 0 END <= 0.02 "
    "AND u.hull_energy <= 0.02",
    "gap_anderson.min=1&alignment.in=II": "b.gap > 0 AND u.gap > 0 AND "
    "(least(b.cbm_top, u.cbm_bottom) - greatest(b.vbm_top, u.vbm_bottom))::real >= 1 AND b.cbm_top > b.vbm_top "
    "AND sign(u.vbm_bottom - b.vbm_top) * sign(u.cbm_bottom - b.cbm_top) > 0",
}  # fmt: skip


@pytest.fixture(scope="module")
def starter(screened_system: Settings, screened_engine: Engine) -> Iterator[Scanner]:
    with reading(screened_engine) as connection:
        yield Scanner.open(connection, published_run(connection), screened_system)


@pytest.mark.services
@pytest.mark.parametrize("query", IN_SQL)
def test_the_scan_of_the_starter_set_is_what_plain_sql_finds_in_its_tiles(
    starter: Scanner, screened_engine: Engine, query: str
) -> None:
    with reading(screened_engine) as connection:
        statement = text(EVERY_PAIR.format(condition=IN_SQL[query]))
        most = max([int(float(strain) * 1e6) for strain in re.findall(r"strain.max=([0-9.]+)", query)] or [65535])
        asked = {"run": published_run(connection).id, "most": most}
        expected = [tuple(row) for row in connection.execute(statement, asked)]
    found = starter.scan(Criteria.from_query(query), best=200)
    assert 0 < found.count == len(expected)
    assert [(row["bottom_uid"], row["top_uid"]) for row in found.rows] == expected[:200]


@pytest.mark.services
def test_every_pair_with_a_match_is_found_without_a_filter(starter: Scanner, screened_engine: Engine) -> None:
    with screened_engine.connect() as connection:
        counted = connection.execute(
            text("SELECT n_pairs, n_matched FROM analyst.runs WHERE state = 'published'")
        ).one()
    found = starter.scan(Criteria())
    assert (found.pairs, found.count) == tuple(counted)


@pytest.mark.services
@pytest.mark.parametrize("alignment", ["I", "II", "III", "metal"])
def test_what_is_derived_of_a_pair_is_what_its_candidate_says(
    starter: Scanner, screened_engine: Engine, alignment: str
) -> None:
    criteria = Criteria.from_query(f"alignment.in={alignment}")
    scanned = {(row["bottom_uid"], row["top_uid"]): row for row in starter.scan(criteria, best=10_000).rows}
    with reading(screened_engine) as connection:
        run = published_run(connection)
        assert str(where(criteria, run.key))
        candidates = connection.execute(
            text("SELECT * FROM analyst.candidates WHERE alignment = :word"), {"word": alignment}
        ).mappings()
        names = ("n", "m", "kind", "area", "n_atoms", "gap_anderson", "valence_offset", "conduction_offset",
                 "work_function_difference", "hull_energy", "alignments", "gap_anderson_low", "gap_anderson_high",
                 "electron_donor", "vacuum_step", "schottky_electron", "schottky_hole")  # fmt: skip
        for candidate in candidates:
            row = scanned[candidate["bottom_uid"], candidate["top_uid"]]
            assert {name: row[name] for name in names} == {name: candidate[name] for name in names}
            assert row["strain"] * 100 == pytest.approx(candidate["strain"], abs=1e-4)


def test_the_cache_is_opened_by_its_run(starter: Scanner, screened_system: Settings, screened_engine: Engine) -> None:
    with reading(screened_engine) as connection:
        run = published_run(connection)
        again = open_cache(connection, screened_system.data_dir / "cache", run.id)
    assert again.tiles.n.size == run.n_pairs
    assert not again.tiles.n.flags.writeable
    assert again.levels.limits.strain_levels == (0.005, 0.01)


def _command(settings: Settings, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "stackscreen", "run", *arguments]
    environment = {**os.environ, **settings.as_environment()}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.services
def test_the_command_counts_and_shows_what_the_scan_finds(starter: Scanner, screened_system: Settings) -> None:
    query = "alignment.in=II&strain.max=0.01"
    expected = starter.scan(Criteria.from_query(query), Order("strain", False), best=5)
    answer = json.loads(_command(screened_system, "scan", query, "--top", "5", "--order", "strain", "--json").stdout)
    assert (answer["count"], answer["rows"]) == (expected.count, expected.rows)
    shown = _command(screened_system, "scan", "kind.in=homobilayer", "--top", "3")
    assert "pairs in" in shown.stderr
    assert starter.scan(Criteria.from_query("kind.in=homobilayer"), best=1).rows[0]["top_uid"] in shown.stdout


@pytest.mark.services
def test_the_command_refuses_predictions_in_a_sentence(screened_system: Settings) -> None:
    refused = _command(screened_system, "scan", "binding_energy.min=20")
    assert refused.returncode == 1
    assert "known of candidates only" in refused.stderr
    assert "Traceback" not in refused.stderr
