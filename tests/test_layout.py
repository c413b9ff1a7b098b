"""The top-level folders hide no library of the same name."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_from_the_root_platform_and_alembic_are_the_libraries() -> None:
    program = "import platform, alembic; print(platform.__file__); print(alembic.__file__)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    platform_file, alembic_file = map(Path, done.stdout.split())
    assert platform_file.is_relative_to(sysconfig.get_path("stdlib"))
    assert alembic_file.is_relative_to(sysconfig.get_path("purelib"))


def test_the_folders_with_a_librarys_name_are_no_packages() -> None:
    assert not (ROOT / "platform" / "__init__.py").exists()
    assert not (ROOT / "alembic" / "__init__.py").exists()
