"""What a coincidence lattice may cost."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

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
        strain_levels: tighter limits of strain, rising, within each of which the smallest supercell is looked for too.

    Raises:
        StackscreenError: a limit is not positive, the strain is not small (> 0.2), or the levels do not rise up to it.
    """

    max_strain: float
    max_area: float
    max_atoms: int
    strain_levels: tuple[float, ...] = ()

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
        steps = (0.0, *self.strain_levels, self.max_strain)
        if any(lower >= upper for lower, upper in pairwise(steps)):
            raise StackscreenError(
                f"The strain levels {self.strain_levels} do not rise from above 0 to below {self.max_strain}.",
                hint="They are fractions, the tightest first: 0.005, 0.01.",
            )
