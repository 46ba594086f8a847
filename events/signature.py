"""Signatures of imports: makes them as a client does, and checks them (docs/customers.md).

The tracker API defines the md5 signature. Our own, which begins with ``v2:``, also covers customer, event and user.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import quote

PARAMETER: Final = "signature"
V2: Final = "v2:"
"""The prefix of a signature of the second kind."""
ABSENT: Final = frozenset(("", "null", "undefined"))
"""Values that mean "not given" everywhere, because JavaScript clients concatenate them."""

_PLAIN: Final = re.compile(r"[A-Za-z0-9_.~-]*")  # most values need no encoding, and quote() is slow
# encodeURIComponent leaves these alone, in addition to the unreserved characters of RFC 3986.
_JAVASCRIPT_SAFE: Final = "!*'()"


def string_to_sign(
    after_user: Sequence[str], license_key: str, params: Mapping[str, str], *, safe: str = ""
) -> str:
    """Return ``itemtype&item&licensekey&name=value&...``, with the given parameters sorted by name.

    ``after_user`` holds the decoded path segments after the user: item type and item, or the target of a login. Each value is
    percent-encoded with upper-case hex; the comma between rendered items stays raw.
    """
    parts = [quote(segment, safe=safe + ",") for segment in after_user]
    parts.append(license_key)
    parts += [
        f"{name}={value if _PLAIN.fullmatch(value) else quote(value, safe=safe)}"
        for name, value in sorted(params.items())
        if name != PARAMETER and value not in ABSENT
    ]
    return "&".join(parts)


def sign(after_user: Sequence[str], license_key: str, params: Mapping[str, str]) -> str:
    """Return the md5 ``signature`` of a request: the lower-case hex md5 of ``string_to_sign``."""
    return _md5(string_to_sign(after_user, license_key, params))


def sign_v2(
    customer: str, event: str, segments: Sequence[str], license_key: str, params: Mapping[str, str]
) -> str:
    """Return ``v2:`` and the lower-case hex HMAC-SHA256, under the license key, of ``customer&event&user&`` + ``string_to_sign``.

    ``event`` is the name in the path as sent, even if it is an alias. ``segments`` are the decoded ones after it, the user first.
    """
    return _hmac(customer, event, segments, license_key, params, "")


def is_valid(
    customer: str,
    event: str,
    segments: Sequence[str],
    license_key: str,
    params: Mapping[str, str],
    signature: str,
) -> bool:
    """Return whether ``signature``, of either kind, fits the request. The comparison takes constant time.

    Clients may percent-encode by RFC 3986 or by JavaScript's encodeURIComponent.
    """
    given = signature.encode("utf-8", "surrogatepass")
    for safe in ("", _JAVASCRIPT_SAFE):
        if signature.startswith(V2):
            right = _hmac(customer, event, segments, license_key, params, safe)
        else:
            right = _md5(string_to_sign(segments[1:], license_key, params, safe=safe))
        if hmac.compare_digest(right.encode("ascii"), given):
            return True
    return False


def _hmac(
    customer: str,
    event: str,
    segments: Sequence[str],
    license_key: str,
    params: Mapping[str, str],
    safe: str,
) -> str:
    who = "".join([f"{quote(part, safe=safe + ',')}&" for part in (customer, event, *segments[:1])])
    text = who + string_to_sign(segments[1:], license_key, params, safe=safe)
    return V2 + hmac.digest(license_key.encode("utf-8"), text.encode("utf-8"), "sha256").hex()


def _md5(text: str) -> str:
    # The wire format requires md5; docs/customers.md says what it does not protect.
    return hashlib.md5(text.encode("utf-8"), usedforsecurity=False).hexdigest()
