"""Pairs that a file names: two materials or structure files a row, laid on each other in no particular registry."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from pymatgen.core import Composition

from etl.canonical import canonical_slab
from etl.errors import RecordError
from etl.formula import formulas
from etl.sources.structure_text import atoms_from_text, format_of
from ml.descriptors.slab import Slab
from ml.interfaces import Interface
from ml.on_bulk import crystal_face
from schema.errors import StackscreenError
from schema.plane_lattice import PlaneLattice
from schema.vocabulary import InterfaceKind
from stackscreen.build import places
from stackscreen.pairs.common_cell import CommonCell, Orientation, common_cell
from stackscreen.pairs.misfit import MisfitPolicy
from stackscreen.predict.describe import LOWER, UPPER, Described, Side
from stackscreen.predict.errors import NotPredictedError, PredictInputError, Reason
from stackscreen.predict.predictor import BATCH, NotPredicted, Prediction, Predictor
from stackscreen.predict.recognise import KnownLayers
from stackscreen.structures import Gap, Sides, stack

REQUIRED = ("bottom", "top")
OPTIONAL = ("id", "n", "m", "strain", "twist", "flip_bottom", "flip_top", "registry")
_YES, _NO = {"1", "true", "yes"}, {"", "0", "false", "no"}
_SHOWN = 6
_APART = Gap(4.0, "of no consequence")
"""Å between layers while their registry is read off; nothing depends on it."""


@dataclass(frozen=True, slots=True)
class PairRow:
    """A row of a file of pairs, as text.

    Attributes:
        id: its own, or its line.
        fields: by column.
    """

    id: str
    fields: dict[str, str]


def read_pairs(path: Path) -> Iterator[PairRow]:
    """The rows of a CSV file of pairs.

    Raises:
        PredictInputError: no such file, not UTF-8 text, or a column is missing.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = [name.strip() for name in next(reader, [])]
            missing = [name for name in REQUIRED if name not in header]
            if missing:
                raise PredictInputError(
                    f"{path}, line 1: the columns {', '.join(missing)} are missing.",
                    hint=f"The first line must name bottom,top, and may name {','.join(OPTIONAL)}.",
                )
            for fields in reader:
                if fields:
                    row = dict(zip(header, (one.strip() for one in fields), strict=False))
                    yield PairRow(row.get("id") or f"line {reader.line_num}", row)
    except FileNotFoundError as error:
        raise PredictInputError(f"There is no file {path}.", hint="Give a CSV file with bottom,top.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise PredictInputError(f"{path} is not CSV in UTF-8: {error}.", hint="Save it as CSV in UTF-8.") from error


def predict_pairs(
    predictor: Predictor, rows: Iterable[PairRow], folder: Path
) -> Iterator[list[Prediction] | NotPredicted]:
    """Predict pairs, in their order.

    Args:
        predictor: with the models and the known materials.
        rows: from `read_pairs`.
        folder: what paths of structure files count from.

    Yields:
        For each of them its predictions, or why there are none.
    """
    sides = _Sides(predictor.known, folder)
    items = iter(rows)
    while batch := list(islice(items, BATCH)):
        predictor.known.look_up(row.fields[key] for row in batch for key in REQUIRED if key in row.fields)
        yield from predictor.predict([_described(row, sides) for row in batch])


def described_pair(known: KnownLayers, row: PairRow) -> Described:
    """One pair of known materials, as `predict_pairs` asks about it.

    Raises:
        NotPredictedError: it cannot be described, and why.
    """
    found = _described(row, _Sides(known, Path()))
    if isinstance(found, NotPredicted):
        raise found.error
    return found


def _described(row: PairRow, sides: _Sides) -> Described | NotPredicted:
    try:
        bottom, top = (sides.of(row.fields.get(key, "")) for key in REQUIRED)
        if bottom.name == LOWER and top.name == LOWER:
            same = row.fields["bottom"] == row.fields["top"]
            top = bottom if same else Side(UPPER, top.family, top.layer)
        return Described(row.id, _kind(bottom, top, sides), bottom, top, _interface(row, bottom, top))
    except NotPredictedError as error:
        return NotPredicted(row.id, error)
    except StackscreenError as error:
        return NotPredicted(row.id, NotPredictedError(Reason.UNREADABLE, error.message))


def _kind(bottom: Side, top: Side, sides: _Sides) -> InterfaceKind:
    if top.name in sides.crystals:
        raise NotPredictedError(Reason.UNREADABLE, f"{top.name} is the face of a crystal, and a crystal lies below.")
    if bottom.name in sides.crystals:
        return InterfaceKind.ON_BULK
    return InterfaceKind.HOMOBILAYER if bottom.name == top.name else InterfaceKind.HETEROBILAYER


def _interface(row: PairRow, bottom: Side, top: Side) -> Interface:
    flips = _flag(row, "flip_bottom"), _flag(row, "flip_top")
    n, m = _cells(row, "n"), _cells(row, "m")
    if (n is None) != (m is None):
        raise NotPredictedError(Reason.UNREADABLE, "Only one of n and m is given.")
    registry = row.fields.get("registry", "")
    if registry and (n, m) not in ((None, None), (1, 1)):
        raise NotPredictedError(Reason.UNREADABLE, "A registry is that of one cell on one: n and m must be 1.")
    lower = upper = matrices = None
    if registry or (n is not None and m is not None):
        # A flip that the file does not tell is none, and not one that the match would like to make.
        orientation = Orientation(*flips)
        cell = common_cell(bottom.layer.slab, top.layer.slab, n or 1, m or 1, policy=MisfitPolicy.EQUAL,
                           orientation=orientation)  # fmt: skip
        matrices = _reduced(cell.bottom_matrix, cell.bottom), _reduced(cell.top_matrix, cell.top)
        if registry:
            lower, upper = _laid(cell, registry)
    return Interface(
        "", bottom.name, top.name, {}, lower, upper,
        matrices=matrices, twist=_number(row, "twist"), faces=(not flips[0], flips[1]),
    )  # fmt: skip


def _laid(cell: CommonCell, registry: str) -> tuple[Slab, Slab]:
    """The two layers in a named registry."""
    if registry.lower() == "all":
        raise NotPredictedError(Reason.UNREADABLE, "A row has one registry, and not all of them.")
    (place,) = places(cell, registry)
    built = stack(cell, _APART, Sides("the lower layer", "the upper layer"), place=place).structure
    above = np.array([site.properties["side"] == "top" for site in built])
    numbers = np.array([site.specie.Z for site in built], np.int64)
    positions = np.array(built.cart_coords, float)
    lower, upper = (Slab(numbers[part], positions[part], cell.lattice) for part in (~above, above))
    return lower, upper


def _reduced(matrix: np.ndarray, layer: Slab) -> tuple[int, ...]:
    """A supercell in the layer's reduced basis, rows flattened."""
    basis = PlaneLattice.from_vectors(*layer.cell).basis
    return tuple(np.rint(matrix @ layer.cell @ np.linalg.inv(basis)).astype(int).ravel().tolist())


def _flag(row: PairRow, key: str) -> bool:
    text = row.fields.get(key, "").lower()
    if text not in _YES | _NO:
        raise NotPredictedError(Reason.UNREADABLE, f"{key} is {text!r}, and neither true nor false.")
    return text in _YES


def _number(row: PairRow, key: str) -> float | None:
    text = row.fields.get(key, "")
    try:
        value = float(text) if text else None
    except ValueError:
        value = math.nan
    if value is not None and not math.isfinite(value):
        raise NotPredictedError(Reason.UNREADABLE, f"{key} is {text!r}, and no number.")
    return value


def _cells(row: PairRow, key: str) -> int | None:
    value = _number(row, key)
    if value is not None and (value != int(value) or not 1 <= value <= 255):
        raise NotPredictedError(Reason.UNREADABLE, f"{key} must be a whole number from 1 to 255.")
    return None if value is None else int(value)


class _Sides:
    """What the names of a file of pairs stand for; each is looked up once.

    Attributes:
        crystals: names of those that are faces of crystals.
    """

    def __init__(self, known: KnownLayers, folder: Path) -> None:
        self._known = known
        self._folder = folder
        self.crystals: set[str] = set()
        self._found: dict[str, Side | NotPredictedError] = {}

    def of(self, name: str) -> Side:
        """The side of a uid, external id, formula or path.

        Raises:
            NotPredictedError: it is none of these, or several materials have the formula.
        """
        if name not in self._found:
            try:
                self._found[name] = self._look(name)
            except NotPredictedError as error:
                self._found[name] = error
        found = self._found[name]
        if isinstance(found, NotPredictedError):
            raise found
        return found

    def _look(self, name: str) -> Side:
        if not name:
            raise NotPredictedError(Reason.UNREADABLE, "A side is not named.")
        known = self._known.named(name)
        if known is not None:
            return Side.known(known)
        path = self._folder / name
        if format_of(path.name) is not None and path.is_file():
            return self._of_file(path)
        return self._of_formula(name)

    def _of_file(self, path: Path) -> Side:
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
            slab = canonical_slab(atoms_from_text(text, str(format_of(path.name))))
            layer = Slab.from_cell(slab.numbers, slab.positions, slab.cell)
        except RecordError as error:
            raise NotPredictedError(Reason.UNREADABLE, f"{path.name}: {error.reason}") from error
        except Exception as error:
            # Whatever a malformed file provokes in a parser, the other pairs are predicted.
            raise NotPredictedError(Reason.UNREADABLE, f"{path.name}: {type(error).__name__}: {error}") from error
        known = self._known.recognised(layer)
        return Side.known(known) if known is not None else Side.unknown(LOWER, layer)

    def _of_formula(self, name: str) -> Side:
        try:
            composition = Composition(name)
            formula = formulas([int(e.Z) for e, amount in composition.items() for _ in range(round(amount))])[0]
        except (ValueError, AttributeError):
            formula = name
        layers = self._known.of_formula(formula)
        faces = self._known.faces(name)
        called = sorted([*(one.uid for one in layers), *faces])
        if len(called) > 1:
            shown = ", ".join(called[:_SHOWN]) + (" ..." if len(called) > _SHOWN else "")
            raise NotPredictedError(Reason.UNKNOWN_MATERIAL, f"{name!r} may be {shown}: say which by its uid.")
        if not called:
            raise NotPredictedError(
                Reason.UNKNOWN_MATERIAL, f"{name!r} is no known uid, external id or formula, and no structure file."
            )
        if layers:
            return Side.known(layers[0])
        self.crystals.add(called[0])
        return Side.unknown(called[0], crystal_face(faces[called[0]]))
