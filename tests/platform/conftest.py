"""Systems of their own for the tests: real Postgres, Redis and workers in a folder that goes away."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from stackscreen.services import lifecycle
from stackscreen.services.layout import is_ours, layout_of
from stackscreen.settings import Settings, load_settings


@pytest.fixture(scope="module")
def make_system() -> Iterator[Callable[..., Settings]]:
    """Makes settings of a system in a new folder; every system is stopped and removed at the end."""
    made: list[Settings] = []
    folders: list[Path] = []

    def make(below: str = "", **groups: Any) -> Settings:
        # Not pytest's tmp_path, which is closed to the user that Postgres runs as when root runs the tests.
        folder = Path(tempfile.mkdtemp(prefix="stackscreen-test-"))
        folder.chmod(0o755)
        folders.append(folder)
        groups.setdefault("services", {"run_workers": False})
        settings = load_settings(data_dir=folder / (below or "data"), **groups)
        made.append(settings)
        return settings

    yield make
    with ThreadPoolExecutor() as pool:  # a stop is mostly waiting
        list(pool.map(lifecycle.destroy, [settings for settings in made if is_ours(layout_of(settings))]))
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
