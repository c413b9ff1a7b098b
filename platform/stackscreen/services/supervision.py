"""One supervisord for each data folder: it starts our processes, restarts those that die, and keeps their logs."""

import hashlib
import json
import os
import shlex
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import psutil
from supervisor.xmlrpc import SupervisorTransport

from stackscreen.services.errors import ServiceError
from stackscreen.services.layout import Layout

_CHILD: Final = Path(__file__).with_name("child.py")
_LAUNCH_TIMEOUT_S: Final = 20.0


@dataclass(frozen=True, slots=True)
class Program:
    """One process to keep running.

    Args:
        command: program and arguments.
        order: started in this order, stopped in the opposite.
        stop_signal: what asks the program to finish.
        stop_timeout_s: after which it is killed.
        autostart: whether the supervisor starts it by itself, or waits to be told.
        user: to run as, when root supervises.
        environment: variables besides the supervisor's own.
        orphan_signal: what the kernel sends it when the supervisor dies; `stop_signal` when None.
        settle_s: a program that ends sooner has failed to start, and is tried again after a growing pause.
    """

    name: str
    command: Sequence[str]
    order: int
    stop_signal: str
    stop_timeout_s: float
    autostart: bool = True
    user: str | None = None
    environment: dict[str, str] | None = None
    orphan_signal: str | None = None
    settle_s: int = 1


@dataclass(frozen=True, slots=True)
class ProcessState:
    """What the supervisor says of one process."""

    name: str
    state: str
    pid: int | None
    uptime_s: float


class Supervisor:
    """The supervisor of one layout, running or not."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._configuration = layout.run / "supervisord.conf"

    def _remote(self) -> Any:
        transport = SupervisorTransport(None, None, f"unix://{self._layout.supervisor_socket}")
        return xmlrpc.client.ServerProxy("http://localhost", transport=transport).supervisor

    def pid(self) -> int | None:
        """Process id of the running supervisor; None when it does not answer."""
        try:
            return int(cast(int, self._remote().getPID()))
        except (OSError, xmlrpc.client.Error):
            return None

    def configure(self, programs: Sequence[Program]) -> None:
        """Write the configuration; a running supervisor reads it at `update`."""
        layout = self._layout
        sections = [
            "[unix_http_server]",
            f"file={layout.supervisor_socket}",
            "chmod=0700",
            "[rpcinterface:supervisor]",
            "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface",
            "[supervisord]",
            f"logfile={layout.logs / 'supervisord.log'}",
            "logfile_maxbytes=5MB",
            "logfile_backups=1",
            f"pidfile={layout.run / 'supervisord.pid'}",
            f"childlogdir={layout.logs}",
            f"directory={layout.data_dir}",
            "nodaemon=true",
            "silent=true",
            "umask=077",
        ]
        if os.geteuid() == 0:
            sections.append("user=root")
        for program in programs:
            sections += self._section(program)
        _write_private(self._configuration, "\n".join(sections) + "\n")

    def _section(self, program: Program) -> list[str]:
        orphan_signal = program.orphan_signal or program.stop_signal
        child = [sys.executable, "-I", "-S", str(_CHILD), "--signal", f"SIG{orphan_signal}"]
        if program.user is not None:
            child += ["--user", program.user]
        if program.environment is not None:
            child += ["--environment", str(self._environment_file(program))]
        # % would begin an expansion.
        command = shlex.join([*child, "--", *program.command]).replace("%", "%%")
        return [
            f"[program:{program.name}]",
            f"command={command}",
            f"priority={program.order}",
            f"autostart={str(program.autostart).lower()}",
            "autorestart=true",
            f"startsecs={program.settle_s}",
            # With the growing pause between them, some three minutes: crash recovery included.
            "startretries=18",
            f"stopsignal={program.stop_signal}",
            f"stopwaitsecs={max(1, round(program.stop_timeout_s))}",
            "killasgroup=true",
            f"stdout_logfile={self._layout.logs / program.name}.log",
            "stdout_logfile_maxbytes=20MB",
            "stdout_logfile_backups=2",
            "redirect_stderr=true",
        ]

    def _environment_file(self, program: Program) -> Path:
        """Named after its content: other settings make another command line, and `update` restarts the program."""
        text = json.dumps(program.environment, sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:12]
        path = self._layout.run / f"{program.name}-{digest}.json"
        for old in self._layout.run.glob(f"{program.name}-*.json"):
            if old != path:
                old.unlink()
        _write_private(path, text)
        return path

    def launch(self) -> None:
        """Start the supervisor, in a session of its own: it stays when the caller's terminal goes.

        Raises:
            ServiceError: it did not come up; with the end of its output.
        """
        output = self._layout.logs / "supervisord.out"
        with output.open("wb") as sink:
            process = subprocess.Popen(  # noqa: S603 - our own configuration
                [sys.executable, "-m", "supervisor.supervisord", "-c", str(self._configuration)],
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                cwd=self._layout.data_dir,
                start_new_session=True,
            )
        deadline = time.monotonic() + _LAUNCH_TIMEOUT_S
        while self.pid() is None:
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                process.wait()
                said = output.read_text(encoding="utf-8", errors="replace").strip().splitlines()[:1]
                raise ServiceError(
                    f"The supervisor of the services did not start: {said[0] if said else 'it said nothing'}.",
                    hint=f"See {output}.",
                )
            time.sleep(0.02)

    def update(self) -> None:
        """Take over a changed configuration: programs that differ are restarted, the others are left alone."""
        remote = self._remote()
        added, changed, removed = remote.reloadConfig()[0]
        for name in (*changed, *removed):
            remote.stopProcessGroup(name)
            remote.removeProcessGroup(name)
        for name in (*added, *changed):
            remote.addProcessGroup(name)

    def start(self, name: str) -> None:
        """Start a program that is not running; a program that is already is left alone."""
        if self.states()[name].state in {"STOPPED", "EXITED", "FATAL"}:
            self._remote().startProcess(name, False)

    def states(self) -> dict[str, ProcessState]:
        """Every configured process by name; empty when no supervisor runs."""
        try:
            found = self._remote().getAllProcessInfo()
        except (OSError, xmlrpc.client.Error):
            return {}
        return {
            item["name"]: ProcessState(
                item["name"],
                item["statename"],
                item["pid"] or None,
                float(item["now"] - item["start"]) if item["statename"] == "RUNNING" else 0.0,
            )
            for item in found
        }

    def shutdown(self, timeout_s: float, *, clients: Sequence[str]) -> bool:
        """Stop all processes, servers after their clients, then the supervisor; False when none ran.

        Args:
            timeout_s: for everything.
            clients: processes that may finish side by side.

        Raises:
            ServiceError: something still ran after `timeout_s`.
        """
        pid = self.pid()
        if pid is None:
            return False
        try:
            process = psutil.Process(pid)
            for name, state in self.states().items():
                if name in clients and state.pid is not None:
                    self._remote().stopProcess(name, False)
            self._remote().shutdown()
            process.wait(timeout_s)
        except (psutil.NoSuchProcess, ConnectionError):
            pass  # gone meanwhile
        except psutil.TimeoutExpired as error:
            raise ServiceError(
                f"The services did not stop within {timeout_s:.0f} s.",
                hint=f"See {self._layout.logs}, and try again.",
            ) from error
        return True


def _write_private(path: Path, text: str) -> None:
    """Replace a file at once, readable by this user alone: it may hold a password."""
    fresh = path.with_name(f"{path.name}.new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    fresh.replace(path)
