"""What can keep a prediction from being made."""

from __future__ import annotations

from enum import StrEnum

from schema.errors import StackscreenError


class Reason(StrEnum):
    """Why a structure or a pair has no prediction, as the count at the end names it."""

    UNREADABLE = "cannot be read"
    NOT_A_STACK = "is not two layers on each other"
    UNKNOWN_MATERIAL = "names a material that is not known"
    NO_MODEL = "no model is served for such a pair"
    UNKNOWN_INPUTS = "lacks what the models need"


class NotPredictedError(StackscreenError):
    """One structure or pair has no prediction; the others have.

    Args:
        reason: what kind of obstacle.
        message: one sentence that says what it is here.
    """

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class PredictInputError(StackscreenError):
    """The file as a whole cannot be predicted."""
