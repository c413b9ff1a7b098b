"""The canonical slab does not depend on how the source wrote the layer down."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms as AseAtoms
from disguise import Disguise, disguised, disguises
from hypothesis import given, settings
from small_files import bilayer, dichalcogenide, graphene

from etl.canonical import CANONICAL_VACUUM, Canonical, canonical_crystal, canonical_slab
from etl.dedupe.fingerprint import distance, fingerprint
from etl.errors import RecordError
from etl.records import Atoms
from schema.plane_lattice import PlaneLattice

LAYERS = {
    "graphene": graphene(),
    "2H": dichalcogenide("H"),
    "1T": dichalcogenide("T"),
    "Janus": dichalcogenide("H", chalcogen=("S", "Se")),
    "rectangular": AseAtoms("PS", [[0, 0, 5.0], [1.0, 2.0, 6.5]], cell=[3.2, 4.5, 20], pbc=True),
    "oblique": AseAtoms("PSS", [[0, 0, 5], [1.7, 2, 6.5], [0.5, 3, 4.1]], cell=[[3.2, 0, 0], [0.9, 4.5, 0], [0, 0, 20]],
                        pbc=True),
}  # fmt: skip


def plain(layer: AseAtoms) -> Canonical:
    return canonical_slab(Atoms(layer.numbers.astype(np.int64), layer.positions, np.array(layer.cell)))


@pytest.mark.parametrize("name", LAYERS)
@settings(max_examples=40, deadline=None)
@given(how=disguises)
def test_lattice_thickness_and_distances_survive_any_disguise(name: str, how: Disguise) -> None:
    reference, slab = plain(LAYERS[name]), canonical_slab(disguised(LAYERS[name], how))
    assert slab.thickness == pytest.approx(reference.thickness, abs=1e-6)
    assert slab.vacuum == pytest.approx(how.vacuum, abs=1e-6)
    one, other = (PlaneLattice.from_vectors(s.cell[0, :2], s.cell[1, :2]) for s in (reference, slab))
    assert other.ln_area == pytest.approx(one.ln_area, abs=1e-8)
    assert other.tau == pytest.approx(one.tau, abs=1e-6)
    apart = distance(*(fingerprint(s.numbers, s.positions, s.cell) for s in (reference, slab)))
    assert apart < 1e-6


@pytest.mark.parametrize("name", LAYERS)
@settings(max_examples=25, deadline=None)
@given(how=disguises)
def test_the_promises_of_the_convention_are_kept(name: str, how: Disguise) -> None:
    slab = canonical_slab(disguised(LAYERS[name], how))
    a, b, c = slab.cell
    assert a[0] > 0
    assert a[1] == a[2] == b[2] == 0
    assert np.linalg.det(slab.cell) > 0
    assert c.tolist() == pytest.approx([0, 0, slab.thickness + CANONICAL_VACUUM])
    heights = slab.positions[:, 2]
    assert heights.max() == pytest.approx(-heights.min())
    fractional = slab.positions[:, :2] @ np.linalg.inv(slab.cell[:2, :2])
    assert (fractional > -1e-6).all()
    assert (fractional < 1 + 1e-6).all()


@settings(max_examples=40, deadline=None)
@given(how=disguises)
def test_a_layer_is_never_mirrored(how: Disguise) -> None:
    """A chiral arrangement keeps its hand: the sign of a triple product of bonds, whatever the disguise."""
    layer = AseAtoms("PSOF", [[0, 0, 8], [1.6, 0, 8.4], [0.2, 1.4, 9.1], [0.3, 0.4, 10.2]], cell=[7, 8, 22], pbc=True)

    def hand(numbers: np.ndarray, positions: np.ndarray, cell: np.ndarray) -> float:
        at = {int(z): p for z, p in zip(numbers, positions, strict=True)}
        bonds = []
        for z in (16, 8, 9):
            delta = (at[z] - at[15]) @ np.linalg.inv(cell)
            delta[:2] -= np.rint(delta[:2])
            bonds.append(delta @ cell)
        return float(np.linalg.det(np.array(bonds)))

    slab = canonical_slab(disguised(layer, how))
    assert hand(slab.numbers, slab.positions, slab.cell) == pytest.approx(
        hand(layer.numbers, layer.positions, np.array(layer.cell)), rel=1e-6
    )


def test_up_stays_up() -> None:
    janus = LAYERS["Janus"]
    slab = plain(janus)
    assert slab.numbers[slab.positions[:, 2].argmax()] == 34
    left_handed = janus.copy()
    left_handed.set_cell(np.array(janus.cell)[[1, 0, 2]], scale_atoms=False)
    slab = plain(left_handed)
    assert slab.numbers[slab.positions[:, 2].argmax()] == 34


def test_a_layer_wrapped_across_the_boundary_is_put_together() -> None:
    layer = LAYERS["2H"].copy()
    layer.positions[:, 2] -= layer.positions[:, 2].mean()
    layer.wrap(pbc=True)
    assert np.ptp(layer.positions[:, 2]) > 15
    assert plain(layer).thickness == pytest.approx(3.12)


def test_a_cell_without_third_vector_is_completed() -> None:
    layer = LAYERS["2H"].copy()
    layer.cell[2] = 0
    slab = canonical_slab(
        Atoms(layer.numbers.astype(np.int64), layer.positions, np.array(layer.cell), (True, True, False))
    )
    assert slab.thickness == pytest.approx(3.12)


def test_the_gap_between_the_layers_of_a_stack_is_not_taken_for_the_vacuum() -> None:
    stack = bilayer(LAYERS["2H"], distance=4.8)
    assert plain(stack).thickness == pytest.approx(2 * 3.12 + 4.8)


def test_a_crystal_is_no_slab_and_a_slab_no_crystal() -> None:
    graphite = AseAtoms("C4", [[0, 0, 0], [0, 1.42, 0], [0, 0, 3.35], [0, 2.84, 3.35]],
                        cell=[[2.46, 0, 0], [1.23, 2.13, 0], [0, 0, 6.7]], pbc=True)  # fmt: skip
    atoms = Atoms(graphite.numbers.astype(np.int64), graphite.positions, np.array(graphite.cell))
    assert canonical_crystal(atoms).vacuum is None
    with pytest.raises(RecordError) as caught:
        canonical_slab(atoms)
    assert caught.value.rule == "not_2d"
    layer = LAYERS["graphene"]
    with pytest.raises(RecordError) as caught:
        canonical_crystal(Atoms(layer.numbers.astype(np.int64), layer.positions, np.array(layer.cell)))
    assert caught.value.rule == "not_3d"


def test_the_digest_tells_structures_apart_at_its_resolution() -> None:
    reference = plain(LAYERS["2H"])
    same, moved = LAYERS["2H"].copy(), LAYERS["2H"].copy()
    same.positions[1] += 1e-7
    moved.positions[1] += 1e-3
    assert plain(same).digest == reference.digest
    assert plain(moved).digest != reference.digest
