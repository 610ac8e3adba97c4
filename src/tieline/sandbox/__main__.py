"""One sandbox as a process: `python -m tieline.sandbox crm --port 0 --state acme-crm.jsonl`.

Prints one line, `READY http://127.0.0.1:PORT`, and stops on SIGTERM or at the end of a piped standard input.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from tieline.sandbox.crm import CRM_TOKEN, AcmeCrm
from tieline.sandbox.ledgerly import LEDGERLY_KEY, Ledgerly
from tieline.sandbox.postbox import POSTBOX_KEY, Postbox
from tieline.sandbox.serving import run
from tieline.sandbox.state import State
from tieline.sandbox.throttle import Limit
from tieline.sandbox.vendor import Vendor


def main(arguments: list[str] | None = None) -> int:
    """Run the sandbox that the arguments describe, until it is told to stop."""
    parser = argparse.ArgumentParser(prog="python -m tieline.sandbox", description="A small vendor on this machine.")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 lets the system choose")
    common.add_argument("--state", type=Path, metavar="FILE", help="file that remembers the records")
    common.add_argument("--seed", type=int, default=1, help="seed of the made-up records")
    common.add_argument("--rate", type=float, metavar="N", help="requests a second that are accepted")
    common.add_argument("--burst", type=int, metavar="N", help="requests that may come at once")
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="crm|email|erp")
    crm = kinds.add_parser("crm", parents=[common], help="Acme CRM: leads")
    crm.add_argument("--leads", type=int, default=2000, metavar="N", help="how many there are at first")
    crm.add_argument("--token", default=CRM_TOKEN, help="the bearer token that opens it")
    email = kinds.add_parser("email", parents=[common], help="Postbox: lists of members")
    email.add_argument("--members", type=int, default=60, metavar="N", help="how many of the leads are members already")
    email.add_argument("--key", default=POSTBOX_KEY, help="the API key that opens it")
    erp = kinds.add_parser("erp", parents=[common], help="Ledgerly: customers")
    erp.add_argument("--customers", type=int, default=40, metavar="N", help="how many there are at first; most of them are leads as well")
    erp.add_argument("--key", default=LEDGERLY_KEY, help="the API key that opens it")
    options = parser.parse_args(arguments)

    vendor: Vendor
    try:
        state = State(options.kind, options.state)
        if options.kind == "crm":
            limit = _limit(AcmeCrm.limit, options)
            vendor = AcmeCrm(state, leads=options.leads, seed=options.seed, token=options.token, limit=limit)
        elif options.kind == "erp":
            limit = _limit(Ledgerly.limit, options)
            vendor = Ledgerly(state, customers=options.customers, seed=options.seed, key=options.key, limit=limit)
        else:
            limit = _limit(Postbox.limit, options)
            vendor = Postbox(state, members=options.members, seed=options.seed, key=options.key, limit=limit)
        asyncio.run(run(vendor, options.port))
    except (OSError, ValueError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


def _limit(usual: Limit, options: argparse.Namespace) -> Limit:
    rate = options.rate or usual.per_second
    burst = options.burst or (max(1, round(rate / 2)) if options.rate else usual.burst)
    return Limit(rate, burst, usual.at_once)


if __name__ == "__main__":
    sys.exit(main())
