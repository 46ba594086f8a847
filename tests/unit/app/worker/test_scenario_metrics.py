"""Gauges of scenarios: the last 15 minutes of the busiest, of open partitions only, and the rest is counted."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest

from agents.registry import Partitions
from app.base.settings import Settings
from app.lookup.service import PartitionNotReady
from app.worker.contact import ContactRule
from app.worker.scenario_metrics import scenario_gauges
from tables.ctr.panes import Counts
from tables.ctr.window_keys import SCENARIO, WindowKey
from tables.ctr.window_sums import StoredSpan, WindowRow
from tests.support.lookups import CUSTOMER, MINUTE, NOW, OTHER, FixedClock
from tests.support.partitions import World

CUSTOMERS = {"00000": CUSTOMER, "shop 2": OTHER}
END = NOW - NOW % MINUTE


class Windows:
    """Windows in memory, by partition; those of ``closed`` cannot be read. ``age_ms`` is the age of the contact with Kafka."""

    def __init__(self) -> None:
        self.rows: dict[int, list[WindowRow]] = {}
        self.closed: set[int] = set()
        self.age_ms = 0

    def count(
        self, scenario: str, minutes_ago: int = 1, partition: int = 0, customer: str = "00000", **counts: int
    ) -> None:
        key = WindowKey(customer, scenario, SCENARIO, "minute", END - minutes_ago * MINUTE)
        self.rows.setdefault(partition, []).append(WindowRow(key, Counts(**counts)))

    def contact_age_ms(self) -> int:
        return self.age_ms

    def windows(
        self,
        partition: int,
        customer: str,
        scenario: str | None,
        dimension: str,
        segments: Sequence[StoredSpan],
    ) -> Iterator[list[WindowRow]]:
        assert (scenario, dimension) == (None, SCENARIO)
        for row in self.rows.get(partition, []):
            if partition in self.closed:
                raise PartitionNotReady(partition, 2)
            [(granularity, from_ms, to_ms)] = segments
            fits = row.key.granularity == granularity and from_ms <= row.key.start_ms < to_ms
            yield [row] if fits and row.key.customer == customer else []


class Scraped:
    """A worker with two open partitions, its gauges, and how Prometheus reads them."""

    def __init__(self, most: int = 200) -> None:
        self.windows, self.registry, self.partitions = Windows(), CollectorRegistry(), Partitions(1)
        self.world = World(partitions=2)
        for number in (0, 1):
            self.partitions.add(self.world.open(number))
        settings = Settings(scenario_metrics=most)  # type: ignore[call-arg]
        [self.reader] = scenario_gauges(
            settings, self.registry, self.partitions, CUSTOMERS, self.windows, ContactRule(6_000, 300_000)
        )
        self.reader._clock = FixedClock()

    async def read(self) -> None:
        await self.reader.read()

    def value(self, name: str, scenario: str, customer: str = "00000") -> float | None:
        labels = {"customer": customer, "scenario": scenario}
        return self.registry.get_sample_value(f"uptake_scenario_{name}", labels)

    def scenarios(self) -> list[str]:
        families = {family.name: family for family in self.registry.collect()}
        return [sample.labels["scenario"] for sample in families["uptake_scenario_rendered"].samples]


@pytest.fixture
async def scraped() -> AsyncIterator[Scraped]:
    found = Scraped(most=2)
    yield found
    found.world.end()


async def test_gauges_are_sums_of_the_last_15_minutes(scraped: Scraped) -> None:
    scraped.windows.count("home", 15, rendered=100, attributed_clicks=4, calls=10)
    scraped.windows.count("home", 1, rendered=100, attributed_clicks=6, calls=20)
    for outside in (16, 0):
        scraped.windows.count("home", outside, rendered=1_000, calls=1_000)
    scraped.windows.count("home", partition=1, customer="shop 2", calls=7)
    await scraped.read()
    names = ("rendered", "attributed_clicks", "ctr_rendered", "calls")
    assert [scraped.value(name, "home") for name in names] == [200, 10, 0.05, 30]
    assert [scraped.value(name, "home", "shop 2") for name in names] == [0, 0, None, 7], "0 of 0 is no rate"
    assert scraped.registry.get_sample_value("uptake_scenario_end_seconds") == END / 1000


async def test_the_busiest_have_gauges_and_the_others_are_counted(scraped: Scraped) -> None:
    for name, rendered in (("c", 5), ("a", 30), ("b", 20), ("d", 6)):
        scraped.windows.count(name, partition=len(name) % 2, rendered=rendered)
    scraped.windows.count("only robots", bots=99)
    await scraped.read()
    assert scraped.scenarios() == ["a", "b"]
    assert scraped.registry.get_sample_value("uptake_scenarios_left_out") == 2
    await scraped.read()
    assert scraped.scenarios() == ["a", "b"], "they do not add up"


async def test_only_open_partitions_of_a_worker_with_contact_have_gauges(scraped: Scraped) -> None:
    scraped.windows.count("here", partition=0, rendered=1)
    scraped.windows.count("there", partition=1, rendered=2)
    await scraped.read()
    assert scraped.scenarios() == ["there", "here"]
    scraped.windows.age_ms = 7_000
    assert scraped.scenarios() == [], "another worker may own them by now"
    scraped.windows.age_ms = 0
    scraped.partitions.hold([1])
    assert scraped.scenarios() == ["here"]
    scraped.windows.closed = {0}
    await scraped.read()
    assert scraped.scenarios() == []


def test_a_setting_switches_them_off() -> None:
    registry = CollectorRegistry()
    settings = Settings(scenario_metrics=0)  # type: ignore[call-arg]
    rule = ContactRule(6_000, 300_000)
    assert scenario_gauges(settings, registry, Partitions(1), CUSTOMERS, Windows(), rule) == []
    assert list(registry.collect()) == []
    assert Settings().scenario_metrics == 200  # type: ignore[call-arg]


@given(st.text(min_size=1, max_size=20) | st.sampled_from(['a"b\\c', "a\nb", "\ud800", "\u202e<script>"]))
def test_any_name_of_a_scenario_can_be_scraped(name: str) -> None:
    async def scrape() -> bytes:
        found = Scraped()
        found.windows.count(name, rendered=1)
        await found.read()
        found.world.end()
        return generate_latest(found.registry)

    assert (b"uptake_scenario_rendered{" in asyncio.run(scrape())) == (name != "\ud800")
