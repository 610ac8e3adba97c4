"""A fake for each vendor of the catalogue."""

from catalogue.vendor import FakeVendor
from catalogue.vendors.pipedrive import Pipedrive

VENDORS: tuple[type[FakeVendor], ...] = (Pipedrive,)
