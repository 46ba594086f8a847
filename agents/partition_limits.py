"""Limits and rules of a partition, and its counts."""

from collections.abc import Container, Mapping
from dataclasses import dataclass, field

from agents.addition_merges import MERGE_AFTER
from agents.overlay import MAX_SCENARIOS
from agents.poison import PoisonRule
from agents.row_budget import RowBudget
from agents.unknown_customers import UnknownCustomers
from tables.ctr.item_windows import MAX_ITEMS


@dataclass(slots=True)
class PartitionLimits:
    """Limits and rules of a partition, such as how much it holds before it flushes or its cache ages."""

    flush_interval_ms: int = 1_000
    flush_max_changes: int = 20_000
    budget: RowBudget = field(default_factory=RowBudget)
    """The memory for rows, which all partitions of a worker share. It also bounds the changes that wait for a flush."""
    partitions: int = 8
    poison: PoisonRule | None = field(default_factory=PoisonRule)
    """When a source topic is paused. None: never, so that all of its records may go to the dead letters."""
    max_scenarios: int = MAX_SCENARIOS
    """Scenario names of a customer that count by themselves. More count as ``other``."""
    grace_ms: int = 600_000
    """How long a window waits for events out of order."""
    caught_up_ms: int = 10_000
    """A source without a new record for this long does not hold back the windows."""
    unknown_customers: UnknownCustomers | None = None
    """What becomes of records of unknown customers. None: every customer is known."""
    scenario_keepers: Container[str] = ()
    """Customers whose showings are remembered by scenario too. It may change at any time."""
    switched_off: Mapping[str, Container[str]] = field(default_factory=dict)
    """The dimensions of CTR windows that a customer does not count. It may change at any time."""
    max_items: int = MAX_ITEMS
    """Items of a scenario that count by themselves in a day."""
    merge_after: int = MERGE_AFTER
    """Additions to an hour that are merged at once."""
    contests: Mapping[str, Mapping[str, str]] | None = None
    """Declared experiments between scenarios: customer -> scenario -> experiment. It may change at any time."""


@dataclass(slots=True)
class PartitionStats:
    """Counts of a partition since it was opened (docs/operations.md)."""

    folded: int = 0
    deadlettered: int = 0
    forwarded: int = 0
    repeated: int = 0
    clamped: int = 0
    swept: int = 0
    late: int = 0
    flushes: int = 0
