"""Customers that records name and this worker does not know: the time they have to become known, and the alarm after that.

A collector may read a new customers file before a worker does. So the records of an unknown customer are folded at first. After
``wait_ms`` they become dead letters, which a replay folds once the customer is known. The page
docs/operations.md#unknown_customer describes the alarm.
"""

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from events.codec import UndecodableError

log = logging.getLogger(__name__)

UNKNOWN_CUSTOMER: Final = "unknown_customer"
"""The reason of the dead letters, and the name of the alarm."""
_MOST_CUSTOMERS: Final = 1_000
"""Unknown customers that are given time. With more, a producer makes them up: the records of further ones are dead letters at once."""
_LOG_EVERY_MS: Final = 60_000


@dataclass(frozen=True, slots=True)
class UnknownCustomer:
    """The alarm for one customer in one partition."""

    customer: str
    partition: int
    letters: int
    """Its dead letters since the worker was started."""

    def __str__(self) -> str:
        return (
            f"customer {self.customer} is unknown to this worker, and {self.letters} of its records in partition {self.partition} "
            "are dead letters. Nothing is lost. Add the customer to the customers file of all workers, then run "
            f"`uptake dlq replay --reason {UNKNOWN_CUSTOMER}`, or find the producer that writes the name (docs/operations.md)"
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the alarm for JSON."""
        return {
            "alarm": UNKNOWN_CUSTOMER,
            "customer": self.customer,
            "partition": self.partition,
            "letters": self.letters,
            "message": str(self),
        }


@dataclass(slots=True)
class _Absence:
    """Since when a customer is missing, and its dead letters by partition."""

    since_ms: int
    letters: Counter[int] = field(default_factory=Counter)


class UnknownCustomers:
    """Decides about records of unknown customers. The partitions of a worker share one, so a rebalance gives no new time."""

    def __init__(self, is_known: Callable[[str], bool], clock_ms: Callable[[], int], wait_ms: int) -> None:
        """``is_known`` tells whether the worker knows a customer now. ``clock_ms`` is monotonic."""
        self._is_known, self._clock_ms, self._wait_ms = is_known, clock_ms, wait_ms
        self._absences: dict[str, _Absence] = {}
        self._further, self._further_customer = _Absence(clock_ms() - wait_ms), ""
        """The dead letters of customers beyond the bound, and the last of these customers, which their alarm names."""
        self._logged_ms: int | None = None

    def is_missing(self, customer: str, partition: int) -> bool:
        """Return whether a customer of a record is unknown. Raise UndecodableError if it has been for too long."""
        if self._is_known(customer):
            self._absences.pop(customer, None)
            return False
        now_ms = self._clock_ms()
        absence = self._absences.get(customer)
        if absence is None and len(self._absences) < _MOST_CUSTOMERS:
            absence = self._absences[customer] = _Absence(now_ms)
        elif absence is None:
            absence, self._further_customer = self._further, customer
        if now_ms - absence.since_ms < self._wait_ms:
            return True
        absence.letters[partition] += 1
        if self._logged_ms is None or now_ms - self._logged_ms >= _LOG_EVERY_MS:
            self._logged_ms = now_ms
            log.error("%s", UnknownCustomer(customer, partition, absence.letters[partition]))
        raise UndecodableError("unknown_customer", "the customers file of this worker does not have it")

    def alarms(self, partition: int) -> list[UnknownCustomer]:
        """Return the active alarms of a partition. A customer that is known meanwhile has none."""
        return [
            UnknownCustomer(customer, partition, absence.letters[partition])
            for customer, absence in (*self._absences.items(), (self._further_customer, self._further))
            if absence.letters[partition] and not self._is_known(customer)
        ]
