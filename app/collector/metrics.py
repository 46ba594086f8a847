"""The Prometheus metrics of the collector, in one list."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from events.model import EVENTS
from events.rejections import STATUS, UNREAD_REASONS

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """The metrics of one collector, in a registry of their own. Every label value exists from the start, at 0."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        accepted = Counter(
            "uptake_collector_accepted", "Events acknowledged by Kafka", ["event"], registry=self.registry
        )
        rejected = Counter(
            "uptake_collector_rejected",
            "Refused requests and refused elements of batches, by rejection code",
            ["code"],
            registry=self.registry,
        )
        self.accepted = {name: accepted.labels(name) for name in EVENTS}
        self.rejected = {code: rejected.labels(code) for code in STATUS}
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
        unread = Counter(
            "uptake_collector_unread_values",
            "Events recorded without a value that could not be read, by reason",
            ["reason"],
            registry=self.registry,
        )
        self.unread_values = {reason: unread.labels(reason) for reason in UNREAD_REASONS}
        self.bots = Counter(
            "uptake_collector_bots",
            "Events of robots, and of pages that a browser fetched ahead: answered, and not recorded",
            ["customer", "kind"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "uptake_collector_request_seconds",
            "Seconds from a request's head to its answer, for requests that reached Kafka",
            registry=self.registry,
            buckets=_BUCKETS,
        )
        self.connections = Gauge("uptake_collector_connections", "Open connections", registry=self.registry)

    def page(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self.registry)
