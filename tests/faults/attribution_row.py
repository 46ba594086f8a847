"""The attribution of one user's showings, clicks and conversions, as docs/events.md states it; it imports no code of Uptake.

Only for users who neither log in nor are logged into, and of whom a row does not keep everything. The others follow the rule in
tests/support/attribution_oracle.py.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.support.attribution_oracle import CONVERSION, JOIN, MINUTE, Entry

KEEP = 100
"""Impressions, clicks, and conversions, that a row keeps. With more, the oldest go with what belongs to them."""
KEEP_MS = 25 * 60 * MINUTE
"""A row drops what was received longer before the newest element."""
CONVERSIONS = {"buy": "purchases", "basket": "basket"}

Place = tuple[int, str]
"""Minute and scenario."""


class Received(NamedTuple):
    """An event of a log, and when it was received."""

    received_ms: int
    entry: Entry


class Kept(NamedTuple):
    """An element of a row. ``number`` counts the elements in log order."""

    number: int
    received_ms: int
    entry: Entry


@dataclass
class AttributionRow:
    """What one user was shown, clicked on and bought, in log order, and what that counts."""

    counted: Counter[tuple[str, int, str]] = field(default_factory=Counter)
    """(counter, minute, scenario) -> count"""
    shown: list[Kept] = field(default_factory=list)
    clicks: list[Kept] = field(default_factory=list)
    conversions: list[Kept] = field(default_factory=list)
    _next: int = 0

    def add(self, log: Iterable[Received]) -> None:
        """Add events, in log order."""
        for received_ms, entry in log:
            self._next += 1
            kept = Kept(self._next, received_ms, entry)
            elements = {"show": self.shown, "click": self.clicks}.get(entry.kind, self.conversions)
            before = self._counts(set(entry.items))
            elements.append(kept)
            self.counted.update(self._counts(set(entry.items)))
            self.counted.subtract(before)
            self._trim(received_ms - KEEP_MS)

    def _trim(self, before_ms: int) -> None:
        for name in ("shown", "clicks", "conversions"):
            while elements := getattr(self, name):
                is_over = len(elements) > KEEP
                if not is_over and elements[0].received_ms >= before_ms:
                    break
                if not self._drop(elements[0], None if is_over else before_ms):
                    break

    def _shown_of(self, click: Kept) -> Kept | None:
        fits = [
            shown
            for shown in self.shown
            if click.entry.items[0] in shown.entry.items
            and click.entry.request in (None, shown.entry.request)
            and 0 <= click.entry.at - shown.entry.at <= JOIN
        ]
        return max(fits, key=_rank, default=None)

    def _click_of(self, conversion: Kept) -> Kept | None:
        fits = [
            click
            for click in self.clicks
            if click.entry.items == conversion.entry.items
            and 0 <= conversion.entry.at - click.entry.at <= CONVERSION
        ]
        return max(fits, key=_rank, default=None)

    def _counts(self, items: set[str]) -> Counter[tuple[str, int, str]]:
        """Return what the elements of these items count."""
        attributed: dict[tuple[int, str], Place] = {}
        places: dict[int, Place] = {}
        for click in self.clicks:
            if click.entry.items[0] in items:
                shown = self._shown_of(click)
                places[click.number] = place = _place((shown or click).entry)
                if shown is not None:
                    attributed[shown.number, click.entry.items[0]] = place
        counted = Counter(("attributed_clicks", *place) for place in attributed.values())
        once: set[tuple[int, str]] = set()
        for conversion in self.conversions:
            of = self._click_of(conversion) if conversion.entry.items[0] in items else None
            kind = conversion.entry.kind
            if of is None or (of.number, kind) in once:
                continue
            counted[CONVERSIONS[kind], *places[of.number]] += 1
            if kind == "buy":
                counted["revenue", *places[of.number]] += conversion.entry.price
            else:
                once.add((of.number, kind))
        return counted

    def _drop(self, element: Kept, before_ms: int | None) -> bool:
        """Drop an impression, the clicks that belong to it, and their conversions, unless one was received since ``before_ms``.

        What they counted stays counted.
        """
        if element in self.conversions:
            element = self._click_of(element) or element
        if element in self.clicks:
            element = self._shown_of(element) or element
        items = element.entry.items
        clicks = [
            click
            for click in self.clicks
            if click == element or (click.entry.items[0] in items and self._shown_of(click) == element)
        ]
        sold = [
            each
            for each in self.conversions
            if each == element or (each.entry.items[0] in items and self._click_of(each) in clicks)
        ]
        if before_ms is not None and any(each.received_ms >= before_ms for each in (element, *clicks, *sold)):
            return False
        self.shown = [each for each in self.shown if each != element]
        self.clicks = [each for each in self.clicks if each not in clicks]
        self.conversions = [each for each in self.conversions if each not in sold]
        return True


def _rank(kept: Kept) -> tuple[int, int]:
    return kept.entry.at, kept.number


def _place(entry: Entry) -> Place:
    return entry.at // MINUTE, entry.scenario or "unknown"
