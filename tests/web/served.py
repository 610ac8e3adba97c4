"""`tieline receive` as a process, as people have it running."""

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

SRC = Path(__file__).parents[2] / "src"


class Served:
    """A receiver in a process of its own; it listens."""

    def __init__(self, folder: Path, environ: Mapping[str, str], *, dies: bool = False) -> None:
        """With `dies`, it kills itself between keeping an event and answering."""
        code = "import sys, tieline.cli.main as m; sys.argv[1:] = ['receive', '--port', '0', '--json']; m.main()"
        if dies:
            code = (
                "import os, signal; from tieline.engine.intake.webhooks import Receiving; receive = Receiving.receive\n"
                "async def dying(self, incoming):\n"
                "    await receive(self, incoming)\n"
                "    os.kill(os.getpid(), signal.SIGKILL)\n"
                f"Receiving.receive = dying\n{code}"
            )
        self.process = subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(SRC), **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        told = ""
        while "\n}" not in told:
            line = self.process.stdout.readline()
            assert line, self.process.communicate()[1]
            told += line
        self.said = json.loads(told)

    def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> int | None:
        """Send a request; return the status, None when no answer came."""
        with contextlib.closing(http.client.HTTPConnection(urlsplit(self.said["listens"]).netloc, timeout=30)) as connection:
            connection.request("POST", path, body, dict(headers))
            try:
                return connection.getresponse().status
            except (http.client.HTTPException, OSError):
                return None

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """End it; return its exit code and what it logged."""
        self.process.send_signal(number)
        _, err = self.process.communicate(timeout=60)
        return self.process.returncode, err
