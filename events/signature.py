"""Was this import sent by the customer: the md5 signature of the tracker API, as a client makes it and as we check it."""

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import quote

PARAMETER: Final = "signature"
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


def is_valid(after_user: Sequence[str], license_key: str, params: Mapping[str, str], signature: str) -> bool:
    """Return whether ``signature`` fits the request; compared in constant time.

    Both ways of percent-encoding that clients use are taken: RFC 3986 and JavaScript's encodeURIComponent.
    """
    given = signature.encode("utf-8")
    if hmac.compare_digest(sign(after_user, license_key, params).encode("ascii"), given):
        return True
    javascript = _md5(string_to_sign(after_user, license_key, params, safe=_JAVASCRIPT_SAFE))
    return hmac.compare_digest(javascript.encode("ascii"), given)


def _md5(text: str) -> str:
    # The algorithm is the wire format's; what it does not protect is written in docs/http-api.md.
    return hashlib.md5(text.encode("utf-8"), usedforsecurity=False).hexdigest()
