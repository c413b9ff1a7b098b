"""`stackscreen match`: coincidence lattices of two materials, or of every pair in a file."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from schema.errors import StackscreenError
from stackscreen.cli.console import progress_bar, step
from stackscreen.cli.engine import open_engine
from stackscreen.cli.misfit_option import Misfit
from stackscreen.settings import Settings, get_settings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stackscreen.pairs import PairLimits
    from stackscreen.pairs.pair_file import LatticeCell
    from stackscreen.pairs.solutions import Coincidence
    from stackscreen.query.sides import NamedSide

_NO_LIMIT = 2**31 - 1
_REPORT_BYTES = 1 << 16


class By(StrEnum):
    """What a list of coincidence lattices is sorted by."""

    STRAIN = "strain"
    TWIST = "twist"
    AREA = "area"


class MatchCommandError(StackscreenError):
    """The arguments of `match` do not fit together."""


def match(
    bottom: Annotated[
        str | None, typer.Argument(metavar="A", help="the lower side: uid, external id, or formula if only one has it")
    ] = None,
    top: Annotated[str | None, typer.Argument(metavar="B", help="the upper side")] = None,
    pairs: Annotated[
        Path | None,
        typer.Option(metavar="FILE.csv", help="pairs to match, `-` for standard input; instead of A and B"),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="OUT.csv", help="where to write; `-` or none: standard output"),
    ] = None,
    max_strain: Annotated[
        float | None,
        typer.Option(help="largest principal strain of the whole misfit, a fraction; default: the screen's"),
    ] = None,
    max_area: Annotated[
        float | None, typer.Option(help="Å², largest supercell of either side; default: the screen's")
    ] = None,
    max_atoms: Annotated[
        int | None, typer.Option(help="atoms of both sides in the supercell; no limit if not given")
    ] = None,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="with --pairs: pass bad rows over, saying why in a column `problem`")
    ] = False,
    by: Annotated[By, typer.Option(help="order of the list")] = By.AREA,
    misfit: Annotated[
        Misfit | None,
        typer.Option(help="who carries it; default: on a crystal the layer alone, else by stiffness where known"),
    ] = None,
    levels: Annotated[
        str | None,
        typer.Option(
            help="% of strain, the smallest supercell within each of which is shown; default: screen.strain_levels"
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=0, help="most rows of the printed list; 0: all")] = 40,
    as_json: Annotated[bool, typer.Option("--json", help="print everything as JSON")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="print the list as CSV")] = False,
) -> None:
    """Coincidence lattices: all of one pair, or the smallest of every pair in a file.

    A file has the columns a1,b1,gamma1,natoms1,a2,b2,gamma2,natoms2 (Å, degrees), and then no database is needed, or
    id1,id2. Each row comes out with n, m, strain, twist, area and natoms of its smallest supercell; n = 0: there is
    none.

    Examples: stackscreen match 1MoS2-1 1WSe2-1, stackscreen match --pairs pairs.csv --max-strain 0.02 -o out.csv
    """
    if pairs is None and (bottom is None or top is None):
        raise MatchCommandError(
            "There is nothing to match.", hint="Name two materials, or give a file: stackscreen match --pairs FILE.csv"
        )
    if pairs is not None and bottom is not None:
        raise MatchCommandError("Two materials and --pairs were given.", hint="Give either.")
    settings = get_settings()
    strain = settings.screen.max_strain if max_strain is None else max_strain
    area = settings.screen.max_area if max_area is None else max_area
    atoms = _NO_LIMIT if max_atoms is None else max_atoms
    if pairs is not None:
        match_pairs_file(settings, pairs, output, (strain, area, atoms), keep_going=keep_going)
    elif bottom is not None and top is not None:
        steps = list(settings.screen.strain_levels) if levels is None else _levels(levels)
        found = _match_two(settings, bottom, top, (strain, area, atoms), steps, misfit, by)
        with _target(output) as target:
            if as_json:
                print(json.dumps(found.as_dict(), ensure_ascii=False), file=target)
            elif as_csv:
                found.write_csv(target)
            else:
                found.print(target, limit)


def match_pairs_file(
    settings: Settings, pairs: Path, output: Path | None, limits: tuple[float, float, int], *, keep_going: bool
) -> None:
    """Match a file of pairs with a progress bar; the answer appears at its place when it is whole.

    Args:
        settings: whose database is opened if, and only if, the file names its pairs.
        pairs: CSV, or `-`.
        output: CSV, or `-` or None for standard output.
        limits: strain, area in Å², atoms.
        keep_going: see `stackscreen.pairs.pair_file.match_file`.

    Raises:
        StackscreenError: a limit, the header or a row makes no sense; or the database is not there.
    """
    from stackscreen.pairs import PairLimits
    from stackscreen.pairs.pair_file import match_file, needs_names, with_header

    bounds = PairLimits(*limits)
    with progress_bar("pairs", in_bytes=True) as progress, _lines(pairs) as (source, size):
        header, lines = with_header(_counted(source, size, progress))
        with _target(output) as target, _names(settings, needs_names(header)) as resolve:
            rows, matched, bad = match_file(lines, target, bounds, resolve=resolve, keep_going=keep_going)
    passed = f", {bad:,} bad rows passed over" if keep_going else ""
    step(f"  {rows:,} pairs, {matched:,} with a coincidence lattice{passed}")


@contextmanager
def _lines(path: Path) -> Iterator[tuple[Iterable[str], int | None]]:
    """The lines of a file, or of standard input, and its size in bytes where it has one."""
    if str(path) == "-":
        yield sys.stdin, None
        return
    with path.open(encoding="utf-8-sig", newline="") as file:
        yield file, path.stat().st_size


def _counted(lines: Iterable[str], size: int | None, progress: Any) -> Iterator[str]:
    done = told = 0
    try:
        for line in lines:
            done += len(line)
            if done - told >= _REPORT_BYTES:
                progress(done, size)
                told = done
            yield line
    except UnicodeDecodeError as error:
        raise MatchCommandError(f"The file is not UTF-8 text: {error}.", hint="Save it as CSV in UTF-8.") from error
    progress(done if size is None else size, size)


@contextmanager
def _target(output: Path | None) -> Iterator[TextIO]:
    """Standard output, or a file that appears, or changes, only when all went well."""
    if output is None or str(output) == "-":
        yield sys.stdout
        return
    part = output.with_name(f".{output.name}.{os.getpid()}.part")
    try:
        with part.open("w", encoding="utf-8", newline="") as file:
            yield file
        part.replace(output)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def _names(settings: Settings, needed: bool) -> Iterator[Any]:
    """Looks up materials in the database, which is opened only if it is needed; names found are remembered."""
    if not needed:
        yield None
        return
    from schema.plane_lattice import PlaneLattice
    from stackscreen.pairs.pair_file import LatticeCell
    from stackscreen.query.reading import reading
    from stackscreen.query.sides import NamedSide, find_sides

    engine = open_engine(settings)
    known: dict[str, LatticeCell | StackscreenError] = {}

    def resolve(names: Iterable[str]) -> dict[str, LatticeCell | StackscreenError]:
        new = set(names) - set(known)
        with reading(engine) as connection:
            for name, side in find_sides(connection, new).items():
                if isinstance(side, NamedSide):
                    plane = PlaneLattice.from_vectors(*side.basis)
                    known[name] = LatticeCell(plane.ln_area, plane.tau, side.n_atoms)
                else:
                    known[name] = side
        return known

    try:
        yield resolve
    finally:
        engine.dispose()


def _levels(text: str) -> list[float]:
    """Strains from percents, e.g. "0.5,1"."""
    try:
        levels = sorted({float(part) / 100 for part in text.split(",")})
    except ValueError:
        levels = [0.0]
    if not 0 < levels[0] <= levels[-1] <= 0.2:
        raise MatchCommandError(
            f"--levels {text!r} must be percents between 0 and 20.", hint="For example: --levels 0.5,1,2,3"
        )
    return levels


def _match_two(
    settings: Settings,
    below: str,
    above: str,
    limits: tuple[float, float, int],
    levels: list[float],
    misfit: Misfit | None,
    by: By,
) -> _Found:
    from stackscreen.pairs import PairLimits
    from stackscreen.pairs.solutions import coincidences, smallest_by_level
    from stackscreen.query.reading import reading
    from stackscreen.query.sides import one_side

    strain, area, atoms = limits
    bounds = PairLimits(strain, area, atoms)
    engine = open_engine(settings)
    try:
        with reading(engine) as connection:
            bottom, top = one_side(connection, below), one_side(connection, above)
    finally:
        engine.dispose()
    # All up to the largest strain asked for, so that the smallest within each level is among them.
    widest = PairLimits(max([strain, *levels]), area, atoms)
    every = coincidences(bottom.basis, top.basis, (bottom.n_atoms, top.n_atoms), widest)
    steps = list(zip(levels, smallest_by_level(every, levels), strict=True))
    keys = {
        By.AREA: lambda one: (one.n * one.m, one.strain, one.twist),
        By.STRAIN: lambda one: (round(one.strain, 7), one.n * one.m, one.twist),
        By.TWIST: lambda one: (round(one.twist, 3), one.n * one.m, one.strain),
    }
    within = sorted((one for one in every if one.strain <= strain + 1e-12), key=keys[by])
    return _Found(bottom, top, bounds, within, steps, *_shares(misfit, bottom, top))


def _shares(misfit: Misfit | None, bottom: NamedSide, top: NamedSide) -> tuple[tuple[float, float], str]:
    """The parts of the misfit that bottom and top carry, and why."""
    from stackscreen.pairs.misfit import MisfitPolicy, share

    if misfit in (Misfit.EQUAL, Misfit.TOP, Misfit.BOTTOM):
        return share(MisfitPolicy(misfit.value)), "as asked"
    if misfit is None and bottom.is_surface != top.is_surface:
        policy = MisfitPolicy.TOP if bottom.is_surface else MisfitPolicy.BOTTOM
        return share(policy), "by the layer alone, as the other side is a crystal"
    parts = share(MisfitPolicy.STIFFNESS, bottom.stiffness, top.stiffness)
    if bottom.stiffness is None or top.stiffness is None:
        return parts, "half and half, as the stiffness of both is not known"
    return parts, f"by stiffness, {bottom.stiffness:.0f} N/m below and {top.stiffness:.0f} N/m above"


class _Found:
    """All coincidence lattices of one pair, ready to be written."""

    def __init__(
        self,
        bottom: NamedSide,
        top: NamedSide,
        limits: PairLimits,
        every: list[Coincidence],
        steps: list[tuple[float, Coincidence | None]],
        parts: tuple[float, float],
        because: str,
    ) -> None:
        self.bottom, self.top, self.limits, self.every, self.steps = bottom, top, limits, every, steps
        self.parts, self.because = parts, because

    def row(self, one: Coincidence) -> dict[str, Any]:
        """One coincidence lattice as flat values with names of their units."""
        tensor = one.tensor
        parts = _components(tensor)
        return {
            "n": one.n,
            "m": one.m,
            "area": round(one.area, 6),
            "natoms": one.natoms,
            "strain": _tidy(one.strain),
            "twist": _tidy(one.twist),
            "flip": one.solution.flip,
            "rotation": _tidy(one.rotation),
            "von_mises": _tidy(one.solution.von_mises),
            **parts,
            **{f"bottom_{key}": _tidy(self.parts[0] * value) for key, value in parts.items()},
            **{f"top_{key}": _tidy(-self.parts[1] * value) for key, value in parts.items()},
            "bottom_matrix": one.solution.bottom_matrix.tolist(),
            "top_matrix": one.solution.top_matrix.tolist(),
        }

    def as_dict(self) -> dict[str, Any]:
        """Everything, for JSON: strains are fractions, twists degrees, areas Å²."""
        atoms = None if self.limits.max_atoms == _NO_LIMIT else self.limits.max_atoms
        return {
            "bottom": _side(self.bottom),
            "top": _side(self.top),
            "limits": {"max_strain": self.limits.max_strain, "max_area": self.limits.max_area, "max_atoms": atoms},
            "misfit": {"bottom": self.parts[0], "top": self.parts[1], "because": self.because},
            "levels": [{"level": level, "match": None if one is None else self.row(one)} for level, one in self.steps],
            "matches": [self.row(one) for one in self.every],
        }

    def write_csv(self, target: TextIO) -> None:
        """The list as CSV; a matrix is four integers, row by row."""
        names = list(self.row(self.every[0])) if self.every else ["n", "m", "area", "natoms", "strain", "twist"]
        writer = csv.writer(target, lineterminator="\n")
        writer.writerow(names)
        for one in self.every:
            row = self.row(one)
            row["bottom_matrix"], row["top_matrix"] = (_flat(row[f"{side}_matrix"]) for side in ("bottom", "top"))
            writer.writerow(row.values())

    def print(self, target: TextIO, limit: int) -> None:
        """Tables for people; strains in percent."""
        from rich.console import Console
        from rich.table import Table

        console = Console(file=target, highlight=False, width=None if target.isatty() else 150)
        console.print(f"{_label(self.bottom)} below, {_label(self.top)} above")
        atoms = "" if self.limits.max_atoms == _NO_LIMIT else f", {self.limits.max_atoms} atoms"
        console.print(f"strain up to {100 * self.limits.max_strain:g} %, {self.limits.max_area:g} Å²{atoms}")
        console.print(f"misfit carried {self.because}: bottom {self.parts[0]:.0%}, top {self.parts[1]:.0%}")
        heads = ("n", "m", "area Å²", "atoms", "strain %", "v. Mises %", "twist °", "flip")
        smallest = Table("within %", *heads, title="smallest within each strain", title_justify="left")
        for level, one in self.steps:
            smallest.add_row(f"{100 * level:g}", *(("none",) if one is None else _cells(one)))
        console.print(smallest)
        shown = self.every[:limit] if limit else self.every
        title = f"all {len(self.every)} coincidence lattices within {100 * self.limits.max_strain:g} %"
        listed = Table(*heads, "e11 %", "e22 %", "e12 %", "bottom", "top", title=title, title_justify="left")
        for one in shown:
            parts = (f"{100 * value:+.2f}" for value in _components(one.tensor).values())
            listed.add_row(*_cells(one), *parts, *map(_flat, (one.solution.bottom_matrix, one.solution.top_matrix)))
        console.print(listed)
        if len(shown) < len(self.every):
            console.print(f"{len(self.every) - len(shown)} more: --limit 0 shows all, --json and --csv hold all")


def _cells(one: Coincidence) -> tuple[str, ...]:
    return (
        str(one.n), str(one.m), f"{one.area:.1f}", str(one.natoms), f"{100 * one.strain:.3f}",
        f"{100 * one.solution.von_mises:.3f}", f"{one.twist:.2f}", "flip" if one.solution.flip else "",
    )  # fmt: skip


def _components(tensor: NDArray[Any]) -> dict[str, float]:
    return {"e11": _tidy(tensor[0, 0]), "e22": _tidy(tensor[1, 1]), "e12": _tidy(tensor[0, 1])}


def _tidy(value: float) -> float:
    """Nine decimals, and no negative zero."""
    return round(float(value), 9) + 0.0


def _flat(matrix: Any) -> str:
    return " ".join(str(int(entry)) for row in matrix for entry in row)


def _label(side: NamedSide) -> str:
    return f"{side.uid} ({side.formula}, {side.n_atoms} atoms)"


def _side(side: NamedSide) -> dict[str, Any]:
    return {
        "uid": side.uid,
        "formula": side.formula,
        "n_atoms": side.n_atoms,
        "cell": side.basis.round(9).tolist(),
        "surface": side.is_surface,
        "stiffness": side.stiffness,
    }
