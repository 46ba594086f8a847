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

CAUSES: Final[dict[str, str]] = {
    "backslash_in_path": "a backslash in the path; ids with a backslash cannot be sent",
    "malformed_path": "the path has more segments than the event takes",
    "malformed_encoding": "the percent-encoding is broken, or is not UTF-8",
    "malformed_request": (
        "not HTTP/1.1: raw control characters, unencoded bytes above 127, contradicting lengths"
    ),
    "missing_user": (
        "the user (for a login: source or target) is empty; send `not_defined` for an anonymous user"
    ),
    "user_too_long": "more than 1,024 characters",
    "bad_user": "control characters in the user",
    "bad_itemtype": "not an integer from 1 to the customer's greatest",
    "missing_item": "the item is empty or absent",
    "bad_item": "too long, control characters, or not a number where the customer takes only numbers",
    "too_many_items": "more than 1,000 items in one request",
    "bad_percentage": "not an integer from 0 to 100",
    "bad_rating": "not an integer from 0 to 100, or absent",
    "bad_price": "not of the form `12.45EUR` (`price`: not integer cents), where the customer is strict",
    "bad_currency": "not a currency of ISO 4217, where the customer is strict",
    "bad_quantity": "not an integer from 1 to 1,000,000",
    "bad_number": (
        "not a non-negative integer in its range (`row`, `rank`, `created`, `sent`); not a number "
        "from -100 to 100 (`rate`)"
    ),
    "bad_parameter": "a text that is too long or holds control characters; or more than 1,000 parameters",
    "duplicate_parameter": "one parameter with two values; in JSON, one key twice",
    "bad_timestamp": "`overridetimestamp` is not a valid time (30 February), or lies in the future",
    "missing_signature": "`overridetimestamp` without `signature`",
    "bad_signature": (
        "the signature does not match, the customer has no license key, or accepts only `v2:` signatures"
    ),
    "missing_scenario": "`clickrecommended` without a scenario, where the customer is strict",
    "bad_jsonp": "the callback's name is not `[A-Za-z_$][\\w$.]{0,63}`",
    "bad_body": (
        "a body of another type than the path takes; compression where none is allowed, other than "
        "gzip, or damaged"
    ),
    "bad_json": (
        "not JSON, not an object where one is required, nested too deeply, not UTF-8, `NaN`, or a "
        "number out of range"
    ),
    "unauthorized": (
        "the customer requires HTTP Basic credentials, and they are missing or wrong; or `time_ms` "
        "without them"
    ),
    "forbidden": "the credentials are those of another customer",
    "unknown_path": "there is nothing at this path",
    "unknown_customer": "the customer is not in the customers file (`00000` is not `0`)",
    "unknown_event": "there is no event of this name",
    "method_not_allowed": "other than GET, POST, HEAD, OPTIONS",
    "request_timeout": "the body did not arrive within `UPTAKE_REQUEST_TIMEOUT_MS` (15 s)",
    "body_too_large": "more than `UPTAKE_MAX_BODY_BYTES` (64 KB); batches have limits of their own",
    "too_many_elements": "more than `UPTAKE_MAX_BATCH_ELEMENTS` (5,000) in one body",
    "uri_too_long": "more than `UPTAKE_MAX_URI_BYTES` (8 KB)",
    "headers_too_large": "a header above 8,000 bytes, or more than 64 of them",
    "rate_limited": "over the customer's rate; nothing was recorded. Send it again after `Retry-After`",
    "internal": "an internal error",
    "unavailable": "neither Kafka nor the spool can take the event now, or too many events wait",
    "fate_unknown": "no acknowledgement within `UPTAKE_ACK_TIMEOUT_MS` (10 s)",
}
"""Rejection code -> its cause. It holds nothing of the request, so it may be logged; docs/http-api.md has the same words."""


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
