"""Health of a deployment, from the pages for operators of its workers and collectors. One look serves all readers."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import aiohttp

from app.base.clock import Clock
from app.dashboard.health_sums import EventRate, accepted_events, added_up, folded_events
from app.dashboard.upstream import CONNECT_SECONDS, SilentError, ask, json_object

_TIMEOUT: Final = aiohttp.ClientTimeout(total=3.0, connect=CONNECT_SECONDS)
_FRESH_MS: Final = 900


class DeploymentHealth:
    """Asks every worker and collector how it is. ``key`` is the operators' key, which opens their pages off loopback."""

    def __init__(
        self,
        workers: Sequence[str],
        collectors: Sequence[str],
        key: str | None,
        session: aiohttp.ClientSession,
        clock: Clock,
    ) -> None:
        self._workers, self._collectors, self._key = tuple(workers), tuple(collectors), key
        self._session, self._clock = session, clock
        self._folded, self._accepted = EventRate(), EventRate()
        self._looking = asyncio.Lock()
        self._page: dict[str, Any] | None = None

    async def page(self) -> dict[str, Any]:
        """Return the health as it is now, or as it was less than a second ago."""
        async with self._looking:
            if self._page is None or self._clock.now_ms() - self._page["as_of_ms"] >= _FRESH_MS:
                self._page = await self._look()
            return self._page

    async def _look(self) -> dict[str, Any]:
        workers, collectors, counts = await asyncio.gather(
            asyncio.gather(*(self._state(url, "/v1/status") for url in self._workers)),
            asyncio.gather(*(self._state(url, "/health/ready") for url in self._collectors)),
            asyncio.gather(*(self._accepted_by(url) for url in self._collectors)),
        )
        now_ms = self._clock.now_ms()
        folded = {name: count for each in workers for name, count in folded_events(each)}
        accepted = {url: each for url, each in zip(self._collectors, counts, strict=True) if each is not None}
        return {
            "as_of_ms": now_ms,
            "workers": workers,
            "collectors": collectors,
            "events_per_s": self._folded.take(now_ms, folded),
            "accepted_per_s": self._accepted.take(now_ms, accepted),
            **added_up(workers, collectors),
        }

    async def _state(self, url: str, path: str) -> dict[str, Any]:
        """Return the state of one server: whether it is ready, and what it says."""
        try:
            answer = await ask(self._session, url, path, self._key, timeout=_TIMEOUT)
        except SilentError as silent:
            return {"url": url, "ok": False, "status": None, "detail": str(silent)}
        if answer.status == 401:
            detail = "it refuses the operators' key: give the dashboard its UPTAKE_ADMIN_KEY"
            return {"url": url, "ok": False, "status": None, "detail": detail}
        said = json_object(answer.body)
        if "ready" not in said:
            return {"url": url, "ok": False, "status": None, "detail": f"it answers {answer.status}"}
        return {"url": url, "ok": said["ready"] is True, "status": said}

    async def _accepted_by(self, url: str) -> float | None:
        try:
            answer = await ask(self._session, url, "/metrics", self._key, timeout=_TIMEOUT)
        except SilentError:
            return None
        return accepted_events(answer.body) if answer.status == 200 else None
