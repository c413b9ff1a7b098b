"""A worker of the real application with one more task, which tells of itself in a file and waits for another.

Run as a script with the arguments of `celery worker`.
"""

import os
import sys
import time
from pathlib import Path

from stackscreen.celery_app import app


@app.task(name="test.wait_for_file")
def wait_for_file(diary: str, awaited: str) -> None:
    """Write "started <pid>", wait for the file, write "done <pid>"."""
    with Path(diary).open("a") as file:
        file.write(f"started {os.getpid()}\n")
    while not Path(awaited).exists():
        time.sleep(0.02)
    with Path(diary).open("a") as file:
        file.write(f"done {os.getpid()}\n")


if __name__ == "__main__":
    # Delivery is what is tried here: the other tasks' libraries would take seconds to import.
    app.conf.include = ()
    app.worker_main(["worker", "--loglevel", "WARNING", "--without-gossip", "--without-mingle", *sys.argv[1:]])
