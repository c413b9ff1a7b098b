"""Building stacks: registries, files, and the command, on known pairs."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import graphene as ase_graphene
from ase.build import mx2
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from layers import HEXAGONAL, MOS2, WSE2, graphene, handed, honeycomb, oblique
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor
from sqlalchemy import create_engine, text
from typer.testing import CliRunner, Result

from ml.descriptors.slab import Slab
from schema.errors import StackscreenError
from stackscreen.build import as_slab, build
from stackscreen.cli import app
from stackscreen.pairs import NoCoincidenceError, PairLimits
from stackscreen.pairs.common_cell import Orientation, common_cell
from stackscreen.pairs.registry import MATTERS, Registry, high_symmetry, registry_lattice, registry_spread
from stackscreen.services import database_url
from stackscreen.settings import Settings, get_settings
from stackscreen.structure_files import FileFormat, to_ase, write
from stackscreen.structures import Gap, Sides, Stack, StackError, stack

BN = honeycomb((5, 7), 2.50)


def registries(bottom: Slab, top: Slab, n: int = 1, m: int = 1, rotation: float = 0.0) -> dict[str, Registry]:
    cell = common_cell(bottom, top, n, m, orientation=Orientation(rotation=rotation))
    return {one.name: one for one in high_symmetry(cell)}


def fcc111(number: int, a: float) -> Slab:
    cell = a / np.sqrt(2) * HEXAGONAL
    sites = np.array([[0, 0], [1 / 3, 2 / 3], [2 / 3, 1 / 3]])
    return Slab(np.full(3, number), np.column_stack([sites @ cell, -a / np.sqrt(3) * np.arange(3)]), cell)


def test_parallel_mos2_has_the_three_known_registries_and_the_bridge() -> None:
    found = registries(MOS2, MOS2)
    assert {name: one.sites for name, one in found.items()} == {
        "AA": "Mo (1.6 Å deep) over Mo (1.6 Å deep), S over S",
        "AB": "Mo (1.6 Å deep) over S",
        "BA": "S over Mo (1.6 Å deep)",
        "bridge": "no atom above another",
    }
    assert found["AA"].shift == pytest.approx((0.0, 0.0))
    assert found["AB"].shift == pytest.approx((1 / 3, 2 / 3))
    assert found["BA"].shift == pytest.approx((2 / 3, 1 / 3))


def test_antiparallel_mos2_has_2h_and_its_two_others() -> None:
    found = registries(MOS2, MOS2, rotation=60)
    assert {name: one.sites for name, one in found.items() if one.symmetric} == {
        "AA": "Mo (1.6 Å deep) over S, S over Mo (1.6 Å deep)",
        "AB": "S over S",
        "BA": "Mo (1.6 Å deep) over Mo (1.6 Å deep)",
    }


def test_graphene_on_bn_has_carbon_on_both_on_boron_and_on_nitrogen() -> None:
    found = registries(BN, graphene())
    assert {name: one.sites for name, one in found.items() if one.symmetric} == {
        "AA": "C over B, C over N",
        "AB": "C over B",
        "BA": "C over N",
    }


def test_of_bilayer_graphene_ab_and_ba_are_one() -> None:
    found = registries(graphene(), graphene())
    assert list(found) == ["AA", "AB", "bridge"]
    # Two-fold: the saddle between AB and BA.
    assert all(one.symmetric for one in found.values())


def test_graphene_on_a_close_packed_face_lies_top_fcc_top_hcp_or_hcp_fcc() -> None:
    found = registries(fcc111(28, 3.52), graphene())
    assert {one.sites for one in found.values() if one.symmetric} == {
        "C over Ni, C over Ni (2.0 Å deep)",
        "C over Ni, C over Ni (4.1 Å deep)",
        "C over Ni (2.0 Å deep), C over Ni (4.1 Å deep)",
    }


def test_a_four_fold_layer_on_itself_is_aa_without_a_shift() -> None:
    cell = 3.77 * np.eye(2)
    sites = np.array([[0, 0], [0.5, 0.5], [0.5, 0], [0, 0.5]])
    iron_selenide = Slab(np.array([26, 26, 34, 34]), np.column_stack([sites @ cell, [0, 0, 1.45, -1.45]]), cell)
    found = registries(iron_selenide, iron_selenide)
    assert list(found) == ["AA", "AB", "bridge"]
    assert found["AA"].shift == pytest.approx((0.0, 0.0))
    assert found["AB"].shift == pytest.approx((0.5, 0.5))


def test_a_layer_without_symmetry_has_half_vectors_from_where_most_atoms_are_covered() -> None:
    found = registries(oblique(), oblique())
    assert list(found) == ["AA", "half-a", "half-b", "half-ab"]
    assert found["AA"].shift == pytest.approx((0.0, 0.0), abs=1e-6)
    assert not any(one.symmetric for one in found.values())


def test_registries_do_not_depend_on_how_a_cell_is_written() -> None:
    change = np.array([[1, 0], [1, 1]])
    moved = MOS2.positions + np.array([0.7, -0.4, 3.0])
    other = Slab(MOS2.numbers, moved, change @ MOS2.cell)
    plain, rewritten = registries(MOS2, WSE2), registries(other, WSE2)
    assert {name: one.sites for name, one in plain.items()} == {name: one.sites for name, one in rewritten.items()}


def test_in_a_moire_cell_registries_lie_close_together() -> None:
    assert registry_spread(common_cell(graphene(), graphene(), 1, 1)) == pytest.approx(2.46 / np.sqrt(3), abs=1e-6)
    moire = common_cell(fcc111(79, 4.08), MOS2, 16, 13)
    assert registry_spread(moire) < MATTERS
    area = abs(np.linalg.det(registry_lattice(moire)))
    assert area == pytest.approx(abs(np.linalg.det(moire.bottom_cell)) / 13, rel=1e-9)


def _same_up_to_translation(one: Stack, other: Stack) -> bool:
    matcher = StructureMatcher(ltol=1e-4, stol=1e-3, angle_tol=0.01, primitive_cell=False, scale=False)
    return bool(matcher.fit(one.structure, other.structure))


def test_a_shift_by_a_vector_of_either_layer_changes_nothing_and_others_do() -> None:
    cell = common_cell(MOS2, WSE2, 4, 3)
    to_bottom = np.linalg.inv(cell.bottom_cell)
    gap, sides = Gap(3.2, "test"), Sides("a", "b")
    plain = stack(cell, gap, sides)
    for vector in (*cell.bottom_cell, *cell.top_cell, *registry_lattice(cell)):
        assert _same_up_to_translation(plain, stack(cell, gap, sides, place=tuple(vector @ to_bottom)))
    half = 0.5 * registry_lattice(cell)[0] @ to_bottom
    assert not _same_up_to_translation(plain, stack(cell, gap, sides, place=tuple(half)))


@settings(deadline=None, max_examples=25)
@given(
    n=st.integers(1, 5),
    scale=st.floats(0.95, 1.05),
    shift=st.tuples(st.floats(-1.0, 1.0), st.floats(-1.0, 1.0)),
)
def test_no_atoms_are_nearer_than_the_distance_or_the_layer_allows(
    n: int, scale: float, shift: tuple[float, float]
) -> None:
    layer = handed()
    other = Slab(layer.numbers, layer.positions, layer.cell * scale)
    (made,) = build(layer, other, n=n, m=n, distance=3.0, shift=shift)
    assume(made.cell.max_strain < 0.1)
    distances = made.structure.distance_matrix
    below = np.array([site.properties["side"] == "bottom" for site in made.structure])
    assert distances[np.ix_(below, ~below)].min() >= 3.0 - 1e-9
    heights = made.structure.cart_coords[:, 2]
    assert heights[~below].min() - heights[below].max() == pytest.approx(3.0, abs=1e-6)
    within = distances[np.ix_(below, below)] + 100.0 * np.eye(below.sum())
    alone = np.linalg.norm(layer.positions[:, None] - layer.positions[None], axis=2) + 100.0 * np.eye(4)
    assert within.min() == pytest.approx(alone.min(), rel=0.06)


def _read_cif(text: str) -> Structure:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pymatgen says how many sites it read
        return Structure.from_str(text, fmt="cif", frac_tolerance=0)


def _from_ase(form: str) -> Callable[[str], Structure]:
    def read(text: str) -> Structure:
        atoms = ase.io.read(io.StringIO(text), format=form)
        assert isinstance(atoms, Atoms)
        return AseAtomsAdaptor.get_structure(atoms)

    return read


@pytest.mark.parametrize(
    ("form", "read"),
    [
        (FileFormat.CIF, _read_cif),
        (FileFormat.CIF, _from_ase("cif")),
        (FileFormat.POSCAR, lambda text: Structure.from_str(text, fmt="poscar")),
        (FileFormat.POSCAR, _from_ase("vasp")),
        (FileFormat.EXTXYZ, _from_ase("extxyz")),
    ],
)
def test_a_file_gives_the_same_structure_back(form: FileFormat, read: Callable[[str], Structure]) -> None:
    (made,) = build(oblique(), oblique(1.02), n=3, m=3, distance=6.0, names=("b", "t"))
    again = read(write(made, form))
    assert np.allclose(again.lattice.matrix, made.structure.lattice.matrix, atol=1e-7)
    for site in made.structure:
        found = min(again, key=site.distance)
        assert found.specie == site.specie
        assert found.distance(site) < 1e-6
    assert len(again) == len(made.structure)


@pytest.mark.parametrize("form", FileFormat)
def test_a_file_alone_says_what_it_is(form: FileFormat) -> None:
    cell = common_cell(MOS2, WSE2, 1, 1)
    (place,) = [one for one in high_symmetry(cell) if one.name == "AB"]
    made = stack(cell, Gap(3.25, "prediction of the run"), Sides("MoS2-1", "WSe2-2", "run 7"), place=place)
    head = write(made, form).split("data_")[0] if form is FileFormat.CIF else write(made, form)[:2500]
    facts = (
        "WSe2-2 on MoS2-1",
        "run 7",
        "NOT relaxed",
        str(cell.bottom_matrix.tolist()),
        "+4.3",
        "half and half",
        "3.25",
        "prediction of the run",
        "AB: W",
        "0.333333, 0.666667",
        "tackscreen 0.",
    )
    for fact in facts:
        assert fact in head, fact
    head.encode("ascii")


def test_ase_atoms_know_their_layer_and_where_they_come_from() -> None:
    (made,) = build(MOS2, WSE2, n=1, m=1, distance=3.3, names=("below", "above"))
    atoms = to_ase(made)
    assert atoms.get_tags().tolist() == [0, 0, 0, 1, 1, 1]
    assert atoms.pbc.tolist() == [True, True, False]
    assert atoms.info["stack"] == "above on below"
    assert np.allclose(atoms.cell.array, made.structure.lattice.matrix)


def test_ase_and_pymatgen_layers_make_the_same_stack() -> None:
    below = mx2("MoS2", a=3.18, thickness=3.12, vacuum=8.0)
    above = ase_graphene("C2", a=2.46, vacuum=8.0)
    given_as = [(below, above), tuple(AseAtomsAdaptor.get_structure(atoms) for atoms in (below, above))]
    one, other = (build(*two, distance=3.4, limits=PairLimits(0.03, 200.0, 100))[0] for two in given_as)
    assert one.structure.composition == other.structure.composition
    assert one.structure.matches(other.structure)
    assert one.cell.max_strain <= 0.03
    flat = ase_graphene("C2", a=2.46)
    assert not flat.cell.array[2].any()
    assert len(as_slab(flat)) == 2


def test_every_registry_is_built_when_all_are_asked_for() -> None:
    made = build(MOS2, MOS2, n=1, m=1, distance=3.0, registry="all")
    assert [one.registry.name for one in made if one.registry] == ["AA", "AB", "BA", "bridge"]
    (single,) = build(MOS2, MOS2, n=1, m=1, distance=3.0, registry="ba")
    assert _same_up_to_translation(single, made[2])


def test_what_cannot_be_built_is_said_with_the_next_step() -> None:
    with pytest.raises(StackError, match="AC") as caught:
        build(MOS2, MOS2, n=1, m=1, distance=3.0, registry="AC")
    assert "AA, AB, BA, bridge" in caught.value.hint
    with pytest.raises(StackError, match="Only one"):
        build(MOS2, MOS2, n=1, distance=3.0)
    with pytest.raises(NoCoincidenceError, match=r"0\.01 %"):
        build(MOS2, oblique(), distance=3.0, limits=PairLimits(0.0001, 40.0, 30))


Command = Callable[..., Result]


@pytest.fixture
def command(screened_system: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Command]:
    """`stackscreen build` on the screened starter set, in this process."""
    for name, value in screened_system.as_environment().items():
        monkeypatch.setenv(name, value)
    get_settings.cache_clear()
    yield lambda *arguments: CliRunner().invoke(app, ["build", *map(str, arguments)])
    get_settings.cache_clear()


def _succeeds(result: Result) -> Result:
    assert result.exit_code == 0, f"{result.exception} {result.stderr}"
    return result


def _uid(settings: Settings, formula: str, ending: str = "") -> str:
    """The one uid that a listing of an ambiguous name, or the published run, gives for a formula."""
    engine = create_engine(database_url(settings))
    with engine.connect() as connection:
        found = connection.execute(
            text("SELECT uid FROM screening_member WHERE formula = :f AND uid LIKE :u ORDER BY member"),
            {"f": formula, "u": f"%{ending}"},
        ).scalars()
        uid = str(next(iter(found)))
    engine.dispose()
    return uid


def test_graphene_on_bn_is_built_from_the_run(screened_system: Settings, command: Command, tmp_path: Path) -> None:
    _succeeds(command("BN", "C", "--registry", "all", "-o", tmp_path / "g.vasp"))
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["g_1_AA.vasp", "g_2_AB.vasp", "g_3_BA.vasp", "g_4_bridge.vasp"]
    for file in files:
        made = Structure.from_str(file.read_text(), fmt="poscar")
        assert made.composition.as_dict() == {"B": 1, "N": 1, "C": 2}
        line = file.read_text().splitlines()[0]
        assert f"{_uid(screened_system, 'C')} on {_uid(screened_system, 'BN')} (run " in line
        heights = {site.specie.symbol: site.coords[2] for site in made}
        assert heights["C"] - heights["B"] == pytest.approx(3.4, abs=0.4)


def test_mos2_lies_root_13_on_4x4_gold_at_the_computed_distance(
    screened_system: Settings, command: Command, tmp_path: Path
) -> None:
    gold, layer = _uid(screened_system, "Au", "(111)"), _uid(screened_system, "MoS2")
    file = tmp_path / "a.xyz"
    _succeeds(command(gold, layer, "--n", "16", "--m", "13", "-o", file))
    atoms = ase.io.read(file)
    assert isinstance(atoms, Atoms)
    counted = {symbol: atoms.get_chemical_symbols().count(symbol) for symbol in ("Mo", "S", "Au")}
    assert counted == {"Mo": 13, "S": 26, "Au": 48}
    assert atoms.info["misfit_policy"] == "top"
    assert atoms.info["bottom_strain"] == "+0.0000 / +0.0000 %"
    a, b, *_, gamma = atoms.cell.cellpar()
    assert (a, b) == pytest.approx((4 * 4.0782 / np.sqrt(2),) * 2, rel=0.01)
    assert min(gamma, 180 - gamma) == pytest.approx(60.0, abs=1e-6)
    upper = atoms.get_tags() == 1
    heights = atoms.positions[:, 2]
    assert heights[upper].min() - heights[~upper].max() == pytest.approx(3.0, abs=1e-6)
    assert "aiHD" in atoms.info["interlayer_distance"]
    _succeeds(command(gold, layer, "--n", "16", "--m", "13", "--distance", "2.75", "-o", file))
    heights = ase.io.read(file).positions[:, 2]  # type: ignore[union-attr]
    assert heights[upper].min() - heights[~upper].max() == pytest.approx(2.75, abs=1e-6)


def test_the_command_lists_registries_and_says_when_they_hardly_matter(
    screened_system: Settings, command: Command
) -> None:
    gold, layer = _uid(screened_system, "Au", "(111)"), _uid(screened_system, "MoS2")
    done = _succeeds(command(gold, layer, "--n", "16", "--m", "13", "--registry", "list"))
    assert "bridge" in done.stdout
    assert "hardly matters" in done.stderr


def test_a_janus_layer_shows_the_face_that_was_asked_for(
    screened_system: Settings, command: Command, tmp_path: Path
) -> None:
    facing = set()
    for flips in ([], ["--flip-top"], ["--flip-bottom"], ["--flip-bottom", "--flip-top"]):
        file = tmp_path / "j.xyz"
        _succeeds(command("MoSSe", "MoSSe", "--n", "1", "--m", "1", *flips, "-o", file))
        atoms = ase.io.read(file)
        assert isinstance(atoms, Atoms)
        upper, heights = atoms.get_tags() == 1, atoms.positions[:, 2]
        lower = max(np.flatnonzero(~upper), key=lambda k: heights[k])
        above = min(np.flatnonzero(upper), key=lambda k: heights[k])
        facing.add((atoms.symbols[lower], atoms.symbols[above]))
    assert facing == {("S", "Se"), ("Se", "S"), ("S", "S"), ("Se", "Se")}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("Nothing", "C"), "no layer and no surface called"),
        (("MoS2", "C"), "may be MoS2-"),
        (("C", "Au(111)"), "no layer and no surface called"),
        (("BN", "C", "--n", "1"), "Only one of --n and --m"),
        (("BN", "C", "--shift", "x,1"), "not two fractions"),
        (("BN", "C", "--shift", "0,0", "--registry", "AB"), "give one"),
        (("BN", "C", "--registry", "ZZ"), "It has AA, AB, BA, bridge"),
        (("BN", "C", "--registry", "all"), "-o FILE"),
        (("BN", "C", "--distance", "0.9"), "which is an overlap"),
        (("BN", "C", "--rotate-top", "10"), "does not leave the upper lattice"),
        (("BN", "C", "-o", "/nowhere/at/all.cif"), "/nowhere/at/all.cif"),
    ],
)
def test_the_command_says_what_is_wrong_and_the_next_step(
    command: Command, arguments: tuple[str, ...], says: str
) -> None:
    error = command(*arguments).exception
    assert isinstance(error, StackscreenError | OSError)
    assert says in str(error)


def test_a_surface_cannot_lie_on_a_layer(screened_system: Settings, command: Command) -> None:
    error = command("C", _uid(screened_system, "Au", "(111)")).exception
    assert isinstance(error, StackError)
    assert "can only lie below" in error.message
    assert error.hint.startswith("Put it below")
