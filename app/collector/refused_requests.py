"""Counts refused requests by customer, keeps the last ones, and logs them at a bounded rate. No raw id is kept or logged."""

import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
from aiohttp import web

from app.base.clock import Clock
from app.collector.metrics import NO_CUSTOMER, Metrics
from app.collector.refusal_entries import entry_of, parameters_of
from app.collector.sparse_log import LineKind, SparseLog
from app.collector.unread_values import unread_log
from app.customers.customer import Customer
from events.rejections import CAUSES, Rejection

log = logging.getLogger(__name__)

KEPT: Final = 100
"""Refused requests of a customer that are kept; as JSON, each takes at most 2 KB."""


@dataclass(slots=True)
class _OfCustomer:
    """What a customer's page shows. The last requests are encoded, which takes a fraction of the memory."""

    refused: Counter[str] = field(default_factory=Counter)
    unread: Counter[str] = field(default_factory=Counter)
    last: "deque[bytes]" = field(default_factory=lambda: deque(maxlen=KEPT))


class RefusedRequests:
    """The refused requests of one collector. ``clock_s`` is monotonic, in seconds."""

    def __init__(
        self,
        customers: Mapping[str, Customer],
        metrics: Metrics,
        clock: Clock,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._customers, self._metrics, self._clock = customers, metrics, clock
        self._since_ms = clock.now_ms()
        self._of: dict[str, _OfCustomer] = {}
        self._log, self._unread_log = SparseLog(_write, clock_s), unread_log(clock_s)

    def add(
        self,
        rejection: Rejection,
        request: web.BaseRequest,
        customer: Customer | None,
        given: Mapping[str, Any] | None = None,
        *,
        elements: int | None = None,
    ) -> None:
        """Add a refused request, or ``elements`` of its elements that were refused for one reason.

        ``given``: the parameters of the request, or the fields of the first of these elements. None: those of the query.
        """
        raw_path, _, raw_query = request.raw_path.partition("?")
        self.count(rejection, customer, elements or 1)
        if customer is None:
            return
        entry = entry_of(
            rejection,
            self._clock.now_ms(),
            method=request.method,
            raw_path=raw_path,
            user_agent=request.headers.get("User-Agent", ""),
            given=parameters_of(raw_query) if given is None else given,
            elements=elements,
        )
        self._of_customer(customer).last.append(msgspec.json.encode(entry))

    def count(self, rejection: Rejection, customer: Customer | None, number: int = 1) -> None:
        """Count and log refused requests or elements of which nothing more is known."""
        name = NO_CUSTOMER if customer is None else customer.id
        self._metrics.count_rejected(name, rejection.code, number)
        self._log.add((name, rejection.code), number)
        if customer is not None:
            self._of_customer(customer).refused[rejection.code] += number

    def count_unread(self, customer: str, reason: str) -> None:
        """Count and log an event that was recorded without one of its values."""
        self._metrics.count_unread(customer, reason)
        self._unread_log.add((customer, reason))
        known = self._customers.get(customer)
        if known is not None:
            self._of_customer(known).unread[reason] += 1

    def report(self, *, is_last: bool = False) -> None:
        """Log what has not been logged yet and is due."""
        self._log.report(is_last=is_last)
        self._unread_log.report(is_last=is_last)

    def page(self, customer: Customer) -> bytes:
        """Return the page of a customer as JSON: counts since the start, and the last requests, newest first."""
        known = self._of.get(customer.id, _OfCustomer())
        return msgspec.json.encode(
            {
                "customer": customer.id,
                "since_ms": self._since_ms,
                "refused": dict(known.refused),
                "recorded_without": dict(known.unread),
                "last": [msgspec.Raw(entry) for entry in reversed(known.last)],
            }
        )

    def _of_customer(self, customer: Customer) -> _OfCustomer:
        known = self._of.get(customer.id)
        if known is None:
            for gone in self._of.keys() - set(self._customers):
                del self._of[gone]
            known = self._of[customer.id] = _OfCustomer()
        return known


def _write(kind: LineKind, number: int) -> None:
    customer, code = kind
    log.warning(
        "customer %s: %d requests or elements refused since the last such line: %s, %s",
        customer,
        number,
        code,
        CAUSES[code],
    )
