"""Marks answers that may lack the newest events: the field ``stale_ms`` of the body, and a header."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from app.lookup.service import LookupService, TooStaleError
from app.lookup.user_view import UserView

STALE_HEADER: Final = "Uptake-Stale-Ms"


def marked(answer: Mapping[str, Any], stale_ms: int | None) -> dict[str, Any]:
    """Return an answer with its ``stale_ms``, if it has one. An older mark of the answer stays."""
    oldest_ms = oldest((answer.get("stale_ms"), stale_ms))
    return {**answer} if oldest_ms is None else {**answer, "stale_ms": oldest_ms}


def stale_headers(answer: Mapping[str, Any]) -> dict[str, str]:
    """Return the header of an answer that is marked; none for a fresh one."""
    stale_ms = answer.get("stale_ms")
    return {} if stale_ms is None else {STALE_HEADER: str(stale_ms)}


def oldest(stale_ms: Iterable[int | None]) -> int | None:
    """Return the mark of an answer that is made of parts with these marks."""
    return max((each for each in stale_ms if each is not None), default=None)


def refuse_stale(stale_ms: int | None, max_stale_ms: int | None, partition: int | None = None) -> None:
    """Raise TooStaleError if the client allows less than ``stale_ms``. Without ``max_stale_ms`` it allows any."""
    if stale_ms is not None and max_stale_ms is not None and stale_ms > max_stale_ms:
        raise TooStaleError(stale_ms, max_stale_ms, partition)


def owned_view(service: LookupService, partition: int, key: bytes, max_stale_ms: int | None) -> UserView:
    """Return the user's states from a local partition; raise UnavailableError if it cannot answer, or not as fresh as allowed."""
    view = service.user_view(partition, key)
    refuse_stale(view.stale_ms, max_stale_ms, partition)
    return view
