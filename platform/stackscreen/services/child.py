"""Runs one supervised program so that it never outlives its supervisor.

Run as a script, before anything of ours can be imported: `child.py [--user NAME] [--environment FILE]
[--signal NAME] -- PROGRAM ARGUMENT...`. Becomes the user, asks the kernel for the signal when the supervisor
dies (Linux), adds the variables of the JSON file to the environment, and turns into the program. Without
it a `kill -9` of the supervisor leaves servers that nobody restarts and a second start would collide with.
"""

import argparse
import ctypes
import json
import os
import pwd
import signal
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Parse, prepare, exec. Does not return."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--user")
    parser.add_argument("--environment")
    parser.add_argument("--signal", default="SIGTERM")
    parser.add_argument("program", nargs="+")
    options = parser.parse_args()

    supervisor = os.getppid()
    environment = dict(os.environ)
    if options.environment:
        environment |= json.loads(Path(options.environment).read_text(encoding="utf-8"))
    if options.user:
        entry = pwd.getpwnam(options.user)
        os.initgroups(options.user, entry.pw_gid)
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)
    if sys.platform == "linux":
        # After setuid: a change of user clears it. It survives exec.
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.Signals[options.signal])
        if os.getppid() != supervisor:
            sys.exit("the supervisor is gone")
    os.execve(options.program[0], options.program, environment)  # noqa: S606 - our own configuration's program


if __name__ == "__main__":
    main()
