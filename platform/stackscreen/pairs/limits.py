"""What a coincidence lattice may cost."""

from __future__ import annotations

from dataclasses import dataclass

from schema.errors import StackscreenError

MAX_INDEX = 255
"""Largest supercell index: it is kept in one byte. 400 Å² of graphene are 76 cells."""


@dataclass(frozen=True, slots=True)
class PairLimits:
    """Limits of the search.

    Attributes:
        max_strain: largest principal Hencky strain of the whole misfit, dimensionless.
        max_area: Å², largest supercell of either side.
        max_atoms: atoms in the supercell, both sides together.

    Raises:
        StackscreenError: a limit is not positive, or the strain is not small (> 0.2).
    """

    max_strain: float
    max_area: float
    max_atoms: int

    def __post_init__(self) -> None:
        if not 0 < self.max_strain <= 0.2:
            raise StackscreenError(
                f"max_strain is {self.max_strain}, and must lie between 0 and 0.2.",
                hint="It is a fraction: 2 % is 0.02.",
            )
        if self.max_area <= 0 or self.max_atoms <= 0:
            raise StackscreenError(
                f"max_area ({self.max_area} Å²) and max_atoms ({self.max_atoms}) must be positive.",
                hint="The defaults are 400 Å² and 200 atoms.",
            )
