"""Several trainings at once, each in a process of its own: none has a say in another's numbers."""

from __future__ import annotations

import multiprocessing
import queue
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ProcessPoolExecutor, wait
from typing import TypeVar

Result = TypeVar("Result")
OnStep = Callable[[str], None]
POLL_S = 0.2

_said: multiprocessing.queues.Queue[str] | None = None


def side_by_side(jobs: Sequence[Callable[[OnStep], Result]], processes: int, on_step: OnStep) -> list[Result]:
    """Run jobs, and pass on what they say of their progress.

    Args:
        jobs: that can be pickled, as their results; each is called with what it reports to.
        processes: how many at a time; with one, here, one after the other.
        on_step: called here with what any of them says.

    Returns:
        The results, in the order of the jobs.
    """
    if processes <= 1 or len(jobs) <= 1:
        return [job(on_step) for job in jobs]
    # Begun anew and not forked: threads of compiled libraries do not survive a fork.
    context = multiprocessing.get_context("spawn")
    said: multiprocessing.queues.Queue[str] = context.Queue()
    with ProcessPoolExecutor(processes, mp_context=context, initializer=_listen, initargs=(said,)) as pool:
        futures = [pool.submit(_run, job) for job in jobs]
        open_ones: set[Future[Result]] = set(futures)
        try:
            while open_ones:
                _, open_ones = wait(open_ones, timeout=POLL_S, return_when=FIRST_EXCEPTION)
                _pass_on(said, on_step)
                for future in futures:
                    if future.done():
                        future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    # A result may arrive before what was last said; a process that has ended has said everything.
    _pass_on(said, on_step)
    return [future.result() for future in futures]


def _pass_on(said: multiprocessing.queues.Queue[str], on_step: OnStep) -> None:
    while True:
        try:
            on_step(said.get_nowait())
        except queue.Empty:
            return


def _listen(said: multiprocessing.queues.Queue[str]) -> None:
    global _said  # noqa: PLW0603 (a queue reaches a new process at its start alone)
    _said = said


def _run(job: Callable[[OnStep], Result]) -> Result:
    return job(_report)


def _report(text: str) -> None:
    if _said is not None:
        _said.put(text)
