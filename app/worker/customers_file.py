"""Customers file as a worker uses it: follows its changes, and decides about records of customers that it does not have."""

from typing import Any

from mode import Service

from agents.registry import Partitions
from agents.unknown_customers import UnknownCustomers
from app.base.clock import elapsed_ms
from app.customers.customer import CTR_DIMENSIONS
from app.customers.customer_registry import Customers
from app.customers.customer_watch import follow_file


class FoldedCustomers:
    """What the folding of records must know of the customers."""

    def __init__(self, customers: Customers, wait_ms: int) -> None:
        """``wait_ms``: how long records of a customer that the file does not have are folded."""
        self._customers = customers
        self.unknown = UnknownCustomers(self._is_known, elapsed_ms, wait_ms)
        self.scenario_keepers: set[str] = set()
        """Customers whose showings are remembered by scenario too: a plain set, because each event asks for it."""
        self.switched_off: dict[str, frozenset[str]] = {}
        """Customer -> the dimensions of CTR windows that it does not count."""
        self.contests: dict[str, dict[str, str]] = {}
        """Declared experiments between scenarios: customer -> scenario -> experiment."""
        self.refresh()

    def _is_known(self, name: str) -> bool:
        """Return whether a customer has this id. An alias is no customer: events are recorded under the customer's own id."""
        found = self._customers.get(name)
        return found is not None and found.id == name

    def refresh(self) -> None:
        """Take over what a reload changed."""
        keepers = {each.id for each in self._customers.values() if each.showings_by_scenario}
        self.scenario_keepers &= keepers
        self.scenario_keepers |= keepers
        off = {each.id: frozenset(CTR_DIMENSIONS) - each.ctr_dimensions for each in self._customers.values()}
        self.switched_off.clear()
        self.switched_off.update({customer: names for customer, names in off.items() if names})
        contests = {each.id: each.contests for each in self._customers.values() if each.contests}
        for gone in self.contests.keys() - contests.keys():
            del self.contests[gone]
        self.contests |= contests


class FollowFile(Service):
    """Reloads the customers when their file changes, while the Faust app runs."""

    def __init__(
        self, customers: Customers, folded: FoldedCustomers, partitions: Partitions, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self._customers, self._folded, self._partitions = customers, folded, partitions

    @Service.task
    async def _follow(self) -> None:
        await follow_file(self._customers, on_reload=self._reloaded)

    def _reloaded(self) -> None:
        self._folded.refresh()
        self._partitions.forget_verified()
