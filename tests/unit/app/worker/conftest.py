"""How hypothesis runs here: without a deadline, because the time of one example says more about the machine than about the code."""

from hypothesis import settings

settings.register_profile("uptake", deadline=None)
settings.load_profile("uptake")
