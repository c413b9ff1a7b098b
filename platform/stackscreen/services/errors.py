"""What can go wrong with the servers."""

from schema.errors import StackscreenError


class ServiceError(StackscreenError):
    """A server that cannot be started, reached or stopped."""
