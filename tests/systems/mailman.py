"""GNU Mailman Core: the mailing platform. It keeps lists and members and sends no mail here."""

import contextlib
import itertools
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from systems import calls
from systems.calls import Answer
from systems.server import INSIDE, Command, Installed, Recipe, Site, free_port, started

_numbers = itertools.count(1)

_USER, _PASSWORD, _DOMAIN = "restadmin", "restpass", "example.com"


@dataclass(frozen=True, slots=True)
class Mailman:
    """A running Mailman and the credentials of its administrator."""

    url: str
    """The address of API 3.1."""
    user: str
    password: str
    domain: str

    def call(self, method: str, path: str, body: object = None, *, headers: Mapping[str, str] | None = None) -> Answer:
        """Send a request with the administrator's credentials; the path is what follows the address."""
        signed = {"Authorization": calls.basic(self.user, self.password), **(headers or {})}
        return calls.call(method, self.url + path, body, headers=signed)

    def fresh_list(self) -> "MailingList":
        """Make an empty mailing list."""
        name = f"list-{next(_numbers)}"
        self.call("POST", "/lists", {"fqdn_listname": f"{name}@{self.domain}"}).expect(201)
        return MailingList(self, f"{name}.{self.domain}")


@dataclass(frozen=True, slots=True)
class MailingList:
    """A mailing list that one test has to itself.

    Addresses belong to the server, not to a list: `address` makes one that no other test uses.
    """

    server: Mailman
    list_id: str

    def address(self, name: str) -> str:
        """Return an e-mail address that is this list's own."""
        return f"{name}@{self.list_id}"

    def subscribe(self, email: str, name: str = "") -> Answer:
        """Ask to subscribe an address, all confirmations given."""
        confirmed = {"pre_verified": True, "pre_confirmed": True, "pre_approved": True}
        body = {"list_id": self.list_id, "subscriber": email, "display_name": name, **confirmed}
        return self.server.call("POST", "/members", body)

    def members(self) -> list[dict[str, Any]]:
        """Return all members."""
        found: dict[str, Any] = self.server.call("GET", f"/lists/{self.list_id}/roster/member").expect(200).json()
        entries: list[dict[str, Any]] = found.get("entries", [])
        return entries

    def member(self, email: str) -> dict[str, Any] | None:
        """Return the member of an address, or None when there is none."""
        answer = self.server.call("GET", f"/lists/{self.list_id}/member/{email}").expect(200, 404)
        return answer.json() if answer.status == 200 else None

    def count(self) -> int:
        """Return how many members there are."""
        found = self.server.call("GET", f"/lists/{self.list_id}/roster/member?count=1&page=1").expect(200).json()
        return int(found["total_size"])


@contextlib.contextmanager
def run_mailman() -> Iterator[Mailman]:
    """Run Mailman with one domain and no list."""
    with started(RECIPE, _configure, answers_at="/3.1/system") as site:
        mailman = Mailman(f"{site.url}/3.1", _USER, _PASSWORD, _DOMAIN)
        mailman.call("POST", "/domains", {"mail_host": _DOMAIN}).expect(201, 400)
        yield mailman


def _configure(site: Site) -> Command:
    """Run the master in the foreground, and of its runners the one that serves the API."""
    if not (site.folder / "var").exists():
        shutil.copytree(site.installed.prepared / "var", site.folder / "var")
    return Command((site.installed.script("master"), "-C", _write_settings(site.folder, site.port), "--force"))


def _prepare(installed: Installed) -> None:
    """Make the database, which takes Mailman's migrations one after the other."""
    settings = _write_settings(installed.prepared, free_port())
    # Imported by a .pth file, because Mailman keeps PYTHONPATH from the processes it starts.
    shutil.copy(INSIDE / "mailman_python313.py", installed.packages)
    (installed.packages / "mailman_python313.pth").write_text("import mailman_python313\n")
    installed.run(installed.script("mailman"), "-C", settings, "--run-as-root", "info")


def _write_settings(folder: Path, port: int) -> Path:
    var = folder / "var"
    idle = ["archive", "bounces", "command", "digest", "in", "lmtp", "nntp", "out", "pipeline", "retry"]
    settings = folder / "mailman.cfg"
    settings.write_text(
        f"""\
[mailman]
site_owner: admin@{_DOMAIN}
layout: local
[paths.local]
var_dir: {var}
[database]
class: mailman.database.sqlite.SQLiteDatabase
url: sqlite:///{var}/mailman.db
[webservice]
hostname: 127.0.0.1
port: {port}
admin_user: {_USER}
admin_pass: {_PASSWORD}
workers: 1
[mta]
incoming: mailman.mta.null.NullMTA
smtp_host: 127.0.0.1
smtp_port: 9
lmtp_host: 127.0.0.1
lmtp_port: {free_port()}
"""
        + "".join(f"[runner.{name}]\nstart: no\n" for name in idle)
    )
    return settings


RECIPE = Recipe(
    name="mailman",
    version="3.3.10",
    # What Mailman declares, but for nntplib: it wants a package of that name on Python 3.13, where the module left the
    # standard library, and the package is called otherwise. SQLAlchemy 2.1 makes every question for a member a 500.
    requirements=(
        "aiosmtpd==1.4.6",
        "alembic==1.20.1",
        "atpublic==9.0.0",
        "authheaders==0.16.3",
        "authres==1.2.0",
        "click==8.5.1",
        "dnspython==2.9.2",
        "falcon==4.0.2",
        "flufl.bounce==6.0.0",
        "flufl.i18n==8.0.0",
        "flufl.lock==10.0.0",
        "gunicorn==27.0.1",
        "lazr.config==4.0.0",
        "passlib==1.7.4",
        "python-dateutil==4.0.0",
        "requests==2.34.2",
        "standard-nntplib==3.13.0; python_version >= '3.13'",
        "SQLAlchemy==2.0.58",
        "zope.component==7.1",
        "zope.configuration==7.1",
        "zope.event==6.2",
        "zope.interface==8.7",
    ),
    bare=("mailman==3.3.10",),
    prepare=_prepare,
)
