"""Access to the pages for operators: open on loopback, elsewhere only for senders of the operators' key."""

import hmac
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final, Self

from aiohttp import web

from app.base.settings import LOOPBACK, Settings
from events.rejections import Rejection

BEARER: Final = 'Bearer realm="uptake"'
"""``WWW-Authenticate`` of a 401 that asks for a key."""

_NO_KEY: Final = Rejection(
    "unauthorized", "this page needs the key of UPTAKE_ADMIN_KEY: send Authorization: Bearer <key>"
)


def is_same_secret(given: str, secret: str | None) -> bool:
    """Return whether a secret is the right one. The time that it takes does not depend on either; no secret fits None."""
    digests = (sha256(text.encode("utf-8", "surrogatepass")).digest() for text in (given, secret or ""))
    return hmac.compare_digest(*digests) and bool(secret)


def has_key(request: web.BaseRequest, key: str | None) -> bool:
    """Return whether a request carries a key as Bearer. No key fits None."""
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    return is_same_secret(given, key) and scheme.lower() == "bearer"


@dataclass(frozen=True, slots=True)
class Operators:
    """The rule of one server. Off loopback without a key, the pages are closed."""

    is_private: bool
    key: str | None = field(default=None, repr=False)

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the rule of a server with these settings."""
        return cls(settings.host in LOOPBACK, settings.admin_key or None)

    def may_read(self, request: web.BaseRequest) -> bool:
        """Return whether the sender of a request may read the pages for operators."""
        return self.is_private or has_key(request, self.key)

    def refusal(self, request: web.BaseRequest) -> Rejection | None:
        """Return why the sender may not read a page; None if the sender may."""
        return None if self.may_read(request) else _NO_KEY
