"""Pairs in a CSV file, matched part by part: one row out for each row in, in order."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Final, TextIO

import numpy as np

from schema.errors import StackscreenError
from schema.plane_lattice import MIN_AREA, PlaneLattice
from stackscreen.pairs.batch import match_pairs
from stackscreen.pairs.limits import PairLimits
from stackscreen.pairs.solutions import max_cells
from stackscreen.pairs.superlattices import reduced_shape

LATTICE_COLUMNS: Final = ("a1", "b1", "gamma1", "natoms1", "a2", "b2", "gamma2", "natoms2")
ID_COLUMNS: Final = ("id1", "id2")
RESULTS: Final = ("n", "m", "strain", "twist", "area", "natoms")
PROBLEM: Final = "problem"
_MAX_LENGTH = 10_000
_MAX_ATOMS = 1_000_000
_KNOWN_CELLS = 100_000
"""Cells that are remembered, so that those that come again are reduced once."""
_LN_MIN_AREA = math.log(MIN_AREA)
_PART_ROWS = 8192
_PART_SHAPES = 3_000_000
"""Superlattices of one part: about 100 MB while they are matched."""


class PairFileError(StackscreenError):
    """A file of pairs cannot be read: the message names line and column."""


class PairRowError(StackscreenError):
    """One row of it cannot be matched."""


@dataclass(frozen=True, slots=True)
class LatticeCell:
    """One side of a pair: ln of its area in Å², reduced shape and atoms per cell."""

    ln_area: float
    tau: complex
    n_atoms: int


Sides = tuple[LatticeCell, LatticeCell]
Resolve = Callable[[Iterable[str]], dict[str, LatticeCell | StackscreenError]]
"""Lattices of materials by name, or what is wrong with the name; it is asked once for the names of each part."""


@dataclass(slots=True)
class _Row:
    line: int
    fields: list[str]
    sides: Sides | None = None
    problem: str = ""


def lattice_cell(a: float, b: float, gamma: float, n_atoms: int) -> LatticeCell:
    """A lattice from lengths in Å and the angle between them in degrees; any cell of it gives the same.

    Raises:
        DegenerateLatticeError: it spans no area.
    """
    angle = math.radians(gamma)
    ln_area, re, im = reduced_shape(a, b, math.cos(angle), math.sin(angle))
    if not ln_area > _LN_MIN_AREA:
        PlaneLattice.from_vectors([a, 0.0], [b * math.cos(angle), b * math.sin(angle)])
    return LatticeCell(ln_area, complex(re, im), n_atoms)


def match_file(
    lines: Iterable[str],
    target: TextIO,
    limits: PairLimits,
    *,
    resolve: Resolve | None = None,
    keep_going: bool = False,
) -> tuple[int, int, int]:
    """Match every pair of a CSV file: its columns, then those of `RESULTS`, and `problem` where rows may be bad.

    Args:
        lines: CSV with a header that has `LATTICE_COLUMNS` or, failing these, `ID_COLUMNS`, in any order, and any
            others; of a file opened with `newline=""`.
        target: where the answer is written; opened with `newline=""` as well.
        limits: of strain, area of either side, and atoms.
        resolve: looks up the names of the id columns.
        keep_going: write a bad row with empty results and its problem instead of stopping there.

    Returns:
        Numbers of rows, of those with a coincidence lattice, and of bad ones.

    Raises:
        PairFileError: the header lacks columns, or a row is bad.
    """
    reader = csv.reader(lines, strict=True)
    header = _header(reader)
    wanted = _columns(header, resolve is not None)
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow([*header, *RESULTS, *((PROBLEM,) if keep_going else ())])
    places = [header.index(name) for name in wanted]
    parser = _LatticeParser() if wanted == LATTICE_COLUMNS else None
    rows = matched = bad = 0
    for part in _parts(_read(reader, len(header), places, parser, limits), keep_going):
        if parser is None and resolve is not None:
            _look_up(part, places, wanted, resolve, limits, keep_going)
        results = _match(part, limits)
        for row, result in zip(part, results, strict=True):
            row.fields += [""] * (len(header) - len(row.fields))
            extra = (row.problem,) if keep_going else ()
            writer.writerow([*row.fields[: len(header)], *result, *extra])
            matched += result[0] not in ("", "0")
            bad += bool(row.problem)
        rows += len(part)
    return rows, matched, bad


def _header(reader: Iterator[list[str]]) -> list[str]:
    try:
        header = [name.strip() for name in next(reader, [])]
    except csv.Error as error:
        raise PairFileError(f"Line 1: {error}.", hint="The file must be CSV with a header.") from error
    if header:
        header[0] = header[0].removeprefix("\ufeff")
    for name in header:
        if header.count(name) > 1:
            raise PairFileError(f"Line 1: the column {name} is there {header.count(name)} times.")
    taken = [name for name in header if name in (*RESULTS, PROBLEM)]
    if taken:
        raise PairFileError(
            f"Line 1: {', '.join(taken)} are columns of the answer.", hint="Rename or remove them in the input."
        )
    return header


def needs_names(header: list[str]) -> bool:
    """Whether a header asks for materials by name: it has the id columns and not those of the lattices."""
    return not set(LATTICE_COLUMNS) <= set(header) and set(ID_COLUMNS) <= set(header)


def _columns(header: list[str], names_known: bool) -> tuple[str, ...]:
    if set(LATTICE_COLUMNS) <= set(header):
        return LATTICE_COLUMNS
    if needs_names(header) and names_known:
        return ID_COLUMNS
    missing = [name for name in LATTICE_COLUMNS if name not in header]
    raise PairFileError(
        f"Line 1: the columns {', '.join(missing)} are missing.",
        hint=f"The first line must name {','.join(LATTICE_COLUMNS)} (Å, degrees) or {','.join(ID_COLUMNS)}, "
        "separated by commas.",
    )


def _read(
    reader: Iterator[list[str]],
    width: int,
    places: list[int],
    parser: _LatticeParser | None,
    limits: PairLimits,
) -> Iterator[_Row]:
    while True:
        line = reader.line_num + 1  # type: ignore[attr-defined]
        try:
            fields = next(reader, None)
        except csv.Error as error:
            # What follows a broken quotation cannot be told into rows.
            raise PairFileError(f"Line {line}: {error}.", hint="The file must be CSV.") from error
        if fields is None:
            return
        if not fields:
            continue
        row = _Row(line, fields)
        if len(fields) != width:
            row.problem = f"{len(fields)} fields, and the header has {width}"
        elif parser is not None:
            try:
                row.sides = parser.sides([fields[place] for place in places], limits)
            except StackscreenError as error:
                row.problem = error.message
        yield row


class _LatticeParser:
    """Reads the lattice columns; cells that come again are reduced once."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, ...], LatticeCell] = {}

    def sides(self, texts: list[str], limits: PairLimits) -> Sides:
        return self._side(texts[:4], LATTICE_COLUMNS[:4], limits), self._side(texts[4:], LATTICE_COLUMNS[4:], limits)

    def _side(self, texts: list[str], names: tuple[str, ...], limits: PairLimits) -> LatticeCell:
        key = tuple(texts)
        cell = self._known.get(key)
        if cell is None:
            a, b, gamma, atoms = (_number(text, name) for text, name in zip(texts, names, strict=True))
            for k, length in enumerate((a, b)):
                _require(0 < length <= _MAX_LENGTH, names[k], texts[k], f"must be a length in Å, up to {_MAX_LENGTH}")
            _require(0 < gamma < 180, names[2], texts[2], "must be an angle between 0 and 180 degrees")
            whole = 1 <= atoms <= _MAX_ATOMS and atoms == int(atoms)
            _require(whole, names[3], texts[3], f"must be a whole number from 1 to {_MAX_ATOMS}")
            try:
                cell = lattice_cell(a, b, gamma, int(atoms))
                max_cells(math.exp(cell.ln_area), cell.n_atoms, limits)
            except StackscreenError as error:
                raise PairRowError(f"columns {', '.join(names[:3])}: {error.message}") from error
            if len(self._known) > _KNOWN_CELLS:
                self._known.clear()
            self._known[key] = cell
        return cell


def _number(text: str, name: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise PairRowError(f"column {name}: {text!r} is not a number") from None
    _require(math.isfinite(value), name, text, "must be finite")
    return value


def _require(holds: bool, name: str, text: str, rule: str) -> None:
    if not holds:
        raise PairRowError(f"column {name}: {text.strip()} {rule}")


def _parts(rows: Iterable[_Row], keep_going: bool) -> Iterator[list[_Row]]:
    """Rows in parts of bounded size."""
    part: list[_Row] = []
    for row in rows:
        if row.problem and not keep_going:
            raise _stopped(row)
        part.append(row)
        if len(part) == _PART_ROWS:
            yield part
            part = []
    if part:
        yield part


def _stopped(row: _Row) -> PairFileError:
    return PairFileError(
        f"Line {row.line}: {row.problem}.", hint="Correct it, or use --keep-going to pass such rows over."
    )


def _look_up(
    part: list[_Row], places: list[int], wanted: tuple[str, ...], resolve: Resolve, limits: PairLimits, keep_going: bool
) -> None:
    sound = [row for row in part if not row.problem]
    names = {row.fields[place].strip() for row in sound for place in places}
    known = resolve(sorted(names))
    for row in sound:
        sides = []
        for place, column in zip(places, wanted, strict=True):
            found = known[row.fields[place].strip()]
            if isinstance(found, StackscreenError):
                row.problem = f"column {column}: {found.message}".removesuffix(".")
                break
            try:
                max_cells(math.exp(found.ln_area), found.n_atoms, limits)
            except StackscreenError as error:
                row.problem = f"column {column}: {error.message}"
                break
            sides.append(found)
        else:
            row.sides = (sides[0], sides[1])
        if row.problem and not keep_going:
            raise _stopped(row)


def _superlattices(cell: LatticeCell, limits: PairLimits) -> float:
    """About how many superlattices lie within the limits: σ(1) + ... + σ(N) is near π²/12 N²."""
    most = max_cells(math.exp(cell.ln_area), cell.n_atoms, limits)
    return 0.83 * most * most


def _match(part: list[_Row], limits: PairLimits) -> list[list[str]]:
    """Texts of the results of each row, in order; empty where it is bad."""
    results = [[""] * len(RESULTS) for _ in part]
    begin, weight = 0, 0.0
    seen: set[LatticeCell] = set()
    for k, row in enumerate(part):
        for cell in row.sides or ():
            if cell not in seen:
                seen.add(cell)
                weight += _superlattices(cell, limits)
        if weight > _PART_SHAPES:
            _match_some(part[begin : k + 1], results[begin : k + 1], limits)
            begin, weight = k + 1, 0.0
            seen.clear()
    _match_some(part[begin:], results[begin:], limits)
    return results


def _match_some(part: list[_Row], results: list[list[str]], limits: PairLimits) -> None:
    sound = [k for k, row in enumerate(part) if row.sides is not None]
    if not sound:
        return
    pairs = [part[k].sides for k in sound]
    numbers: dict[LatticeCell, int] = {}
    first, second = (
        np.array([numbers.setdefault(sides[s], len(numbers)) for sides in pairs if sides is not None]) for s in (0, 1)
    )
    cells = list(numbers)
    found = match_pairs(
        np.array([cell.ln_area for cell in cells]),
        np.array([cell.tau for cell in cells]),
        np.array([cell.n_atoms for cell in cells]),
        first,
        second,
        limits,
    )
    columns = (found.n, found.m, found.strain, found.twist, found.area, found.natoms)
    for k, n, m, strain, twist, area, natoms in zip(sound, *(column.tolist() for column in columns), strict=True):
        results[k][:] = (
            [str(n), str(m), f"{strain:.7f}", f"{twist:.5f}", f"{area:.6f}", str(natoms)]
            if n
            else ["0", "0", "", "", "", ""]
        )


def with_header(lines: Iterator[str]) -> tuple[list[str], Iterator[str]]:
    """The column names of CSV, and all its lines, the first among them."""
    line = next(lines, "")
    try:
        names = next(csv.reader([line.removeprefix("\ufeff")]), [])
    except csv.Error:
        names = []  # `match_file` says what is wrong with it
    return [name.strip() for name in names], chain([line], lines)
