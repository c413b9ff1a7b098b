"""What can go wrong between a server and a file on disk; each says what is wrong and the next step."""

from schema.errors import StackscreenError


class FetchError(StackscreenError):
    """A server's answer that cannot be used, or a local state that forbids fetching."""


class OutOfReachError(FetchError):
    """No usable answer for now: offline, refused, timed out, overloaded. A copy fetched earlier is still good."""


class CutError(OutOfReachError):
    """A transfer stopped before its end; what has arrived is kept."""


class NotOfferedError(FetchError):
    """The source has no public download."""
