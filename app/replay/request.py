"""Requests to a collector, with signed times of the past."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from typing import NamedTuple

from events.event_time import format_override
from events.signature import PARAMETER, sign, sign_v2
from events.target import build_target

OVERRIDE = "overridetimestamp"


class Request(NamedTuple):
    """One request. Requests of one ``lane`` (a user) are sent one after another; ``where`` is file:line, for reports.

    ``time_ms`` is the time of the event; None if the file does not say.
    """

    target: str
    lane: str
    time_ms: int | None
    where: str


class Unreadable(NamedTuple):
    """A line that is not an event; ``reason`` says why, ``text`` is its beginning."""

    where: str
    reason: str
    text: str


ReplayEntry = Request | Unreadable
Entries = Iterator[ReplayEntry]


@dataclass(frozen=True, slots=True)
class Author:
    """Writes the requests of one customer: signed imports of the past with a license key, live events without one.

    ``zone`` is the customer's: ``overridetimestamp`` is wall time in that zone, in whole seconds. If the customer ``takes_md5``, the
    signature is the md5 of the tracker API, which any compatible collector reads. Otherwise it is ours, ``v2:``.
    """

    customer: str
    license_key: str | None = field(default=None, repr=False)
    zone: tzinfo = UTC
    takes_md5: bool = True

    def target(
        self,
        event: str,
        user: str,
        after_user: Sequence[str],
        params: Mapping[str, str],
        time_ms: int | None,
    ) -> str:
        """Return the request target of an event. ``after_user``: the path segments after the user."""
        if self.license_key is None or time_ms is None:
            return build_target(self.customer, event, (user, *after_user), params)
        timed = {**params, OVERRIDE: format_override(time_ms, self.zone)}
        segments = (user, *after_user)
        timed[PARAMETER] = (
            sign(after_user, self.license_key, timed)
            if self.takes_md5
            else sign_v2(self.customer, event, segments, self.license_key, timed)
        )
        return build_target(self.customer, event, segments, timed)
