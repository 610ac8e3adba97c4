"""Each vendor of the catalogue is kept in line with a plain system, both ways, over a fake of what its documentation says."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from cases.served import Answer, Project, Vendor

from catalogue.hub import HUB, Hub
from catalogue.vendor import FakeVendor
from catalogue.vendors import VENDORS
from tieline.config.loading.built_in import built_in_file, built_in_names

INTEGRATION = """\
purpose: People are the same in the hub and at the vendor.
owner: me@example.com
from: hub.people
to: vendor.{resource}
direction: two-way
freshness: 1h
unavailable: {{ keep: 7d }}
match: {{ "{email}": email }}
unmatched: create
conflict: hold
deletes: {{ left: {deletes}, right: delete, edited: hold }}
map:
  "{email}": email
  "{name}": name
{more}"""


class Case:
    """A vendor, the hub, and a project between them."""

    def __init__(self, folder: Path, fake: FakeVendor, served: Callable[[Answer], Vendor]) -> None:
        self.fake, self.hub = fake, Hub()
        self.vendor = served(lambda asked: (self.hub if asked.path.startswith("/hub/") else fake).answer(asked))
        text = built_in_file(fake.connector).read_text("utf-8")
        text = re.sub(r"(?m)^(  production: )https://[^/\s]+", r"\1{url}", text, count=1)  # the file itself, at another address
        resource = fake.resource
        integration = INTEGRATION.format(
            resource=resource, email=fake.email, name=fake.name, more=fake.extra_map, deletes="delete" if fake.deletes else "ignore"
        )
        self.project = Project(
            folder,
            self.vendor,
            {
                f"connectors/{fake.connector}.yaml": text,
                "connectors/hub.yaml": HUB,
                "connections.yaml": f"vendor: {{ connector: {fake.connector}, {fake.connection}, owner: me@example.com }}\n"
                'hub: { connector: hub, auth: { bearer: "${env:KEY}" }, owner: me@example.com }\n',
                "integrations/people.yaml": integration,
            },
        )

    def run(self) -> None:
        """Run once, and let both sides be in line."""
        result = self.project.tieline("run", "people")
        assert [] == self.fake.refused, result.said
        assert 0 == result.code, result.said
        assert self.fake.book.people == self.hub.book.people

    @property
    def writes(self) -> int:
        """Calls that are to change something, at the vendor and at the hub. Lists may be POSTs, so the books are asked."""
        return sum(entry.version for book in (self.fake.book, self.hub.book) for entry in [*book.living, *book.deleted])


@pytest.fixture(params=VENDORS, ids=lambda fake: fake.connector)
def case(request: pytest.FixtureRequest, tmp_path: Path, served: Callable[[Answer], Vendor]) -> Case:
    return Case(tmp_path, request.param(), served)


def test_a_vendor_is_kept_in_line_both_ways(case: Case) -> None:
    """Read whole and page by page, found, made, changed, deleted, read again by what changed, and proven to be in line."""
    fake, hub, project = case.fake, case.hub, case.project
    checked = project.tieline("check")
    assert 0 == checked.code, checked.said
    assert fake.seeds == len(fake.book.living)
    hub.book.add("both@example.com", "Both")
    fake.book.add("both@example.com", "Both")
    for number in range(1, 4):  # several in one call, where the vendor takes that
        hub.book.add(f"h{number}@example.com", f"From the hub {number}")
    case.run()

    before = case.writes
    fake.shown = 0
    case.run()
    assert before == case.writes, "nothing has changed, and something was written"
    if fake.tells_changes:
        assert fake.shown < fake.seeds, "what has not changed was read again"

    kept = {entry.id: dict(entry.more) for entry in fake.book.living}
    fake.book.edit(fake.book.by_email("p1@example.com"), name="Robert O'Brien & Söhne")
    hub.book.edit(hub.book.by_email("p2@example.com"), name='Zoë "Z" \\ <b>')
    fake.book.add("new.there@example.com", "New there")
    hub.book.add("o'hara+x@example.com", "New here")
    case.run()
    assert "Robert O'Brien & Söhne" == hub.book.by_email("p1@example.com").name
    assert 'Zoë "Z" \\ <b>' == fake.book.by_email("p2@example.com").name
    assert kept == {entry.id: entry.more for entry in fake.book.living if entry.id in kept}, "fields that are not mapped were touched"

    hub.book.edit(hub.book.by_email("p4@example.com"), email="p4.new@example.com")
    case.run()

    if fake.deletes:
        hub.book.delete(hub.book.by_email("o'hara+x@example.com"))
        case.run()
        assert "o'hara+x@example.com" not in fake.book.people
    if fake.tells_deletions:
        fake.book.delete(fake.book.by_email("p5@example.com"))
        case.run()
        assert "p5@example.com" not in hub.book.people

    if fake.marks_expire:
        fake.expired, fake.shown = 1000, 0
        fake.book.edit(fake.book.by_email("p6@example.com"), name="Seen in a whole read")
        case.run()
        assert fake.shown >= len(fake.book.living), "a mark that is too old leads to a whole read"
        fake.expired, fake.shown = 0, 0
        fake.book.edit(fake.book.by_email("p6@example.com"), name="Seen in a read of changes")
        case.run()
        assert fake.shown < fake.seeds

    verified = project.tieline("verify", "people")
    assert 0 == verified.code, verified.said
    assert [] == fake.refused


def test_each_file_of_the_catalogue_has_a_fake() -> None:
    """No vendor is in the catalogue unproven."""
    assert built_in_names() == sorted(fake.connector for fake in VENDORS)


def test_a_connector_that_comes_along_needs_no_file(tmp_path: Path, served: Callable[[Answer], Vendor]) -> None:
    """Its name in a connection is enough; `add` makes it the project's own, and never writes over anything."""
    vendor = served(lambda asked: (404, {}))
    connections = 'pd: { connector: pipedrive, auth: { api_key: "${env:KEY}" }, variables: { company: acme }, owner: me@example.com }\n'
    project = Project(tmp_path, vendor, {"connections.yaml": connections})
    checked = project.tieline("check")
    assert 0 == checked.code, checked.said
    listed = project.tieline("connector", "list")
    assert all(name in listed.out for name in built_in_names())
    assert built_in_file("pipedrive").read_text("utf-8").splitlines() == project.tieline("connector", "show", "pipedrive").out.splitlines()
    assert 0 == project.tieline("connector", "add", "pipedrive").code
    assert built_in_file("pipedrive").read_text("utf-8") == (tmp_path / "connectors" / "pipedrive.yaml").read_text("utf-8")
    assert 2 == project.tieline("connector", "add", "pipedrive").code
    unknown = project.tieline("connector", "add", "pipedriv")
    assert 2 == unknown.code
    assert "pipedrive" in unknown.err
