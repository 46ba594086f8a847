"""Rejections of events, and the one list of their codes with HTTP statuses.

A bad event is a value, not an exception: a parser returns a Rejection, and app/collector makes an answer from it.
"""

from dataclasses import dataclass
from typing import Final

_ECHO_CHARS: Final = 80
"""Characters of a wrong value that an answer repeats."""

STATUS: Final[dict[str, int]] = {
    "backslash_in_path": 400,
    "malformed_path": 400,
    "malformed_encoding": 400,
    "missing_user": 400,
    "user_too_long": 400,
    "bad_user": 400,
    "bad_itemtype": 400,
    "missing_item": 400,
    "bad_item": 400,
    "too_many_items": 400,
    "bad_percentage": 400,
    "bad_rating": 400,
    "bad_price": 400,
    "bad_currency": 400,
    "bad_quantity": 400,
    "bad_number": 400,
    "bad_parameter": 400,
    "duplicate_parameter": 400,
    "bad_timestamp": 400,
    "missing_signature": 400,
    "bad_signature": 400,
    "missing_scenario": 400,
    "bad_jsonp": 400,
    "bad_body": 400,
    "bad_json": 400,
    "malformed_request": 400,
    "unauthorized": 401,
    "forbidden": 403,
    "unknown_path": 404,
    "unknown_customer": 404,
    "unknown_event": 404,
    "method_not_allowed": 405,
    "request_timeout": 408,
    "body_too_large": 413,
    "too_many_elements": 413,
    "uri_too_long": 414,
    "headers_too_large": 431,
    "rate_limited": 429,
    "internal": 500,
    "unavailable": 503,
    "fate_unknown": 504,
}
"""Rejection code -> HTTP status."""


PRICE_UNREADABLE: Final = "price_unreadable"
UNREAD_REASONS: Final = (PRICE_UNREADABLE,)
"""Why an event was recorded without one of its values."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """One refused event.

    ``sentence`` is for people: the parameter, the value and what the parameter takes. ``retry_after_s`` is the number of seconds
    that the sender should wait before a retry, if known.
    """

    code: str
    sentence: str
    parameter: str | None = None
    value: str | None = None
    retry_after_s: int | None = None

    @property
    def status(self) -> int:
        """The HTTP status of this rejection."""
        return STATUS[self.code]


class RefusedError(Exception):
    """Carries a Rejection out of nested parsing. The public function that was called catches it."""

    def __init__(
        self, code: str, sentence: str, parameter: str | None = None, value: str | None = None
    ) -> None:
        super().__init__(code)
        self.rejection = Rejection(code, sentence, parameter, None if value is None else value[:_ECHO_CHARS])
