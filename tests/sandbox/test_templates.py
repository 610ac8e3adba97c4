import importlib.util
from importlib import resources
from pathlib import Path

import pytest
import yaml

from sandbox.calls import calling
from tieline.config.models.connections import Connection
from tieline.config.models.connectors import Connector
from tieline.config.models.integrations import Integration
from tieline.config.models.project import ProjectFile
from tieline.sandbox import AcmeCrm, Postbox

TEMPLATES = Path(str(resources.files("tieline.templates")))


def read(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


class Project:
    """A template, through the models."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = ProjectFile.model_validate(read(folder / "tieline.yaml"))
        self.connections = {name: Connection.model_validate(value) for name, value in read(folder / "connections.yaml").items()}
        self.connectors = {path.stem: Connector.model_validate(read(path)) for path in (folder / "connectors").glob("*.yaml")}
        self.integrations = {path.stem: Integration.model_validate(read(path)) for path in (folder / "integrations").glob("*.yaml")}

    def resource(self, side):
        """Return the declared resource of `CONNECTION.RESOURCE`."""
        connection, _, resource = side.partition(".")
        return self.connectors[self.connections[connection].connector].resources[resource]


@pytest.fixture(params=["blank", "demo"])
def project(request) -> Project:
    return Project(TEMPLATES / request.param)


@pytest.fixture
def demo() -> Project:
    return Project(TEMPLATES / "demo")


def test_every_template_fits_together(project):
    for name, connector in project.connectors.items():
        assert name == connector.connector
    for connection in project.connections.values():
        connector = project.connectors[connection.connector]
        assert connection.environment in connector.environments
        assert set(connector.variables) == set(connection.variables)
        offered = {name for name in ("api_key", "bearer", "basic") if getattr(connector.auth, name)}
        assert {name for name in offered if getattr(connection.auth, name)}
    for integration in project.integrations.values():
        source, target = project.resource(integration.source), project.resource(integration.target)
        assert set(integration.map) <= set(target.fields)
        assert {name for name, field in target.fields.items() if field.required} <= set(integration.map)
        assert not [name for name in integration.map if target.fields[name].read_only]
        for to, source_field in integration.match.items():
            assert to in target.find
            assert source_field in source.fields
        for rule in integration.map.values():
            named = rule if isinstance(rule, str) else rule.source or ()
            assert set([named] if isinstance(named, str) else named) <= set(source.fields)
        assert integration.tests


def test_state_and_secrets_stay_out_of_a_repository(project):
    assert {".tieline/", ".env"} <= set((project.folder / ".gitignore").read_text().splitlines())
    assert (project.folder / "README.md").is_file()


def test_secrets_are_references(project):
    for connection in project.connections.values():
        given = [value for value in (connection.auth.api_key, connection.auth.bearer) if value]
        assert all(value.startswith("${env:") for value in given)


def test_the_demo_s_function_makes_what_its_examples_expect(demo):
    """The other rules are `tieline check`'s to try; this one is Python of ours."""
    spec = importlib.util.spec_from_file_location("demo_mappings", demo.folder / "mappings.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    examples = [example for example in demo.integrations["qualified-leads"].tests if example.expect]

    for example in examples:
        score, created_at = (example.given.get(name) for name in ("score", "created_at"))
        assert example.expect["tags"] == module.tags(score, created_at)
    assert ["from-crm", "warm"] == module.tags(0.5, None)


# What the connectors say, the sandboxes do.


def at(value, address):
    for part in address.split(".") if address else ():
        value = value.get(part) if isinstance(value, dict) else None
    return value


def filled(connector, text, variables=None):
    version = {"version": connector.version.name}
    return text.format_map({**version, **(variables or {})})


def address(connector, path, variables=None):
    base = filled(connector, connector.environments["sandbox"].rpartition("}/")[2], variables)
    return f"/{base}{filled(connector, path, variables)}"


async def listed(call, connector, resource, variables=None, **since):
    """Read a list in the way that the connector declares."""
    declared, records, params = resource.list, [], dict(since)
    paging = declared.paging
    params[paging.size_param] = paging.size
    while True:
        answer = await call("GET", address(connector, declared.path, variables), params=params)
        page = at(answer.body, declared.records)
        records += page
        assert isinstance(at(answer.body, declared.total), int)
        if paging.style == "cursor":
            if not (mark := at(answer.body, paging.at)):
                return records
            params[paging.param] = mark
        else:
            if len(page) < paging.size:
                return records
            params[paging.param] = len(records)


def known(resource, record, prefix=""):
    """Whether every field of a record is declared."""
    fields = set(resource.fields)
    return all(
        known(resource, value, f"{prefix}{name}.")
        if isinstance(value, dict)
        else f"{prefix}{name}" in fields or any(field.startswith(f"{prefix}{name}.") for field in fields)
        for name, value in record.items()
        if name != "list_id"
    )


async def test_the_crm_is_what_its_connector_says(demo, clock):
    connector = demo.connectors["acme-crm"]
    leads = connector.resources["leads"]
    crm = AcmeCrm(clock=clock)
    async with calling(crm) as call:
        everything = await listed(call, connector, leads)
        middle = everything[1000]["updated_at"]
        changed = await listed(call, connector, leads, **{leads.list.changed_since.param: middle})
        one = await call("GET", address(connector, leads.get.path, {"id": everything[7]["id"]}))
        email = leads.find["email"]
        params = {"email": email.params["email"].format(value=everything[7]["email"])}
        found = await call("GET", address(connector, email.path), params=params)
        ping = await call("GET", address(connector, connector.ping.path))
        nobody = await call("GET", address(connector, leads.get.path, {"id": 1}))

    assert 2000 == len({lead["id"] for lead in everything})
    assert all(known(leads, lead) for lead in everything)
    assert [lead for lead in everything if lead["updated_at"] > middle] == changed
    assert everything[7] == one.body
    assert [everything[7]] == at(found.body, email.records)
    assert 200 == ping.status
    assert "there is no lead 1" == at(nobody.body, connector.errors.message)
    assert crm.limit.per_second == connector.limits[0].requests / connector.limits[0].per


async def test_postbox_is_what_its_connector_says(demo, clock):
    connector = demo.connectors["postbox"]
    members, variables = connector.resources["members"], demo.connections["email"].variables
    postbox = Postbox(members=0, clock=clock)
    create, update = members.batch.create, members.batch.update
    async with calling(postbox) as call:
        ids = []
        for start in range(0, 600, create.size):
            people = [{"email_address": f"p{n}@example.com", "status": "subscribed"} for n in range(start, start + 100)]
            answer = await call("POST", address(connector, create.path, variables), {create.wrap: people})
            ids += [at(result, create.results.id) for result in at(answer.body, create.results.records)]
            clock.seconds += 1
        everything = await listed(call, connector, members, variables)
        entries = [
            {name: {"{id}": ids[0], "{record}": {"vip": True}}[shape] for name, shape in update.item.items()},
            {name: {"{id}": "nobody", "{record}": {"vip": True}}[shape] for name, shape in update.item.items()},
        ]
        path = address(connector, update.path, variables)
        results = at((await call(update.method, path, {update.wrap: entries})).body, update.results.records)
        email = members.find["email_address"]
        value = email.params["email_address"].format(value="P7@example.com")
        found = await call("GET", address(connector, email.path, variables), params={"email_address": value})
        double = await call("POST", address(connector, members.create.path, variables), people[0])
        ping = await call("GET", address(connector, connector.ping.path))

    assert 600 == len(everything)
    assert set(ids) == {member[members.id] for member in everything}
    assert all(known(members, member) for member in everything)
    assert [200, 404] == [at(result, update.results.status) for result in results]
    assert "there is no member nobody in this list" == at(results[1], update.results.error[0])
    assert [everything[7]["id"]] == [member["id"] for member in at(found.body, email.records)]
    assert "already a list member" in at(double.body, connector.errors.message[0])
    assert 200 == ping.status
    assert postbox.limit.per_second == connector.limits[0].requests / connector.limits[0].per
    assert postbox.limit.burst >= connector.limits[0].burst
    assert postbox.limit.at_once == connector.concurrency
