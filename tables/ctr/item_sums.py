"""Sums of stored windows of items, and of unique users, for one scenario and any step of whole hours."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Final

from tables.ctr.additions import Seen
from tables.ctr.item_columns import ItemColumns
from tables.ctr.item_counts import ItemCounts, add_item
from tables.ctr.unique_users import add_marks, union
from tables.ctr.user_windows import OTHER_VARIANT, SeenSketches

_ITEMS_A_STEP: Final = 2_000

StepOf = Callable[[int], int]
"""Returns the start (ms) of the step that the start of a stored window belongs to."""


class ItemSums:
    """The counts of items of a scenario by step: ``steps[start_ms]``. ``rest`` has those without a place of their own."""

    def __init__(self, scenario: str, step_of: StepOf) -> None:
        self.scenario, self._step_of = scenario, step_of
        self.steps: dict[int, ItemColumns] = {}
        self.rest: dict[int, ItemCounts] = {}
        self.over_ms = 0
        """Windows that ended by this time are final."""

    def add(self, start_ms: int, columns: ItemColumns) -> Iterator[None]:
        """Add a stored window, in steps between which others may run."""
        into = self.steps.setdefault(self._step_of(start_ms), ItemColumns())
        for column, counts in list(columns.counts.items()):
            items = iter(list(counts.items()))
            while some := dict(islice(items, _ITEMS_A_STEP)):
                into.add_column(column, some)
                yield
        for name, revenue in list(columns.revenue.items()):
            for currency, amount in revenue.items():
                into.earn(name, currency, amount)

    def add_rest(self, start_ms: int, counts: ItemCounts) -> None:
        """Add what counts under no name in a stored window."""
        add_item(self.rest.setdefault(self._step_of(start_ms), ItemCounts()), counts)


class SeenSums:
    """The users of a scenario by step and variant, as sketches."""

    def __init__(self, scenario: str, step_of: StepOf, *, by_variant: bool) -> None:
        self.scenario, self._step_of, self._by_variant = scenario, step_of, by_variant
        self._sketches: dict[tuple[int, str], list[SeenSketches]] = {}
        self._marks: dict[tuple[int, str], Seen] = {}

    def add(self, start_ms: int, variants: Mapping[str, SeenSketches]) -> None:
        """Add the sketches of a stored window."""
        for variant, sketches in variants.items():
            self._sketches.setdefault(self._key(start_ms, variant), []).append(sketches)

    def add_marks(self, start_ms: int, seen: Mapping[str, Seen]) -> None:
        """Add users who are in no sketch yet."""
        for variant, marks in seen.items():
            self._marks.setdefault(self._key(start_ms, variant), Seen()).add(marks)

    def _key(self, start_ms: int, variant: str) -> tuple[int, str]:
        return self._step_of(start_ms), variant if self._by_variant else ""

    def sums(self) -> Iterable[tuple[int, str | None, SeenSketches]]:
        """Yield start, variant (None: no variant, or all of them) and sketches. The variants beyond the bound are left out."""
        for key in sorted(self._sketches.keys() | self._marks.keys()):
            start_ms, variant = key
            if variant == OTHER_VARIANT:
                continue
            kept, marks = self._sketches.get(key, []), self._marks.get(key, Seen())
            users = add_marks(union(each.users for each in kept), marks.users)
            clickers = add_marks(union(each.clickers for each in kept), marks.clickers)
            yield start_ms, variant or None, SeenSketches(users, clickers)
