"""Rules that exclude items from what a user is shown.

A customer sets them in the customers file, a scenario overrides the customer, and a lookup overrides both. The values are in
docs/customers.md and docs/lookups.md.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, get_args

from events.duration import parse_duration_ms

Reason = Literal["rendered", "clicked", "bought", "consumed", "basket", "blacklisted"]
REASONS: Final[tuple[Reason, ...]] = get_args(Reason)
"""The reasons to exclude an item, in the order in which an answer lists them."""

DEFAULT_REASONS: Final = tuple(reason for reason in REASONS if reason != "clicked")
"""The reasons of a lookup that names none; ``clicked`` only on request."""

MAX_THRESHOLD: Final = 1_000_000

Within = int | Literal["session", "ever"]
"""The span of ``rendered``: milliseconds back from ``as_of_ms``, the session that holds it, or without limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExclusionRules:
    """What excludes an item: the reasons that count, and the limits of ``rendered`` and ``consumed``."""

    threshold: int = 2
    """An item shown this often within the span is excluded."""
    within: Within = 30 * 60_000
    consumed_at_least: int = 90
    """Percent; an item consumed to this much is excluded."""
    reasons: frozenset[Reason] = frozenset(DEFAULT_REASONS)

    def override(
        self,
        *,
        threshold: int | None = None,
        within: Within | None = None,
        consumed_at_least: int | None = None,
        reasons: Iterable[Reason] | None = None,
    ) -> "ExclusionRules":
        """Return these rules with the given values in place of their own; None keeps a value."""
        return ExclusionRules(
            threshold=self.threshold if threshold is None else threshold,
            within=self.within if within is None else within,
            consumed_at_least=self.consumed_at_least if consumed_at_least is None else consumed_at_least,
            reasons=self.reasons if reasons is None else frozenset(reasons),
        )


def parse_within(text: str) -> Within | None:
    """Return the span that a text names: a duration as in ``PT30M``, ``session`` or ``ever``; None if it is not valid."""
    if text == "session":
        return "session"
    return "ever" if text == "ever" else parse_duration_ms(text)
