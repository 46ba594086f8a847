"""Requests to workers and collectors: the one that answered last is asked first, then the others.

No log line holds the address of a request, because it may hold a user id.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp
import msgspec
from yarl import URL

from app.base.clock import Clock
from app.dashboard.answers import UpstreamError

log = logging.getLogger(__name__)

CONNECT_SECONDS: Final = 1.0
_MAX_BYTES: Final = 64 * 1_048_576
_JSON: Final = "application/json"
_CSV: Final = "text/csv"
_GIVEN_BACK: Final = ("parameter", "partition", "progress", "retry_after_s")
"""Fields of a worker's refusal that the dashboard's answer has, too."""
_HEADERS_GIVEN_BACK: Final = ("Content-Type", "Content-Disposition", "Vary")


class SilentError(Exception):
    """A server did not answer. The message says why, without what was asked."""


@dataclass(frozen=True, slots=True)
class UpstreamAnswer:
    """The answer of a worker or a collector, whatever its status."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


async def ask(
    session: aiohttp.ClientSession,
    url: str,
    path: str,
    key: str | None,
    *,
    accept: str = _JSON,
    timeout: aiohttp.ClientTimeout | None = None,
) -> UpstreamAnswer:
    """Ask one server; raise SilentError if it does not answer. ``path`` is raw, with its query; ``key`` is sent as Bearer."""
    headers = {"Accept": accept} | ({} if key is None else {"Authorization": f"Bearer {key}"})
    try:
        async with session.get(
            URL(url.rstrip("/") + path, encoded=True),
            headers=headers,
            allow_redirects=False,  # a redirect must not carry the key elsewhere
            timeout=timeout or session.timeout,
        ) as response:
            body = bytearray()
            async for piece in response.content.iter_any():
                body += piece
                if len(body) > _MAX_BYTES:
                    raise SilentError(f"its answer has more than {_MAX_BYTES} bytes")
            given = {name: response.headers[name] for name in _HEADERS_GIVEN_BACK if name in response.headers}
            return UpstreamAnswer(response.status, bytes(body), given)
    except (TimeoutError, aiohttp.ClientError, OSError) as error:
        raise SilentError(f"it does not answer ({type(error).__name__})") from None


class Workers:
    """The workers of a deployment. Each of them answers every lookup, so one that answers is enough."""

    def __init__(self, urls: Sequence[str], session: aiohttp.ClientSession, clock: Clock) -> None:
        self._urls, self._session, self._clock = tuple(urls), session, clock
        self._first = 0
        self._silent: set[str] = set()
        self.answered_ms: int | None = None
        """When a worker last answered a lookup with 200. None: never."""

    async def ask(self, path: str, key: str | None, accept: str = _JSON) -> UpstreamAnswer:
        """Return the answer of a lookup; raise UpstreamError if it is refused, or if no worker can answer it now."""
        refused: UpstreamAnswer | None = None
        for turn in range(len(self._urls)):
            place = (self._first + turn) % len(self._urls)
            answer = await self._ask_one(self._urls[place], path, key, accept)
            if answer is None:
                continue
            if answer.status < 500:
                self._first = place
                return self._checked(answer)
            refused = answer
        if refused is None:
            raise UpstreamError(
                503,
                "unavailable",
                "no worker answers; ask again in 1 s",
                {"stale_since_ms": self.answered_ms},
            )
        raise _refusal(refused, self.answered_ms)

    async def _ask_one(self, url: str, path: str, key: str | None, accept: str) -> UpstreamAnswer | None:
        """Return the answer of one worker, None if it does not answer. Each change is logged once."""
        try:
            answer = await ask(self._session, url, path, key, accept=accept)
        except SilentError as silent:
            if url not in self._silent:
                self._silent.add(url)
                log.warning("the worker at %s: %s", url, silent)
            return None
        if url in self._silent:
            self._silent.discard(url)
            log.info("the worker at %s answers again", url)
        return answer

    def _checked(self, answer: UpstreamAnswer) -> UpstreamAnswer:
        """Return an answer if it is one of a worker; another program may listen at the address."""
        kind = answer.headers.get("Content-Type", "")
        is_readable = kind.startswith(_CSV) or (kind.startswith(_JSON) and answer.body.startswith(b"{"))
        if answer.status != 200 or not is_readable:
            raise _refusal(answer, self.answered_ms)
        self.answered_ms = self._clock.now_ms()
        return answer


def _refusal(answer: UpstreamAnswer, answered_ms: int | None) -> UpstreamError:
    """Return a worker's refusal as an answer of the dashboard."""
    said = json_object(answer.body)
    if answer.status == 401:
        return UpstreamError(
            503,
            "unavailable",
            "the workers refuse the customer's API key: give the dashboard their customers file",
            {"stale_since_ms": answered_ms},
        )
    code, sentence = said.get("code"), said.get("sentence")
    if not 400 <= answer.status < 600 or not isinstance(code, str) or not isinstance(sentence, str):
        return UpstreamError(
            503, "unavailable", "a worker gave an answer that cannot be read", {"stale_since_ms": answered_ms}
        )
    more = {name: said[name] for name in _GIVEN_BACK if said.get(name) is not None}
    if answer.status >= 500:
        more["stale_since_ms"] = answered_ms
    return UpstreamError(answer.status, code, sentence, more)


def json_object(body: bytes) -> Mapping[str, Any]:
    """Return a JSON object; an empty one if the body is something else."""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
