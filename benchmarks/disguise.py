"""The same layer as another group might have written it down."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms as AseAtoms

from etl.records import Atoms

BASES = ([[1, 0], [0, 1]], [[0, 1], [-1, 0]], [[1, 1], [0, 1]], [[1, 0], [-1, 1]], [[2, 1], [1, 1]], [[0, -1], [1, 0]])


@dataclass(frozen=True)
class Disguise:
    """Changes that leave the material what it is.

    Attributes:
        vacuum: Å of empty space along the normal.
        shift: of the origin, fractions of the three vectors.
        angles: Euler angles of a rotation in space, radians.
        base: which of `BASES` the in-plane vectors become.
        repeat: p and q of the cell (p a + skew b, q b).
        tilt: in-plane part of the third vector, fractions of a and b.
        axis: which cell vector crosses the vacuum.
        seed: of the noise and the order of the atoms.
        noise: Å, half the width of a uniform displacement of every coordinate.
        strain: isotropic, in the plane.
        turned: whether the layer lies upside down.
        gaussian: Å, standard deviation of a further displacement of every coordinate.
        stretch: strains along x and y of the plane, on top of `strain`.
        skew: see `repeat`.
        left_handed: whether the cell is.
    """

    vacuum: float
    shift: tuple[float, float, float]
    angles: tuple[float, float, float]
    base: int
    repeat: tuple[int, int]
    tilt: tuple[float, float]
    axis: int
    seed: int
    noise: float = 0.0
    strain: float = 0.0
    turned: bool = False
    gaussian: float = 0.0
    stretch: tuple[float, float] = (0.0, 0.0)
    skew: int = 0
    left_handed: bool = False


PLAIN = Disguise(15.0, (0, 0, 0), (0, 0, 0), 0, (1, 1), (0, 0), 2, 0)
"""No disguise but the vacuum."""


def rotation(angles: tuple[float, float, float]) -> np.ndarray:
    """A proper rotation from three Euler angles."""

    def about(axis: int, angle: float) -> np.ndarray:
        i, j = (axis + 1) % 3, (axis + 2) % 3
        matrix = np.eye(3)
        matrix[i, i] = matrix[j, j] = np.cos(angle)
        matrix[i, j], matrix[j, i] = -np.sin(angle), np.sin(angle)
        return matrix

    return about(2, angles[0]) @ about(0, angles[1]) @ about(2, angles[2])


def disguised(layer: AseAtoms, how: Disguise) -> Atoms:
    """The layer in other clothes: another cell, origin, orientation, order of atoms, vacuum."""
    rng = np.random.default_rng(how.seed)
    work = layer.repeat((*how.repeat, 1))
    positions, cell = work.positions.copy(), np.array(work.cell)
    cell[0] += how.skew * np.array(layer.cell)[1]
    plane = (1 + how.strain) * (1 + np.array([*how.stretch, 0.0]))
    plane[2] = 1.0
    positions, cell[:2] = positions * plane, cell[:2] * plane
    positions += rng.uniform(-how.noise, how.noise, positions.shape)
    if how.gaussian:
        positions += rng.normal(0, how.gaussian, positions.shape)
    if how.turned:
        # Half a turn about x: up becomes down, the hand stays.
        positions, cell = positions * [1, -1, -1], cell * [1, -1, -1]
    a, b = np.array(BASES[how.base]) @ cell[:2]
    if how.turned:
        # Right-handed again, with the third vector up: in this cell the layer now lies upside down.
        a, b = b, a
    normal = np.cross(a, b) / np.linalg.norm(np.cross(a, b))
    c = normal * (np.ptp(positions @ normal) + how.vacuum) + how.tilt[0] * a + how.tilt[1] * b
    if how.left_handed:
        a, b = b, a
    vectors = np.roll(np.array([a, b, c]), how.axis + 1, axis=0)
    turn = rotation(how.angles).T
    positions, vectors = positions @ turn, vectors @ turn
    fractional = (positions @ np.linalg.inv(vectors) + how.shift) % 1.0
    order = rng.permutation(len(positions))
    return Atoms(work.numbers[order].astype(np.int64), (fractional @ vectors)[order], vectors)
