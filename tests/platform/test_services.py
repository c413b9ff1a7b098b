"""The embedded servers start, stay, come back after a kill, and lose nothing."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable

import psutil
import psycopg
import pytest
from platform_helpers import wait_for

from stackscreen.services import ServiceError, broker_url, database_url, ensure_started, libpq_url, lifecycle, postgres
from stackscreen.services.layout import SOCKET_PATH_LIMIT, layout_of
from stackscreen.services.redis_server import client_of
from stackscreen.services.supervision import Supervisor
from stackscreen.settings import Settings, load_settings

pytestmark = pytest.mark.services
MakeSystem = Callable[..., Settings]


@pytest.fixture(scope="module")
def system(make_system: MakeSystem) -> Settings:
    settings = make_system()
    lifecycle.start(settings)
    return settings


@pytest.fixture
def running(system: Settings) -> Settings:
    """The module's system, started again if the test before left it stopped."""
    ensure_started(system)
    return system


def pid_of(settings: Settings, name: str) -> int | None:
    state = Supervisor(layout_of(settings)).states().get(name)
    return state.pid if state else None


def connect(settings: Settings) -> psycopg.Connection:
    return psycopg.connect(libpq_url(database_url(settings)), autocommit=True)


def answers(settings: Settings) -> bool:
    return all(service.answers for service in lifecycle.status(settings) if service.name in {"postgres", "redis"})


def test_a_second_start_leaves_the_running_servers_alone(running: Settings) -> None:
    before = {name: pid_of(running, name) for name in ("postgres", "redis")}
    lifecycle.start(running)
    assert {name: pid_of(running, name) for name in ("postgres", "redis")} == before
    assert None not in before.values()


def test_the_servers_listen_on_no_network_port(running: Settings) -> None:
    listening = [
        connection
        for name in ("postgres", "redis")
        for connection in psutil.Process(pid_of(running, name)).net_connections(kind="inet")
    ]
    assert listening == []


def test_other_users_cannot_enter_the_folder_of_the_database_socket(running: Settings) -> None:
    assert layout_of(running).postgres_sockets.stat().st_mode & 0o077 == 0


def test_a_commit_is_on_disk_before_it_is_confirmed(running: Settings) -> None:
    with connect(running) as connection:
        for name in ("synchronous_commit", "fsync", "full_page_writes"):
            assert connection.execute("SELECT current_setting(%s)", (name,)).fetchone() == ("on",)


def test_the_database_can_hold_vectors(running: Settings) -> None:
    with connect(running) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        assert connection.execute("SELECT '[1,2]'::vector <-> '[1,4]'::vector").fetchone() == (2.0,)


def test_a_killed_postmaster_comes_back_with_every_committed_row(running: Settings) -> None:
    with connect(running) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (id int)")
        connection.execute("INSERT INTO kept VALUES (1)")
    killed = pid_of(running, "postgres")
    os.kill(killed, signal.SIGKILL)
    wait_for(lambda: pid_of(running, "postgres") not in {None, killed}, "another postmaster")
    ensure_started(running)
    with connect(running) as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (1,)


def test_a_killed_redis_comes_back_with_every_queued_message(running: Settings) -> None:
    client_of(broker_url(running)).rpush("kept", "message")
    killed = pid_of(running, "redis")
    os.kill(killed, signal.SIGKILL)
    wait_for(lambda: pid_of(running, "redis") not in {None, killed}, "another Redis")
    wait_for(lambda: answers(running), "answers")
    assert client_of(broker_url(running)).lrange("kept", 0, -1) == [b"message"]


@pytest.mark.skipif(sys.platform != "linux", reason="other kernels do not signal orphans")
def test_servers_do_not_outlive_a_killed_supervisor_and_the_next_start_recovers(running: Settings) -> None:
    supervisor = Supervisor(layout_of(running))
    servers = [psutil.Process(pid_of(running, name)) for name in ("postgres", "redis")]
    os.kill(supervisor.pid(), signal.SIGKILL)
    _, alive = psutil.wait_procs(servers, timeout=20)
    assert alive == []
    ensure_started(running)
    assert answers(running)


def test_the_process_id_of_a_dead_server_may_belong_to_anyone_by_now(running: Settings) -> None:
    assert lifecycle.stop(running)
    (layout_of(running).pgdata / "postmaster.pid").write_text(f"{os.getpid()}\n{layout_of(running).pgdata}\n")
    lifecycle.start(running)
    assert answers(running)


def test_stop_stops_everything_and_says_whether_something_ran(running: Settings) -> None:
    assert lifecycle.stop(running)
    assert postgres.postmaster(layout_of(running)) is None
    assert [service.state for service in lifecycle.status(running)] == ["stopped"] * 4
    assert not lifecycle.stop(running)


def test_an_initialisation_that_was_killed_leaves_no_half_made_cluster(make_system: MakeSystem) -> None:
    settings = make_system()
    layout = layout_of(settings)
    settings.data_dir.mkdir(mode=0o755)
    (layout.data_dir / "stackscreen-data").touch()
    half = layout.pgdata.with_name("postgres.new")
    half.mkdir()
    (half / "PG_VERSION").write_text("18")
    lifecycle.start(settings)
    assert answers(settings)


def test_two_data_folders_are_two_systems(running: Settings, make_system: MakeSystem) -> None:
    other = make_system()
    lifecycle.start(other)
    with connect(running) as here, connect(other) as there:
        here.execute("CREATE TABLE IF NOT EXISTS only_here ()")
        assert there.execute("SELECT to_regclass('only_here')").fetchone() == (None,)
    lifecycle.stop(other)
    assert answers(running)


def test_starts_at_the_same_moment_make_one_system(make_system: MakeSystem) -> None:
    settings = make_system()
    command = [sys.executable, "-m", "stackscreen", "services", "start"]
    environment = {**os.environ, **settings.as_environment()}
    starts = [subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    assert [(start.wait(60), start.stderr.read()) and start.returncode for start in starts] == [0, 0, 0]
    supervisors = [
        process
        for process in psutil.process_iter(["cmdline"])
        if str(layout_of(settings).run / "supervisord.conf") in (process.info["cmdline"] or [])
    ]
    assert len(supervisors) == 1


def test_a_data_folder_too_deep_for_a_unix_socket_works_and_says_where_its_sockets_are(
    make_system: MakeSystem,
) -> None:
    settings = make_system(below="/".join(["a folder with a long name"] * 4))
    said: list[str] = []
    lifecycle.start(settings, said.append)
    layout = layout_of(settings)
    assert len(str(layout.redis_socket)) < SOCKET_PATH_LIMIT
    assert any(str(layout.runtime) in line for line in said)
    assert answers(settings)


def test_a_folder_with_other_files_is_neither_used_nor_removed(make_system: MakeSystem) -> None:
    settings = make_system()
    settings.data_dir.mkdir()
    thesis = settings.data_dir / "thesis.tex"
    thesis.touch()
    with pytest.raises(ServiceError, match=r"holds files that are not Stackscreen's \(thesis.tex"):
        lifecycle.start(settings)
    with pytest.raises(ServiceError, match="not a data folder that Stackscreen made"):
        lifecycle.destroy(settings)
    assert list(settings.data_dir.iterdir()) == [thesis]


def test_a_path_that_the_supervisor_would_misread_is_refused(make_system: MakeSystem) -> None:
    with pytest.raises(ServiceError, match="has '%' in its path"):
        lifecycle.start(make_system(below="100%"))


def test_an_external_database_replaces_the_embedded_one_and_nothing_else(
    running: Settings, make_system: MakeSystem
) -> None:
    settings = make_system(database_url=database_url(running).replace("postgresql+psycopg", "postgresql"))
    lifecycle.start(settings)
    states = {service.name: service.state for service in lifecycle.status(settings)}
    assert states["postgres"] == "external"
    assert states["redis"] == "running"
    assert not layout_of(settings).pgdata.exists()


def test_an_external_database_that_is_down_is_named_without_its_password(make_system: MakeSystem) -> None:
    settings = make_system(database_url="postgresql://user:secret@127.0.0.1:1/none")
    with pytest.raises(ServiceError, match=r"user:\*\*\*@127.0.0.1:1/none does not answer") as caught:
        ensure_started(settings)
    assert "STACKSCREEN_DATABASE_URL" in caught.value.hint
    assert "secret" not in str(caught.value)


def test_a_server_that_cannot_start_is_reported_with_its_own_words(make_system: MakeSystem) -> None:
    settings = make_system(postgres={"max_connections": 10})
    lifecycle.start(settings)
    lifecycle.stop(settings)
    (layout_of(settings).pgdata / "PG_VERSION").write_text("17\n")
    with pytest.raises(ServiceError, match="was made by Postgres 17"):
        lifecycle.start(settings)


def test_a_dead_worker_is_replaced_and_changed_settings_restart_the_workers_alone(make_system: MakeSystem) -> None:
    settings = make_system(services={"run_workers": True}, worker={"concurrency": 1})
    lifecycle.start(settings)
    first = wait_for(lambda: pid_of(settings, "worker"), "a worker")
    os.kill(first, signal.SIGKILL)
    second = wait_for(
        lambda: pid_of(settings, "worker") not in {None, first} and pid_of(settings, "worker"), "a worker"
    )
    server = pid_of(settings, "postgres")
    changed = load_settings(**{**settings.model_dump(), "worker": {"concurrency": 2}})
    lifecycle.start(changed)
    assert pid_of(changed, "worker") not in {None, first, second}
    assert pid_of(changed, "postgres") == server
