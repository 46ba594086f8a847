"""Fixtures for tests of agents: a world whose partitions end with the test."""

from collections.abc import AsyncIterator

import pytest
from hypothesis import settings

from tests.support.partitions import World

settings.register_profile("uptake", deadline=None)
settings.load_profile("uptake")


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    yield world
    world.end()
