"""What the commands print: results on standard output, progress and errors on standard error."""

import sys

from schema.errors import StackscreenError


def step(text: str) -> None:
    """Say what is going on, on standard error."""
    print(text, file=sys.stderr, flush=True)


def print_error(error: StackscreenError) -> None:
    """One error as a person needs it: what is wrong, then the next step."""
    print(f"Error: {error.message}", file=sys.stderr)
    if error.hint:
        print(f"  {error.hint}", file=sys.stderr)
