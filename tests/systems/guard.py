"""Runs one server and ends it when whoever started it is gone: `guard.py LOG COMMAND...`, standard input a pipe.

The pipe closes however the starter ends, by kill -9 too, so no server outlives its test run. The server is the leader
of a process group that is killed whole: it holds nothing worth an orderly stop.

Run as a script, under any Python; imports nothing of the tests.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path


def main(log: str, *command: str) -> None:
    """Run the command until it ends or standard input does."""
    with Path(log).open("ab") as output:
        server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)

    def end() -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)  # start_new_session: the group has the leader's id

    def end_when_abandoned() -> None:
        sys.stdin.buffer.read()
        end()

    threading.Thread(target=end_when_abandoned, daemon=True).start()
    server.wait()
    end()  # children of a server that died by itself
    os._exit(1)  # the thread still reads standard input, and an interpreter that shuts down waits for that lock


if __name__ == "__main__":
    main(*sys.argv[1:])
