"""Starting, stopping and looking at the processes of one system."""

import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import psycopg

from stackscreen.services import postgres, redis_server
from stackscreen.services.addresses import broker_url, database_url, embedded_database_url
from stackscreen.services.errors import ServiceError
from stackscreen.services.layout import Layout, check_folder, is_ours, layout_of, make_folders, system_lock
from stackscreen.services.supervision import Program, Supervisor
from stackscreen.settings import Settings
from stackscreen.settings_report import masked

POSTGRES: Final = "postgres"
REDIS: Final = "redis"
WORKER: Final = "worker"
BEAT: Final = "beat"
NAMES: Final = (POSTGRES, REDIS, WORKER, BEAT)

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """One service as `stackscreen services status` shows it.

    Args:
        state: running | starting | stopped | failed | external.
        detail: why it does not answer, or where an external one is.
    """

    name: str
    state: str
    pid: int | None
    uptime_s: float
    answers: bool
    detail: str


def _silent(_: str) -> None:
    """Say nothing."""


def _programs(settings: Settings, layout: Layout) -> list[Program]:
    """What has to run here under these settings."""
    limit = settings.services.stop_timeout_s
    programs = []
    if settings.database_url is None:
        command = postgres.command_line(settings, layout)
        programs.append(Program(POSTGRES, command, 100, "INT", limit, user=postgres.run_as()))
    if settings.broker_url is None:
        programs.append(Program(REDIS, redis_server.write_configuration(layout), 100, "TERM", limit))
    if settings.services.run_workers:
        environment = settings.model_copy(
            update={"database_url": database_url(settings), "broker_url": broker_url(settings)}
        ).as_environment()
        # QUIT is Celery's soft shutdown: tasks get the grace time, then go back to the queue at once; after TERM
        # and a kill they would come back only with the visibility timeout.
        grace = settings.worker.shutdown_grace_s + 15
        for name, order in ((WORKER, 200), (BEAT, 300)):
            command = [sys.executable, "-m", "stackscreen", name]
            signal = "QUIT" if name == WORKER else "TERM"
            # An orphan is killed: Celery says farewell on its standard output, whose reader died with the supervisor,
            # takes the error for a lost broker, connects again, and works on beside its successor.
            programs.append(
                Program(
                    name, command, order, signal, grace, False,
                    environment=environment, orphan_signal="KILL", settle_s=8,
                )
            )  # fmt: skip
    return programs


def ensure_started(settings: Settings, say: Say = _silent) -> None:
    """Have the services answer: starts what is missing, and leaves alone what runs.

    Raises:
        ServiceError: a service could not be started, or a configured external one does not answer.
    """
    states = Supervisor(layout_of(settings)).states()
    expected = {POSTGRES} if settings.database_url is None else set()
    expected |= {REDIS} if settings.broker_url is None else set()
    expected |= {WORKER, BEAT} if settings.services.run_workers else set()
    running = {name for name, process in states.items() if process.state in {"RUNNING", "STARTING"}}
    if expected <= running and _problem(settings) is None:
        return
    start(settings, say)


def start(settings: Settings, say: Say = _silent) -> None:
    """Start everything and wait until the servers answer; what runs with other settings is restarted.

    Args:
        say: told, in a sentence, what is worth knowing while it waits.

    Raises:
        ServiceError: something did not come up in `services.start_timeout_s`; with the reason and the log's place.
    """
    layout = layout_of(settings)
    check_folder(layout)
    _check_external(settings)
    with system_lock(layout, settings.services.start_timeout_s):
        make_folders(layout)
        if layout.sockets_elsewhere:
            say(f"the path of {layout.data_dir} is too long for unix sockets: they are in {layout.runtime}")
        supervisor = Supervisor(layout)
        running = supervisor.pid() is not None
        if settings.database_url is None:
            if not running:
                postgres.stop_leftover(settings, layout)
            postgres.prepare(layout)
        if settings.broker_url is None and not running:
            redis_server.stop_leftover(layout)
        programs = _programs(settings, layout)
        if programs:
            supervisor.configure(programs)
            if running:
                supervisor.update()
            else:
                supervisor.launch()
        first = [program.name for program in programs if program.autostart]
        for name in first:
            supervisor.start(name)
        _wait_until_answering(settings, supervisor, layout, say)
        if settings.database_url is None:
            postgres.ensure_database(settings)
        for program in programs:
            if not program.autostart:
                supervisor.start(program.name)


def _wait_until_answering(settings: Settings, supervisor: Supervisor, layout: Layout, say: Say) -> None:
    deadline = time.monotonic() + settings.services.start_timeout_s
    patience = time.monotonic() + 3
    while (problem := _problem(settings)) is not None:
        name, reason = problem
        _check_external(settings)
        state = supervisor.states().get(name)
        if state is None or state.state == "FATAL" or time.monotonic() > deadline:
            raise ServiceError(
                f"{name} did not come up: {_last_words(layout, name) or reason}",
                hint=f"See {layout.logs / name}.log.",
            )
        if time.monotonic() > patience:
            say(f"waiting for {name}: {reason}")
            patience = time.monotonic() + 10
        time.sleep(0.05)


def _check_external(settings: Settings) -> None:
    """Refuse to go on without a configured server that does not answer: it is not ours to start or to wait for."""
    if settings.database_url is not None and (reason := postgres.ping(database_url(settings))) is not None:
        raise _unreachable(settings, POSTGRES, reason)
    if settings.broker_url is not None and (reason := redis_server.ping(broker_url(settings))) is not None:
        raise _unreachable(settings, REDIS, reason)


def _problem(settings: Settings) -> tuple[str, str] | None:
    """The first server that does not answer, and why; None when both do."""
    url = database_url(settings) if settings.database_url else embedded_database_url(settings, "postgres")
    if (reason := postgres.ping(url)) is not None:
        return POSTGRES, reason
    if (reason := redis_server.ping(broker_url(settings))) is not None:
        return REDIS, reason
    return None


def _unreachable(settings: Settings, name: str, reason: str) -> ServiceError:
    variable = "STACKSCREEN_DATABASE_URL" if name == POSTGRES else "STACKSCREEN_BROKER_URL"
    url = database_url(settings) if name == POSTGRES else broker_url(settings)
    what = "database" if name == POSTGRES else "broker"
    return ServiceError(
        f"The {what} at {masked(url)} does not answer: {reason.rstrip('.')}.",
        hint=f"Start it or correct {variable}; without {variable} the embedded one is used.",
    )


def _last_words(layout: Layout, name: str) -> str:
    lines = [line for line in tail(layout, name, 20) if any(word in line for word in ("FATAL", "PANIC", "rror"))]
    return lines[-1] if lines else ""


def tail(layout: Layout, name: str, lines: int) -> list[str]:
    """The last lines of a process's log; empty when it has none."""
    path = layout.logs / f"{name}.log"
    if not path.is_file():
        return []
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 400 * lines))
        return file.read().decode("utf-8", errors="replace").splitlines()[-lines:]


def stop(settings: Settings) -> bool:
    """Stop everything in order, losing nothing; False when nothing ran.

    Raises:
        ServiceError: something did not stop.
    """
    layout = layout_of(settings)
    if not is_ours(layout):
        return False
    with system_lock(layout, settings.services.start_timeout_s):
        limit = 3 * settings.services.stop_timeout_s + settings.worker.shutdown_grace_s + 30
        stopped = Supervisor(layout).shutdown(limit, clients=(WORKER, BEAT))
        left = postgres.postmaster(layout) is not None
        postgres.stop_leftover(settings, layout)
        redis_server.stop_leftover(layout)
    return stopped or left


def destroy(settings: Settings) -> bool:
    """Stop everything and remove the data folder with all in it; False when there is none.

    Raises:
        ServiceError: the folder is not marked as ours, or something did not stop.
    """
    layout = layout_of(settings)
    if not layout.data_dir.exists():
        return False
    if not is_ours(layout):
        raise ServiceError(
            f"{layout.data_dir} is not a data folder that Stackscreen made, so it is left alone.",
            hint="Remove it by hand if you mean to.",
        )
    stop(settings)
    with system_lock(layout, settings.services.start_timeout_s):
        if layout.sockets_elsewhere:
            shutil.rmtree(layout.runtime, ignore_errors=True)
        shutil.rmtree(layout.data_dir)
    return True


def status(settings: Settings) -> list[ServiceStatus]:
    """State of the four services; starts nothing."""
    found = Supervisor(layout_of(settings)).states()
    words = {"RUNNING": "running", "STARTING": "starting", "BACKOFF": "starting", "FATAL": "failed"}
    result = []
    for name in NAMES:
        external = {POSTGRES: settings.database_url, REDIS: settings.broker_url}.get(name)
        process = found.get(name)
        state = "external" if external else words.get(process.state if process else "", "stopped")
        reason: str | None = None
        if name == POSTGRES:
            reason = postgres.ping(external or embedded_database_url(settings, "postgres"))
        elif name == REDIS:
            reason = redis_server.ping(broker_url(settings))
        elif state != "running":
            reason = "" if state == "starting" else "not running"
        if state == "starting" and reason is None:
            state = "running"
        detail = masked(external) if external else ""
        if reason and state != "stopped":
            detail = f"{detail} {reason}".strip()
        pid = process.pid if process else None
        result.append(ServiceStatus(name, state, pid, process.uptime_s if process else 0.0, reason is None, detail))
    return result


def database_is_down(settings: Settings, error: psycopg.Error | Exception) -> ServiceError:
    """A lost or refused database connection as a sentence with the next step."""
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if settings.database_url is not None:
        return _unreachable(settings, POSTGRES, reason)
    return ServiceError(
        f"The embedded database in {settings.data_dir} does not answer: {reason.rstrip('.')}.",
        hint="Run `stackscreen services start`.",
    )
