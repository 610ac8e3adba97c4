"""Projects between real servers, a namespace of its own for each test."""

import shutil
from pathlib import Path

import pytest
from systems.mailman import MailingList
from systems.tryton import Parties, encoded

from integration.customers import Customers
from integration.projects import EXAMPLES


@pytest.fixture
def customers(tmp_path: Path, parties: Parties, mailing_list: MailingList) -> Customers:
    """The example, between Tryton and Mailman."""
    folder = Path(
        shutil.copytree(EXAMPLES / "tryton-to-mailman", tmp_path / "customers", ignore=shutil.ignore_patterns(".tieline", "__pycache__"))
    )
    mailman = mailing_list.server
    environ = {
        "TRYTON_URL": parties.server.url,
        "TRYTON_KEY": parties.server.key,
        "MAILMAN_URL": mailman.url.removesuffix("/3.1"),
        "MAILMAN_USER": mailman.user,
        "MAILMAN_PASSWORD": mailman.password,
    }
    project = Customers(folder, environ, parties=parties, members=mailing_list)
    ours = encoded([["type", "=", "email"], ["party.code", "like", f"{parties.prefix}%"]])
    list_id = ("customers.example.com", mailing_list.list_id)
    project.change("connections.yaml", ("W1sidHlwZSIsICI9IiwgImVtYWlsIl1d", ours), list_id)
    project.change("integrations/members.yaml", list_id)
    return project
