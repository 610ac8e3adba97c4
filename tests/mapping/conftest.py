"""Properties are searched without a time limit per example: a shared machine is slow now and then, which is no bug."""

from hypothesis import settings

settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
