"""Customers file as a worker uses it: follows its changes, and decides about records of customers that it does not have."""

from collections.abc import Callable
from typing import Any

from mode import Service

from agents.unknown_customers import UnknownCustomers
from app.base.clock import elapsed_ms
from app.customers.customer_registry import Customers
from app.customers.customer_watch import follow_file


def unknown_customers(customers: Customers, wait_ms: int) -> UnknownCustomers:
    """Return the rule for records of customers that the file does not have for ``wait_ms``.

    An alias is no customer: events are recorded under the customer's own id.
    """

    def is_known(name: str) -> bool:
        found = customers.get(name)
        return found is not None and found.id == name

    return UnknownCustomers(is_known, elapsed_ms, wait_ms)


class FollowFile(Service):
    """Reloads the customers when their file changes, while the Faust app runs. ``on_reload`` is called after each reload."""

    def __init__(self, customers: Customers, on_reload: Callable[[], None], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._customers, self._on_reload = customers, on_reload

    @Service.task
    async def _follow(self) -> None:
        await follow_file(self._customers, on_reload=self._on_reload)
