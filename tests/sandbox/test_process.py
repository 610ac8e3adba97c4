import contextlib
import http.client
import json
import signal
import subprocess
import sys
from urllib.parse import urlsplit

import pytest

from tieline.sandbox.__main__ import main


def start(*arguments):
    command = [sys.executable, "-m", "tieline.sandbox", *arguments]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    word, url = process.stdout.readline().split()
    assert "READY" == word
    return process, url


def admin(url, method="GET", path="", body=None):
    with contextlib.closing(http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)) as connection:
        connection.request(method, f"/_sandbox/{path}", json.dumps(body))
        return json.load(connection.getresponse())


def stop(process):
    """Close its standard input, as the end of whoever started it would."""
    process.stdin.close()
    code = process.wait(10)
    process.stdout.close()
    return code


def test_a_sandbox_ends_with_its_standard_input_and_remembers(tmp_path):
    file = tmp_path / "crm.jsonl"
    process, url = start("crm", "--leads", "50", "--state", str(file))
    admin(url, "POST", "bad", {"kind": "phone"})
    assert 0 == stop(process)

    process, url = start("crm", "--state", str(file))
    counts = admin(url)["counts"]
    stop(process)
    assert 51 == counts["leads"]


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGTERM to catch")
def test_a_sandbox_ends_on_sigterm():
    process, url = start("email", "--members", "3", "--rate", "20")
    counts = admin(url)["counts"]
    process.send_signal(signal.SIGTERM)

    assert 0 == stop(process)
    assert 3 == counts["members"]


def test_a_file_that_is_another_s_is_an_error(tmp_path, capsys):
    file = tmp_path / "notes.txt"
    file.write_text("remember the milk\n")

    assert 1 == main(["crm", "--state", str(file)])
    assert "is not from a sandbox" in capsys.readouterr().err
