"""The attribution of one user's showings and clicks, as docs/events.md states it; it imports no code of Uptake.

Only for users who do not log in.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

JOIN_MS = 30 * 60_000
KEEP = 100
"""Impressions, and clicks, that a row keeps. With more, the oldest go with what belongs to them."""

Place = tuple[str, int]
"""Scenario and time of an impression."""


@dataclass
class AttributionRow:
    """What one user was shown and clicked on, in log order. ``count(place, amount)`` is called for each change of attributed clicks."""

    count: Callable[[Place, int], None]
    shown: list[dict[str, Any]] = field(default_factory=list)
    clicks: list[dict[str, Any]] = field(default_factory=list)
    _next: int = 0

    def show(self, event: dict[str, Any]) -> None:
        """Add an impression."""
        items = set(event["items"])
        self._change(items, lambda: self.shown.append(self._numbered(event)))
        while len(self.shown) > KEEP:
            self._drop(self.shown[0])

    def click(self, event: dict[str, Any]) -> None:
        """Add a click."""
        self._change({event["item"]}, lambda: self.clicks.append(self._numbered(event)))
        while len(self.clicks) > KEEP:
            shown = self._shown_of(self.clicks[0])
            if shown is None:
                del self.clicks[0]
            else:
                self._drop(shown)

    def _numbered(self, event: dict[str, Any]) -> dict[str, Any]:
        self._next += 1
        return {**event, "number": self._next}

    def _shown_of(self, click: dict[str, Any]) -> dict[str, Any] | None:
        fits = [
            shown
            for shown in self.shown
            if click["item"] in shown["items"]
            and click.get("request_id") in (None, shown.get("request_id"))
            and 0 <= click["time_ms"] - shown["time_ms"] <= JOIN_MS
        ]
        return max(fits, key=lambda shown: (shown["time_ms"], shown["number"]), default=None)

    def _attributed(self, items: set[str]) -> Counter[Place]:
        clicked = {
            (shown["number"], click["item"]): (shown["scenario"], shown["time_ms"])
            for click in self.clicks
            if click["item"] in items and (shown := self._shown_of(click)) is not None
        }
        return Counter(clicked.values())

    def _change(self, items: set[str], change: Callable[[], None]) -> None:
        before = self._attributed(items)
        change()
        after = self._attributed(items)
        after.subtract(before)
        for place, amount in after.items():
            if amount:
                self.count(place, amount)

    def _drop(self, shown: dict[str, Any]) -> None:
        """Drop an impression and the clicks that belong to it. What they counted stays counted."""
        gone = [click for click in self.clicks if self._shown_of(click) is shown]
        self.clicks = [click for click in self.clicks if not any(click is each for each in gone)]
        self.shown = [each for each in self.shown if each is not shown]
