"""Results as JSON: what became of one event. Answers to batches and to ``?debug=1`` have them."""

from typing import Any, Final

import msgspec

from app.collector.bots import BotKind
from events.codec import encode
from events.rejections import Rejection
from events.target import DEBUG
from events.tracker import Accepted

_ASKED: Final = f"{DEBUG}=1"
ACCEPTED: Final = {"status": "accepted"}


def is_asked(raw_query: str) -> bool:
    """Return whether a query asks what was recorded."""
    return _ASKED in raw_query and _ASKED in raw_query.split("&")


def accepted_result(outcome: Accepted | None) -> dict[str, Any]:
    """Return the result of an event that is durable, with its record in Kafka; null if there was nothing to record."""
    if outcome is None:
        return {**ACCEPTED, "event": None}
    left_out = [name for name in ("clock_in_seconds",) if outcome.has_ignored_clock]
    left_out += [] if outcome.unread is None else [outcome.unread]
    result = {**ACCEPTED, "event": msgspec.Raw(encode(outcome.event)), "topic": outcome.topic}
    return result | ({"left_out": left_out} if left_out else {})


def bot_result(bot: BotKind) -> dict[str, Any]:
    """Return the result of an event that was only counted, because no person sent it."""
    return {**ACCEPTED, "event": None, "bot": bot}


def rejected_result(rejection: Rejection, *, has_eid: bool) -> dict[str, Any]:
    """Return the result of an event that is not known to be durable. ``retry``: it may be sent again as it is."""
    told: dict[str, Any] = {
        "status": "rejected",
        "code": rejection.code,
        "reason": rejection.sentence,
        "retry": rejection.code in ("unavailable", "rate_limited")
        or (rejection.code == "fate_unknown" and has_eid),
    }
    if rejection.parameter is not None:
        told["parameter"] = rejection.parameter
    return told
