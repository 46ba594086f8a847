"""Verifies signed imports: requests with the time of a past event, ``overridetimestamp`` (docs/http-api.md)."""

from events import signature, tracker_fields
from events.event_time import parse_override
from events.rejections import RefusedError
from events.rules import Rules
from events.target import Target
from events.tracker_parameters import Parameters


def signed_override_ms(target: Target, left: Parameters, rules: Rules, received_ms: int) -> int | None:
    """Return the time of a signed import, or None for a live event. A timestamp without a valid signature is refused."""
    if not left:
        return None
    text, given = left.take("overridetimestamp"), left.take(signature.PARAMETER)
    if text is None:
        return None
    if given is None:
        raise RefusedError(
            "missing_signature", "overridetimestamp is taken only with a signature", signature.PARAMETER
        )
    if target.conflicts:
        raise RefusedError(
            "duplicate_parameter",
            f"a signed request takes each parameter once: {min(target.conflicts)}",
        )
    if not rules.md5_signatures and not given.startswith(signature.V2):
        raise RefusedError(
            "bad_signature",
            f"this customer takes only signatures that begin with {signature.V2}: an HMAC-SHA256, not md5",
            signature.PARAMETER,
            given,
        )
    if rules.license_key is None or not signature.is_valid(
        target.customer, target.event, target.segments, rules.license_key, target.params, given
    ):
        raise RefusedError(
            "bad_signature",
            "signature does not fit the request; it is the md5 of itemtype&item&licensekey&name=value&..., or "
            f"{signature.V2} and the HMAC-SHA256 of customer&event&user& and the same",
            signature.PARAMETER,
            given,
        )
    override_ms = parse_override(text, rules.time_zone)
    if override_ms is None or override_ms > received_ms:
        raise RefusedError(
            "bad_timestamp",
            f"overridetimestamp {tracker_fields.quoted(text)} must be a time that has passed, as in 2012-01-31T11:00:00",
            "overridetimestamp",
            text,
        )
    return override_ms
