"""Beat's memory: when each entry last ran, as JSON (Celery's own keeps a pickle)."""

import json
import os
from datetime import datetime
from pathlib import Path
from typing import Any

from celery.beat import ScheduleEntry, Scheduler
from celery.utils.log import get_logger

logger = get_logger(__name__)


class JsonScheduler(Scheduler):
    """Celery's scheduler, which after a pause catches up with an entry that was due meanwhile, once."""

    def __init__(self, app: Any, schedule_filename: str | None = None, **options: Any) -> None:
        self._path = Path(schedule_filename or app.conf.beat_schedule_filename)
        super().__init__(app, sync_every_tasks=1, **options)

    def setup_schedule(self) -> None:
        """Take the entries from the configuration and their last runs from the file."""
        self.data: dict[str, ScheduleEntry] = {}
        self.merge_inplace(self.app.conf.beat_schedule)
        for name, text in self._remembered().items():
            if name in self.data:
                self.data[name].last_run_at = datetime.fromisoformat(text)
        self.sync()

    def _remembered(self) -> dict[str, str]:
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
            return {name: text for name, text in found.items() if datetime.fromisoformat(text).tzinfo is not None}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, AttributeError, TypeError) as error:
            logger.warning("beat does not know when its entries last ran, and counts from now: %s", error)
            return {}

    def sync(self) -> None:
        """Write the last runs, at once and whole."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({name: entry.last_run_at.isoformat() for name, entry in self.data.items()}, indent=1)
        fresh = self._path.with_name(f"{self._path.name}.new")
        with fresh.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._path)

    def close(self) -> None:
        """Remember at the end."""
        self.sync()
