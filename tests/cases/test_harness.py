"""A vendor that refuses inside a success: what it says of a record is what counts, not the status."""

from collections.abc import Callable
from pathlib import Path

from cases.served import Answer, Asked, Project, Vendor

CONNECTOR = """\
connector: {name}
environments: {{ production: "{{url}}/{name}" }}
auth: {{ bearer: {{}} }}
resources:
  contacts:
    id: id
    fields:
      id: {{ type: string, read_only: true }}
      name: {{ type: string }}
    list: {{ path: /contacts, records: items }}
    create: {{ path: /contacts }}
    update: {{ path: "/contacts/{{id}}", method: PATCH }}
"""


def test_the_harness_runs_a_project(tmp_path: Path, served: Callable[[Answer], Vendor]) -> None:
    """A vendor, two connectors and a run: what the other tests of this folder stand on."""
    made: list[dict[str, str]] = []

    def answer(asked: Asked) -> tuple[int, object]:
        if asked.method == "POST":
            made.append({**asked.json, "id": f"b{len(made)}"})
            return 201, made[-1]
        return 200, {"items": [{"id": "1", "name": "Ann"}] if asked.path.startswith("/a") else made}

    vendor = served(answer)
    project = Project(
        tmp_path,
        vendor,
        {
            "connectors/a.yaml": CONNECTOR.format(name="a"),
            "connectors/b.yaml": CONNECTOR.format(name="b"),
            "integrations/sync.yaml": "purpose: x\nfrom: a.contacts\nto: b.contacts\ndirection: one-way\nfreshness: 1h\nmatch: {}\n"
            "unmatched: create\nconflict: source\nunavailable: { keep: 7d }\nmap: { name: name }\n",
        },
    )
    result = project.tieline("run", "sync")
    assert 0 == result.code, result.said
    assert [{"name": "Ann", "id": "b0"}] == made
