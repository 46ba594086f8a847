"""Is a request of a customer let in: its credentials, and whether the customer has events left at this rate.

Asked before anything of the request is parsed, and never after an event was handed on. Keys stand in no answer and no log.
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
    """What is left of a rate: it fills with ``events_per_second`` up to ``burst``, and may owe.

    A batch larger than the burst is taken when the bucket is full, and what it cost beyond that is waited for afterwards.
    """

    limit: RateLimit
    level: float
    filled_s: float

    def take(self, cost: int, now_s: float, *, charged: int = 0) -> float:
        """Take ``cost`` events out and return 0, or take nothing and return after how many seconds they would be there.

        ``charged`` were taken before for the same request: a bucket that was full then counts as full, and a second try costs them again.
        """
        limit = self.limit
        elapsed_s = max(0.0, now_s - self.filled_s)
        self.level = min(float(limit.burst), self.level + elapsed_s * limit.events_per_second)
        self.filled_s = now_s
        needed = min(cost, limit.burst - charged)
        # A level that is a rounding error below a whole event has it: 0.1 s at 10 events a second are one.
        if self.level + 1e-9 < needed:
            return (needed + charged - self.level) / limit.events_per_second
        self.level -= cost
        return 0.0


class Gate:
    """Who is let into one collector process. ``clock_s`` is monotonic."""

    def __init__(
        self, customers: Mapping[str, Customer], clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._customers, self._clock_s = customers, clock_s
        self._buckets: dict[str, Bucket] = {}

    def admit(self, customer: Customer, authorization: str | None) -> Rejection | None:
        """Return why a request is not let in; None when it is, and then it has been charged one event.

        ``authorization`` is the header as it came. Where the customer does not require credentials it is not looked at.
        """
        if customer.require_credentials and not self.has_credentials(customer, authorization):
            return _FORBIDDEN if self._is_of_another(customer, authorization) else _UNAUTHORIZED
        return None if customer.rate_limit is None else self.charge(customer, 1)

    def has_credentials(self, customer: Customer, authorization: str | None) -> bool:
        """Tell whether the header brings HTTP Basic ``customer:license key`` of this very customer."""
        given = _basic(authorization)
        return given is not None and _fits(customer, *given)

    def charge_rest(self, customer: Customer, events: int) -> Rejection | None:
        """Charge a request of many events all but the one that ``admit`` charged; ask before the first is handed on."""
        return self.charge(customer, events - 1, charged=1)

    def charge(self, customer: Customer, events: int, *, charged: int = 0) -> Rejection | None:
        """Charge so many events, all or nothing; return the rejection, with the time to wait, when they are not there.

        ``charged``: how many this request has been charged before.
        """
        limit = customer.rate_limit
        if limit is None or events <= 0:
            return None
        now_s = self._clock_s()
        bucket = self._buckets.get(customer.id)
        if bucket is None or bucket.limit != limit:  # new, or the customers file was read again
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
        if given is None or given[0] == customer.id:
            return False
        other = self._customers.get(given[0])
        return other is not None and _fits(other, *given)


def _fits(customer: Customer, name: str, password: str) -> bool:
    key = customer.rules.license_key
    if key is None:
        return False
    is_key = hmac.compare_digest(_bytes(password), _bytes(key))
    return hmac.compare_digest(_bytes(name), _bytes(customer.id)) and is_key


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _basic(authorization: str | None) -> tuple[str, str] | None:
    """Return user and password of an ``Authorization: Basic`` header; None when it is none."""
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
