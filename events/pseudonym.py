"""Who is it, without saying who: how a raw user id becomes the pseudonym that Kafka and the tables carry."""

import base64
import hmac
import zlib

from events.model import NO_PROFILE_USER, EventBase, user_key

EID_SPREAD = 1_024  # keys of nobody's events that carry an eid: enough to spread over all partitions
PSEUDONYM_BYTES = 16  # 128 bits: no two users of any site meet by chance


def pseudonym(secret: bytes, key_id: str, raw_user: str) -> str:
    """Return ``{key_id}.{26 lower-case base32 letters}``: HMAC-SHA256 under the customer's secret, cut to 128 bits.

    The same secret, key id and raw id give the same pseudonym in every process: the collector writes with it, lookups read
    with it. User ids are case sensitive and not normalised.
    """
    digest = hmac.digest(secret, raw_user.encode("utf-8"), "sha256")
    return f"{key_id}.{base64.b32encode(digest[:PSEUDONYM_BYTES]).decode('ascii').rstrip('=').lower()}"


def journal_key(event: EventBase, spread: int) -> bytes:
    """Return the Kafka key under which an event enters the journal.

    Events of nobody have no order to keep, so they are spread: ``spread`` is a random partition number, drawn by the caller. One
    with an ``eid`` goes where it went the first time: only that partition knows that it came before.
    """
    if event.user == NO_PROFILE_USER:
        if event.eid is not None:
            spread = zlib.crc32(event.eid.encode("utf-8", "surrogatepass")) % EID_SPREAD
        return user_key(event.customer, f"{NO_PROFILE_USER}{spread}")
    return user_key(event.customer, event.user)
