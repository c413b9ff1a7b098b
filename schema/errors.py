"""The one base class of every error that a user can meet."""


class StackscreenError(Exception):
    """Something a user can act on: what is wrong and where, and the next step.

    Args:
        message: one sentence that says what is wrong, and where.
        hint: the next step, as a sentence; empty when the message says it all.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()
