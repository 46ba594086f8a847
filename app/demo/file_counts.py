"""Counts of the files themselves, by plain counting of rows: events, time span, and the items shown to each user."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from app.base.errors import UptakeError
from app.demo.counts import CellCounts, add, day_of, group_of, hour_of, position_of
from app.replay.obd import policy_and_campaign, read_rows
from app.replay.request import Unreadable
from events.topics import DAY_MS
from tables.ctr.window_keys import HOUR_MS

_THRESHOLD: Final = 2
_ITEMTYPE: Final = 1
_SPANS: Final = (("PT30M", 30 * 60_000), ("PT6H", 6 * HOUR_MS), ("P1D", DAY_MS), ("P30D", 30 * DAY_MS))


@dataclass(slots=True)
class FileCounts:
    """The counts of the files. Times are rounded down to whole seconds, the unit of ``overridetimestamp``.

    ``shown`` is user -> item -> times in ms. ``items`` has the counts by item, apart from ``counts``: expected_counts.json has none.
    """

    paths: tuple[Path, ...] = ()
    counts: CellCounts = field(default_factory=dict)
    items: CellCounts = field(default_factory=dict)
    first_ms: int = 0
    last_ms: int = 0
    events: int = 0
    unreadable: int = 0
    shown: dict[str, dict[str, list[int]]] = field(default_factory=dict)
    impressions: Counter[str] = field(default_factory=Counter)

    @property
    def from_ms(self) -> int:
        """The start of the first UTC day."""
        return self.first_ms - self.first_ms % DAY_MS

    @property
    def to_ms(self) -> int:
        """The end of the last UTC day."""
        return self.last_ms - self.last_ms % DAY_MS + DAY_MS


@dataclass(frozen=True, slots=True)
class Question:
    """An exclusion lookup and the items expected: those shown ``threshold`` times in ``(as_of - within, as_of]``."""

    user: str
    threshold: int
    within: str
    as_of_ms: int
    items: frozenset[str]


def files_of(data: Path) -> tuple[Path, ...]:
    """Return the files of a directory with the layout of data/obd; raise UptakeError if it has no such file."""
    paths = tuple(sorted([*data.glob("*.csv"), *data.glob("*.csv.gz")]))
    if not paths:
        raise UptakeError(f"{data}: there is no {{policy}}_{{campaign}}.csv.gz in this directory")
    return paths


def read_file_counts(paths: tuple[Path, ...]) -> FileCounts:
    """Read all files once; raise UptakeError if they hold no event."""
    facts = FileCounts(paths)
    shown: defaultdict[str, defaultdict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    ends: list[int] = []
    for path in paths:
        impressions: Counter[tuple[int, int]] = Counter()  # by (hour, rank)
        clicks: Counter[tuple[int, int]] = Counter()
        items: Counter[tuple[str, bool]] = Counter()
        times: list[int] = []
        for row in read_rows(path):
            if isinstance(row, Unreadable):
                facts.unreadable += 1
                continue
            time_ms = row.time_ms - row.time_ms % 1000
            times.append(time_ms)
            impressions[time_ms // HOUR_MS, row.rank] += 1
            if row.is_clicked:
                clicks[time_ms // HOUR_MS, row.rank] += 1
            items[row.item, row.is_clicked] += 1
            shown[row.user][row.item].append(time_ms)
            facts.impressions[row.user] += 1
        if times:
            ends += min(times), max(times)
        _count(facts.counts, path, impressions, clicks)
        _count_items(facts.items, path, items)
        facts.events += len(times) + clicks.total()
    facts.events += facts.unreadable
    if not facts.counts:
        raise UptakeError(f"{paths[0].parent}: the files hold no event")
    facts.first_ms, facts.last_ms = min(ends), max(ends)
    facts.shown = {user: dict(items) for user, items in shown.items()}
    return facts


def _count(
    counts: CellCounts, path: Path, impressions: Counter[tuple[int, int]], clicks: Counter[tuple[int, int]]
) -> None:
    policy, campaign = policy_and_campaign(path)
    group = group_of(policy, campaign)
    for (hour, rank), number in impressions.items():
        clicked = clicks[hour, rank]
        numbers = {"impressions": number, "clicks": clicked, "attributed_clicks": clicked}
        start_ms = hour * HOUR_MS
        add(counts, group, "total", "", numbers)
        add(counts, group, "position", position_of(0, rank), numbers)
        add(counts, group, "day", day_of(start_ms), numbers)
        add(counts, group, "hour", hour_of(start_ms), numbers)


def _count_items(counts: CellCounts, path: Path, items: Counter[tuple[str, bool]]) -> None:
    _, campaign = policy_and_campaign(path)
    for (item, is_clicked), number in items.items():
        clicked = number if is_clicked else 0
        numbers = {"impressions": number, "clicks": clicked, "attributed_clicks": clicked}
        add(counts, group_of(None, campaign), "item", f"{_ITEMTYPE}/{item}", numbers)


def questions(facts: FileCounts, count: int = 2) -> list[Question]:
    """Return ``count`` exclusion lookups as of the data's end, for the users with the most impressions whose answer is not empty.

    The span is the shortest in which that many users have an answer. Without such a span, it is the one with the most users.
    """
    best: list[Question] = []
    for within, span_ms in _SPANS:
        found = []
        for user, _ in facts.impressions.most_common():
            items = _shown_again(facts.shown[user], facts.last_ms - span_ms)
            if items:
                found.append(Question(user, _THRESHOLD, within, facts.last_ms, items))
            if len(found) == count:
                return found
        if len(found) > len(best):
            best = found
    return best


def _shown_again(items: dict[str, list[int]], since_ms: int) -> frozenset[str]:
    return frozenset(
        item for item, times in items.items() if sum(time_ms > since_ms for time_ms in times) >= _THRESHOLD
    )
