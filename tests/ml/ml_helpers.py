"""Layers for the tests, made from literature geometry; nothing read from a file."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ml.descriptors.slab import Slab
from ml.features import Layer
from schema.quantities import CBM, GAP, VACUUM_STEP, VBM
from schema.vocabulary import Face


def dichalcogenide(metal: int, bottom: int, top: int, a: float, thickness: float) -> Slab:
    """A trigonal-prismatic MX2 or Janus MXY layer."""
    cell = np.array([[a, 0.0], [-a / 2, a * np.sqrt(3) / 2]])
    hollow = (cell[0] + 2 * cell[1]) / 3
    positions = np.array([[0, 0, 0.0], [*hollow, -thickness / 2], [*hollow, thickness / 2]])
    return Slab(np.array([metal, bottom, top]), positions, cell)


def graphene(a: float = 2.46) -> Slab:
    """One sheet."""
    cell = np.array([[a, 0.0], [-a / 2, a * np.sqrt(3) / 2]])
    return Slab(np.array([6, 6]), np.array([[0, 0, 0], [*((cell[0] + 2 * cell[1]) / 3), 0]]), cell)


def mos2() -> Slab:
    """MoS2, 2H."""
    return dichalcogenide(42, 16, 16, 3.18, 3.13)


def wse2() -> Slab:
    """WSe2, 2H."""
    return dichalcogenide(74, 34, 34, 3.32, 3.36)


def mosse() -> Slab:
    """Janus MoSSe: sulfur below, selenium above."""
    return dichalcogenide(42, 16, 34, 3.25, 3.24)


def layers() -> list[Layer]:
    """MoS2, WSe2, polar MoSSe and graphene, with approximate PBE levels."""

    def known(gap: float, vbm: float, cbm: float, step: float = 0.0) -> dict[tuple[str, Face | None], float]:
        return {
            (GAP.key, None): gap,
            (VACUUM_STEP.key, None): step,
            (VBM.key, Face.BOTTOM): vbm + step / 2,
            (VBM.key, Face.TOP): vbm - step / 2,
            (CBM.key, Face.BOTTOM): cbm + step / 2,
            (CBM.key, Face.TOP): cbm - step / 2,
        }

    return [
        Layer(mos2(), known(1.6, -5.9, -4.3)),
        Layer(wse2(), known(1.25, -4.9, -3.6)),
        Layer(mosse(), known(1.5, -5.6, -4.1, -0.75)),
        Layer(graphene(), {(GAP.key, None): 0.0}),
    ]


def stacked(
    layer: Slab, *, operation: ArrayLike, flip: bool, shift: tuple[float, float], center: ArrayLike = (0.0, 0.0)
) -> Slab:
    """The upper layer of a homobilayer, made from the lower one as BiDB's stacking label says.

    Args:
        layer: the lower layer.
        operation: 2x2, acts on fractional in-plane coordinates (columns), dimensionless.
        flip: whether the layer is turned over first (z to −z).
        shift: fraction of the in-plane vectors.
        center: fractional point about which the operation acts.

    Returns:
        The upper layer on the same lattice, heights relative to its own middle.
    """
    turned = layer.flipped() if flip else layer
    pivot = np.asarray(center, float)
    fractional = turned.positions[:, :2] @ np.linalg.inv(layer.cell) - pivot
    moved = fractional @ np.asarray(operation, float).reshape(2, 2).T + pivot + np.asarray(shift, float)
    positions = np.column_stack([moved @ layer.cell, turned.positions[:, 2]])
    return Slab(layer.numbers, positions, layer.cell)
