"""Was this import sent by the customer: the signatures of an import, as a client makes them and as we check them.

The md5 is the tracker API's; ``v2:`` is ours, and covers customer, event and user too.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import quote

PARAMETER: Final = "signature"
V2: Final = "v2:"
"""What a signature of the second kind begins with."""
ABSENT: Final = frozenset(("", "null", "undefined"))
"""Values that mean "not given" everywhere: JavaScript clients concatenate them."""

_PLAIN: Final = re.compile(r"[A-Za-z0-9_.~-]*")  # most values: nothing to encode, and quote() takes its time
_JAVASCRIPT_SAFE: Final = (
    "!*'()"  # what encodeURIComponent leaves alone, beside the unreserved characters of RFC 3986
)


def string_to_sign(
    after_user: Sequence[str], license_key: str, params: Mapping[str, str], *, safe: str = ""
) -> str:
    """Return ``itemtype&item&licensekey&name=value&...``, the parameters sorted by name, absent ones left out.

    ``after_user`` holds the path segments after the user, decoded: item type and item (for a login: the target). Each value
    is percent-encoded with upper-case hex; the comma between rendered items stays raw.
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
    """Return the ``signature`` of a request: lower-case hex md5 of ``string_to_sign``."""
    return _md5(string_to_sign(after_user, license_key, params))


def sign_v2(
    customer: str, event: str, segments: Sequence[str], license_key: str, params: Mapping[str, str]
) -> str:
    """Return ``v2:`` and the lower-case hex HMAC-SHA256, under the license key, of ``customer&event&user&`` + ``string_to_sign``.

    ``event`` is the name in the path, an alias as it was sent; ``segments`` are those after it, decoded: the user first.
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
    """Return whether ``signature``, of either kind, fits the request; compared in constant time.

    Both ways of percent-encoding that clients use are taken: RFC 3986 and JavaScript's encodeURIComponent.
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
    # The algorithm is the wire format's; what it does not protect is written in docs/customers.md.
    return hashlib.md5(text.encode("utf-8"), usedforsecurity=False).hexdigest()
