"""Admits or refuses requests of a customer: checks credentials and the customer's rate limit.

The gate decides before any part of the request is parsed, and never after an event was handed on. No answer and no log line holds a key.
"""

import base64
import binascii
import hmac
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from app.customers.customer import Customer, RateLimit
from events.rejections import Rejection

_MAX_AUTHORIZATION_CHARS: Final = 2_048
MAX_RETRY_AFTER_S: Final = 3_600

_UNAUTHORIZED: Final = Rejection(
    "unauthorized",
    "this customer's events are taken only with HTTP Basic credentials: the customer's id and its license key",
)
_FORBIDDEN: Final = Rejection("forbidden", "these are the credentials of another customer")


@dataclass(slots=True)
class Bucket:
    """A token bucket: it fills with ``events_per_second`` up to ``burst``, and its level may fall below 0.

    A batch larger than the burst is admitted when the bucket is full. The level is then negative, and later requests wait.
    """

    limit: RateLimit
    level: float
    filled_s: float

    def take(self, cost: int, now_s: float, *, charged: int = 0) -> float:
        """Take ``cost`` events and return 0, or take nothing and return the seconds until the bucket holds enough.

        ``charged`` events were taken before for the same request: a bucket that was full then counts as full. A second try of the
        request is charged for them again, so the returned time includes them.
        """
        limit = self.limit
        elapsed_s = max(0.0, now_s - self.filled_s)
        self.level = min(float(limit.burst), self.level + elapsed_s * limit.events_per_second)
        self.filled_s = now_s
        needed = min(cost, limit.burst - charged)
        # Allow for rounding: 0.1 s at 10 events a second is one event, though the level may be slightly below 1.
        if self.level + 1e-9 < needed:
            return (needed + charged - self.level) / limit.events_per_second
        self.level -= cost
        return 0.0


class Gate:
    """Admits requests to one collector process. ``clock_s`` is monotonic, in seconds."""

    def __init__(
        self, customers: Mapping[str, Customer], clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._customers, self._clock_s = customers, clock_s
        self._buckets: dict[str, Bucket] = {}

    def admit(self, customer: Customer, authorization: str | None) -> Rejection | None:
        """Charge the request one event and return None, or return why it is refused.

        ``authorization`` is the header as received. It is ignored if the customer does not require credentials.
        """
        if customer.require_credentials and not self.has_credentials(customer, authorization):
            return _FORBIDDEN if self._is_of_another(customer, authorization) else _UNAUTHORIZED
        return None if customer.rate_limit is None else self.charge(customer, 1)

    def has_credentials(self, customer: Customer, authorization: str | None) -> bool:
        """Return whether the header holds HTTP Basic credentials of this customer: its id and its license key."""
        given = _basic(authorization)
        return given is not None and _fits(customer, *given)

    def charge_rest(self, customer: Customer, events: int) -> Rejection | None:
        """Charge a request of many events for all but the one that ``admit`` charged. Call it before the first is handed on."""
        return self.charge(customer, events - 1, charged=1)

    def charge(self, customer: Customer, events: int, *, charged: int = 0) -> Rejection | None:
        """Charge ``events`` events, all or none; return the rejection with the time to wait if the rate does not allow them.

        ``charged``: how many events this request was charged before.
        """
        limit = customer.rate_limit
        if limit is None or events <= 0:
            return None
        now_s = self._clock_s()
        bucket = self._buckets.get(customer.id)
        if bucket is None or bucket.limit != limit:  # a new customer, or a new limit in the customers file
            bucket = self._buckets[customer.id] = Bucket(limit, limit.burst, now_s)
        wait_s = bucket.take(events, now_s, charged=charged)
        if not wait_s:
            return None
        return Rejection(
            "rate_limited",
            f"over the rate of this customer, {limit.events_per_second:g} events a second; nothing was recorded",
            retry_after_s=min(MAX_RETRY_AFTER_S, max(1, math.ceil(wait_s))),
        )

    def _is_of_another(self, customer: Customer, authorization: str | None) -> bool:
        given = _basic(authorization)
        other = None if given is None else self._customers.get(given[0])
        return given is not None and other is not None and other.id != customer.id and _fits(other, *given)


def _fits(customer: Customer, name: str, password: str) -> bool:
    key = customer.rules.license_key
    if key is None:
        return False
    is_key = hmac.compare_digest(_bytes(password), _bytes(key))
    return (name == customer.id or name in customer.rules.aliases) and is_key  # ids are no secrets


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _basic(authorization: str | None) -> tuple[str, str] | None:
    """Return user and password of an ``Authorization: Basic`` header; None if it is not a valid one."""
    if authorization is None or len(authorization) > _MAX_AUTHORIZATION_CHARS:
        return None
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, separator, password = (
            base64.b64decode(encoded.strip(), validate=True).decode("utf-8").partition(":")
        )
    except (binascii.Error, ValueError):
        return None
    return (name, password) if separator else None
