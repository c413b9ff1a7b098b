"""Beat remembers its last runs through restarts, and without them counts from now."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from celery import Celery

from stackscreen.beat import JsonScheduler
from stackscreen.celery_app import configuration
from stackscreen.settings import load_settings

NAME = "rescreen-nightly"


@pytest.fixture
def schedule(tmp_path: Path) -> Callable[[], JsonScheduler]:
    app = Celery("beat", set_as_current=False)
    app.conf.update(configuration(load_settings(data_dir=tmp_path)))
    return lambda: JsonScheduler(app)


def memory(folder: Path) -> Path:
    return folder / "state" / "beat.json"


def test_an_entry_missed_while_beat_was_down_is_due_at_once(schedule: Callable, tmp_path: Path) -> None:
    memory(tmp_path).parent.mkdir()
    memory(tmp_path).write_text(json.dumps({NAME: (datetime.now(UTC) - timedelta(days=2)).isoformat()}))
    assert schedule().schedule[NAME].is_due().is_due


def test_a_run_is_remembered_by_the_next_beat(schedule: Callable) -> None:
    first = schedule()
    entry = first.reserve(first.schedule[NAME])
    first.sync()
    second = schedule().schedule[NAME]
    assert second.last_run_at == entry.last_run_at
    assert not second.is_due().is_due


@pytest.mark.parametrize("text", ["{", "[]", '{"rescreen-nightly": "yesterday"}', '{"rescreen-nightly": 3}'])
def test_a_broken_memory_counts_from_now(schedule: Callable, tmp_path: Path, text: str) -> None:
    memory(tmp_path).parent.mkdir()
    memory(tmp_path).write_text(text)
    assert not schedule().schedule[NAME].is_due().is_due
