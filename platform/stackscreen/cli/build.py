"""`stackscreen build`: the stacked supercell of two materials as a file for DFT."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from schema.errors import StackscreenError
from stackscreen.cli.console import step
from stackscreen.cli.misfit_option import Misfit
from stackscreen.settings import get_settings

if TYPE_CHECKING:
    from stackscreen.pairs.common_cell import CommonCell
    from stackscreen.structures import Stack

LARGE_STRAIN = 0.05
"""Misfit beyond which no real interface stays coherent; such a stack is built, and a warning said."""


class Format(StrEnum):
    """File formats."""

    CIF = "cif"
    POSCAR = "poscar"
    EXTXYZ = "extxyz"


class BuildCommandError(StackscreenError):
    """The options do not go together, or the file cannot be written."""


def build(
    bottom: Annotated[str, typer.Argument(metavar="A", help="the lower side")],
    top: Annotated[str, typer.Argument(metavar="B", help="the upper side; a layer")],
    n: Annotated[int | None, typer.Option("--n", min=1, max=255, help="cells of A; with --m")] = None,
    m: Annotated[int | None, typer.Option("--m", min=1, max=255, help="cells of B; with --n")] = None,
    max_strain: Annotated[
        float | None, typer.Option(help="largest misfit of the match that is looked for, a fraction: 2 % is 0.02")
    ] = None,
    registry: Annotated[
        str | None,
        typer.Option(metavar="list|NAME|all", help="where B lies on A: AA (if not given), AB ...; list shows them"),
    ] = None,
    shift: Annotated[
        str | None, typer.Option(metavar="a,b", help="shift of B in fractions of A's cell vectors, not a registry")
    ] = None,
    flip_bottom: Annotated[
        bool, typer.Option("--flip-bottom", help="turn A over, so that B lies on its lower face")
    ] = (False),
    flip_top: Annotated[
        bool | None,
        typer.Option("--flip-top/--no-flip-top", help="turn B over or not; without, as the match needs it"),
    ] = None,
    rotate_top: Annotated[
        float, typer.Option(metavar="DEG", help="rotate B by a rotation of its lattice: 60 makes MoS2 on MoS2 2H")
    ] = 0.0,
    distance: Annotated[
        float | None, typer.Option(help="Å, highest nucleus of A to lowest of B, instead of the predicted one")
    ] = None,
    misfit: Annotated[Misfit | None, typer.Option(help="who carries the misfit")] = None,
    vacuum: Annotated[float, typer.Option(help="Å of empty space")] = 20.0,
    form: Annotated[
        Format | None, typer.Option("--format", help="by default what the file's name says, or cif")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="file; with --registry all one a registry: OUT_1_AA ...")
    ] = None,
) -> None:
    """Build the stacked supercell of two materials: A below, B on it.

    A and B are uids, such as MoS2-aff98411 or Au-ca2e15cc(111), or formulas
    that only one material has. If you do not say otherwise, the cell is the
    smallest match within the run's limits, the distance is the predicted one,
    and the misfit is carried by the film on a crystal, and else shared by
    stiffness (half and half where it is not known). Nothing is relaxed.

    Which faces look at each other: four choices for a polar (Janus) layer on
    another, by --flip-bottom and --flip-top. A layer is turned over by a
    two-fold rotation about an in-plane axis, so it stays itself; it is never
    replaced by its mirror image.

    Examples:

    stackscreen build BN C --registry list

    stackscreen build BN C --registry AB -o graphene_on_bn.cif

    stackscreen build WS2 WS2 --rotate-top 60 --registry all -o 2H.vasp

    stackscreen build "Au-ca2e15cc(111)" WS2 --n 16 --m 13 --distance 2.9 -o a.xyz
    """
    from stackscreen.build import places
    from stackscreen.pairs.common_cell import Orientation
    from stackscreen.pairs.misfit import MisfitPolicy
    from stackscreen.query.candidates import published_run
    from stackscreen.query.reading import reading, reading_engine
    from stackscreen.query.stacks import cell_of, check_order, gap_of, match_of, side_of
    from stackscreen.services import ensure_started
    from stackscreen.structures import Gap, Sides, stack

    if (n is None) != (m is None):
        raise BuildCommandError("Only one of --n and --m is given.", hint="Give both, or neither for the smallest.")
    if registry is not None and shift is not None:
        raise BuildCommandError("Both --registry and --shift are given.", hint="Either says where B lies: give one.")
    where = None if shift is None else _fractions(shift)
    wanted = registry or "AA"
    settings = get_settings()
    ensure_started(settings, step)
    engine = reading_engine(settings)
    try:
        with reading(engine) as connection:
            run = published_run(connection)
            lower, upper = side_of(connection, run, bottom), side_of(connection, run, top)
            check_order(lower, upper)
            if n is None or m is None:
                n, m = match_of(connection, run, lower, upper, max_strain)
            policy = None if misfit is None else MisfitPolicy(misfit.value)
            orientation = Orientation(flip_bottom, flip_top, rotate_top)
            cell = cell_of(lower, upper, n, m, policy=policy, orientation=orientation)
            _describe(lower.uid, upper.uid, n, m, cell)
            if wanted.lower() == "list":
                _list(cell)
                return
            gap = (
                gap_of(connection, run, lower, upper, cell)
                if distance is None
                else Gap(distance, "as given by --distance")
            )
    finally:
        engine.dispose()
    sides = Sides(lower.uid, upper.uid, f"run {run.id}")
    made = [stack(cell, gap, sides, place=place, vacuum=vacuum) for place in places(cell, wanted, where)]
    step(f"  {gap.distance:.3f} Å apart: {gap.origin}")
    _write(made, form, out)


def _fractions(text: str) -> tuple[float, float]:
    try:
        first, second = (float(part) for part in text.split(","))
    except ValueError as error:
        raise BuildCommandError(f"--shift {text} is not two fractions.", hint="Write --shift 0.5,0") from error
    return first, second


def _describe(bottom: str, top: str, n: int, m: int, cell: CommonCell) -> None:
    from stackscreen.structure_files import misfit_words

    atoms = n * len(cell.bottom) + m * len(cell.top)
    large, small = (round(100 * strain, 2) + 0.0 for strain in cell.strains)
    turned = [name for name, flip in zip((bottom, top), cell.flips, strict=True) if flip]
    step(f"{top} on {bottom}: {m} on {n} cells, {atoms} atoms, twist {cell.twist:.2f}°")
    step(f"  misfit {large:+.2f} / {small:+.2f} %, {misfit_words(cell)}")
    if turned:
        step(f"  turned over: {', '.join(turned)}")
    if cell.max_strain > LARGE_STRAIN:
        step("  Warning: no real interface stays coherent at such a misfit; choose other --n and --m.")


def _list(cell: CommonCell) -> None:
    from rich.console import Console
    from rich.table import Table

    from stackscreen.pairs.registry import MATTERS, high_symmetry, registry_spread

    table = Table("registry", "shift", "held by symmetry", "what lies above what")
    for one in high_symmetry(cell):
        table.add_row(one.name, f"{one.shift[0]:.4f}, {one.shift[1]:.4f}", "yes" if one.symmetric else "no", one.sites)
    Console().print(table)
    spread = registry_spread(cell)
    step(f"No two registries lie farther than {spread:.2f} Å apart.")
    if spread < MATTERS:
        step("In so large a cell every local registry occurs somewhere: which of these is built hardly matters.")


def _write(made: list[Stack], form: Format | None, out: Path | None) -> None:
    from stackscreen.structure_files import FileFormat, registry_words, write

    chosen = FileFormat(form.value if form else _guessed(out).value)
    if out is None:
        if len(made) > 1:
            raise BuildCommandError("Several structures need a file name each.", hint="Say where: -o FILE")
        print(write(made[0], chosen), end="")
        return
    for number, one in enumerate(made, 1):
        name = one.registry.name if one.registry else "shift"
        path = out if len(made) == 1 else out.with_name(f"{out.stem}_{number}_{name}{out.suffix}")
        path.write_text(write(one, chosen), encoding="utf-8")
        step(f"{path}  {registry_words(one)}")


def _guessed(out: Path | None) -> Format:
    name = out.name.lower() if out is not None else ""
    if name.endswith((".xyz", ".extxyz")):
        return Format.EXTXYZ
    if name.endswith((".vasp", ".poscar")) or name.startswith("poscar"):
        return Format.POSCAR
    return Format.CIF
