"""Hypothesis without a deadline: how long one example takes depends on the machine."""

from hypothesis import settings

settings.register_profile("uptake", deadline=None)
settings.load_profile("uptake")
