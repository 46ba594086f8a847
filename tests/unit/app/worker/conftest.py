"""Settings of hypothesis for these tests: no deadline, because the time of an example depends on the machine."""

from hypothesis import settings

settings.register_profile("uptake", deadline=None)
settings.load_profile("uptake")
