"""Pseudonyms: what Kafka and the tables carry in place of raw user ids."""

import hmac
import re
import zlib
from functools import lru_cache
from struct import Struct
from typing import Final

from events.model import NO_PROFILE_USER, EventBase, user_key

_EID_SPREAD: Final = 1_024  # keys of anonymous events with an eid: enough to spread over all partitions
_PSEUDONYM_BYTES: Final = 16  # 128 bits: no two users of a site share one by chance
KEY_ID_PATTERN: Final = "[A-Za-z0-9_-]{1,16}"
PSEUDONYM_PATTERN: Final = rf"{KEY_ID_PATTERN}\.[a-z2-7]{{26}}"
_PSEUDONYM: Final = re.compile(PSEUDONYM_PATTERN)
RECENT_USERS: Final = 32_768
"""Users whose pseudonyms are cached, 10 MB. A visitor sends many events within minutes, and an HMAC takes as long as parsing one."""
_RECENT_CHARS: Final = 64  # longer ids are not cached: 32,768 ids of 4 KB would fill the memory

_ALPHABET: Final = "abcdefghijklmnopqrstuvwxyz234567"
_PAIRS: Final = tuple([high + low for high in _ALPHABET for low in _ALPHABET])  # 10 bits each
_QUANTA: Final = Struct(">IBIBIBB").unpack  # three times 40 bits, and the last 8


def pseudonym(secret: bytes, key_id: str, raw_user: str) -> str:
    """Return ``{key_id}.{26 lower-case base32 letters}``: HMAC-SHA256 under the customer's secret, cut to 128 bits.

    The same secret, key id and raw id give the same pseudonym in every process, so lookups find what the collector wrote. User ids
    are case sensitive and not normalised.
    """
    return (_recent if len(raw_user) <= _RECENT_CHARS else _pseudonym)(secret, key_id, raw_user)


def is_pseudonym(user: str) -> bool:
    """Return whether a user has the form of a pseudonym. A raw id may have it by chance."""
    return _PSEUDONYM.fullmatch(user) is not None


def _pseudonym(secret: bytes, key_id: str, raw_user: str) -> str:
    digest = hmac.digest(secret, raw_user.encode("utf-8"), "sha256")
    return f"{key_id}.{_base32(digest[:_PSEUDONYM_BYTES])}"


_recent: Final = lru_cache(maxsize=RECENT_USERS)(_pseudonym)


def _base32(raw: bytes) -> str:
    """Return the base32 of 128 bits, in lower case without padding. It takes a third of the time of base64.b32encode."""
    a, b, c, d, e, f, last = _QUANTA(raw)
    return "".join(
        [
            _PAIRS[ten_bits]
            for high, low in ((a, b), (c, d), (e, f))
            for ten_bits in (high >> 22, high >> 12 & 1023, high >> 2 & 1023, (high & 3) << 8 | low)
        ]
        + [_PAIRS[last << 2]]
    )


def journal_key(event: EventBase, spread: int) -> bytes:
    """Return the Kafka key of an event in the journal.

    Anonymous events need no order, so ``spread``, a random number from the caller, spreads them over the partitions. With an ``eid``
    the number follows from it, because only the partition of the first attempt can recognise a retry.
    """
    if event.user == NO_PROFILE_USER:
        if event.eid is not None:
            spread = zlib.crc32(event.eid.encode("utf-8", "surrogatepass")) % _EID_SPREAD
        return user_key(event.customer, f"{NO_PROFILE_USER}{spread}")
    return user_key(event.customer, event.user)
