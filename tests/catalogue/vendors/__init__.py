"""A fake for each vendor of the catalogue: each module of this package has one."""

from importlib import import_module
from pkgutil import iter_modules

from catalogue.vendor import FakeVendor

for _module in iter_modules(__path__, f"{__name__}."):
    import_module(_module.name)

VENDORS: tuple[type[FakeVendor], ...] = tuple(sorted(FakeVendor.__subclasses__(), key=lambda fake: fake.connector))
