"""The words of `--misfit`, told without loading what computes it."""

from enum import StrEnum


class Misfit(StrEnum):
    """Who carries the misfit: see `stackscreen.pairs.misfit.MisfitPolicy`."""

    STIFFNESS = "stiffness"
    EQUAL = "equal"
    TOP = "top"
    BOTTOM = "bottom"
