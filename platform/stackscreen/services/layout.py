"""Where one system keeps its files: everything below one data folder, except sockets of an over-long path.

<data_dir>/stackscreen-data   marks the folder as ours: only a marked folder is ever removed
<data_dir>/postgres, redis    the servers' data
<data_dir>/logs               one file a process
<data_dir>/state              beat's last runs
<data_dir>/run                generated configurations
<data_dir>/cache              copies of the published run's pairs: see stackscreen.scan.cache
<runtime>/                    the unix sockets: <data_dir>/run, or a short folder in /tmp
"""

import fcntl
import hashlib
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from stackscreen.services.errors import ServiceError
from stackscreen.settings import Settings

# sockaddr_un.sun_path holds 108 bytes on Linux and 104 on macOS, the final zero included.
SOCKET_PATH_LIMIT: Final = 100
# The longest name below the runtime folder, with what supervisord appends while it binds (".<pid>").
_LONGEST_SOCKET_NAME: Final = len("/postgres/.s.PGSQL.5432.lock")
_MARK: Final = "stackscreen-data"
# They end a value, begin a comment or begin an expansion in supervisord's configuration, some of them twice.
_FORBIDDEN_CHARACTERS: Final = frozenset("\n\r;#%\"'")


@dataclass(frozen=True, slots=True)
class Layout:
    """The folders and files of one system."""

    data_dir: Path
    runtime: Path

    @property
    def pgdata(self) -> Path:
        """Postgres's cluster."""
        return self.data_dir / "postgres"

    @property
    def postgres_sockets(self) -> Path:
        """Folder of Postgres's socket, owned by the user it runs as."""
        return self.runtime / "postgres"

    @property
    def redis_data(self) -> Path:
        """Redis's append-only file."""
        return self.data_dir / "redis"

    @property
    def redis_socket(self) -> Path:
        """Redis listens here and nowhere else."""
        return self.runtime / "redis.sock"

    @property
    def supervisor_socket(self) -> Path:
        """Control of the supervisor."""
        return self.runtime / "supervisor.sock"

    @property
    def run(self) -> Path:
        """Generated configurations and process ids."""
        return self.data_dir / "run"

    @property
    def logs(self) -> Path:
        """One log a process."""
        return self.data_dir / "logs"

    @property
    def state(self) -> Path:
        """What beat remembers."""
        return self.data_dir / "state"

    @property
    def cache(self) -> Path:
        """Copies of what the database holds, for quick reading; may be removed at any time."""
        return self.data_dir / "cache"

    @property
    def sockets_elsewhere(self) -> bool:
        """Whether the data folder's path is too long for a unix socket."""
        return self.runtime != self.run


def layout_of(settings: Settings) -> Layout:
    """The layout of a data folder; makes nothing.

    Depends on the data folder and the user alone, not on XDG_RUNTIME_DIR or TMPDIR: a login shell, a cron job
    and a worker must find the same sockets.
    """
    run = settings.data_dir / "run"
    if len(os.fsencode(run)) + _LONGEST_SOCKET_NAME <= SOCKET_PATH_LIMIT:
        return Layout(settings.data_dir, run)
    digest = hashlib.sha256(os.fsencode(settings.data_dir)).hexdigest()[:12]
    return Layout(settings.data_dir, Path("/tmp") / f"stackscreen-{os.getuid()}-{digest}")  # noqa: S108 - checked below


def is_ours(layout: Layout) -> bool:
    """Whether a system was ever made in this data folder."""
    return (layout.data_dir / _MARK).is_file()


def check_folder(layout: Layout) -> None:
    """Refuse a data folder that cannot be ours; touches nothing.

    Raises:
        ServiceError: it holds other files, cannot be looked into, or the supervisor would misread its path.
    """
    bad = sorted(_FORBIDDEN_CHARACTERS & set(str(layout.data_dir)))
    if bad:
        raise ServiceError(f"The data folder {layout.data_dir} has {bad[0]!r} in its path.", hint="Choose another.")
    try:
        if not layout.data_dir.exists() or is_ours(layout):
            return
        others = [path.name for path in layout.data_dir.iterdir() if path.name != ".lock"]
    except OSError as error:
        raise _unusable(layout, error) from error
    if others:
        raise ServiceError(
            f"The data folder {layout.data_dir} holds files that are not Stackscreen's ({others[0]}, ...).",
            hint="Set STACKSCREEN_DATA_DIR to an empty or a new folder.",
        )


def make_folders(layout: Layout) -> None:
    """Make the folders, private to this user. Runs under the system's lock, after `check_folder`.

    Raises:
        ServiceError: the data folder cannot be written.
    """
    try:
        (layout.data_dir / _MARK).write_text("All files here belong to Stackscreen.\n", encoding="utf-8")
        for folder in (layout.redis_data, layout.logs, layout.state):
            folder.mkdir(mode=0o700, exist_ok=True)
        for folder in {layout.run, layout.runtime}:
            folder.mkdir(mode=_passable(), exist_ok=True)
    except OSError as error:
        raise _unusable(layout, error) from error
    _check_private(layout.runtime)


def _passable() -> int:
    """Others may pass through what root makes, since Postgres then runs as another user; they may not list it."""
    return 0o711 if os.geteuid() == 0 else 0o700


def _unusable(layout: Layout, error: OSError) -> ServiceError:
    return ServiceError(
        f"The data folder {layout.data_dir} cannot be used: {error.strerror} ({error.filename}).",
        hint="Set STACKSCREEN_DATA_DIR to a folder that you can write to.",
    )


def _check_private(folder: Path) -> None:
    """Refuse a socket folder that someone else made first: /tmp is everybody's."""
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise ServiceError(
            f"{folder} belongs to another user or can be written by others.", hint="Remove it, and start again."
        )


@contextmanager
def system_lock(layout: Layout, timeout_s: float) -> Iterator[None]:
    """Hold the data folder's lock: one start, stop or destroy at a time. The kernel drops it with the process.

    Raises:
        ServiceError: another command held it for longer than `timeout_s`.
    """
    try:
        layout.data_dir.parent.mkdir(parents=True, exist_ok=True)
        layout.data_dir.mkdir(mode=_passable(), exist_ok=True)
        descriptor = os.open(layout.data_dir / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _unusable(layout, error) from error
    try:
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    raise ServiceError(
                        f"Another command has been starting or stopping the services in {layout.data_dir} "
                        f"for more than {timeout_s:.0f} s.",
                        hint="Wait for it, or end it, and try again.",
                    ) from error
                time.sleep(0.05)
        yield
    finally:
        os.close(descriptor)
