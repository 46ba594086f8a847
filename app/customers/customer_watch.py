"""Reloads of the customers file: checks it every second and on SIGHUP, and logs the result.

An invalid file is logged and ignored; the previous customers stay active. Metrics, readiness and status report it too.
"""

import asyncio
import contextlib
import logging
import signal
from collections.abc import Callable, Iterator
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from app.customers.customer_registry import Customers

log = logging.getLogger(__name__)

_POLL_SECONDS: Final = 1.0


async def follow_file(
    customers: Customers,
    poll_seconds: float = _POLL_SECONDS,
    on_reload: Callable[[], None] = lambda: None,
) -> None:
    """Reload customers when their file changes, until cancelled. SIGHUP reloads them at once, even from an unchanged file.

    ``on_reload`` is called after each reload.
    """
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    # Only the main thread of a process may handle signals; elsewhere (tests) the check every second is enough.
    with contextlib.suppress(ValueError, RuntimeError, NotImplementedError):
        loop.add_signal_handler(signal.SIGHUP, asked.set)
    try:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(poll_seconds):
                    await asked.wait()
            is_asked = asked.is_set()
            asked.clear()
            outcome = await asyncio.to_thread(customers.refresh, even_unchanged=is_asked)
            _log_result(customers, outcome)
            if outcome:
                on_reload()
    finally:
        with contextlib.suppress(ValueError, RuntimeError, NotImplementedError):
            loop.remove_signal_handler(signal.SIGHUP)


def _log_result(customers: Customers, outcome: bool | None) -> None:
    """Log the result of a check."""
    if outcome is True:
        log.info("customers reloaded from %s: %d", customers.path, len(customers))
    elif outcome is False:
        log.error("%s", " ".join(customers.warnings()))


class CustomersMetrics(Collector):
    """Metrics of reloads of the customers file, and whether this process serves the file as it is now."""

    def __init__(self, customers: Customers) -> None:
        self._customers = customers

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        """Yield the metrics."""
        customers = self._customers
        reloads = CounterMetricFamily(
            "uptake_customers_reloads", "Reloads of the customers file, by result", labels=["result"]
        )
        reloads.add_metric(["ok"], customers.reloads)
        reloads.add_metric(["failed"], customers.failed_reloads)
        yield reloads
        yield GaugeMetricFamily(
            "uptake_customers_stale",
            "1 while the customers file is not valid and the previous customers stay active",
            value=int(customers.problem is not None),
        )
