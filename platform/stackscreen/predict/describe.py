"""What a screen would have known of a stack: its two isolated layers and how they are put together."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Composition

from etl.errors import RecordError
from etl.formula import formulas
from etl.sources.bidb import BilayerName, parse_bilayer_uid
from etl.sources.hetdb import TWIST_TOLERANCE, cell_of_uid
from etl.sources.moire import LayerLattice
from ml.descriptors.slab import Slab
from ml.features import Layer
from ml.interfaces import IDENTITY, Interface
from ml.on_bulk import crystal_face
from ml.stacks import settled
from schema.vocabulary import InterfaceKind
from stackscreen.predict.cells import SMOOTH, Folded, common_cell_of, folded, foldings, primitive
from stackscreen.predict.inputs import Given
from stackscreen.predict.recognise import KnownLayer, KnownLayers
from stackscreen.predict.take_apart import Apart, is_copy, is_crystal_slab, take_apart

LOWER, UPPER = "lower", "upper"
"""Names of the layers of a stack that are no known material; no material is called so."""


@dataclass(frozen=True, eq=False)
class Side:
    """One of the two layers of a stack, isolated.

    Attributes:
        name: uid of the material; `LOWER` or `UPPER` where it is none that is known.
        family: anonymous formula.
        layer: atoms and properties.
        features: of the known material; None where they are still to be computed.
    """

    name: str
    family: str
    layer: Layer
    features: NDArray[np.float32] | None = None

    @classmethod
    def known(cls, known: KnownLayer) -> Side:
        """A known material."""
        return cls(known.uid, known.family, known.layer, known.features)

    @classmethod
    def unknown(cls, name: str, slab: Slab) -> Side:
        """A layer that only its atoms tell about."""
        return cls(name, formulas(slab.numbers.tolist())[1], Layer(slab))


@dataclass(frozen=True, eq=False)
class Described:
    """A pair as the models are asked about it.

    Attributes:
        id: what its file calls it.
        kind: which models speak of it.
        bottom, top: the isolated layers.
        interface: how they are put together; its id is not set.
    """

    id: str
    kind: InterfaceKind
    bottom: Side
    top: Side
    interface: Interface


def describe(given: Given, known: KnownLayers) -> Described:
    """Take a structure apart and recognise its layers.

    Raises:
        NotPredictedError: it is no stack of two layers.
    """
    names = given.layers
    alike = names is not None and names[0] == names[1]
    named = [known.named(name) for name in names or ()]
    cells = [
        layer.composition if layer is not None else cell_of_name(name)
        for name, layer in zip(names or (), named, strict=True)
    ]
    one, other = cells if len(cells) == 2 else (None, None)
    apart = take_apart(given.atoms, cells=(one, other) if one and other else None, alike=alike)
    crystal = _crystal(given, apart, known, named, one)
    if crystal is not None:
        return _on_bulk(given, known, apart if crystal is apart.lower else _turned_over(apart))
    sides, apart = _sides(apart, [layer for layer in named if layer is not None], known, alike)
    bottom, top = sides
    same = bottom.name == top.name
    kind = InterfaceKind.HOMOBILAYER if same else InterfaceKind.HETEROBILAYER
    return Described(given.id, kind, bottom, top, _interface(given, bottom, top, apart))


def cell_of_name(name: str) -> Counter[int] | None:
    """Atoms of one cell, or one formula unit, of a layer that is called after its formula; None if it is not."""
    try:
        return cell_of_uid(name)
    except RecordError:
        pass
    try:
        found = Composition(name.split("-", maxsplit=1)[0])
    except ValueError:
        return None
    whole = {int(element.Z): round(amount) for element, amount in found.items()}
    return Counter(whole) if whole else None


def _crystal(
    given: Given, apart: Apart, known: KnownLayers, named: list[KnownLayer | None], substrate: Counter[int] | None
) -> Slab | None:
    """The side of a stack that is the slab of a crystal; None where both sides are layers."""
    sides = _both(apart)
    if given.on_bulk and substrate is not None:
        return next((side for side in sides if set(side.numbers.tolist()) == set(substrate)), None)
    if len(named) == 2 and None not in named:
        return None
    looks = [side for side in sides if is_crystal_slab(side.numbers, side.positions[:, 2])]
    # Layers of metals alone there are as well, and two crystals in a vacuum are no layer on a substrate.
    return looks[0] if len(looks) == 1 and known.recognised(looks[0]) is None else None


def _turned_over(apart: Apart) -> Apart:
    """The same stack after half a turn about x: what was above is below, and no layer becomes its mirror image."""
    turn = np.array([1.0, -1.0, -1.0])
    lower, upper = (Slab(s.numbers, s.positions * turn, s.cell * turn[:2]) for s in (apart.upper, apart.lower))
    return Apart(settled(lower), settled(upper))


def _on_bulk(given: Given, known: KnownLayers, apart: Apart) -> Described:
    """A layer on a crystal: both as they lie in the stack, the layer with what is known of its material.

    They meet in a moiré, or in a registry that no model knows: it is not told.
    """
    layer = known.recognised(apart.upper)
    bottom = Side.unknown(LOWER, crystal_face(apart.lower))
    family = formulas(apart.upper.numbers.tolist())[1]
    properties = {} if layer is None else layer.layer.properties
    top = Side(UPPER, family, Layer(apart.upper, properties))
    interface = Interface("", LOWER, UPPER, {})
    return Described(given.id, InterfaceKind.ON_BULK, bottom, top, interface)


def _sides(apart: Apart, named: list[KnownLayer], known: KnownLayers, alike: bool) -> tuple[tuple[Side, Side], Apart]:
    """The isolated layers of a stack, and the stack in the smallest cell in which it repeats them."""
    found = _by_name(apart, named) or _by_structure(apart, known, alike)
    if all(layer is not None and layer.cells_in(side) == 1 for layer, side in zip(found, _both(apart), strict=True)):
        return (Side.known(found[0]), Side.known(found[1])), apart  # type: ignore[arg-type]
    apart = Apart(*common_cell_of(apart.lower, apart.upper))
    lower, upper = (
        Side.known(layer) if layer is not None else Side.unknown(name, _own_cell(side))
        for layer, name, side in zip(found, (LOWER, UPPER), _both(apart), strict=True)
    )
    if lower.name == LOWER and upper.name == UPPER and (alike or is_copy(upper.layer.slab, lower.layer.slab)):
        upper = lower
    return (lower, upper), apart


def _both(apart: Apart) -> tuple[Slab, Slab]:
    return apart.lower, apart.upper


def _by_name(apart: Apart, named: list[KnownLayer]) -> tuple[KnownLayer, KnownLayer] | None:
    """The two named materials in the order in which they lie, if the layers consist of their cells."""
    if len(named) != 2:
        return None
    for below, above in (named, named[::-1]):
        if below.cells_in(apart.lower) and above.cells_in(apart.upper):
            return below, above
    return None


def _by_structure(apart: Apart, known: KnownLayers, alike: bool) -> tuple[KnownLayer | None, KnownLayer | None]:
    lower = known.recognised(apart.lower)
    upper = lower if alike and lower is not None else known.recognised(apart.upper)
    if lower is None and upper is not None and (alike or is_copy(apart.lower, apart.upper)):
        lower = upper
    elif upper is None and lower is not None and is_copy(apart.upper, apart.lower):
        upper = lower
    return lower, upper


def _own_cell(layer: Slab) -> Slab:
    """The cell by which an unknown layer is described: primitive, and without the corrugation of a moiré."""
    small = primitive(layer)
    smooth = [one for one in foldings(small) if one.rms <= SMOOTH]
    return smooth[0].layer if smooth else small


def _interface(given: Given, bottom: Side, top: Side, apart: Apart) -> Interface:
    """How the layers of a stack are put together, but for the distance between them."""
    label = _label(given.id)
    counts = [len(side) // len(one.layer.slab) for side, one in zip(_both(apart), (bottom, top), strict=True)]
    matrices: tuple[tuple[int, ...], tuple[int, ...]] | None = None
    twist = given.twist
    if counts == [1, 1]:
        matrices = (IDENTITY, IDENTITY)
        twist = 0.0 if twist is None and bottom.name != top.name else twist
    elif min(counts) > 0:
        lower, upper = (folded(side, count) for side, count in zip(_both(apart), counts, strict=True))
        if lower is not None and upper is not None:
            matrices = _flat(lower), _flat(upper)
            twist = _twist(twist, lower.lattice, upper.lattice)
    return Interface(
        "",
        bottom.name,
        top.name,
        {},
        apart.lower,
        apart.upper,
        flip=None if label is None else label.flip,
        operation=None if label is None else label.operation,
        shift=None if label is None else label.shift,
        matrices=matrices,
        twist=twist,
    )


def _label(name: str) -> BilayerName | None:
    """The stacking that a BiDB name tells."""
    try:
        return parse_bilayer_uid(name)
    except RecordError:
        return None


def _flat(cell: Folded) -> tuple[int, ...]:
    return tuple(cell.lattice.matrix.ravel().tolist())


def _twist(stated: float | None, lower: LayerLattice, upper: LayerLattice) -> float | None:
    """Degrees by which the lattices are turned against each other, without sign.

    Lattices tell it up to the turns that take one of them onto itself: it is the stated one where they fit, the least
    one where none is stated, and unknown where a lattice is neither hexagonal nor square.
    """
    turn = math.gcd(lower.turn, upper.turn)
    if turn == 180:
        return stated
    found = upper.direction - lower.direction
    if stated is None:
        return abs(math.remainder(found, turn))
    fits = min(abs(math.remainder(found - sign * stated, turn)) for sign in (1, -1)) <= TWIST_TOLERANCE
    return stated if fits else None
