"""A new user's first connectors: what the page of connectors shows is enough for two vendors, and the fields come from a sample."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cases.served import Answer, Asked, Project, Vendor
from tieline.config.loading.sample import as_yaml, guess, with_fields
from tieline.config.loading.yaml_source import parse
from tieline.config.models.derived import OPERATIONS, expand, of_one

PAGE = (Path(__file__).parents[2] / "docs" / "connectors.md").read_text("utf-8")
SYNC = """\
purpose: articles are blog posts
from: a.articles
to: b.posts
direction: one-way
freshness: 1h
match: { slug: slug }
unmatched: create
conflict: source
deletes: ignore
unavailable: { keep: 7d }
map: { slug: slug, title: title }
"""
CONNECTIONS = """\
a: { connector: directus, auth: { bearer: "${env:KEY}" }, variables: { host: x }, owner: me@example.com }
b: { connector: ghost, auth: { bearer: "${env:KEY}" }, variables: { host: x }, owner: me@example.com }
"""


def shown(name: str, url: str) -> str:
    """Return a connector as the page of connectors shows it, at an address of ours."""
    text = next(text for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL) if text.startswith(f"connector: {name}\n"))
    return re.sub(r'production: ".*"', f'production: "{{url}}/{url}"', text)


class Vendors:
    """Directus with articles and Ghost with posts, as they document it."""

    def __init__(self) -> None:
        self.articles = [
            {"id": number, "slug": f"s{number}", "title": f"T{number}", "date_updated": "2026-01-05T10:00:00Z", "author": {"email": "ann@example.com"}}
            for number in range(1, 4)
        ]  # fmt: skip
        self.posts: list[dict[str, Any]] = [{"id": "p0", "slug": "s1", "title": "Old", "updated_at": "2026-01-01T00:00:00.000Z"}]

    def answer(self, asked: Asked) -> tuple[int, Any]:
        if asked.path.startswith("/a/items/articles"):
            page = [] if asked.query.get("page", "1") != "1" else self.articles
            return 200, {"data": page}
        if asked.path == "/b/posts/" and asked.method == "GET":
            return 200, {"posts": self.posts, "meta": {"pagination": {"page": 1, "next": None}}}
        if asked.path == "/b/posts/" and asked.method == "POST":
            made = {**asked.json["posts"][0], "id": f"p{len(self.posts)}", "updated_at": "2026-01-06T00:00:00.000Z"}
            self.posts.append(made)
            return 201, {"posts": [made]}
        found = [post for post in self.posts if asked.path in (f"/b/posts/{post['id']}/", f"/b/posts/slug/{post['slug']}/")]
        if found and asked.method == "PUT":
            found[0].update(asked.json["posts"][0])
        return (200, {"posts": found[:1]}) if found else (404, {"errors": [{"message": "not found"}]})


def test_two_vendors_are_described_as_the_page_shows_it(tmp_path: Path, served: Callable[[Answer], Vendor]) -> None:
    """Half of what it took without: about twenty lines each."""
    vendors = Vendors()
    vendor = served(vendors.answer)
    files = {
        "connectors/directus.yaml": shown("directus", "a"),
        "connectors/ghost.yaml": shown("ghost", "b"),
        "connections.yaml": CONNECTIONS,
        "integrations/sync.yaml": SYNC,
    }
    assert all(len(files[f"connectors/{name}.yaml"].splitlines()) <= 21 for name in ("directus", "ghost"))
    project = Project(tmp_path, vendor, files)

    checked, ran = project.tieline("check"), project.tieline("run", "sync")

    assert 0 == checked.code, checked.said
    assert 0 == ran.code, ran.said
    assert [("s1", "T1"), ("s2", "T2"), ("s3", "T3")] == [(post["slug"], post["title"]) for post in vendors.posts]
    assert 0 == project.tieline("verify", "sync").code


def test_fields_come_from_a_page_of_records(tmp_path: Path, served: Callable[[Answer], Vendor]) -> None:
    """They are put into the file where there are none, and nothing else of it changes."""
    before = re.sub(r"    fields:\n(      .*\n)+", "", shown("directus", "a"))
    vendor = served(Vendors().answer)
    files = {"connectors/directus.yaml": before, "connections.yaml": CONNECTIONS.splitlines(keepends=True)[0]}
    project = Project(tmp_path, vendor, files)

    printed = project.tieline("connector", "sample", "a.articles")
    written = project.tieline("connector", "sample", "a.articles", "--write")
    again = project.tieline("connector", "sample", "a.articles", "--write")

    lines = [
        "    fields:\n",
        "      id: { type: integer, read_only: true }\n",
        "      slug: { type: string }\n",
        "      title: { type: string }\n",
        "      date_updated: { type: datetime, read_only: true }\n",
        "      author.email: { type: string, format: email, personal: true }\n",
    ]
    assert 0 == printed.code, printed.said
    assert "".join(line[2:].removeprefix("  ") if line.startswith("    f") else line[4:] for line in lines) == printed.out
    assert 0 == written.code, written.said
    text = (tmp_path / "connectors" / "directus.yaml").read_text()
    assert before.replace("{url}", vendor.url) == text.replace("".join(lines), "")
    assert 2 == again.code
    assert "nothing is overwritten" in again.said
    assert "every field of them is declared" in project.tieline("connector", "sample", "a.articles").said


def test_a_sample_tells_what_is_wrong_with_a_name(tmp_path: Path, served: Callable[[Answer], Vendor]) -> None:
    project = Project(
        tmp_path,
        served(Vendors().answer),
        {"connectors/directus.yaml": shown("directus", "a"), "connections.yaml": CONNECTIONS.splitlines(keepends=True)[0]},
    )

    for place, said in (("a.article", "did you mean `articles`?"), ("c.articles", "there is no connection `c`"), ("a", "has no resource")):
        result = project.tieline("connector", "sample", place)
        assert 2 == result.code
        assert said in result.said


TEXT = st.sampled_from(["a", "data", "items"])
SAID = st.fixed_dictionaries(
    {}, optional={"path": st.just("/own"), "method": st.sampled_from(["PUT", "POST"]), "record": TEXT, "records": TEXT, "wrap": TEXT}
)
RESOURCES = st.fixed_dictionaries(
    {},
    optional={
        "path": st.sampled_from(["/x", "/x/", "/x?y=1"]),
        "records": TEXT, "record": TEXT, "wrap": TEXT,
        "operations": st.lists(st.sampled_from(OPERATIONS)),
        "find": st.dictionaries(TEXT, SAID, max_size=2),
        **{operation: st.just(False) | SAID for operation in OPERATIONS},
    },
)  # fmt: skip


@given(RESOURCES)
def test_what_an_operation_says_itself_wins_and_the_rest_follows_from_the_resource(written: dict[str, Any]) -> None:
    before = json.dumps(written)
    full = expand(written)

    assert before == json.dumps(written), "what was written is not changed"
    for operation in OPERATIONS:
        said, got = written.get(operation), full.get(operation)
        if said is False or (said is None and (not written.get("path") or operation not in written.get("operations", OPERATIONS))):
            assert got is None
            continue
        assert {**got, **(said or {})} == got
        if "path" in written and "path" not in (said or {}):
            assert (of_one(written["path"]) if operation in ("get", "update", "delete") else written["path"]) == got["path"]
    for field, said in written.get("find", {}).items():
        assert {**full["find"][field], **said} == full["find"][field]
    assert full == expand(full) or "path" in written, "expanding twice changes nothing where nothing follows"


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["x", "2026-01-05", "2026-01-05T10:00:00Z", "2026-01-05T10:00:00", "a@b.example", "2026-13-45T00:00:00Z"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(min_size=1, max_size=6), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@given(st.lists(st.dictionaries(st.text(min_size=1, max_size=8), VALUES, min_size=1, max_size=4), min_size=1, max_size=4))
def test_a_sample_of_any_records_is_put_into_a_file_whole_or_not_at_all(records: list[dict[str, Any]]) -> None:
    fields = guess(records)
    text = "connector: x\nresources:\n  things: # ours\n    path: /things\n    list: { records: a }\n  others:\n    path: /o\n"

    new = with_fields(text, "things", fields)

    if new is not None:
        source, complaints = parse(new, "")
        assert source is not None
        assert [] == complaints
        assert fields == source.value["resources"]["things"]["fields"]
        assert text == new.replace("    fields:\n" + as_yaml(fields, "      "), "", 1)
    assert all(set(field) <= {"type", "format", "read_only", "personal"} for field in fields.values())
