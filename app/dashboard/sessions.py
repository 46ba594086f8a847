"""Signed cookies of people who logged in. A session is in its cookie only: the server keeps nothing but the key that signs.

The signature covers the secret of the login as well, so a changed key ends the sessions that were opened with the old one.
"""

import hmac
import secrets
from collections.abc import Callable
from hashlib import sha256
from typing import Final, NamedTuple

from app.base.clock import Clock

SESSION_SECONDS: Final = 12 * 3_600
"""How long a session lasts."""

_KEY_BYTES: Final = 32
_PARTS: Final = 3
_MAX_CHARS: Final = 256
_LONGEST_TIME: Final = 15  # digits of a time in ms


class Session(NamedTuple):
    """Who logged in, and until when."""

    holder: str
    expires_ms: int


class Sessions:
    """Signs and reads the sessions of one scope. ``key`` is random unless it is given, so a restart ends all sessions."""

    def __init__(self, scope: str, clock: Clock, key: bytes | None = None) -> None:
        self._scope, self._clock = scope, clock
        self._key = secrets.token_bytes(_KEY_BYTES) if key is None else key

    def issue(self, holder: str, secret: str) -> str:
        """Return the cookie of a new session. ``secret`` is what the holder proved to know."""
        expires_ms = self._clock.now_ms() + SESSION_SECONDS * 1_000
        return f"{expires_ms}.{self._signature(holder, expires_ms, secret)}.{holder}"

    def read(self, cookie: str | None, secret_of: Callable[[str], str | None]) -> Session | None:
        """Return the session of a cookie; None if it is not ours, is over, or was opened with another secret."""
        parts = (cookie or "")[: _MAX_CHARS + 1].split(".", _PARTS - 1)
        if len(parts) != _PARTS or len(cookie or "") > _MAX_CHARS:
            return None
        expires, signature, holder = parts
        if not (expires.isascii() and expires.isdigit() and len(expires) <= _LONGEST_TIME):
            return None
        secret, expires_ms = secret_of(holder), int(expires)
        expected = self._signature(holder, expires_ms, secret or "")
        is_ours = hmac.compare_digest(signature.encode("utf-8", "surrogateescape"), expected.encode("ascii"))
        if not is_ours or not secret or expires_ms <= self._clock.now_ms():
            return None
        return Session(holder, expires_ms)

    def _signature(self, holder: str, expires_ms: int, secret: str) -> str:
        text = "\0".join((self._scope, holder, str(expires_ms), secret))
        return hmac.new(self._key, text.encode("utf-8", "surrogateescape"), sha256).hexdigest()
