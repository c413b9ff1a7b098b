"""Running `stackscreen` commands one by one, each with its wall time and the memory of all its processes."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

import psutil

STACKSCREEN = Path(sys.executable).with_name("stackscreen")
_SAMPLE_S = 0.05


@dataclass(frozen=True, slots=True)
class Step:
    """One command as it was measured.

    Attributes:
        seconds: wall time.
        memory: MiB, largest sum over its processes of the memory that each holds (shared pages divided among them).
        output: what it printed on standard output.
    """

    name: str
    seconds: float
    memory: float
    output: str


def run_step(name: str, command: list[str | Path], environment: dict[str, str]) -> Step:
    """Run one command to its end.

    Raises:
        SystemExit: it failed.
    """
    print(f"$ {' '.join(map(str, command))}", file=sys.stderr, flush=True)
    began = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    ended, peaks = Event(), [0.0]
    watcher = Thread(target=_watch, args=(process.pid, ended, peaks))
    watcher.start()
    output, _ = process.communicate()
    seconds = time.perf_counter() - began
    ended.set()
    watcher.join()
    if process.returncode:
        raise SystemExit(f"{' '.join(map(str, command))} ended with {process.returncode}")
    return Step(name, seconds, max(peaks), output)


def _watch(pid: int, ended: Event, peaks: list[float]) -> None:
    while not ended.wait(_SAMPLE_S):
        peaks.append(_held(pid))


def _held(pid: int) -> float:
    """MiB held by a process and its descendants, without the servers that it may have started (their own session)."""
    total = 0.0
    try:
        first = psutil.Process(pid)
        processes = [first, *first.children(recursive=True)]
    except psutil.Error:
        return 0.0
    for process in processes:
        try:
            command = " ".join(process.cmdline())
            if "supervisord" not in command and "postgres" not in command and "redis-server" not in command:
                total += process.memory_full_info().pss
        except psutil.Error:
            continue  # it ended meanwhile
    return total / (1 << 20)
