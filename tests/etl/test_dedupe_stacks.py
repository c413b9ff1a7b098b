"""One stack for one registry: whoever drew it, from whichever side; and never for two."""

from __future__ import annotations

import math
import random
from collections import defaultdict
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms as AseAtoms
from disguise import Disguise, disguised, disguises
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure
from small_files import bidb_keys, bilayer, c2db_file, dichalcogenide, graphene, write_ase
from sqlalchemy import Engine, text

from etl.api import import_file
from etl.canonical import canonical_slab
from etl.dedupe import stacks
from etl.dedupe.api import dedupe
from etl.dedupe.registry import StackGeometry, compare_stacks, stack_geometry
from etl.dedupe.stack_store import BlockKey, Stacked, touched_blocks
from etl.dedupe.stacks import judge_block, unite_stacks
from etl.records import Atoms, Record
from etl.source import get_source

services = pytest.mark.services

CARBON = {6: 1}
MOS2 = {42: 1, 16: 2}
WSE2 = {74: 1, 34: 2}
THIRD, TWO_THIRDS = (1 / 3, 2 / 3), (2 / 3, 1 / 3)


def turned(layer: AseAtoms) -> AseAtoms:
    """Half a turn of a layer in its plane."""
    result = layer.copy()
    result.positions[:, :2] *= -1
    return result


def on(bottom: AseAtoms, top: AseAtoms, shift: tuple[float, float] = (0, 0), distance: float = 3.0) -> AseAtoms:
    """One layer on another of the same cell."""
    upper = top.copy()
    upper.positions[:, 2] += bottom.positions[:, 2].max() + distance - upper.positions[:, 2].min()
    upper.positions[:, :2] += np.array(shift) @ np.array(bottom.cell)[:2, :2]
    both = bottom + upper
    both.cell[2, 2] = bottom.cell[2, 2] + np.ptp(upper.positions[:, 2]) + distance
    return both


def twisted(first: tuple[int, int], second: tuple[int, int]) -> AseAtoms:
    """Graphene on graphene, commensurate: two supercells spanned by vectors of one length, laid on each other."""
    layers = []
    for m, n in (first, second):
        sheet = graphene()
        rows = np.array([[m, n], [-n, m - n]]) @ np.array(sheet.cell)[:2, :2]
        angle = math.atan2(rows[0, 1], rows[0, 0])
        wide = sheet.repeat((9, 9, 1))
        wide.positions -= wide.positions[len(wide) // 2]
        cell = np.diag([1.0, 1.0, 15.0])
        cell[:2, :2] = rows
        within = wide.positions[:, :2] @ np.linalg.inv(rows)
        inside = ((within >= -1e-9) & (within < 1 - 1e-9)).all(axis=1)
        layer = AseAtoms("C" * int(inside.sum()), positions=wide.positions[inside], cell=cell, pbc=(1, 1, 0))
        layer.rotate(-math.degrees(angle), "z", rotate_cell=True)
        layers.append(layer)
    return on(*layers)


def geometry(atoms: Atoms | AseAtoms, one: dict[int, int], other: dict[int, int]) -> StackGeometry:
    if isinstance(atoms, AseAtoms):
        atoms = Atoms(atoms.numbers.astype(np.int64), atoms.positions, np.array(atoms.cell))
    slab = canonical_slab(atoms)
    return stack_geometry(slab.numbers, slab.positions, slab.cell, one, other)


MO, W, C = dichalcogenide(), dichalcogenide("H", "W", ("Se", "Se"), 3.18, 1.67), graphene()
JANUS = dichalcogenide("H", chalcogen=("S", "Se"))
# The six high-symmetry stackings of a 2H layer on itself; the second and third are one, seen from above and below.
REGISTRIES = [on(MO, top, shift) for top in (MO, turned(MO)) for shift in ((0, 0), THIRD, TWO_THIRDS)]

STACKS = {
    "graphene AA": (bilayer(C), CARBON, CARBON),
    "graphene AB": (bilayer(C, shift=THIRD), CARBON, CARBON),
    "2H AA": (REGISTRIES[0], MOS2, MOS2),
    "2H AB": (REGISTRIES[1], MOS2, MOS2),
    "2H AA'": (REGISTRIES[3], MOS2, MOS2),
    "low symmetry": (on(MO, turned(MO), (0.17, 0.4)), MOS2, MOS2),
    "heterobilayer": (on(MO, W, THIRD), MOS2, WSE2),
    "Janus": (on(JANUS, JANUS, THIRD), {42: 1, 16: 1, 34: 1}, {42: 1, 16: 1, 34: 1}),
    "twisted": (twisted((3, 1), (3, 2)), CARBON, CARBON),
}
PLAIN = Disguise(15, (0, 0, 0), (0, 0, 0), 0, (1, 1), (0, 0), 2, 0)
strained = st.builds(
    lambda how, noise, strain: replace(how, noise=noise, strain=strain),
    disguises, st.floats(0, 0.02), st.floats(-0.01, 0.01),
)  # fmt: skip
repeated = st.builds(
    lambda how, repeat: replace(how, repeat=repeat), disguises, st.sampled_from([(2, 1), (1, 2), (2, 2), (3, 1)])
)


@pytest.mark.parametrize("name", STACKS)
@settings(max_examples=25, deadline=None)
@given(how=st.one_of(strained, repeated), further=st.floats(-0.3, 0.3))
def test_a_stack_in_other_clothes_is_the_same_stack(name: str, how: Disguise, further: float) -> None:
    """Another cell, origin, order, orientation, side, supercell, lattice constant and interlayer distance."""
    atoms, bottom, top = STACKS[name]
    other = atoms.copy()
    other.positions[len(atoms) // 2 :, 2] += further
    verdict = compare_stacks(geometry(atoms, bottom, top), geometry(disguised(other, how), bottom, top))
    assert verdict.same, verdict.evidence
    assert verdict.evidence["distance_difference"] == pytest.approx(further, abs=0.05)
    assert verdict.distance < 0.13


def test_a_2h_layer_has_five_stackings_on_itself() -> None:
    found = [geometry(atoms, MOS2, MOS2) for atoms in REGISTRIES]
    same = [(i, j) for i, j in combinations(range(6), 2) if compare_stacks(found[i], found[j]).same]
    assert same == [(1, 2)]


def test_registries_that_the_fingerprint_cannot_tell_apart_stay_apart() -> None:
    """The nearest twelve carbon atoms of an atom of bilayer graphene lie in its own sheet, AA or AB."""
    aligned, shifted = (geometry(bilayer(C, shift=shift), CARBON, CARBON) for shift in ((0, 0), THIRD))
    area = aligned.area_per_atom
    assert np.abs(aligned.fingerprint_at(area) - shifted.fingerprint_at(area)).max() < 1e-6
    assert not compare_stacks(aligned, shifted).same


@pytest.mark.parametrize(("shift", "same"), [(0.09, True), (0.13, False)])
def test_a_slide_counts_from_a_tenth_of_an_angstrom(shift: float, same: bool) -> None:
    """Å along a: below, energies agree; beyond, they drift apart."""
    moved = on(MO, turned(MO), (shift / 3.18, 0))
    verdict = compare_stacks(geometry(REGISTRIES[3], MOS2, MOS2), geometry(moved, MOS2, MOS2))
    assert verdict.same is same
    assert verdict.evidence["registry"] == pytest.approx(shift, abs=1e-3)


def test_sides_of_a_heterobilayer_may_be_named_in_either_order_but_not_exchanged() -> None:
    above, below = on(MO, W, THIRD), on(MO, W, TWO_THIRDS)
    upside_down = disguised(above, replace(PLAIN, turned=True))
    # The same stack, drawn and named from below.
    assert compare_stacks(geometry(above, MOS2, WSE2), geometry(upside_down, WSE2, MOS2)).same
    # Metal over chalcogen and chalcogen over metal: one stack for equal layers, two for unequal ones.
    assert not compare_stacks(geometry(above, MOS2, WSE2), geometry(below, MOS2, WSE2)).same
    # Exchanged sides.
    exchanged = on(W, MO, THIRD)
    assert not compare_stacks(geometry(above, MOS2, WSE2), geometry(exchanged, WSE2, MOS2)).same


def test_a_twisted_stack_and_its_mirror_image_are_two_and_seen_from_below_it_is_itself() -> None:
    left, right = (geometry(twisted(*pair), CARBON, CARBON) for pair in (((3, 1), (3, 2)), ((3, 2), (3, 1))))
    assert len(left.kinds) == 28
    assert not compare_stacks(left, right).same
    below = disguised(twisted((3, 1), (3, 2)), replace(PLAIN, turned=True))
    assert compare_stacks(left, geometry(below, CARBON, CARBON)).same


def test_parallel_and_antiparallel_ferroelectric_layers_are_two_stacks() -> None:
    def layer(offset: float) -> AseAtoms:
        positions = [[offset, 0, 5], [1.95, 0, 5], [0, 3.7, 6.6], [0, 3.7, 3.4]]
        return AseAtoms("NbOI2", positions, cell=[3.9, 7.5, 20], pbc=(1, 1, 0))

    unit = {41: 1, 8: 1, 53: 2}
    parallel = geometry(on(layer(0.13), layer(0.13)), unit, unit)
    verdict = compare_stacks(parallel, geometry(on(layer(0.13), layer(-0.13)), unit, unit))
    assert not verdict.same
    assert verdict.evidence["reason"] in {"registry", "displacements within the layers"}


def test_bonded_and_unbonded_layers_of_one_registry_are_two_stacks() -> None:
    near, far = (geometry(on(MO, MO, distance=d), MOS2, MOS2) for d in (2.3, 3.0))
    assert compare_stacks(near, far).evidence["reason"] == "interlayer distance"


def test_sides_that_no_gap_divides_are_compared_as_they_stand() -> None:
    """Layers that interpenetrate cannot be told apart; one stack is then still itself, at its own distance only."""
    mixed = on(MO, MO, distance=-1.0)
    one = geometry(mixed, MOS2, MOS2)
    assert one.distance is None
    assert compare_stacks(one, geometry(disguised(mixed, replace(PLAIN, turned=True)), MOS2, MOS2)).same
    assert not compare_stacks(one, geometry(on(MO, MO, distance=-0.4), MOS2, MOS2)).same


def stated(identity: int, *registry: Any, name: str | None = None, precedence: int = 10) -> Stacked:
    return Stacked(identity, (precedence, "hetml", name or f"huid-{identity}"), None, None, registry or None)


def representatives(entries: list[Stacked]) -> dict[int, int]:
    members = judge_block(BlockKey("heterobilayer", 1, 2), entries)
    return {m.interface_id: m.representative_id for m in members}


def test_without_structures_only_what_both_sources_state_makes_two_stacks_one() -> None:
    entries = [stated(1, "AA"), stated(2, "AA"), stated(3, "AB"), stated(4), stated(5)]
    assert representatives(entries) == {1: 1, 2: 1, 3: 3, 4: 4, 5: 5}


def test_a_stated_registry_is_never_taken_for_a_structure() -> None:
    drawn = Stacked(9, (5, "bidb", "x"), None, geometry(on(MO, W), MOS2, WSE2), None)
    assert representatives([drawn, stated(1, "AA")]) == {9: 9, 1: 1}


def test_miller_planes_keep_stacks_on_bulk_apart() -> None:
    found = geometry(on(MO, W), MOS2, WSE2)
    entries = [Stacked(i, (10, "h", str(i)), plane, found, None) for i, plane in enumerate(("111", "111", "001"))]
    assert representatives(entries) == {0: 0, 1: 0, 2: 2}


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_representatives_do_not_depend_on_the_order_of_arrival(seed: int) -> None:
    """Of shifts in steps of 0.08 Å, each is like the next and unlike the one after it."""
    chain = [geometry(on(MO, turned(MO), (0.2 + i * 0.08 / 3.18, 0)), MOS2, MOS2) for i in range(4)]
    entries = [Stacked(i, (10, "bidb", str(i)), None, found, None) for i, found in enumerate(chain)]
    random.Random(seed).shuffle(entries)
    assert representatives(entries) == {0: 0, 1: 0, 2: 2, 3: 2}


MEMBERS = """
    SELECT r.external_id, rr.external_id, m.method FROM interface_member m
    JOIN interface i ON i.id = m.interface_id JOIN source_record r ON r.id = i.source_record_id
    JOIN interface p ON p.id = m.representative_id JOIN source_record rr ON rr.id = p.source_record_id ORDER BY 1"""


def rows(engine: Engine, statement: str) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(statement))]


def uid(shift: str, parent: str = "1MoS2-1") -> str:
    return f"{parent}-2-1_0_0_1-{shift}"


def disguised_row(atoms: AseAtoms, **how: Any) -> AseAtoms:
    plain = disguised(atoms, replace(PLAIN, **how))
    # BiDB's own order: the lower layer's atoms come first.
    order = np.argsort(plain.positions[:, 2], kind="stable")
    return AseAtoms(plain.numbers[order], plain.positions[order], cell=plain.cell, pbc=(1, 1, 1))


def bilayers(folder: Path, name: str = "b.db") -> Path:
    """AB, its twin seen from below at another distance, AA; and AA of 1T, whose block is another."""
    t_layer = dichalcogenide("T")
    twin = disguised_row(on(MO, MO, THIRD, 3.2), shift=(0.1, 0.2, 0), turned=True)
    return write_ase(
        folder / name,
        [
            (on(MO, MO, THIRD), bidb_keys(uid("0.33_0.67"), "1MoS2-1", binding_energy_gs=0.02)),
            (twin, bidb_keys(uid("0.67_0.33"), "1MoS2-1", binding_energy_gs=0.0205, interlayer_distance=3.2)),
            (on(MO, MO), bidb_keys(uid("0_0"), "1MoS2-1")),
            (on(t_layer, t_layer), bidb_keys(uid("0_0", "1MoS2-2"), "1MoS2-2")),
        ],
    )


FOUND = [
    (uid("0.33_0.67"), uid("0.33_0.67"), "representative"),
    (uid("0.67_0.33"), uid("0.33_0.67"), "fingerprint+matcher"),
    (uid("0_0"), uid("0_0"), "representative"),
    (uid("0_0", "1MoS2-2"), uid("0_0", "1MoS2-2"), "representative"),
]


@services
def test_values_stay_with_their_records_and_the_view_shows_their_spread(engine: Engine, tmp_path: Path) -> None:
    import_file(engine, "c2db", c2db_file(tmp_path))
    import_file(engine, "bidb", bilayers(tmp_path))
    report = dedupe(engine)
    assert (report.stacks, report.same_stacks) == (3, 1)
    assert rows(engine, MEMBERS) == FOUND
    ((energies,),) = rows(
        engine,
        "SELECT array_agg(binding_energy ORDER BY id) FROM analyst.interfaces GROUP BY same_as HAVING count(*) > 1",
    )
    assert energies == pytest.approx([20.0, 20.5])
    ((n, sources, energy, spread, distances),) = rows(
        engine,
        """SELECT n_records, sources, binding_energy, binding_energy_spread, interlayer_distance_spread
           FROM analyst.stacks WHERE n_records > 1""",
    )
    assert (n, sources, energy) == (2, ["bidb"], pytest.approx(20.0))
    assert (spread, distances) == (pytest.approx(0.5), pytest.approx(0.2, abs=1e-6))
    assert rows(engine, "SELECT count(*) FROM analyst.stacks") == [(3,)]


@services
def test_a_second_run_writes_nothing_and_news_in_one_block_leave_the_others_alone(
    engine: Engine, tmp_path: Path
) -> None:
    import_file(engine, "c2db", c2db_file(tmp_path))
    import_file(engine, "bidb", bilayers(tmp_path))
    dedupe(engine)
    written = "SELECT interface_id, xmin::text FROM interface_member ORDER BY 1"
    before = rows(engine, written)
    dedupe(engine)
    assert rows(engine, written) == before
    news = [(on(MO, turned(MO)), bidb_keys(uid("0_0.5"), "1MoS2-1"))]
    import_file(engine, "bidb", write_ase(tmp_path / "new.db", news))
    with engine.connect() as connection:
        assert len(touched_blocks(connection)) == 0  # its sides are not known yet
    report = dedupe(engine)
    assert (report.stacks, report.same_stacks) == (4, 1)
    # Judged again, but nothing about the old rows has changed.
    assert rows(engine, written)[: len(before)] == before


@services
def test_without_its_representatives_record_a_stack_is_represented_by_another(engine: Engine, tmp_path: Path) -> None:
    import_file(engine, "c2db", c2db_file(tmp_path))
    import_file(engine, "bidb", bilayers(tmp_path))
    dedupe(engine)
    # The first record is corrected: it is AA' after all.
    corrected = [(on(MO, turned(MO)), bidb_keys(uid("0.33_0.67"), "1MoS2-1"))]
    import_file(engine, "bidb", write_ase(tmp_path / "corrected.db", corrected))
    report = dedupe(engine)
    assert (report.stacks, report.same_stacks) == (4, 0)
    assert {row[:2] for row in rows(engine, MEMBERS)} == {(row[0], row[0]) for row in FOUND}
    # The first version comes back.
    import_file(engine, "bidb", bilayers(tmp_path, "again.db"))
    dedupe(engine)
    assert rows(engine, MEMBERS) == FOUND


@services
def test_a_better_source_represents_the_stack_whatever_came_first(engine: Engine, tmp_path: Path) -> None:
    import_file(engine, "c2db", c2db_file(tmp_path))
    import_file(engine, "bidb", bilayers(tmp_path), label="trial")
    dedupe(engine)
    import_file(engine, "bidb", bilayers(tmp_path, "plain.db"))
    report = dedupe(engine)
    assert (report.stacks, report.same_stacks) == (3, 5)
    assert rows(engine, "SELECT DISTINCT source FROM analyst.stacks") == [("bidb",)]
    assert rows(engine, "SELECT DISTINCT sources FROM analyst.stacks") == [(["bidb", "trial-bidb"],)]


@services
def test_an_interrupted_run_is_completed_by_the_next(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_file(engine, "c2db", c2db_file(tmp_path))
    import_file(engine, "bidb", bilayers(tmp_path))
    monkeypatch.setattr(stacks, "CHUNK", 1)
    judged: list[BlockKey] = []

    def dies_in_the_second(block: BlockKey, entries: list[Stacked]) -> list[Any]:
        judged.append(block)
        if len(judged) == 2:
            raise KeyboardInterrupt
        return judge_block(block, entries)

    monkeypatch.setattr(stacks, "judge_block", dies_in_the_second)
    with pytest.raises(KeyboardInterrupt):
        dedupe(engine)
    assert 0 < len(rows(engine, MEMBERS)) < len(FOUND)
    report = dedupe(engine)
    assert (report.stacks, report.same_stacks) == (3, 1)
    assert rows(engine, MEMBERS) == FOUND
    # The block that was finished was not judged again.
    assert len(judged) == 3


@services
def test_an_interface_whose_layer_becomes_unknown_leaves_its_stack(engine: Engine, tmp_path: Path) -> None:
    import_file(engine, "c2db", c2db_file(tmp_path))
    import_file(engine, "bidb", bilayers(tmp_path))
    dedupe(engine)
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE interface SET bottom_material_id = NULL, top_material_id = NULL WHERE bottom_name = '1MoS2-1'")
        )
    counts = unite_stacks(engine)
    assert (counts.stacks, counts.same) == (1, 0)


def _block_of_bidb(shared_data: Path, n_layers: int) -> dict[str, list[tuple[Record, StackGeometry]]]:
    """All stacks of some of BiDB's layers, drawn by a fixed seed."""
    blocks: dict[str, list[Record]] = defaultdict(list)
    for record in get_source("bidb").records(shared_data / "bidb" / "bidb.db"):
        if isinstance(record, Record) and record.stack is not None and record.atoms is not None:
            blocks[record.stack.bottom_name].append(record)
    drawn = random.Random(2024).sample(sorted(name for name in blocks if len(blocks[name]) > 3), n_layers)
    result = {}
    for name in drawn:
        found = []
        for record in blocks[name]:
            numbers = record.atoms.numbers
            unit = {
                int(z): int(k)
                for z, k in zip(*np.unique(numbers[: len(numbers) // 2], return_counts=True), strict=True)
            }
            found.append((record, geometry(record.atoms, unit, unit)))
        result[name] = found
    return result


def _energy(record: Record) -> float:
    return next((float(f.value) for f in record.facts if f.quantity.key == "binding_energy"), math.nan)


def test_stacks_of_bidb_that_are_called_the_same_have_the_same_binding_energy(shared_data: Path) -> None:
    same, different, agreed = [], [], []
    for found in _block_of_bidb(shared_data, 250).values():
        for (one, mine), (other, yours) in combinations(found, 2):
            apart = abs(_energy(one) - _energy(other))
            if not compare_stacks(mine, yours).same:
                different.append(apart)
                continue
            same.append(apart)
            agreed.append(_pymatgen_agrees(mine, yours))
    gap_same, gap_different = (np.array(x)[np.isfinite(x)] for x in (same, different))
    assert len(gap_same) > 50
    # meV/Å²; what is left are two self-consistent solutions of one magnetic stack, and coarse shifts of steep ones.
    assert np.median(gap_same) < 0.02
    assert np.quantile(gap_same, 0.9) < 0.1
    assert np.median(gap_different) > 1.0
    assert all(agreed)


def _pymatgen_agrees(one: StackGeometry, other: StackGeometry) -> bool:
    """Whether pymatgen's matcher calls the two the same, both at one interlayer distance in one cell height."""
    structures = []
    for stack in (one, other):
        heights = stack.heights.copy()
        upper = stack.kinds >= 1000
        heights[upper] += 3.0 + heights[~upper].max() - heights[upper].min()
        cell = np.diag([0.0, 0.0, np.ptp(heights) + 10.0])
        cell[:2, :2] = stack.basis * math.sqrt(one.area_per_atom / stack.area_per_atom)
        positions = np.column_stack([stack.fractional @ cell[:2, :2], heights])
        structures.append(Structure(Lattice(cell), stack.kinds % 1000, positions, coords_are_cartesian=True))
    spacing = (structures[0].volume / len(structures[0])) ** (1 / 3)
    matcher = StructureMatcher(ltol=0.05, angle_tol=4, stol=0.1 / spacing, primitive_cell=False, scale=False)
    return matcher.get_rms_dist(*structures) is not None


@services
def test_hetml_has_no_structures_and_its_labels_make_stacks_one(engine: Engine, shared_data: Path) -> None:
    """Imported twice, as two sources: each stack finds its twin, and AA never AB."""
    import_file(engine, "hetml", shared_data / "hetml")
    import_file(engine, "hetml", shared_data / "hetml", label="trial")
    report = dedupe(engine)
    assert report.stacks == report.same_stacks == 628
    pairs = """SELECT count(*) FILTER (WHERE m.method = 'stated registry'),
                      count(*) FILTER (WHERE r.payload ->> 'stacktype' <> p.payload ->> 'stacktype')
               FROM interface_member m JOIN interface i ON i.id = m.interface_id
               JOIN source_record r ON r.id = i.source_record_id
               JOIN interface j ON j.id = m.representative_id JOIN source_record p ON p.id = j.source_record_id"""
    assert rows(engine, pairs) == [(628, 0)]


@services
def test_every_column_of_the_views_of_stacks_is_explained(engine: Engine) -> None:
    silent = """SELECT a.attrelid::regclass, a.attname FROM pg_attribute a
                WHERE a.attrelid IN ('analyst.interfaces'::regclass, 'analyst.stacks'::regclass,
                                     'analyst.stack_members'::regclass)
                  AND a.attnum > 0 AND col_description(a.attrelid, a.attnum) IS NULL"""
    assert rows(engine, silent) == []
