"""What do the files themselves say: their counts, their span, and who was shown what, by plain counting of rows."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from app.demo.counts import Counts, add, day_of, group_of, hour_of, position_of
from app.errors import UptakeError
from app.replay.obd import policy_and_campaign, read_rows
from app.replay.request import Unreadable
from tables.windows import DAY_MS

_THRESHOLD: Final = 2
_SPANS: Final = (("PT30M", 30 * 60_000), ("PT6H", 6 * 3_600_000), ("P1D", DAY_MS), ("P30D", 30 * DAY_MS))


@dataclass(slots=True)
class Facts:
    """What the files say. Times are floored to whole seconds: an ``overridetimestamp`` has no more.

    ``shown`` is user -> item -> times.
    """

    paths: tuple[Path, ...] = ()
    counts: Counts = field(default_factory=dict)
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
    """An exclusion lookup, and the items that must come out: shown ``threshold`` times in ``(as_of - within, as_of]``."""

    user: str
    threshold: int
    within: str
    as_of_ms: int
    items: frozenset[str]


def files_of(data: Path) -> tuple[Path, ...]:
    """Return the files of a directory of the form of data/obd; UptakeError when there are none."""
    paths = tuple(sorted([*data.glob("*.csv"), *data.glob("*.csv.gz")]))
    if not paths:
        raise UptakeError(f"{data}: there is no {{policy}}_{{campaign}}.csv.gz in this directory")
    return paths


def read_facts(paths: tuple[Path, ...]) -> Facts:
    """Read all files once; UptakeError when they hold no event."""
    facts = Facts(paths)
    shown: defaultdict[str, defaultdict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for path in paths:
        policy, campaign = policy_and_campaign(path)
        group = group_of(policy, campaign)
        for row in read_rows(path):
            facts.events += 1
            if isinstance(row, Unreadable):
                facts.unreadable += 1
                continue
            facts.events += row.is_clicked
            time_ms = row.time_ms - row.time_ms % 1000
            facts.first_ms = min(facts.first_ms or time_ms, time_ms)
            facts.last_ms = max(facts.last_ms, time_ms)
            clicks = int(row.is_clicked)
            numbers = {"impressions": 1, "clicks": clicks, "attributed_clicks": clicks}
            add(facts.counts, group, "total", "", numbers)
            add(facts.counts, group, "position", position_of(0, row.rank), numbers)
            add(facts.counts, group, "day", day_of(time_ms), numbers)
            add(facts.counts, group, "hour", hour_of(time_ms), numbers)
            shown[row.user][row.item].append(time_ms)
            facts.impressions[row.user] += 1
    if not facts.counts:
        raise UptakeError(f"{paths[0].parent}: the files hold no event")
    facts.shown = {user: dict(items) for user, items in shown.items()}
    return facts


def questions(facts: Facts, count: int = 2) -> list[Question]:
    """Return exclusion lookups worth asking at the data's end: of the users with most impressions that have an answer.

    The span is the shortest in which as many users have one.
    """
    found: list[Question] = []
    for within, span_ms in _SPANS:
        found = []
        for user, _ in facts.impressions.most_common():
            since_ms = facts.last_ms - span_ms
            items = frozenset(
                item
                for item, times in facts.shown[user].items()
                if sum(time_ms > since_ms for time_ms in times) >= _THRESHOLD
            )
            if items:
                found.append(Question(user, _THRESHOLD, within, facts.last_ms, items))
            if len(found) == count:
                return found
    return found
