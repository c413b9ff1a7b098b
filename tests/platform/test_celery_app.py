"""Tasks are delivered at least once: a killed process, worker or a stop loses none."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from celery import Celery
from kombu.exceptions import EncodeError
from platform_helpers import wait_for

from stackscreen.celery_app import NIGHTLY_RESCREENING, configuration
from stackscreen.services import broker_url, lifecycle
from stackscreen.services.redis_server import client_of
from stackscreen.settings import Settings, load_settings

SCRIPT = Path(__file__).with_name("worker_with_slow_task.py")
Popen = subprocess.Popen


@pytest.fixture(scope="module")
def system(make_system: Callable[..., Settings]) -> Settings:
    settings = make_system(
        worker={"concurrency": 1, "visibility_timeout_s": 2, "restore_interval_s": 1, "shutdown_grace_s": 0.1},
        screen={"lease_s": 1},
    )
    lifecycle.start(settings)
    return settings


@pytest.fixture
def start_worker(system: Settings) -> Iterator[Callable[..., Popen]]:
    """Starts workers in process groups of their own; none outlives the test."""
    started: list[Popen] = []

    def start(**worker: object) -> Popen:
        settings = load_settings(**{**system.model_dump(), "worker": {**system.worker.model_dump(), **worker}})
        environment = {**os.environ, **settings.as_environment()}
        started.append(Popen([sys.executable, str(SCRIPT)], env=environment, start_new_session=True))
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    client_of(broker_url(system)).flushall()


class Task:
    """One delivery of the slow task, watched through its diary."""

    def __init__(self, settings: Settings, folder: Path, queue: str = "cpu") -> None:
        self._diary, self._awaited = folder / "diary", folder / "go"
        sender = Celery("sender", set_as_current=False)
        sender.conf.update(configuration(settings))
        sender.send_task("test.wait_for_file", args=[str(self._diary), str(self._awaited)], queue=queue)

    def let_finish(self) -> None:
        self._awaited.touch()

    def pids(self, word: str) -> list[int]:
        lines = self._diary.read_text().split("\n") if self._diary.exists() else []
        return [int(line.split()[1]) for line in lines if line.startswith(word)]

    def started(self, times: int) -> int:
        """Wait for that many starts; the process of the last."""
        return wait_for(lambda: len(self.pids("started")) >= times and self.pids("started"), "the task to start")[-1]

    def done(self) -> None:
        wait_for(lambda: self.pids("done"), "the task to be done")


@pytest.mark.services
@pytest.mark.parametrize("queue", ["cpu", "gpu"])
def test_a_worker_serves_both_queues(system: Settings, start_worker: Callable, tmp_path: Path, queue: str) -> None:
    start_worker()
    task = Task(system, tmp_path, queue)
    task.let_finish()
    task.done()


@pytest.mark.services
def test_a_task_whose_process_is_killed_runs_again_at_once(
    system: Settings, start_worker: Callable, tmp_path: Path
) -> None:
    start_worker(visibility_timeout_s=900)
    task = Task(system, tmp_path)
    os.kill(task.started(1), signal.SIGKILL)
    task.started(2)
    task.let_finish()
    task.done()


@pytest.mark.services
def test_a_task_of_a_killed_worker_goes_to_another_after_the_visibility_timeout(
    system: Settings, start_worker: Callable, tmp_path: Path
) -> None:
    first = start_worker()
    task = Task(system, tmp_path)
    task.started(1)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    start_worker()
    task.started(2)
    task.let_finish()
    task.done()


@pytest.mark.services
def test_a_stopped_worker_hands_its_task_back_at_once(system: Settings, start_worker: Callable, tmp_path: Path) -> None:
    first = start_worker(visibility_timeout_s=900)
    task = Task(system, tmp_path)
    task.started(1)
    os.kill(first.pid, signal.SIGQUIT)
    first.wait(30)
    start_worker(visibility_timeout_s=900)
    task.started(2)
    task.let_finish()
    task.done()


def test_nothing_but_json_is_sent_or_accepted(system: Settings) -> None:
    sender = Celery("sender", set_as_current=False)
    sender.conf.update(configuration(system))
    with pytest.raises(EncodeError):
        sender.send_task("test.wait_for_file", args=[object()])
    assert set(sender.conf.accept_content) == {"json"}


def test_the_visibility_timeout_is_the_same_wherever_it_is_read() -> None:
    settings = load_settings(worker={"visibility_timeout_s": 1234})
    found = configuration(settings)
    assert found["broker_transport_options"]["visibility_timeout"] == 1234
    assert found["result_backend_transport_options"]["visibility_timeout"] == 1234


def test_the_nightly_rescreening_is_due_at_its_hour_in_utc() -> None:
    settings = load_settings(rescreen={"hour": 4, "minute": 30})
    found = configuration(settings)
    entry = found["beat_schedule"]["rescreen-nightly"]
    assert entry["task"] == NIGHTLY_RESCREENING
    assert (entry["schedule"].hour, entry["schedule"].minute, found["timezone"]) == ({4}, {30}, "UTC")
