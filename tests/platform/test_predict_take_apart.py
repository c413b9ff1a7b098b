"""Stacks are taken apart where chemistry divides them, whatever lies between."""

from __future__ import annotations

from collections import Counter

import pytest
from ase import Atoms
from stacked import BN, GOLD, GRAPHENE, MOS2, WSE2, disguised, gas, moved, repeated, stacks

from stackscreen.predict.cells import common_cell_of, folded
from stackscreen.predict.errors import NotPredictedError
from stackscreen.predict.inputs import from_ase
from stackscreen.predict.take_apart import Apart, take_apart


def apart(atoms: Atoms) -> Apart:
    return take_apart(from_ase("it", atoms).atoms)


@pytest.mark.parametrize(
    ("bottom", "top"), [(MOS2, MOS2), (BN, BN), (GRAPHENE, GRAPHENE), (BN, GRAPHENE), (MOS2, WSE2), (GOLD, MOS2)]
)
@pytest.mark.parametrize("dz", [-1.4, 0.0, 1.5])
def test_the_layers_are_the_same_wherever_the_upper_one_stands(bottom: Atoms, top: Atoms, dz: float) -> None:
    for stack in stacks(bottom, top, registry="all" if bottom is top else "AA"):
        one, other = apart(stack), apart(moved(stack, dz))
        assert Counter(one.upper.numbers) == Counter(stack.numbers[stack.get_tags() == 1])
        for mine, yours in ((one.lower, other.lower), (one.upper, other.upper)):
            assert mine.positions.tobytes() == yours.positions.tobytes()
            assert mine.cell.tobytes() == yours.cell.tobytes()


@pytest.mark.parametrize("layer", [MOS2, GRAPHENE, gas()], ids=["MoS2", "graphene", "GaS"])
def test_one_layer_is_no_stack(layer: Atoms) -> None:
    with pytest.raises(NotPredictedError, match="one layer"):
        apart(layer)


def test_two_layers_of_gas_are_a_stack() -> None:
    for stack in stacks(gas(), gas(), 3.4):
        assert len(apart(stack).lower) == 4


def test_three_layers_are_no_stack_of_two() -> None:
    (two,) = stacks(MOS2, MOS2, registry="AA")
    third = two[two.get_tags() == 1]
    third.positions[:, 2] += 6.4
    with pytest.raises(NotPredictedError, match="3 of them layers: two layers are expected"):
        apart(two + third)


def test_interlocking_layers_are_told_by_the_order_of_the_atoms() -> None:
    (stack,) = stacks(MOS2, MOS2, registry="AB")
    for dz in (-3.9, 0.0):
        parted = take_apart(from_ase("it", moved(stack, dz)).atoms, alike=True)
        assert parted.lower.positions.tobytes() == apart(stack).lower.positions.tobytes()
        assert parted.upper.positions.tobytes() == apart(stack).upper.positions.tobytes()


def test_a_crystal_is_no_stack() -> None:
    bulk = MOS2.copy()
    bulk.set_cell([*bulk.cell.array[:2], [0, 0, 6.5]])
    bulk.pbc = True
    with pytest.raises(NotPredictedError, match="empty gap"):
        apart(bulk)


def test_a_disguise_hides_nothing() -> None:
    for stack in stacks(MOS2, MOS2):
        assert Counter(apart(disguised(stack)).upper.numbers) == {42: 1, 16: 2}


def test_a_supercell_of_a_bilayer_is_that_bilayer() -> None:
    for stack in stacks(MOS2, MOS2):
        large = apart(repeated(stack, 3, 2))
        lower, upper = common_cell_of(large.lower, large.upper)
        assert (len(large.lower), len(lower), len(upper)) == (18, 3, 3)
        assert lower.area == pytest.approx(apart(stack).lower.area, rel=1e-6)


def test_a_layer_of_a_moire_is_so_many_of_its_cells() -> None:
    (stack,) = stacks(MOS2, WSE2, registry="AA")
    upper = apart(stack).upper
    cells = len(upper) // 3
    found = folded(upper, cells)
    assert found is not None
    assert found.rms < 1e-4
    assert found.layer.area == pytest.approx(upper.area / cells, rel=1e-6)
    assert Counter(found.layer.numbers) == {74: 1, 34: 2}
    assert folded(upper, 2 * cells) is None
