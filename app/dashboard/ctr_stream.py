"""Click-through rates as a stream: one query of which the span moves with time, asked of a worker for all its clients."""

import re
from collections.abc import Awaitable, Callable, Hashable
from typing import Final
from urllib.parse import quote, urlencode

from multidict import MultiMapping

from app.base.clock import Clock
from app.dashboard.answers import UpstreamError
from app.http.event_format import check_size
from events.duration import parse_duration_ms
from events.rejections import RefusedError

SPANS: Final = ("PT15M", "PT1H", "PT6H", "P1D", "P7D", "P30D", "P90D")
"""Values of ``span``."""

_DEFAULT_SPAN: Final = "P1D"
_PASSED_ON: Final = (
    "scenario",
    "granularity",
    "time_zone",
    "by",
    "sort",
    "limit",
    "previous",
    "users",
    "max_stale_ms",
    "from",
    "to",
)
_MOMENT: Final = re.compile(rb'"as_of_ms":\d+')
_AGAIN_MS: Final = 10_000
"""Without a change the answer is sent again after this time, so that a reader knows that it is still true."""
Ask = Callable[[str], Awaitable[bytes]]
"""Asks a worker for a path and returns the JSON of its answer; raises UpstreamError."""


def ctr_path(customer_id: str, query: str) -> str:
    """Return the path of a worker's CTR lookup. ``query`` is encoded."""
    path = f"/v1/{quote(customer_id, safe='')}/ctr"
    return f"{path}?{query}" if query else path


class CtrQuestion:
    """A checked query of a stream: ``span`` moves with time, ``from`` and ``to`` stand."""

    def __init__(self, customer_id: str, query: MultiMapping[str]) -> None:
        """Raise RefusedError for a parameter that is unknown, given twice, or no span."""
        given: dict[str, str] = {}
        for name, value in query.items():
            if name in given:
                raise RefusedError("duplicate_parameter", f"{name[:40]}: give it once", name[:40])
            if name not in (*_PASSED_ON, "span"):
                known = ", ".join(("span", *_PASSED_ON))
                raise RefusedError(
                    "bad_parameter", f"{name[:40]!r} is not a parameter here; there are: {known}", name[:40]
                )
            given[name] = value
        stands = bool(given.get("from") and given.get("to"))
        if not stands and (given.get("from") or given.get("to")):
            raise RefusedError("bad_parameter", "give from and to, or span alone", "from")
        span = given.pop("span", "") or (None if stands else _DEFAULT_SPAN)
        if span is not None and stands:
            raise RefusedError("bad_parameter", "give span, or from and to, not both", "span")
        if span is not None and span not in SPANS:
            raise RefusedError(
                "bad_parameter", f"span takes one of {', '.join(SPANS)}, not {span[:40]!r}", "span"
            )
        self._customer_id = customer_id
        self._span_ms = None if span is None else parse_duration_ms(span)
        self._given = {name: value for name, value in sorted(given.items()) if value}

    @property
    def topic(self) -> Hashable:
        """What equal queries have in common."""
        return "ctr", self._customer_id, self._span_ms, tuple(self._given.items())

    def path(self, now_ms: int) -> str:
        """Return the path to ask a worker for."""
        asked = dict(self._given)
        if self._span_ms is not None:
            asked |= {"from": str(max(0, now_ms - self._span_ms)), "to": str(now_ms)}
        return ctr_path(self._customer_id, urlencode(asked))


class CtrPoll:
    """The latest answer of one query, for all its clients. It outlives a worker: then it says since when it is stale."""

    def __init__(self, question: CtrQuestion, ask: Ask, clock: Clock) -> None:
        self._question, self._ask, self._clock = question, ask, clock
        self._latest: bytes | None = None
        self._sent: bytes = b""
        self._sent_ms = 0
        self._good_ms = 0
        self._is_new = False
        self.clients = 0
        """Streams that are open."""

    @property
    def is_unanswered(self) -> bool:
        """Whether no worker has answered yet."""
        return self._latest is None

    async def prepare(self) -> None:
        """Ask for the first time; raise UpstreamError or RefusedError if the query is not valid.

        That no worker answers is said in the stream.
        """
        try:
            await self._look()
        except UpstreamError as error:
            if error.status < 500:
                raise
        else:
            self._is_new = True

    async def fetch(self) -> bytes:
        """Return the answer as it is now, or the last one with ``stale_since_ms``; raise UpstreamError without any."""
        try:
            if not self._is_new:
                await self._look()
        except UpstreamError as error:
            if error.status < 500 or self._latest is None:
                raise
            self._sent = b""
            return b'%b,"stale_since_ms":%d}' % (self._latest[:-1], self._good_ms)
        self._is_new = False
        assert self._latest is not None
        now_ms = self._clock.now_ms()
        if now_ms - self._sent_ms >= _AGAIN_MS or not _is_same(self._latest, self._sent):
            self._sent, self._sent_ms = self._latest, now_ms
        return self._sent

    async def _look(self) -> None:
        now_ms = self._clock.now_ms()
        answer = (await self._ask(self._question.path(now_ms))).rstrip()
        check_size(len(answer))
        self._latest = answer
        self._good_ms = now_ms


class CtrPolls:
    """The polls of all open streams, by query."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._open: dict[Hashable, CtrPoll] = {}

    def of(self, question: CtrQuestion, ask: Ask) -> CtrPoll:
        """Return the poll of a query, with one client more. Call ``leave`` when the client has gone."""
        poll = self._open.setdefault(question.topic, CtrPoll(question, ask, self._clock))
        poll.clients += 1
        return poll

    def leave(self, question: CtrQuestion, poll: CtrPoll) -> None:
        """Forget a poll without clients."""
        poll.clients -= 1
        if not poll.clients and self._open.get(question.topic) is poll:
            del self._open[question.topic]


def _is_same(answer: bytes, other: bytes) -> bool:
    """Return whether two answers say the same, at whatever time they were asked for."""
    ours, theirs = _MOMENT.search(answer), _MOMENT.search(other)
    if ours is None or theirs is None:
        return answer == other
    return answer[: ours.start()] == other[: theirs.start()] and answer[ours.end() :] == other[theirs.end() :]
