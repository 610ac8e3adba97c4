"""Makes a project whose store is as large as stores get, and measures how long it takes to look into it.

    .venv/bin/python bench/large_store.py make /tmp/large              a million links, ten million calls, 20,000 dead letters: 4 GB
    .venv/bin/python bench/large_store.py look /tmp/large              each command, a process of its own: cold and the median of five
    rm -r /tmp/large
    make bench JOB=looking                                         both, with the store kept in .bench/large

The rows are made by SQL; nothing is called. `LINKS`, `CALLS` and `LETTERS` in the environment make it smaller.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

from tieline.store.database import Database

LINKS, CALLS, LETTERS = (
    int(os.environ.get(name, number)) for name, number in (("LINKS", 1_000_000), ("CALLS", 10_000_000), ("LETTERS", 20_000))
)
RUNS = 1000
LOOKS = (
    ["version"],
    ["--help"],
    ["check"],
    ["status"],
    ["status", "sync"],
    ["explain", "a", "contacts", "77777"],
    ["calls"],
    ["calls", "--failed"],
    ["calls", "--status", "404"],
    ["calls", "--connection", "a"],
    ["dead-letters", "list"],
    ["conflicts"],
    ["unmatched"],
    ["links", "list", "sync"],
)
CONNECTOR = """\
connector: {name}
environments: {{ production: "http://127.0.0.1:9/{name}" }}
auth: {{ bearer: {{}} }}
resources:
  contacts:
    id: id
    fields: {{ id: {{ type: string, read_only: true }}, name: {{ type: string }} }}
    list: {{ path: /contacts, records: items }}
    get: {{ path: "/contacts/{{id}}" }}
    create: {{ path: /contacts }}
    update: {{ path: "/contacts/{{id}}", method: PATCH }}
"""
FILES = {
    "tieline.yaml": "project: large\nowner: me@example.com\n",
    "connections.yaml": "\n".join(
        f'{name}: {{ connector: {name}, auth: {{ bearer: "${{env:KEY}}" }}, owner: me@example.com }}' for name in "ab"
    ),
    "connectors/a.yaml": CONNECTOR.format(name="a"),
    "connectors/b.yaml": CONNECTOR.format(name="b"),
    "integrations/sync.yaml": "purpose: A large store is looked at.\nfrom: a.contacts\nto: b.contacts\ndirection: one-way\nfreshness: 1h\n"
    "match: {}\nunmatched: create\nconflict: source\nunavailable: { keep: 7d }\nmap: { name: name }\n",
}
ROWS = "WITH RECURSIVE n(i) AS (SELECT ?1 UNION ALL SELECT i + 1 FROM n WHERE i < ?2)"
STATEMENTS = (
    (LINKS, "links", f"""{ROWS} INSERT INTO link (integration, source_id, target_id, source_shadow, target_shadow, verdict, seen_run)
        SELECT 1, printf('%07d', i), 'b' || i, '{{"name":"N"}}', '{{"name":"N"}}', 'linked', 1 FROM n"""),
    (LINKS, "deliveries", f"""{ROWS} INSERT INTO delivery (id, integration, source_id, target_id, operation, state, run, accepted_at, changed, settled_at, call)
        SELECT i, 1, printf('%07d', i), 'b' || i, 'create', 'delivered', 1 + i * {RUNS - 1} / {LINKS}, ?3 + i / 10.0, '{{"name":"N"}}', ?3 + i / 10.0 + 1, i FROM n"""),
    (LETTERS, "dead letters", f"""{ROWS} INSERT INTO delivery (id, integration, source_id, operation, state, run, accepted_at, changed, record, reason)
        SELECT {LINKS} + i, 1, printf('x%06d', i), 'none', CASE i % 4 WHEN 0 THEN 'held' ELSE 'dead' END, {RUNS}, ?3 + i,
               '{{}}', '{{"id":"x","name":"a record of the usual length, with a few more words in it"}}',
               '{{"kind":"mapping","message":"name: is not well","next":"correct it","field":"f' || (i % 7) || '","rule":"name"}}' FROM n"""),
    (CALLS, "calls", f"""{ROWS} INSERT INTO call (id, at, connection, integration, run, method, url, status, seconds, waited, sent, received, attempt, failure, operation, resource, deliveries)
        SELECT i, ?3 + i / 100.0, 'b', 1, 1 + i * {RUNS - 1} / {CALLS}, 'POST', 'http://127.0.0.1:9/b/contacts', CASE i % 1000 WHEN 0 THEN 500 ELSE 201 END,
               0.05, 0, 100, 100, 1, CASE i % 1000 WHEN 0 THEN 'unavailable' END, 'create', 'contacts', CAST(i AS TEXT) FROM n"""),
)  # fmt: skip


def make(folder: Path) -> None:
    """Make the project and its store."""
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, "utf-8")
    began = time.monotonic()
    with Database(folder / ".tieline" / "store.db") as db:
        connection, start = db._writer, time.time() - 200_000
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("INSERT INTO integration (id, name, delivered, complete_at) VALUES (1, 'sync', ?, ?)", (LINKS, time.time()))
        for run in range(1, RUNS + 1):
            counts = '{"read": 1000, "created": 1000}'
            row = (run, start + run, LINKS * run // RUNS, start + run + 1, counts)
            connection.execute(
                "INSERT INTO run (id, integration, started_at, first_delivery, ended_at, state, counts) VALUES (?, 1, ?, ?, ?, 'green', ?)",
                row,
            )
        for number, name, statement in STATEMENTS:
            for first in range(1, number + 1, 500_000):
                connection.execute("BEGIN")
                connection.execute(statement, (first, min(number, first + 499_999), start)[: 3 if "?3" in statement else 2])
                connection.execute("COMMIT")
            print(f"{time.monotonic() - began:6.0f} s  {number:,} {name}", flush=True)


def look(folder: Path) -> None:
    """Time the commands that look."""
    tieline = Path(sys.executable).with_name("tieline")
    environ = {**os.environ, "KEY": "k"}
    print("   first  median  command")
    for arguments in LOOKS:
        took = []
        for _ in range(6):
            began = time.perf_counter()
            subprocess.run([tieline, *arguments], cwd=folder, env=environ, stdout=subprocess.DEVNULL, check=False)
            took.append(time.perf_counter() - began)
        print(f"{took[0]:6.2f} s {statistics.median(took[1:]):5.2f} s  tieline {' '.join(arguments)}")


def bench(folder: Path) -> None:
    """Look, into a store that is made once: `make bench JOB=looking`."""
    if not folder.exists():
        half = folder.with_name(f"{folder.name}.half")  # what was interrupted is not taken for the whole
        shutil.rmtree(half, ignore_errors=True)
        make(half)
        half.rename(folder)
    look(folder)


if __name__ == "__main__":
    {"make": make, "look": look, "bench": bench}[sys.argv[1]](Path(sys.argv[2]))
