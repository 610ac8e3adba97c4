"""A Tryton and a Mailman on this machine, to try the example with: `python servers.py`, until Ctrl-C.

Both are installed at the first start, from the package registry into `.cache/systems` of the checkout, and forget everything when they
stop. A company is at work in the one, a mailing list with one member waits in the other. `servers.env` tells a shell where they are,
how to change a contact, and how to cut Mailman off.
"""

import contextlib
import os
import signal
import sys
import threading
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "tests"))

from systems.faultproxy import FaultProxy  # noqa: E402 - what the project's own tests use
from systems.mailman import Mailman, run_mailman  # noqa: E402
from systems.server import ServerUnavailable  # noqa: E402
from systems.tryton import Tryton, run_tryton  # noqa: E402

PARTIES = {
    "Kookaburra Coffee": [("", "info@kookaburra.example"), ("Zoë O'Neill", "Zoe.ONeill@Kookaburra.Example")],
    "Lorikeet Ltd": [("", "ask reception")],
    "Jo Bloggs": [("", "Jo@Bloggs.Example")],
    "Ana Šimić": [("", "ana@simic.example")],
}
"""Whom the company knows, with the names and addresses of their contacts as someone typed them."""

COLLEAGUE = """
# Someone at work in the ERP, who changes a contact: colleague 3 '{"value": "ask@lorikeet.example"}'
colleague() {
  curl -sf -o /dev/null -X PUT "$TRYTON_URL/tryton/rest/model/party.contact_mechanism/$1" \\
    -H "Authorization: Bearer $TRYTON_KEY" -H "Content-Type: application/json" -d "$2"
}
"""

CABLE = """
# Mailman's network cable: pulled out, no one can connect.
unplug() {{ kill -USR1 {pid} && sleep 0.3; }}
plug_in() {{ kill -USR2 {pid} && sleep 0.3; }}
"""


def main(environment: Path) -> None:
    """Run both servers."""
    with contextlib.ExitStack() as running:
        print("starting Tryton and Mailman; the first time, they are installed, which takes some minutes", flush=True)  # noqa: T201
        tryton = running.enter_context(run_tryton())
        mailman = running.enter_context(run_mailman())
        people_at_work(tryton, mailman)
        proxy = FaultProxy(mailman.url)
        running.callback(proxy.close)
        cable = contextlib.ExitStack()
        signal.signal(signal.SIGUSR1, lambda *_: cable.enter_context(proxy.refusing()))
        signal.signal(signal.SIGUSR2, lambda *_: cable.close())
        write(environment, tryton, mailman, proxy.url)
        print(f"Tryton is at {tryton.url} and Mailman at {mailman.url}; in another terminal:\n\n    . {environment}\n", flush=True)  # noqa: T201
        print("Ctrl-C ends both.", flush=True)  # noqa: T201
        stopped = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: stopped.set())
        with contextlib.suppress(KeyboardInterrupt):
            stopped.wait()
        environment.unlink(missing_ok=True)


def people_at_work(tryton: Tryton, mailman: Mailman) -> None:
    """Fill the ERP, and make the list."""
    for name, contacts in PARTIES.items():
        party = tryton.call("POST", "/party.party", {"name": name, "code": name.split()[0].upper()}).expect(200).json()
        for contact, address in contacts:
            fields = {"party": party["id"], "type": "email", "value": address, "name": contact}
            tryton.call("POST", "/party.contact_mechanism", fields).expect(200)
    mailman.call("POST", "/lists", {"fqdn_listname": "customers@example.com"}).expect(201)
    jo = {"list_id": "customers.example.com", "subscriber": "jo@bloggs.example", "display_name": "jojo"}
    mailman.call("POST", "/members", {**jo, "pre_verified": True, "pre_confirmed": True, "pre_approved": True}).expect(201)


def write(environment: Path, tryton: Tryton, mailman: Mailman, address: str) -> None:
    """Write what the connections refer to, for a shell to read; Mailman is reached at `address`."""
    variables = {
        "TRYTON_URL": tryton.url,
        "TRYTON_KEY": tryton.key,
        "MAILMAN_URL": address.removesuffix("/3.1"),
        "MAILMAN_USER": mailman.user,
        "MAILMAN_PASSWORD": mailman.password,
    }
    environment.write_text(
        "".join(f"export {name}={value}\n" for name, value in variables.items()) + COLLEAGUE + CABLE.format(pid=os.getpid())
    )


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]) if sys.argv[1:] else HERE / "servers.env")
    except ServerUnavailable as missing:
        sys.exit(f"{missing}\n{missing.log}")
