"""What deduplication must hold for any layer, and the bars that it must pass on real ones."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms as AseAtoms
from disguise import Disguise, disguised, disguises
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from small_files import dichalcogenide, graphene

from benchmarks.dedupe import as_layer, copies, mirrored, pairs_of_one_formula, read, sample
from etl.dedupe.decide import BROKEN_RMS, compare
from etl.dedupe.layers import Layer
from etl.dedupe.matching import match
from etl.records import Atoms

SPACING = 1.7
"""Å, smallest distance of two atoms of a made-up layer."""


def plain(layer: AseAtoms) -> Layer:
    return as_layer(Atoms(layer.numbers.astype(np.int64), layer.positions, np.array(layer.cell)), "x")


@st.composite
def layers(draw: st.DrawFn) -> AseAtoms:
    """Any lattice, 1 to 7 atoms of up to 3 elements at random places, none too close to another or its images."""
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    n = draw(st.integers(1, 7))
    angle = draw(st.sampled_from([60.0, 90.0, 97.0, 111.0, 120.0]))
    a = draw(st.floats(2.5, 4.5)) * math.sqrt(n)
    b = a * draw(st.sampled_from([1.0, 1.0, 1.2, 1.7]))
    cell = np.array(
        [[a, 0, 0], [b * math.cos(math.radians(angle)), b * math.sin(math.radians(angle)), 0], [0, 0, 25.0]]
    )
    elements = rng.choice([6, 16, 42], n)
    positions: list[np.ndarray] = []
    for _ in range(n):
        for _ in range(60):
            place = rng.uniform(0, 1, 2) @ cell[:2] + np.array([0, 0, rng.uniform(8, 12)])
            apart = [
                np.linalg.norm(place - other - i * cell[0] - j * cell[1])
                for other in positions
                for i in (-1, 0, 1)
                for j in (-1, 0, 1)
            ]
            if min(apart, default=9.0) >= SPACING:
                positions.append(place)
                break
    assume(len(positions) == n)
    return AseAtoms(elements, positions, cell=cell, pbc=True)


supercells = st.sampled_from([((1, 1), 0), ((2, 1), 0), ((1, 2), 0), ((2, 1), 1), ((3, 1), 1), ((2, 2), 0)])


@settings(max_examples=120, deadline=None)
@given(layer=layers(), how=disguises, supercell=supercells, strain=st.floats(-0.01, 0.01))
def test_no_choice_of_cell_makes_another_material(
    layer: AseAtoms, how: Disguise, supercell: tuple[tuple[int, int], int], strain: float
) -> None:
    how = replace(how, repeat=supercell[0], skew=supercell[1], strain=strain)
    verdict = compare(plain(layer), as_layer(disguised(layer, how), "x"))
    assert verdict.same, verdict.evidence
    # Even strain is scaled out, and nothing else was done to the atoms.
    assert verdict.evidence["rms"] < 1e-3
    assert verdict.distance < 1e-3


@settings(max_examples=60, deadline=None)
@given(layer=layers(), how=disguises, amount=st.floats(0, 0.2))
def test_the_verdict_is_the_same_from_either_side_and_a_layer_is_itself(
    layer: AseAtoms, how: Disguise, amount: float
) -> None:
    one, other = plain(layer), as_layer(disguised(layer, replace(how, noise=amount)), "x")
    there, back = compare(one, other), compare(other, one)
    assert there.same == back.same
    assert there.distance == pytest.approx(back.distance)
    assert there.evidence.get("rms") == back.evidence.get("rms")
    assert there.evidence.get("reason") == back.evidence.get("reason")
    for own in (one, other):
        verdict = compare(own, own)
        assert verdict.same
        assert verdict.distance == 0
        assert verdict.evidence["rms"] == 0


@settings(max_examples=40, deadline=None)
@given(how=disguises, move=st.floats(0.01, 0.3), seed=st.integers(0, 2**31))
def test_the_rms_is_that_of_the_atom_that_was_moved(how: Disguise, move: float, seed: int) -> None:
    """One of n atoms moved by δ: about their mean, the displacements have rms δ √(n−1) / n."""
    layer = dichalcogenide("T", chalcogen=("S", "Se"))
    moved = layer.copy()
    direction = np.random.default_rng(seed).normal(size=3)
    moved.positions[2] += move * direction / np.linalg.norm(direction)
    found = match(plain(layer).pattern, as_layer(disguised(moved, how), "x").pattern)
    assert found is not None
    assert found.rms == pytest.approx(move * math.sqrt(2) / 3, abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(layer=layers(), how=disguises)
def test_only_a_layer_that_no_reflection_keeps_differs_from_its_mirror_image(layer: AseAtoms, how: Disguise) -> None:
    reflected = layer.copy()
    reflected.positions[:, 0] *= -1
    reflected.cell[:, 0] *= -1
    own = match(plain(layer).pattern, plain(layer).pattern, mirrored=True)
    verdict = compare(plain(layer), as_layer(disguised(reflected, how), "x"))
    if own is not None and own.rms < 1e-6:
        assert verdict.same, verdict.evidence
    elif own is None or own.rms > 2 * BROKEN_RMS:
        assert verdict.evidence["reason"] == "mirror images"
    # A half turn about an axis in the plane is no reflection.
    assert compare(plain(layer), as_layer(disguised(layer, replace(how, turned=True)), "x")).same


def test_dimers_are_a_phase_and_noise_of_the_same_size_is_none() -> None:
    """Two cells of a layer: its metal atoms paired by 0.09 Å each, or every atom out of place by as much at random."""
    layer = dichalcogenide("T")
    paired = layer.repeat((2, 1, 1))
    first, second = (i for i, number in enumerate(paired.numbers) if number == 42)
    paired.positions[first, 0] += 0.09
    paired.positions[second, 0] -= 0.09
    verdict = compare(plain(layer), plain(paired))
    assert (verdict.same, verdict.evidence["reason"]) == (False, "superlattice")
    assert verdict.evidence["rms"] == pytest.approx(0.09 / math.sqrt(3), abs=1e-3)
    still = Disguise(15, (0, 0, 0), (0, 0, 0), 0, (2, 1), (0, 0), 2, 0)
    found = [
        compare(plain(layer), as_layer(disguised(layer, replace(still, gaussian=0.03, seed=seed)), "x"))
        for seed in range(50)
    ]
    assert np.mean([v.evidence["rms"] for v in found]) == pytest.approx(0.09 / math.sqrt(3), abs=0.01)
    assert sum(v.same for v in found) >= 49


def test_two_distorted_supercells_of_one_phase_are_one_material() -> None:
    paired = dichalcogenide("T").repeat((2, 1, 1))
    for i, sign in zip((i for i, number in enumerate(paired.numbers) if number == 42), (1, -1), strict=True):
        paired.positions[i, 0] += sign * 0.09
    how = Disguise(22, (0.3, 0.1, 0.6), (1, 2, 3), 4, (1, 2), (0.2, 0.1), 1, 5, strain=0.01)
    assert compare(plain(paired), as_layer(disguised(paired, how), "x")).same


def test_a_layer_that_loses_its_mirror_plane_is_another_phase() -> None:
    """Graphene buckled by 0.5 Å, and a square lattice sheared to a rhombus by 3 %."""
    buckled = graphene()
    buckled.positions[0, 2] += 0.5
    assert not compare(plain(graphene()), plain(buckled)).same
    square = AseAtoms("C", [[0, 0, 10]], cell=[2.6, 2.6, 20], pbc=True)
    rhombic = AseAtoms("C", [[0, 0, 10]], cell=[2.6 * 1.03, 2.6 / 1.03, 20], pbc=True)
    verdict = compare(plain(square), plain(rhombic))
    assert (verdict.same, verdict.evidence["strain"]) == (False, pytest.approx(math.log(1.03), abs=1e-4))


def test_real_layers_are_found_in_every_disguise_and_different_ones_stay_apart(shared_data: Path) -> None:
    """The bars: of each kind of change 99 % found; of all pairs of one formula in C2DB at most 1 % merged."""
    entries = read(shared_data / "c2db" / "c2db.db")
    rng = np.random.default_rng(11)
    drawn = sample(entries, 30, rng)
    assert len(drawn) > 150
    missed: Counter[str] = Counter()
    for entry in drawn:
        missed.update(name for name, copy in copies(entry, rng) if not compare(entry.layer, as_layer(copy, "x")).same)
        own = match(entry.layer.pattern, entry.layer.pattern, mirrored=True)
        image = compare(replace(entry.layer, magnetic=None), mirrored(entry))
        if own is None or own.rms > BROKEN_RMS:
            assert not image.same, entry.uid
        elif own.rms < 0.01:
            assert image.same, entry.uid
    assert max(missed.values(), default=0) <= 0.01 * len(drawn), missed
    pairs = pairs_of_one_formula(entries)
    assert len(pairs) > 7000
    merged = [(one.uid, other.uid) for one, other in pairs if compare(one.layer, other.layer).same]
    assert len(merged) <= 0.01 * len(pairs), merged
    # Two cells of one structure, which differ in nothing that the file tells.
    assert ("2VF2-1", "3VF2-1") in merged
