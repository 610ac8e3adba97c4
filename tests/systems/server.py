"""Installing, starting and stopping real servers.

A server is installed once, into `.cache/systems/NAME-VERSION` below the project (TIELINE_SYSTEMS_CACHE names another
cache folder), under a file lock, so that parallel test runs share it. What takes long to make, such as an empty
database, is made once there too. Nothing is written elsewhere.

Every start gets a folder of its own, a free port and a guard (`guard.py`) that ends the server with its test run,
however that ends. The log of the latest run stays in `last.log`.

What each server is told and how it is seeded stands in the module named for it.
"""

import contextlib
import inspect
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from systems import calls

HERE = Path(__file__).parent
INSIDE = HERE / "inside"
"""Scripts that run inside a server's own environment."""


class ServerUnavailable(Exception):
    """A server could not be installed or started here; the message says why, the log tells the story."""

    def __init__(self, message: str, log: str = "") -> None:
        super().__init__(message)
        self.log = log


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a server is installed."""

    name: str
    version: str
    requirements: tuple[str, ...]
    """What to install, dependencies included."""
    bare: tuple[str, ...] = ()
    """What to install without the dependencies it declares."""
    prepare: "Callable[[Installed], None] | None" = None
    """Makes, once, what every start begins with, in `Installed.prepared`."""


@dataclass(frozen=True, slots=True)
class Installed:
    """A server that is installed."""

    home: Path

    @property
    def python(self) -> Path:
        """The Python of the server's own environment."""
        return self.home / "venv" / "bin" / "python"

    @property
    def packages(self) -> Path:
        """The folder of the packages in that environment."""
        return next((self.home / "venv" / "lib").glob("python3.*/site-packages"))

    @property
    def prepared(self) -> Path:
        """The folder of what every start begins with."""
        return self.home / "prepared"

    def script(self, name: str) -> Path:
        """Return the path of a command of the server's environment."""
        return self.python.with_name(name)

    def run(self, *command: str | Path, environment: Mapping[str, str] | None = None) -> None:
        """Run a command of the server's environment to its end."""
        _run(command, self.home / "install.log", environment=_environment(self.prepared, environment or {}))


@dataclass(frozen=True, slots=True)
class Site:
    """One start of a server: its folder and its port."""

    installed: Installed
    folder: Path
    port: int

    @property
    def url(self) -> str:
        """Where the server answers."""
        return f"http://127.0.0.1:{self.port}"


@dataclass(frozen=True, slots=True)
class Command:
    """What starts a server."""

    arguments: Sequence[str | Path]
    environment: Mapping[str, str] = field(default_factory=dict)


def is_required() -> bool:
    """Whether a server that cannot be had fails the tests rather than skips them."""
    return os.environ.get("TIELINE_SYSTEMS") == "required" or os.environ.get("CI") == "true"


def cache_folder() -> Path:
    """Return the folder that everything is written to."""
    named = os.environ.get("TIELINE_SYSTEMS_CACHE")
    return Path(named).absolute() if named else HERE.parents[1] / ".cache" / "systems"


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def started(
    recipe: Recipe, configure: Callable[[Site], Command], *, answers_at: str = "/", patience_seconds: float = 90.0
) -> Iterator[Site]:
    """Run a server until the block ends; it has answered when the block begins, with whatever status.

    `configure` writes the server's settings into the folder of its site. It is called again, for another port, when
    someone else took the port in the moment between choosing and using it.
    """
    if sys.platform == "win32":
        raise ServerUnavailable(f"{recipe.name} needs a POSIX system")
    with _own_folder(recipe) as (installed, folder):
        try:
            for tries_left in (2, 1, 0):
                site = Site(installed, folder, free_port())
                log = folder / "server.log"
                with _guarded(site, configure(site), log) as guard:
                    complaint = _wait_until_it_answers(site.url + answers_at, guard, patience_seconds)
                    if complaint is None:
                        yield site
                        return
                if not tries_left or " in use" not in _tail(log):
                    raise ServerUnavailable(f"{recipe.name} {recipe.version} {complaint}", _tail(log))
        finally:
            with contextlib.suppress(FileNotFoundError):
                (folder / "server.log").replace(installed.home / "last.log")


@contextlib.contextmanager
def _own_folder(recipe: Recipe) -> Iterator[tuple[Installed, Path]]:
    """Install the server and lend a folder for one start, held by a lock for as long as it is used."""
    home = cache_folder() / f"{recipe.name}-{recipe.version}"
    try:
        (home / "runs").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ServerUnavailable(f"{recipe.name} {recipe.version} cannot be installed: {error}") from error
    (cache_folder() / ".gitignore").write_text("*\n")
    installed = Installed(home)
    with contextlib.ExitStack() as held:
        with _locked(home / "lock"):
            _install(recipe, installed)
            _remove_abandoned(home / "runs")
            folder = Path(tempfile.mkdtemp(dir=home / "runs"))
            held.callback(shutil.rmtree, folder, ignore_errors=True)
            held.enter_context(_locked(folder / "lock"))
        yield installed, folder


def _install(recipe: Recipe, installed: Installed) -> None:
    """Install what is not there yet; the stamps are written last, so half an installation is done again."""
    wanted = "\n".join((*recipe.requirements, *(f"{name} --no-deps" for name in recipe.bare))) + "\n"
    # What is prepared says nothing of the Python that made it: any that is still there will do.
    if _read(installed.home / "installed.txt") != wanted or not installed.python.exists():
        (installed.home / "prepared.txt").unlink(missing_ok=True)
        _make_environment(recipe, installed)
        (installed.home / "installed.txt").write_text(wanted)
    if recipe.prepare is not None and _read(installed.home / "prepared.txt") != inspect.getsource(recipe.prepare):
        shutil.rmtree(installed.prepared, ignore_errors=True)
        installed.prepared.mkdir()
        recipe.prepare(installed)
        (installed.home / "prepared.txt").write_text(inspect.getsource(recipe.prepare))


def _make_environment(recipe: Recipe, installed: Installed) -> None:
    """Make the virtual environment of a server, by uv where there is one, else by pip."""
    venv, log = installed.home / "venv", installed.home / "install.log"
    uv = shutil.which("uv")
    # The user's settings, such as which index to ask, hold; all else that is written stays below the cache folder.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COVERAGE_"))}
    environment["TMPDIR"] = str(installed.home / "runs")
    if uv:
        environment["UV_CACHE_DIR"] = str(installed.home.parent / "uv")
        make: tuple[str | Path, ...] = (uv, "venv", "--quiet", "--clear", "--python", sys.executable, venv)
        install: tuple[str | Path, ...] = (uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", venv)
    else:
        make = (sys.executable, "-m", "venv", "--clear", venv)
        install = (installed.python, "-m", "pip", "install", "--quiet", "--no-cache-dir", "--no-input", "--retries=1")
        install += ("--disable-pip-version-check",)
    log.unlink(missing_ok=True)
    _run(make, log, environment=environment)
    _run((*install, *recipe.requirements), log, environment=environment)
    if recipe.bare:
        _run((*install, "--no-deps", *recipe.bare), log, environment=environment)


@contextlib.contextmanager
def _guarded(site: Site, command: Command, log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a command below a guard, which ends it when the block ends or this process does."""
    with log.open("wb") as output:
        guard = subprocess.Popen(
            [sys.executable, "-I", HERE / "guard.py", log, *command.arguments],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=site.folder,
            env=_environment(site.folder, command.environment),
            start_new_session=True,  # an interrupt at the keyboard is for the test run
        )
    try:
        yield guard
    finally:
        assert guard.stdin
        guard.stdin.close()
        guard.wait(timeout=30)


def _wait_until_it_answers(url: str, guard: "subprocess.Popen[bytes]", patience_seconds: float) -> str | None:
    """Return None when the server has answered, else what is wrong with it."""
    deadline = time.monotonic() + patience_seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            calls.call("GET", url, timeout_seconds=5)
            if guard.poll() is None:
                return None
        if guard.poll() is not None:
            return "ended instead of answering"
        time.sleep(0.1)
    return f"did not answer in {patience_seconds:.0f} s"


def _run(command: Sequence[str | Path], log: Path, *, environment: Mapping[str, str]) -> None:
    """Run a command to its end, its output appended to the log."""
    with log.open("ab") as output:
        try:
            code = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=environment, timeout=900
            ).returncode
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ServerUnavailable(f"{log.parent.name} cannot be installed: {error}", _tail(log)) from error
    if code:
        said = _tail(log)
        raise ServerUnavailable(f"{log.parent.name} cannot be installed: {said.rpartition(chr(10))[2]}", said)


def _environment(home: Path, more: Mapping[str, str]) -> dict[str, str]:
    """Return what a server sees of the environment: little, so that it behaves alike everywhere."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "HOME": str(home),
        "TMPDIR": str(home),
        "PYTHONUNBUFFERED": "1",
        "PYTHONWARNINGS": "ignore",
        **more,
    }


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock that other processes respect and that ends with this one."""
    import fcntl  # not on Windows, where a test module must still be importable

    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _remove_abandoned(runs: Path) -> None:
    """Remove the folders of runs that were killed: those whose lock no one holds."""
    import fcntl

    for folder in runs.iterdir():
        with contextlib.suppress(OSError), (folder / "lock").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)


def _read(path: Path) -> str | None:
    return path.read_text() if path.exists() else None


def _tail(log: Path) -> str:
    return "\n".join((_read(log) or "").splitlines()[-20:])
