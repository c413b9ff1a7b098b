"""What can go wrong with an import as a whole; a single bad record is quarantined instead."""

from schema.errors import StackscreenError


class ImportFileError(StackscreenError):
    """The file is missing, is not what it should be, or is damaged."""


class UnknownKeysError(ImportFileError):
    """The container is right, but its records carry none of the keys of this database."""


class UnknownSourceError(StackscreenError):
    """No reader has that name."""


class ImportBusyError(StackscreenError):
    """Another process is importing the same source, or deduplicating."""


class DatabaseDownError(StackscreenError):
    """The database does not answer."""


class RecordError(ValueError):
    """One record cannot be understood; the message says why. Never leaves the reader: it becomes a quarantined row.

    Args:
        rule: name of the quarantine rule that it breaks.
        reason: one sentence.
    """

    def __init__(self, rule: str, reason: str) -> None:
        super().__init__(reason)
        self.rule = rule
        self.reason = reason
