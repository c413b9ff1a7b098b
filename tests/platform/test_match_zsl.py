"""Matching pairs: against pymatgen's exhaustive Zur-McGill search, by hand, by symmetry, and as a command."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text
from test_cli import run

from benchmarks.zsl import Lattice, exhaustive_zsl, hetdb_reproduced, lattices_of, pairs_of_all_kinds
from schema.plane_lattice import PlaneLattice
from stackscreen.pairs import PairLimits, ShapeTable, match_row, solve_pair
from stackscreen.pairs.pair_file import LatticeCell, PairFileError, lattice_cell, match_file
from stackscreen.pairs.solutions import TooManyCellsError, coincidences, smallest_by_level
from stackscreen.pairs.superlattices import superlattices
from stackscreen.query.reading import reading
from stackscreen.query.sides import NamedSide, UnknownSideError, find_sides, one_side
from stackscreen.settings import Settings

HEADER = "a1,b1,gamma1,natoms1,a2,b2,gamma2,natoms2"
LIMITS = PairLimits(0.02, 400.0, 2**31 - 1)


def _basis(a: float, b: float, gamma: float) -> np.ndarray:
    g = np.radians(gamma)
    return np.array([[a, 0.0], [b * np.cos(g), b * np.sin(g)]])


def _file(rows: str, limits: PairLimits = LIMITS, **options) -> list[dict[str, str]]:
    answer = io.StringIO()
    match_file(iter(rows.splitlines(keepends=True)), answer, limits, **options)
    return list(csv.DictReader(io.StringIO(answer.getvalue())))


def _row(one: tuple, other: tuple, limits: PairLimits = LIMITS) -> dict[str, str]:
    (row,) = _file(f"{HEADER}\n{','.join(map(repr, (*one, *other)))}\n", limits)
    return row


def _numbers(row: dict[str, str]) -> list[float]:
    return [float(row[key] or "nan") for key in ("n", "m", "strain", "twist", "area", "natoms")]


def _exhaustive(one: np.ndarray, other: np.ndarray, limits: PairLimits) -> tuple[float, float] | None:
    """Least n·m and its strain, with no formula of ours: all pairs of superlattices and many bases, by SVD."""
    changes = [
        np.array(c).reshape(2, 2) for c in product(range(-2, 3), repeat=4) if abs(c[0] * c[3] - c[1] * c[2]) == 1
    ]
    areas = [abs(np.linalg.det(side)) for side in (one, other)]
    best = None
    for n in range(1, int(limits.max_area / areas[0]) + 1):
        for m in range(1, int(limits.max_area / areas[1]) + 1):
            if abs(math.log(m * areas[1] / (n * areas[0]))) > 2 * limits.max_strain or (best and n * m > best[0]):
                continue
            cells = [
                np.array([
                    PlaneLattice.from_vectors(*(np.array([[p, q], [0, index // p]]) @ side)).basis
                    for p in range(1, index + 1) if index % p == 0 for q in range(index // p)
                ])
                for index, side in ((n, one), (m, other))
            ]  # fmt: skip
            images = np.stack([change @ cells[1] for change in changes], 1)
            maps = np.linalg.solve(cells[0][:, None, None], images[None])
            strain = float(np.abs(np.log(np.linalg.svd(maps, compute_uv=False))).max(axis=-1).min())
            if strain <= limits.max_strain and (best is None or (n * m, strain) < best):
                best = (n * m, strain)
    return best


cells = st.one_of(
    st.builds(lambda a: (a, a, 120.0), st.floats(2.4, 6.0)),
    st.builds(lambda a: (a, a, 90.0), st.floats(2.4, 6.0)),
    st.builds(lambda a, b: (a, b, 90.0), st.floats(2.4, 6.0), st.floats(2.4, 7.0)),
    st.builds(lambda a, g: (a, a, g), st.floats(2.4, 6.0), st.floats(60.0, 120.0)),
    st.builds(lambda a, b, g: (a, b, g), st.floats(2.4, 6.0), st.floats(2.4, 7.0), st.floats(60.0, 120.0)),
)
unimodular = st.sampled_from(
    [((1, 1), (0, 1)), ((0, 1), (1, 0)), ((2, 1), (1, 1)), ((1, 0), (-2, 1)), ((-1, 0), (0, 1))]
)


def _other_cell(cell: tuple[float, float, float], change) -> tuple[float, float, float]:
    a, b = np.array(change) @ _basis(*cell)
    cosine = a @ b / (np.linalg.norm(a) * np.linalg.norm(b))
    return float(np.linalg.norm(a)), float(np.linalg.norm(b)), float(np.degrees(np.arccos(cosine)))


class TestSmallest:
    """The file's answer: the smallest supercell of each pair."""

    def test_graphene_on_boron_nitride_by_hand(self) -> None:
        # One on one: ln(2.505 / 2.460) = 0.0181275; area √(A₁A₂) = 2.46 · 2.505 · √3/2; no twist.
        found = _numbers(_row((2.46, 2.46, 120, 2), (2.505, 2.505, 120, 2)))
        assert found == pytest.approx([1, 1, 0.0181275, 0.0, 2.46 * 2.505 * math.sqrt(0.75), 4], abs=1e-6)

    def test_a_square_supercell_turned_by_45_degrees_by_hand(self) -> None:
        # √2 × √2 of a 3 Å square is a 4.2426 Å square: no strain, two cells on one, turned by 45°.
        found = _numbers(_row((3.0, 3.0, 90, 1), (3 * math.sqrt(2), 3 * math.sqrt(2), 90, 5)))
        assert found == pytest.approx([2, 1, 0.0, 45.0, 18.0, 7], abs=1e-6)

    def test_a_seven_fold_cell_turned_by_19_degrees_by_hand(self) -> None:
        # √7 × √7 of a hexagonal lattice, with vectors (2, 1): turned by 19.107° of 60.
        found = _numbers(_row((2.5, 2.5, 120, 2), (2.5 * math.sqrt(7), 2.5 * math.sqrt(7), 60, 3)))
        assert found == pytest.approx([7, 1, 0.0, 19.106605, 7 * 6.25 * math.sqrt(0.75), 17], abs=1e-5)

    def test_strain_of_a_rectangle_is_that_of_its_worse_side(self) -> None:
        found = _numbers(_row((4.0, 5.0, 90, 1), (4.04, 4.95, 90, 1)))
        assert found[:3] == pytest.approx([1, 1, math.log(5 / 4.95)], abs=1e-6)

    def test_where_none_lies_within_the_limits_n_is_zero_and_the_rest_empty(self) -> None:
        row = _row((3.0, 3.0, 120, 1), (3.2, 3.2, 120, 1), PairLimits(0.01, 20.0, 100))
        assert [row[key] for key in ("n", "m", "strain", "twist", "area", "natoms")] == ["0", "0", "", "", "", ""]

    def test_atoms_are_unlimited_unless_limited(self) -> None:
        pair = ((2.46, 2.46, 120, 900), (3.18, 3.18, 120, 900))
        assert _numbers(_row(*pair))[:2] == [12, 7]
        assert _numbers(_row(*pair, PairLimits(0.02, 400.0, 19 * 900)))[:2] == [12, 7]
        assert _numbers(_row(*pair, PairLimits(0.02, 400.0, 19 * 900 - 1)))[0] == 0

    @settings(max_examples=50, deadline=None)
    @given(cells, cells)
    def test_exchanging_the_lattices_exchanges_n_and_m_and_nothing_else(self, one, other) -> None:
        there, back = _row((*one, 2), (*other, 3)), _row((*other, 3), (*one, 2))
        keys = ("n", "m", "strain", "twist", "natoms")
        assert [there[key] for key in keys] == [back[key] for key in ("m", "n", "strain", "twist", "natoms")]

    def test_even_of_equal_areas_and_strains_the_exchange_takes_the_same(self) -> None:
        # Of 24 on 25 and 25 on 24 neither is smaller or less strained.
        one, other = (3.0, 3.0, 120, 1), (3.0, 3.0 * math.sqrt(0.75), 90, 1)
        there, back = _row(one, other), _row(other, one)
        assert int(there["n"])
        assert (there["n"], there["m"]) == (back["m"], back["n"])

    @settings(max_examples=50, deadline=None)
    @given(cells, cells, unimodular, unimodular)
    def test_no_result_depends_on_the_choice_of_cells(self, one, other, change_1, change_2) -> None:
        plain = _numbers(_row((*one, 1), (*other, 1)))
        changed = _numbers(_row((*_other_cell(one, change_1), 1), (*_other_cell(other, change_2), 1)))
        assert changed[:3] == pytest.approx(plain[:3], abs=2e-7, nan_ok=True)
        assert changed[3] == pytest.approx(plain[3], abs=1e-3, nan_ok=True)

    @settings(max_examples=25, deadline=None)
    @given(cells, cells)
    def test_a_search_through_all_superlattices_finds_the_same(self, one, other) -> None:
        limits = PairLimits(0.02, 90.0, 10**6)
        n, m, strain = _numbers(_row((*one, 1), (*other, 1), limits))[:3]
        expected = _exhaustive(_basis(*one), _basis(*other), limits)
        if expected is None:
            # A strain that is the limit's to the last digits may fall on either side of it.
            assert n == 0 or strain == pytest.approx(limits.max_strain, abs=1e-7)
        elif n * m != expected[0]:
            assert expected[1] == pytest.approx(limits.max_strain, abs=1e-7)
        else:
            assert strain == pytest.approx(expected[1], abs=1e-7)

    @settings(max_examples=30, deadline=None)
    @given(cells, cells)
    def test_the_smallest_of_the_file_is_the_first_of_all(self, one, other) -> None:
        row = _numbers(_row((*one, 2), (*other, 3)))
        every = coincidences(_basis(*one), _basis(*other), (2, 3), LIMITS)
        assert bool(row[0]) == bool(every)
        if every:
            (best,) = smallest_by_level(every, [LIMITS.max_strain])
            assert best is not None
            assert best.n * best.m == row[0] * row[1]
            assert best.strain == pytest.approx(row[2], abs=2e-7)
            tied = [e.twist for e in every if e.n * e.m == best.n * best.m and e.strain < best.strain + 2e-7]
            assert min(abs(row[3] - twist) for twist in tied) < 1e-3


class TestAll:
    """All coincidence lattices of one pair."""

    @settings(max_examples=25, deadline=None)
    @given(cells, cells, st.floats(0, 360), st.booleans())
    def test_each_is_one_within_the_limits_and_no_multiple(self, one, other, turn, mirror) -> None:
        t = np.radians(turn)
        rotation = np.array([[np.cos(t), np.sin(t)], [-np.sin(t), np.cos(t)]])
        below, above = _basis(*one), (_basis(*other) * ([1, -1] if mirror else [1, 1])) @ rotation
        limits = PairLimits(0.02, 120.0, 60)
        for found in coincidences(below, above, (2, 3), limits):
            s = found.solution
            assert (abs(round(np.linalg.det(s.bottom_matrix))), abs(round(np.linalg.det(s.top_matrix)))) == (
                found.n, found.m,
            )  # fmt: skip
            assert (s.bottom_matrix @ below) @ s.deformation.T == pytest.approx(s.top_matrix @ above, abs=1e-9)
            assert found.strain <= 0.02 + 1e-12
            assert found.natoms == 2 * found.n + 3 * found.m <= 60
            assert sorted(np.linalg.eigvalsh(found.tensor)) == pytest.approx(sorted(s.strains), abs=1e-12)
            assert (np.linalg.det(s.deformation) < 0) == s.flip
            # Every vector of one lattice that lies on one of the other is of the supercell: none of the prime
            # fractions of it coincides too.
            for prime in (2, 3, 5, 7):
                for i, j in product(range(prime), repeat=2):
                    part = [np.array([i, j]) @ side / prime for side in (s.bottom_matrix, s.top_matrix)]
                    assert (i, j) == (0, 0) or not all(np.allclose(v, np.rint(v)) for v in part)

    def test_graphene_on_graphene_has_its_magic_list_of_unstrained_twists(self) -> None:
        found = coincidences(_basis(2.46, 2.46, 120), _basis(2.46, 2.46, 60), (2, 2), PairLimits(0.001, 200.0, 10**6))
        # n = i² + ij + j² of coprime i, j: cos θ = (i² + 4ij + j²) / 2n; both counted as 0 to 30°.
        assert [(e.n, e.m, round(e.twist, 2)) for e in found] == [
            (1, 1, 0.0), (7, 7, 21.79), (13, 13, 27.8), (19, 19, 13.17), (31, 31, 17.9), (37, 37, 9.43),
        ]  # fmt: skip

    def test_an_oblique_lattice_meets_its_mirror_image_only_turned_over(self) -> None:
        oblique = _basis(3.0, 4.1, 77.0)
        first, *others = coincidences(oblique, oblique * [1, -1], (1, 1), PairLimits(0.02, 60.0, 10**6))
        assert (first.n, first.m, first.solution.flip) == (1, 1, True)
        assert any(not other.solution.flip for other in others)
        # Where a lattice has a mirror of its own nothing need be turned over.
        achiral = coincidences(oblique, _basis(3.0, 4.0, 90.0), (1, 1), PairLimits(0.02, 200.0, 10**6))
        assert achiral
        assert not any(one.solution.flip for one in achiral)

    def test_the_smallest_of_each_level_is_searched_and_not_filtered(self) -> None:
        lattices = _basis(2.46, 2.46, 120), _basis(3.18, 3.18, 120)
        every = coincidences(*lattices, (2, 3), PairLimits(0.03, 400.0, 10**6))
        levels = [0.005, 0.01, 0.02, 0.03]
        for level, best in zip(levels, smallest_by_level(every, levels), strict=True):
            planes = [PlaneLattice.from_vectors(*basis) for basis in lattices]
            table = ShapeTable.build(
                np.array([p.ln_area for p in planes]), np.array([p.tau for p in planes]), np.array([2, 3]),
                PairLimits(level, 400.0, 10**6),
            )  # fmt: skip
            row = match_row(table, 0, np.array([1]))
            assert best is not None
            assert (best.n, best.m, best.strain) == pytest.approx((row.n[0], row.m[0], row.strain[0]), abs=1e-7)
        sizes = [best.n for best in smallest_by_level(every, levels) if best]
        assert len(set(sizes)) > 1

    @settings(max_examples=20, deadline=None)
    @given(cells, cells)
    def test_the_least_strained_of_given_indices_is_that_of_solve_pair(self, one, other) -> None:
        below, above = _basis(*one), _basis(*other)
        every = coincidences(below, above, (1, 1), PairLimits(0.02, 120.0, 10**6))
        for n, m in {(found.n, found.m) for found in every}:
            least = solve_pair(below, above, n, m)
            best = min(found.strain for found in every if (found.n, found.m) == (n, m))
            # Where ours is the larger, the least strained one of these indices is a multiple of a smaller match.
            assert best >= least.max_strain - 1e-9

    def test_a_cell_that_fits_too_often_is_refused(self) -> None:
        with pytest.raises(TooManyCellsError, match="at most 255"):
            coincidences(_basis(1.0, 1.0, 90), _basis(3.0, 3.0, 90), (1, 1), LIMITS)


class TestFile:
    """Reading and writing."""

    good = "3,3,120,3,3.05,3.05,120,3"

    def test_rows_keep_their_order_their_columns_and_what_else_they_hold(self) -> None:
        text_ = f'name,{HEADER}\nx,{self.good}\n\n"y,""z""",3,3,90,1,5,6,80,2\nx,{self.good}\n'
        rows = _file(text_)
        assert [row["name"] for row in rows] == ["x", 'y,"z"', "x"]
        assert list(rows[0]) == ["name", *HEADER.split(","), "n", "m", "strain", "twist", "area", "natoms"]
        assert rows[0] == rows[2]
        assert rows[0]["a2"] == "3.05"

    def test_many_rows_are_cut_into_parts_without_a_seam(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rng = np.random.default_rng(5)
        rows = [f"{a!r},{a!r},120,3,{b!r},{c!r},90,2" for a, b, c in rng.uniform(2.5, 8, (60, 3)).tolist()]
        whole = _file("\n".join([HEADER, *rows]))
        monkeypatch.setattr("stackscreen.pairs.pair_file._PART_ROWS", 7)
        monkeypatch.setattr("stackscreen.pairs.pair_file._PART_SHAPES", 500)
        assert _file("\n".join([HEADER, *rows])) == whole
        assert len(whole) == 60

    @pytest.mark.parametrize(
        ("bad", "said"),
        [
            ("3,3,120,3,3.1,x,120,3", "Line 3: column b2: 'x' is not a number"),
            ("3,3,120,3,3.1,,120,3", "Line 3: column b2: '' is not a number"),
            ("3,3,180,3,3.1,3,120,3", "Line 3: column gamma1: 180 must be an angle"),
            ("3,-3,120,3,3.1,3,120,3", "Line 3: column b1: -3 must be a length"),
            ("3,3,120,3,3.1,3,120,2.5", "Line 3: column natoms2: 2.5 must be a whole number"),
            ("3,3,120,0,3.1,3,120,2", "Line 3: column natoms1: 0 must be a whole number"),
            ("nan,3,120,3,3.1,3,120,2", "Line 3: column a1: nan must be finite"),
            ("3,3,120,3,3.1,3,1,2", "Line 3: columns a2, b2, gamma2: .* span no area"),
            ("1,1,90,3,3.1,3,90,2", "Line 3: columns a1, b1, gamma1: .* at most 255"),
            ("3,3,120,3,3.1", "Line 3: 5 fields, and the header has 8"),
        ],
    )
    def test_a_bad_row_stops_with_line_and_column_or_is_passed_over_with_its_problem(self, bad, said) -> None:
        rows = f"{HEADER}\n{self.good}\n{bad}\n{self.good}\n"
        with pytest.raises(PairFileError, match=said):
            _file(rows)
        first, second, third = _file(rows, keep_going=True)
        assert first == third
        assert first["n"] == "1"
        assert first["problem"] == ""
        assert [second[key] for key in ("n", "m", "strain", "twist", "area", "natoms")] == [""] * 6
        assert re.search(said.removeprefix("Line 3: "), second["problem"])

    @pytest.mark.parametrize(
        ("header", "said"),
        [
            ("a1,b1,gamma1,natoms1,a2,b2,gamma2", "the columns natoms2 are missing"),
            ("a1;b1;gamma1", "are missing"),
            (f"{HEADER},a1", "the column a1 is there 2 times"),
            (f"{HEADER},strain", "strain are columns of the answer"),
            ("", "are missing"),
        ],
    )
    def test_a_header_that_cannot_be_used_is_said_so(self, header, said) -> None:
        with pytest.raises(PairFileError, match=said):
            _file(f"{header}\n1,2,3\n")

    def test_names_are_looked_up_once_a_part_and_a_wrong_one_is_told(self) -> None:
        asked = []

        def resolve(names):
            asked.append(list(names))
            layer = lattice_cell(3.18, 3.18, 120, 3)
            return {n: layer if n != "no" else UnknownSideError("There is no 'no'.") for n in names}

        rows = "id1,id2\nx,y\nx,no\n"
        with pytest.raises(PairFileError, match="Line 3: column id2: There is no 'no'"):
            _file(rows, resolve=resolve)
        assert asked == [["no", "x", "y"]]
        kept = _file(rows, resolve=resolve, keep_going=True)
        assert [(row["n"], row["problem"]) for row in kept] == [("1", ""), ("", "column id2: There is no 'no'")]


class TestCommand:
    """The command itself."""

    def test_a_file_needs_no_database_and_appears_whole(self, tmp_path: Path) -> None:
        source, target = tmp_path / "in.csv", tmp_path / "out.csv"
        source.write_text(f"\ufeff{HEADER}\r\n{TestFile.good}\r\n", encoding="utf-8")
        nowhere = {
            "STACKSCREEN_DATABASE_URL": "postgresql://u@127.0.0.1:1/d",
            "STACKSCREEN_DATA_DIR": str(tmp_path / "d"),
        }
        limits = ("--max-strain", "0.04", "--max-area", "400")
        done = run("match", "--pairs", str(source), *limits, "-o", str(target), **nowhere)
        assert done.returncode == 0, done.stderr
        assert done.stdout == ""
        assert "1 pairs, 1 with a coincidence lattice" in done.stderr
        (row,) = csv.DictReader(target.open())
        assert (row["a1"], row["n"], row["natoms"]) == ("3", "1", "6")
        assert float(row["strain"]) == pytest.approx(math.log(3.05 / 3), abs=1e-7)
        assert run("match", "--pairs", str(source), *limits, **nowhere).stdout == target.read_text()
        source.write_text(f"{HEADER}\n{TestFile.good}\n3,3,x,1,3,3,90,1\n")
        before = target.read_text()
        failed = run("match", "--pairs", str(source), *limits, "-o", str(target), **nowhere)
        assert failed.returncode == 1
        assert "Error: Line 3: column gamma1: 'x' is not a number." in failed.stderr
        assert target.read_text() == before
        assert sorted(path.name for path in tmp_path.iterdir()) == ["in.csv", "out.csv"]

    def test_limits_that_make_no_sense_are_a_sentence(self, tmp_path: Path) -> None:
        source = tmp_path / "in.csv"
        source.write_text(f"{HEADER}\n")
        failed = run("match", "--pairs", str(source), "--max-strain", "2")
        assert failed.returncode == 1
        assert "2 % is 0.02" in failed.stderr
        assert run("match", "x", "y", "--levels", "a").returncode == 1

    def test_two_materials_give_all_their_coincidence_lattices(self, screened_system: Settings) -> None:
        done = run("match", "1MoS2-s1", "1WSe2-s1", "--json", settings=screened_system)
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        assert found["matches"]
        areas = [match["area"] for match in found["matches"]]
        assert areas == sorted(areas)
        below, above = (np.array(found[side]["cell"]) for side in ("bottom", "top"))
        for match in found["matches"]:
            cells = [np.array(match["bottom_matrix"]) @ below, np.array(match["top_matrix"]) @ above]
            strain = np.abs(np.log(np.linalg.svd(np.linalg.solve(*cells), compute_uv=False))).max()
            assert strain == pytest.approx(match["strain"], abs=1e-8)
            assert match["bottom_e11"] - match["top_e11"] == pytest.approx(match["e11"], abs=1e-8)
        assert [level["level"] for level in found["levels"]] == [0.005, 0.01, 0.02, 0.03]
        pair = ("match", "1MoS2-s1", "1WSe2-s1")
        twisted = json.loads(run(*pair, "--json", "--by", "twist", settings=screened_system).stdout)
        twists = [match["twist"] for match in twisted["matches"]]
        assert twists == sorted(twists)
        listed = run("match", "1MoS2-s1", "1WSe2-s1", "--csv", settings=screened_system).stdout
        assert len(listed.splitlines()) == len(found["matches"]) + 1
        assert "smallest within each strain" in run("match", "1MoS2-s1", "1WSe2-s1", settings=screened_system).stdout

    def test_names_in_a_file_are_those_of_the_database(self, screened_system: Settings, tmp_path: Path) -> None:
        pair = json.loads(run("match", "1MoS2-s1", "1WSe2-s1", "--json", settings=screened_system).stdout)
        source = tmp_path / "in.csv"
        source.write_text(f"id1,id2\n{pair['bottom']['uid']},{pair['top']['uid']}\n{pair['top']['uid']},nothing\n")
        failed = run("match", "--pairs", str(source), settings=screened_system)
        assert "Line 3: column id2: No layer and no face of a crystal" in failed.stderr
        done = run("match", "--pairs", str(source), "--keep-going", "--max-strain", "0.03", settings=screened_system)
        first, second = csv.DictReader(io.StringIO(done.stdout))
        level = pair["levels"][-1]["match"]
        assert (first["n"], first["m"]) == (str(level["n"]), str(level["m"]))
        assert second["n"] == ""
        assert "nothing" in second["problem"]


class TestNames:
    """Sides by name."""

    def test_a_face_a_record_and_a_formula_name_a_side_and_what_is_ambiguous_is_told(
        self, screened_engine: Engine
    ) -> None:
        with reading(screened_engine) as connection:
            face = connection.execute(
                text("SELECT min(uid) FROM screening_member WHERE surface_id IS NOT NULL")
            ).scalar_one()
            external = connection.execute(
                text("SELECT r.external_id, m.uid FROM source_record r JOIN material_member mm ON "
                     "mm.source_record_id = r.id JOIN material m ON m.id = mm.material_id "
                     "WHERE m.formula = 'MoS2' AND m.kind = 'monolayer' LIMIT 1")
            ).one()  # fmt: skip
            side = one_side(connection, face)
            assert side.is_surface
            assert side.stiffness is None
            assert one_side(connection, external.external_id).uid == external.uid
            crystal = face.split("(")[0]
            with pytest.raises(UnknownSideError, match="may be"):
                one_side(connection, crystal)
            found = find_sides(connection, [external.uid, "no such thing"])
            assert isinstance(found[external.uid], NamedSide)
            assert isinstance(found["no such thing"], UnknownSideError)

    def test_on_a_crystal_the_layer_carries_the_misfit(
        self, screened_system: Settings, screened_engine: Engine
    ) -> None:
        with reading(screened_engine) as connection:
            face = connection.execute(text("SELECT uid FROM screening_member WHERE uid LIKE 'Ag-%(111)'")).scalar_one()
        wide = ("--max-strain", "0.05", "--max-area", "150", "--json")
        found = json.loads(run("match", face, "1MoS2-s1", *wide, settings=screened_system).stdout)
        assert found["misfit"]["top"] == 1.0
        turned = json.loads(run("match", "1MoS2-s1", face, *wide, settings=screened_system).stdout)
        assert turned["misfit"]["bottom"] == 1.0
        asked = json.loads(run("match", face, "1MoS2-s1", *wide, "--misfit", "equal", settings=screened_system).stdout)
        assert asked["misfit"]["top"] == 0.5
        assert found["matches"]
        for match in found["matches"]:
            assert match["bottom_e11"] == 0.0
            assert match["top_e11"] == pytest.approx(-match["e11"])


class TestRealLattices:
    """Real layers against pymatgen, and published moiré cells."""

    def test_sixty_real_pairs_of_all_kinds_match_as_pymatgen_finds(self, shared_data: Path) -> None:
        lattices = lattices_of(shared_data / "c2db" / "c2db.db")
        limits = PairLimits(0.02, 150.0, 10**6)
        pairs = pairs_of_all_kinds(lattices, 60, np.random.default_rng(7))
        assert len({one.kind for pair in pairs for one in pair}) >= 5
        for one, other in pairs:
            row = _numbers(_row((*one.parameters, 1), (*other.parameters, 1), limits))
            found = (int(row[0]) * int(row[1]), row[2]) if row[0] else None
            expected = exhaustive_zsl(one, other, limits)
            assert (found is None) == (expected is None), (one, other)
            if found and expected:
                assert found == pytest.approx(expected, abs=2e-7)

    def test_published_twisted_cells_are_among_the_coincidences(self, shared_data: Path) -> None:
        report = hetdb_reproduced(shared_data / "hetdb" / "hetdb.db", shared_data / "c2db" / "c2db.db", at_most=12)
        assert report.within > 6
        assert report.twist == report.within


@settings(max_examples=60, deadline=None)
@given(cells, st.integers(1, 30), st.floats(0, 360))
def test_superlattices_are_reduced_even_where_shapes_lie_on_a_wall(cell, index, turn) -> None:
    t = np.radians(turn)
    basis = _basis(*cell) @ np.array([[np.cos(t), np.sin(t)], [-np.sin(t), np.cos(t)]])
    matrices, bases = superlattices(basis, index)
    assert matrices @ basis == pytest.approx(bases)
    assert set(np.rint(np.abs(np.linalg.det(matrices))).tolist()) == {index}
    for gram in bases @ np.swapaxes(bases, 1, 2):
        assert -1e-9 <= gram[0, 1] / gram[0, 0] <= 0.5 + 1e-9
        assert gram[1, 1] >= gram[0, 0] * (1 - 1e-9)


def test_the_twist_of_a_superlattice_on_a_wall_is_found() -> None:
    # 7 cells of the square lattice have |a·b| = |a|²/2 to the last digit.
    row = _row((2.4116346671603424, 2.4116346671603424, 120, 3), (3.39148005871868, 3.39148005871868, 90, 3))
    assert _numbers(row)[:4] == pytest.approx([16, 7, 0.005612, 15.0], abs=1e-6)


def test_a_made_lattice_is_of_the_kind_it_was_made() -> None:
    kinds = [
        Lattice.of("x", np.array(_basis(*cell)), 1).kind for cell in ((3, 3, 120), (3, 3, 90), (3, 5, 90), (3, 5, 77))
    ]
    assert kinds == ["hexagonal", "square", "rectangular", "oblique"]


def test_a_lattice_cell_has_no_choice_of_cell() -> None:
    plain, skew = lattice_cell(3.0, 4.0, 90.0, 2), lattice_cell(3.0, 5.0, math.degrees(math.atan2(4, 3)), 2)
    assert isinstance(plain, LatticeCell)
    assert (skew.ln_area, skew.tau) == pytest.approx((plain.ln_area, plain.tau))
