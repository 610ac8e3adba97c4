"""Three small vendors on this machine, for the demo and for tests: Acme CRM, Postbox, an email platform, and Ledgerly, an ERP.

They behave as vendors do: they page, limit, validate, reformat, refuse duplicates, and fail when told to (`faults`).
Nothing in the engine knows them; it meets them through connectors like any other system.

    python -m tieline.sandbox crm --port 0 --state acme-crm.jsonl

`crm`, `postbox` and `ledgerly` are the vendors, `vendor` what they share, `serving` starts them, in this process or their own.
"""

from tieline.sandbox.crm import CRM_TOKEN, AcmeCrm
from tieline.sandbox.ledgerly import LEDGERLY_KEY, Ledgerly
from tieline.sandbox.postbox import POSTBOX_KEY, Postbox
from tieline.sandbox.serving import serve

__all__ = ["CRM_TOKEN", "LEDGERLY_KEY", "POSTBOX_KEY", "AcmeCrm", "Ledgerly", "Postbox", "serve"]
