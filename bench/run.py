"""Compare tieline with what one would write or run instead: whole processes, side by side, on one machine.

Every contestant does a job against a fake vendor (`vendor.sh`) that costs next to nothing, one after another and round
after round, so that whatever else the machine does hits all alike. A run counts only if the vendor got exactly the
writes that the job owes. Printed are medians; every run is in `.bench/results.json`.

`make bench` runs it. Its environment may hold JOB (names, all by default), RUNS (3) and PEERS=all (adds dlt, drt,
airbyte-cdk and singer-sdk, each in a virtual environment of its own). It needs nginx, and only the standard library.
"""

import argparse
import contextlib
import json
import os
import platform
import resource
import shutil
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
WORK = HERE.parent / ".bench"
TIELINE = Path(sys.executable).parent / "tieline"

FLOOR = "aiohttp, by hand"
CAREFUL = "httpx + tenacity"
PYTHON = "python -c pass"
OWED = 3
"""tieline's exit code when a system can't be reached and everything waits for it."""

# One virtual environment each. The first holds both hand-written clients and is always made.
PACKAGES = {
    "venv": ["aiohttp==3.14.5", "httpx==0.28.1", "msgspec==0.22.0", "tenacity==9.2.1"],
    "venv-airbyte": ["airbyte-cdk==7.39.1"],
    "venv-dlt": ["dlt==1.31.0"],
    "venv-drt": ["drt-core==1.2.1"],
    "venv-singer": ["singer-sdk==0.54.9"],
}

PER_SECOND = 50  # what the vendor's limited port takes
MIB = 1024 * 1024
RSS_UNIT = 1 if sys.platform == "darwin" else 1024  # what ru_maxrss counts in
PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin", "/opt/homebrew/bin"])


class BenchError(Exception):
    """The comparison cannot go on; the message says why."""


@dataclass(frozen=True)
class Contestant:
    """A way to do a job: a command, run as a process of its own."""

    name: str
    command: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    folder: Path = WORK
    before_all: Callable[[], None] | None = None
    """Done once, unmeasured."""
    before_each: Callable[[], None] | None = None
    """Done before each run, unmeasured."""


@dataclass(frozen=True)
class Job:
    """What the contestants do, and how many writes the vendor must have seen after it."""

    name: str
    title: str
    records: int
    writes: int
    limited: bool = False
    """Whether it goes through the vendor's port that takes `PER_SECOND` requests a second."""


JOBS = [
    Job("batch", "100,000 records read, mapped and written in batches of 100", records=100_000, writes=1_000),
    Job("one", "10,000 records read, mapped and written one by one, 32 at once", records=10_000, writes=10_000),
    Job("unchanged", "100,000 records read, none of them changed (the others only read)", records=100_000, writes=0),
    Job("limited", "as `one`, 3,000 records at 50 requests/s: a minute is allowed", records=3_000, writes=3_000, limited=True),
    Job("memory", "as `batch`, ten times the records", records=1_000_000, writes=10_000),
    Job("restart", "100,000 owed when a process starts: until it sends again, and until all is sent", records=100_000, writes=1_000),
    Job(
        "two_way", "100,000 pairs, 1 % edited on each side, 0.1 % on both: both sides read, and brought in line", records=100_000, writes=21
    ),
    Job("two_way_unchanged", "100,000 pairs again, nothing changed on either side", records=100_000, writes=0),
    Job("version", "starting up", records=0, writes=0),
]
BY_NAME = {job.name: job for job in JOBS}


@dataclass(frozen=True)
class Run:
    """What one process took."""

    wall_seconds: float
    cpu_seconds: float
    peak_mib: float
    writes: int
    accepted: int = 0
    """Requests that the vendor's limited port took, reads included."""
    throttled: int = 0
    """Requests that it answered with 429."""


# The contestants


def contestants(job: Job, url: str, *, everybody: bool) -> list[Contestant]:
    """Return who takes part in a job, tieline last."""
    if job.name == "version":
        return [Contestant(PYTHON, [sys.executable, "-c", "pass"]), *tieline(job, url)]
    python = str(WORK / "venv/bin/python")
    mode = {"batch": ["batch", "8"], "memory": ["batch", "8"], "unchanged": ["read"]}.get(job.name, ["one", "32"])
    entries = [
        Contestant(FLOOR, [python, peer("handwritten_aiohttp.py"), url, *mode]),
        Contestant(CAREFUL, [python, peer("handwritten_httpx.py"), url, *mode]),
    ]
    if job.limited:
        del entries[0]  # the floor has no retry, so a limit ends it
    if everybody:
        entries += platforms(job, url)
    return [*entries, *tieline(job, url)]


def peer(file: str) -> str:
    """Return the path of a peer's file."""
    return str(HERE / "peers" / file)


def platforms(job: Job, url: str) -> list[Contestant]:
    """Return the packages that do the same kind of work, for the jobs they can do."""

    def program(venv: str, name: str) -> str:
        return str(WORK / venv / "bin" / name)

    if job.name == "batch":
        home = drt_home(url)
        return [
            Contestant("dlt", [program("venv-dlt", "python"), peer("dlt_pipeline.py"), url, str(job.records)]),
            Contestant("drt", [program("venv-drt", "drt"), "run"], env={"HOME": str(home)}, folder=home / "project"),
        ]
    if job.name == "unchanged":
        singer = [program("venv-singer", "python"), peer("singer_tap.py")]
        return [
            Contestant("airbyte-cdk", [program("venv-airbyte", "python"), peer("airbyte_read.py"), url]),
            Contestant("singer-sdk", singer, env={"BENCH_URL": url}),
        ]
    return []


def drt_home(url: str) -> Path:
    """Make a home folder with drt's profile in it, and its project, both with the vendor's address."""
    home = WORK / "drt-home"
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(HERE / "peers/drt", home / "project")
    (home / ".drt").mkdir()
    (home / "project/profiles.yml").rename(home / ".drt/profiles.yml")
    for file in (home / ".drt/profiles.yml", home / "project/syncs/batch.yml"):
        file.write_text(file.read_text().replace("BENCH_URL", url))
    return home


def tieline(job: Job, url: str) -> list[Contestant]:
    """Return tieline as a contestant: an integration of `bench/project`, copied to a place of its own.

    The copy brings no store, so that making it again is a fresh start.
    """
    if not TIELINE.exists():
        return []
    if job.name == "version":
        return [Contestant("tieline", [str(TIELINE), "version"])]
    if not (HERE / "project/tieline.yaml").exists():
        return []

    project, env = WORK / "project", {"BENCH_VENDOR": url}
    integration = {"unchanged": "batch", "memory": "batch"}.get(job.name, job.name)
    command = [str(TIELINE), "run", integration]

    def start_afresh() -> None:
        shutil.rmtree(project, ignore_errors=True)
        shutil.copytree(HERE / "project", project)

    def fill_store() -> None:
        start_afresh()
        measure(command, env, project)

    def learn_pace() -> None:
        start_afresh()
        measure([str(TIELINE), "run", "one"], env, project)
        shutil.copy(project / "integrations/one.yaml", project / "integrations/again.yaml")

    if job.limited:
        return [
            Contestant("tieline, declared", command, env, project, before_each=start_afresh),
            Contestant("tieline, undeclared", [str(TIELINE), "run", "one"], env, project, before_each=start_afresh),
            Contestant("tieline, after that", [str(TIELINE), "run", "again"], env, project, before_each=learn_pace),
        ]
    if job.name == "unchanged":
        return [Contestant("tieline", command, env, project, before_all=fill_store)]
    return [Contestant("tieline", command, env, project, before_each=start_afresh)]


# The vendor


@dataclass(frozen=True)
class Vendor:
    """A running fake vendor."""

    folder: Path
    port: int

    def url(self, *, limited: bool) -> str:
        """Return its address."""
        return f"http://127.0.0.1:{self.port + limited}"

    def forget(self) -> None:
        """Forget the writes so far, those it has yet to put into its log included."""
        self.flush()
        time.sleep(0.2)
        for log in ("writes.log", "limited.log"):
            os.truncate(self.folder / log, 0)

    def limited(self) -> tuple[int, int]:
        """Return how many requests its limited port took, and how many it answered with 429."""
        statuses = [line.split()[2] for line in (self.folder / "limited.log").read_text().splitlines()]
        return sum(status == "200" for status in statuses), statuses.count("429")

    def writes(self, expected: int) -> int:
        """Return how many writes it accepted, after giving its log a moment to show what is expected."""
        self.flush()
        time.sleep(0.2)
        log, patience = self.folder / "writes.log", 20
        while len(lines := log.read_text().splitlines()) < expected and (patience := patience - 1):
            time.sleep(0.1)
        return sum(line.split()[2] == "200" for line in lines)

    def flush(self) -> None:
        """Have it put all writes into its log."""
        os.kill(int((self.folder / "pid").read_text()), signal.SIGUSR1)


@contextmanager
def vendor(records: int) -> Iterator[Vendor]:
    """Run a vendor that has so many records. Their pages are made the first time and kept; a million take 300 MB."""
    folder, port = WORK / f"vendor-{records}", free_port()
    env = {**os.environ, "PATH": PATH, "PYTHON": sys.executable}
    script = str(HERE / "vendor.sh")
    try:
        done = subprocess.run(["bash", script, "start", folder, str(port), str(records)], env=env, capture_output=True, text=True)
        if done.returncode != 0:
            raise BenchError(f"the vendor did not start:\n{done.stderr}")
        yield Vendor(folder, port)
    finally:
        subprocess.run(["bash", script, "stop", folder], env=env, check=False)


def free_port() -> int:
    """Return a port that is free and whose successor is, too."""
    for port in range(9191, 9391, 2):
        try:
            for candidate in (port, port + 1):
                with socket.socket() as listener:
                    listener.bind(("127.0.0.1", candidate))
        except OSError:
            continue
        return port
    raise BenchError("no two free ports between 9191 and 9391")


# Measuring


def measure(command: Sequence[str], env: Mapping[str, str], folder: Path, *, expected: int = 0) -> Run:
    """Run a command to its end, `expected` to exit so, and return what it took, its own processes included."""
    errors = WORK / "stderr.txt"
    with errors.open("w") as stderr:
        start = time.perf_counter()
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
        )
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            raise
        wall_seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != expected:
        raise BenchError(f"exit status {process.returncode}\n{errors.read_text()[-2000:]}")
    return Run(wall_seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * RSS_UNIT / MIB, writes=0)


def compete(job: Job, entries: Sequence[Contestant], there: Vendor | None, rounds: int) -> dict[str, list[Run]]:
    """Run each contestant once a round and return its runs; one that fails, or owes writes, is out, and said to be."""
    runs: dict[str, list[Run]] = {entry.name: [] for entry in entries}
    for turn in range(rounds):
        for entry in entries:
            if entry.name not in runs:
                continue
            try:
                runs[entry.name].append(attempt(job, entry, there, first=turn == 0))
            except BenchError as error:
                print(f"{job.name}: {entry.name} is out: {error}", file=sys.stderr)
                del runs[entry.name]
    return runs


def attempt(job: Job, entry: Contestant, there: Vendor | None, *, first: bool) -> Run:
    """Run a contestant once, and count what the vendor got."""
    if first and entry.before_all:
        entry.before_all()
    if entry.before_each:
        entry.before_each()
    if there is None:
        return measure(entry.command, entry.env, entry.folder)
    there.forget()
    run = measure(entry.command, entry.env, entry.folder)
    writes = there.writes(job.writes)
    if writes != job.writes:
        raise BenchError(f"the vendor got {writes:,} writes, not {job.writes:,}")
    return Run(run.wall_seconds, run.cpu_seconds, run.peak_mib, writes, *there.limited())


def median(runs: Sequence[Run]) -> Run:
    """Return the median of each figure."""
    return Run(
        statistics.median(run.wall_seconds for run in runs),
        statistics.median(run.cpu_seconds for run in runs),
        statistics.median(run.peak_mib for run in runs),
        runs[0].writes,
        int(statistics.median(run.accepted for run in runs)),
        int(statistics.median(run.throttled for run in runs)),
    )


# The report


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows under a header, names to the left and figures to the right."""
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    return "\n".join(
        "  " + "   ".join(cell.rjust(width) if i else cell.ljust(width) for i, (cell, width) in enumerate(zip(row, widths, strict=True)))
        for row in [header, *rows]
    )


def ratio(part: float, whole: float | None) -> str:
    """Return a ratio, or nothing where there is none."""
    return f"{part / whole:.2f}" if whole else ""


def peak(mib: float) -> str:
    """Return a peak; a process starts out as a copy of this one, so a peak below ours cannot be seen."""
    ours = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * RSS_UNIT / MIB
    return f"{mib:.0f}" if mib > ours else f"< {ours:.0f}"


def report(medians: Mapping[str, Run]) -> str:
    """Return a job's table, each contestant beside the floor and beside the careful engineer."""
    floor, careful = medians.get(PYTHON) or medians.get(FLOOR), medians.get(CAREFUL)
    rows = [
        [
            name,
            f"{run.wall_seconds:.2f}",
            f"{run.cpu_seconds:.2f}",
            peak(run.peak_mib),
            ratio(run.wall_seconds, floor.wall_seconds if floor else None),
            ratio(run.wall_seconds, careful.wall_seconds if careful else None),
            ratio(run.cpu_seconds, floor.cpu_seconds if floor else None),
            ratio(run.cpu_seconds, careful.cpu_seconds if careful else None),
        ]
        for name, run in medians.items()
    ]
    return table(["", "wall s", "CPU s", "peak MiB", "wall ÷ floor", "÷ httpx", "CPU ÷ floor", "÷ httpx"], rows)


def report_limited(medians: Mapping[str, Run]) -> str:
    """Return which share of the vendor's limit each contestant used, from its start to its end, and which share of its requests was refused."""
    rows = [
        [
            name,
            f"{run.wall_seconds:.1f}",
            f"{run.accepted / PER_SECOND:.1f}",
            f"{run.accepted / PER_SECOND / run.wall_seconds:.1%}",
            f"{run.throttled:,}",
            f"{run.throttled / (run.accepted + run.throttled):.2%}",
        ]
        for name, run in medians.items()
    ]
    return table(["", "wall s", "s allowed", "of the limit", "429s", "of answers"], rows)


def report_memory(small: Mapping[str, Run], large: Mapping[str, Run]) -> str:
    """Return how each contestant's peak grows with the records."""
    rows = [
        [
            name,
            peak(small[name].peak_mib),
            peak(run.peak_mib),
            ratio(run.peak_mib, small[name].peak_mib),
            f"{run.wall_seconds:.1f}",
        ]
        for name, run in large.items()
        if name in small
    ]
    return table(["", "MiB at 100,000", "MiB at 1,000,000", "growth", "wall s at 1,000,000"], rows)


def about() -> dict[str, Any]:
    """Return what a reader of the figures must know of this machine and moment."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=HERE, capture_output=True, text=True, check=False)
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit.stdout.strip() or None,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 2),
        "packages": PACKAGES,
    }


# Putting it together


def make_venv(name: str) -> None:
    """Make a virtual environment with pinned packages, unless it is there with just those."""
    folder, wanted = WORK / name, "\n".join(PACKAGES[name])
    mark = folder / "packages.txt"
    if mark.exists() and mark.read_text() == wanted:
        return
    print(f"installing {', '.join(PACKAGES[name])}", flush=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
    install = [str(folder / "bin/python"), "-m", "pip", "install", "-q", "-q", "--disable-pip-version-check"]
    subprocess.run([*install, *PACKAGES[name]], check=True)
    mark.write_text(wanted)


def run_job(job: Job, rounds: int, *, everybody: bool) -> tuple[str, dict[str, Any]]:
    """Run a job and return its table and its figures."""
    if job.name == "version":
        runs = compete(job, contestants(job, "", everybody=everybody), None, max(rounds, 10))  # short, so more of them
        medians = {name: median(took) for name, took in runs.items()}
        return report(medians), figures(runs)

    if job.name == "restart":
        return run_restart(job, rounds)
    if job.name.startswith("two_way"):
        return run_two_way(job, rounds)

    def at(job: Job, rounds: int) -> dict[str, list[Run]]:
        with vendor(job.records) as there:
            return compete(job, contestants(job, there.url(limited=job.limited), everybody=everybody), there, rounds)

    if job.name == "memory":  # a peak hardly varies, so one run each
        small, large = at(BY_NAME["batch"], 1), at(job, 1)
        text = report_memory({n: r[0] for n, r in small.items()}, {n: r[0] for n, r in large.items()})
        return text, {"at_100000": figures(small), "at_1000000": figures(large)}
    if job.limited:  # a minute each, and hardly any difference
        runs = at(job, 1)
        return report_limited({name: median(took) for name, took in runs.items()}), figures(runs)
    runs = at(job, rounds)
    return report({name: median(took) for name, took in runs.items()}), figures(runs)


def run_restart(job: Job, rounds: int) -> tuple[str, dict[str, Any]]:
    """Let 100,000 writes become owed while the destination can't be reached, then start a process, and see when it sends again."""
    project, command = WORK / "project", [str(TIELINE), "run", "restart"]
    seconds, runs = [], []
    with vendor(job.records) as there:
        url = there.url(limited=False)
        down = {"BENCH_VENDOR": url, "BENCH_ELSEWHERE": f"http://127.0.0.1:{free_port()}"}
        back = {"BENCH_VENDOR": url, "BENCH_ELSEWHERE": url}
        for _ in range(rounds):
            shutil.rmtree(project, ignore_errors=True)
            shutil.copytree(HERE / "project", project)
            measure(command, down, project, expected=OWED)
            measure([str(TIELINE), "check", "--live"], back, project)  # the outage is over, and tieline has seen it
            there.forget()
            started = time.time()
            run = measure(command, back, project)
            if there.writes(job.writes) != job.writes:
                raise BenchError("not everything that was owed was sent")
            with contextlib.closing(sqlite3.connect(project / ".tieline/store.db")) as store:
                sent = store.execute("SELECT min(at) FROM call WHERE method = 'POST' AND run = (SELECT max(id) FROM run)").fetchone()[0]
            seconds.append(sent - started)
            runs.append(run)
    all_sent = median(runs).wall_seconds
    rows = [["tieline", f"{statistics.median(seconds):.2f}", f"{all_sent:.2f}", f"{job.records / all_sent:,.0f}"]]
    return table(["", "first write after s", "all sent after s", "records/s"], rows), {
        "first_write_seconds": seconds,
        **figures({"tieline": runs}),
    }


def run_two_way(job: Job, rounds: int) -> tuple[str, dict[str, Any]]:
    """Let both sides meet, then run again: after people have edited both, or nothing. Beside it, what one way costs: a copy, and a look."""
    project, command = WORK / "project", [str(TIELINE), "run", "two-way"]
    one_way = "batch" if job.name == "two_way" else "unchanged"
    runs: dict[str, list[Run]] = {f"one way: {one_way}": [], "two ways: first meeting": [], "two ways": []}
    calls: dict[str, int] = {}
    with vendor(job.records) as there:
        url = there.url(limited=False)
        before = {"BENCH_LEFT": url, "BENCH_RIGHT": url, "BENCH_VENDOR": url}
        after = {**before, "BENCH_LEFT": f"{url}/left", "BENCH_RIGHT": f"{url}/right"} if job.name == "two_way" else before
        for _ in range(rounds):
            shutil.rmtree(project, ignore_errors=True)
            shutil.copytree(HERE / "project", project)
            copy = [str(TIELINE), "run", "batch"]
            first = measure(copy, before, project)
            runs[f"one way: {one_way}"].append(first if one_way == "batch" else measure(copy, before, project))
            calls[f"one way: {one_way}"] = calls_of_last_run(project)
            runs["two ways: first meeting"].append(measure(command, before, project))
            calls["two ways: first meeting"] = calls_of_last_run(project)
            there.forget()
            runs["two ways"].append(measure(command, after, project))
            calls["two ways"] = calls_of_last_run(project)
            if (got := there.writes(job.writes)) != job.writes:
                raise BenchError(f"the vendor got {got:,} writes, not {job.writes:,}")
    medians = {name: median(took) for name, took in runs.items()}
    one = medians[f"one way: {one_way}"].wall_seconds
    rows = [
        [name, f"{run.wall_seconds:.2f}", f"{run.cpu_seconds:.2f}", peak(run.peak_mib), f"{calls[name]:,}", ratio(run.wall_seconds, one)]
        for name, run in medians.items()
    ]
    return table(["", "wall s", "CPU s", "peak MiB", "calls", "÷ one way"], rows), {"calls": calls, **figures(runs)}


def calls_of_last_run(project: Path) -> int:
    """Return how many calls the last run of a project made."""
    with contextlib.closing(sqlite3.connect(project / ".tieline/store.db")) as store:
        return int(store.execute("SELECT count(*) FROM call WHERE run = (SELECT max(id) FROM run)").fetchone()[0])


def figures(runs: Mapping[str, Sequence[Run]]) -> dict[str, Any]:
    """Return medians and runs as JSON has them."""
    return {name: {"median": asdict(median(took)), "runs": [asdict(run) for run in took]} for name, took in runs.items()}


def main() -> int:
    """Run the jobs asked for."""
    parser = argparse.ArgumentParser(description="Compare tieline with what one would write or run instead.")
    parser.add_argument("--job", action="append", choices=BY_NAME, metavar="NAME", help=", ".join(BY_NAME))
    parser.add_argument("--runs", type=int, default=int(os.environ.get("RUNS") or 3), help="runs of each contestant (3)")
    parser.add_argument("--peers", choices=["some", "all"], default=os.environ.get("PEERS") or "some")
    options = parser.parse_args()
    names = options.job or os.environ.get("JOB", "").split() or list(BY_NAME)
    if unknown := set(names) - set(BY_NAME):
        parser.error(f"no such job: {', '.join(sorted(unknown))}; there are {', '.join(BY_NAME)}")
    everybody = options.peers == "all"
    if options.runs < 1:
        parser.error("there must be a run")
    if not shutil.which("nginx", path=PATH):
        print("error: nginx plays the vendor: apt-get install nginx-light, or brew install nginx", file=sys.stderr)
        return 1

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # as an exception, so that no vendor stays behind
    WORK.mkdir(exist_ok=True)
    for name in PACKAGES if everybody else ["venv"]:
        make_venv(name)
    results: dict[str, Any] = {**about(), "runs": options.runs, "jobs": {}}
    if not (HERE / "project/tieline.yaml").exists():
        print("tieline takes part in `version` alone: bench/project is not there yet")
    for name in names:
        job = BY_NAME[name]
        print(f"\n{name}: {job.title}", flush=True)
        text, results["jobs"][name] = run_job(job, options.runs, everybody=everybody)
        print(text, flush=True)
        (WORK / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    print(f"\nmedians of {options.runs}; all runs are in {(WORK / 'results.json').relative_to(HERE.parent)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
