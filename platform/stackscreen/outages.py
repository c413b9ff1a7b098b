"""A database or a broker that is gone for a while: told from every other error, and waited for.

Servers restart: after a crash, for an upgrade, when their machine does. What they have confirmed is on disk, so whoever
meets the gap waits and does its work again; everything here that waits is safe to repeat.
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable
from typing import Final, ParamSpec, TypeVar

import psycopg
import redis
from kombu.exceptions import OperationalError as BrokerError
from sqlalchemy.exc import DBAPIError

from schema.errors import StackscreenError

PATIENCE_S: Final = 900.0
"""An outage longer than this is no restart: somebody has to look."""
PAUSE_S: Final = 0.5

# admin_shutdown, crash_shutdown, cannot_connect_now; class 08 is a broken connection, and no state at all one that was
# never made or has been cut.
_DATABASE_GONE: Final = frozenset({None, "57P01", "57P02", "57P03"})

Given = ParamSpec("Given")
Answer = TypeVar("Answer")

log = logging.getLogger(__name__)


class OutageError(StackscreenError):
    """The database or the broker did not come back."""


def missing_server(error: BaseException) -> str | None:
    """Which server an error says is gone: "database" or "broker"; None if it is about something else."""
    if isinstance(error, DBAPIError):
        if error.connection_invalidated:
            return "database"
        error = error.orig or error
    if isinstance(error, psycopg.OperationalError):
        state = error.sqlstate
        return "database" if state in _DATABASE_GONE or str(state).startswith("08") else None
    if isinstance(error, BrokerError | redis.ConnectionError | redis.TimeoutError):
        return "broker"
    return None


def outlast(call: Callable[[], Answer], say: Callable[[str], None], *, give_up_after_s: float = PATIENCE_S) -> Answer:
    """The answer of `call`, which is made again for as long as the database or the broker is gone.

    Args:
        call: safe to repeat, also when it was cut off half-way.
        say: told once, in a sentence, when a server goes.
        give_up_after_s: length of an outage after which this raises.

    Raises:
        OutageError: the server did not come back.
    """
    began, told = 0.0, ""
    while True:
        try:
            return call()
        except Exception as error:
            gone = missing_server(error)
            if gone is None:
                raise
            reason = str(getattr(error, "orig", None) or error).strip().splitlines() or [type(error).__name__]
            began = began or time.monotonic()
            if time.monotonic() - began > give_up_after_s:
                raise OutageError(
                    f"The {gone} has not answered for {give_up_after_s:.0f} s: {reason[0].rstrip('.')}.",
                    hint="See what is wrong with it: stackscreen services status",
                ) from error
        if gone != told:
            say(f"the {gone} is gone ({reason[0].rstrip('.')}); waiting for it")
            told = gone
        time.sleep(PAUSE_S)


def outlasting(task: Callable[Given, Answer]) -> Callable[Given, Answer]:
    """A task that waits for its servers. One that failed would be acknowledged, and its message gone with it.

    A worker whose tasks fail at once would so empty the queue within seconds while the database restarts.
    """

    @functools.wraps(task)
    def patient(*arguments: Given.args, **named: Given.kwargs) -> Answer:
        return outlast(lambda: task(*arguments, **named), log.warning)

    return patient
