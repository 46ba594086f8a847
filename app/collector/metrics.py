"""The Prometheus metrics of the collector, in one list."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from events.model import EVENTS
from events.rejections import STATUS

NO_CUSTOMER: Final = "unknown"
"""The label of requests that name no customer of the customers file."""
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """The metrics of one collector, in a registry of their own.

    Every label value exists from the start, at 0, but for customers: their series begin with the first event that is counted.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        accepted = Counter(
            "uptake_collector_accepted", "Events acknowledged by Kafka", ["event"], registry=self.registry
        )
        self._rejected = Counter(
            "uptake_collector_rejected",
            "Refused requests and refused elements of batches, by customer and rejection code",
            ["customer", "reason"],
            registry=self.registry,
        )
        for code in STATUS:
            self._rejected.labels(NO_CUSTOMER, code)
        self.accepted = {name: accepted.labels(name) for name in EVENTS}
        self.empty = Counter(
            "uptake_collector_empty", "Requests with nothing to record", registry=self.registry
        )
        self.clamped = Counter(
            "uptake_collector_clamped",
            "Events whose client time was more than 24 h before or after their receipt",
            registry=self.registry,
        )
        self.ignored_clocks = Counter(
            "uptake_collector_ignored_clocks",
            "Events whose created or sent was in seconds instead of milliseconds and was ignored",
            registry=self.registry,
        )
        self._unread_values = Counter(
            "uptake_collector_unread_values",
            "Events recorded without a value that could not be read, by customer and reason",
            ["customer", "reason"],
            registry=self.registry,
        )
        self.bots = Counter(
            "uptake_collector_bots",
            "Events of robots, and of pages that a browser fetched ahead: answered, and only counted",
            ["customer", "kind"],
            registry=self.registry,
        )
        self.lost_bots = Counter(
            "uptake_collector_lost_bots",
            "Events of bots that may be missing in CTR answers, because Kafka did not acknowledge their number, or too many waited",
            registry=self.registry,
        )
        self.seconds = Histogram(
            "uptake_collector_request_seconds",
            "Seconds from a request's head to its answer, for requests that reached Kafka",
            registry=self.registry,
            buckets=_BUCKETS,
        )
        self.connections = Gauge("uptake_collector_connections", "Open connections", registry=self.registry)

    def count_rejected(self, customer: str, code: str, number: int) -> None:
        """Count refused requests or elements. ``customer``: the id of a customer of the customers file, or NO_CUSTOMER."""
        self._rejected.labels(customer, code).inc(number)

    def count_unread(self, customer: str, reason: str) -> None:
        """Count an event that was recorded without a value. ``reason``: one of UNREAD_REASONS."""
        self._unread_values.labels(customer, reason).inc()

    def page(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self.registry)
