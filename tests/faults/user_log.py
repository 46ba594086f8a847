"""The log of each user, and where logins take it; it imports no code of Uptake."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.faults.attribution_row import KEEP, KEEP_MS, AttributionRow, Received
from tests.support.attribution_oracle import Entry, expected


@dataclass
class Stretch:
    """What a user did between two logins: item -> count."""

    shown: Counter[str] = field(default_factory=Counter)
    clicked: Counter[str] = field(default_factory=Counter)
    bought: Counter[str] = field(default_factory=Counter)


@dataclass
class UserLog:
    """The log of one user. ``events`` has what attribution depends on."""

    events: list[Received] = field(default_factory=list)
    stretches: list[Stretch] = field(default_factory=lambda: [Stretch()])

    @property
    def stretch(self) -> Stretch:
        """What the user did since the last login."""
        return self.stretches[-1]

    @property
    def entries(self) -> list[Entry]:
        """The events without their receipt."""
        return [event.entry for event in self.events]

    @property
    def logins(self) -> list[Entry]:
        """The user's logins."""
        return [entry for entry in self.entries if entry.kind == "login"] if len(self.stretches) > 1 else []

    def add(self, received_ms: int, entry: Entry) -> None:
        """Add an event."""
        self.events.append(Received(received_ms, entry))
        if entry.kind == "login":
            self.stretches.append(Stretch())

    def exceeds_a_row(self) -> bool:
        """Tell whether a row drops some of the log."""
        if not self.events:
            return False
        kinds = Counter(
            entry.kind if entry.kind in ("show", "click", "login") else "conversion" for entry in self.entries
        )
        received = [event.received_ms for event in self.events]
        return max(kinds["show"], kinds["click"], kinds["conversion"]) > KEEP or (
            max(received) - min(received) > KEEP_MS
        )


Logs = dict[str, UserLog]


def resting(logs: Logs) -> Iterator[tuple[str, Stretch]]:
    """Yield each stretch, with the user with whom it rests in the end (docs/decisions/0004-logins-as-numbered-transfers.md).

    A stretch goes on with a login that is later than the one that brought it. So does what comes back to a user in a circle: it
    stays. Other logins at or before that time would make the order of arrival decide, so loads have none.
    """
    for user, log in logs.items():
        for stretch, login in zip(log.stretches, [*log.logins, None], strict=True):
            yield user if login is None else _rest(logs, login), stretch


def _rest(logs: Logs, login: Entry) -> str:
    while login.target in logs:
        onward = next((each for each in logs[login.target].logins if each.at > login.at), None)
        if onward is None:
            break
        login = onward
    return login.target


class Attributed(NamedTuple):
    """What logs count by the rule of attribution: (counter, minute, scenario) -> count, and two counts of purchases."""

    counted: Counter[tuple[str, int, str]]
    linked_purchases: int
    """Purchases of users who logged in or were logged into."""
    through_logins: int
    """How many fewer these would be if nobody had logged in."""


def attributed(logs: Logs) -> Attributed:
    """Return what the logs count. Fails if a user has more than a row keeps, and logs in or is logged into."""
    linked = {user for user, log in logs.items() if log.logins}
    linked |= {login.target for log in logs.values() for login in log.logins}
    counted: Counter[tuple[str, int, str]] = Counter()
    small: dict[str, list[Entry]] = {}
    for user, log in logs.items():
        if user in linked:
            continue
        if log.exceeds_a_row():
            row = AttributionRow()
            row.add(log.events)
            counted.update(row.counted)
        else:
            small[user] = log.entries
    counted.update(expected(small))
    with_logins = {user: logs[user].entries for user in linked if user in logs}
    for user in with_logins:
        assert not logs[user].exceeds_a_row(), f"{user} logs in, and has more than a row keeps"
    without = {
        user: [entry for entry in entries if entry.kind != "login"] for user, entries in with_logins.items()
    }
    by_login = expected(with_logins)
    counted.update(by_login)
    purchases = _purchases(by_login)
    return Attributed(counted, purchases, purchases - _purchases(expected(without)))


def _purchases(counted: Counter[tuple[str, int, str]]) -> int:
    return sum(count for (counter, _, _), count in counted.items() if counter == "purchases")
