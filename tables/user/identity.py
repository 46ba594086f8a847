"""Who turned out to be whom: what a login moves from one user to another, so that nothing is lost or counted twice.

Key: user. Value: as source the current target, when, and how many transfers were sent; as target the highest transfer number applied
of each source. Expires: never, but for sources beyond 2,000 (below). A repeated login moves what came since the last one; a repeated
transfer is known by its number and changes nothing. The rules are SEMANTICS "Login"; a transfer travels in topic ``uptake.transfers``.

Transfers of one source to one target arrive in the order of their numbers: one partition writes them, one reads them.
"""

from typing import Final, Literal

import msgspec

from events.model import EventBase, Login
from tables.base.table_spec import Stretch, TableSpec
from tables.user.items import drop_oldest

TRANSFER_VERSION: Final = 1
FOLLOW_MS: Final = 30 * 60_000
"""Sites go on sending rate, blacklist and wishlist with the old id for this long after a login."""
MAX_SOURCES: Final = 2_000
"""Sources a target remembers (about 80 kB). A forgotten one does no harm: the positions in the flush already keep a transfer
from being read twice, the numbers are the second guard."""

REPEAT_LOGIN_MS: Final = 3_600_000
"""While a key rotates, the login from the old pseudonym is made once, and again after this: a collector that read the new key late, or
held events back while Kafka was away, wrote some under the old one."""


class Transfer(msgspec.Struct, frozen=True, gc=False):
    """What one login moves: a record of ``uptake.transfers`` (tables/transfers.py).

    ``number`` counts the transfers of ``source``, from 1. ``login_ms`` is the event time of the login that sent it here.
    The stretch belongs to the transfer: encode it before those states are touched again.
    """

    customer: str
    source: str
    target: str
    number: int
    login_ms: int
    received_ms: int
    stretch: Stretch
    v: int = TRANSFER_VERSION


class IdentityState(msgspec.Struct, array_like=True, gc=False):
    """A user as source (``target`` None: never logged in) and as target (``sources``: user -> highest number applied)."""

    target: str | None = None
    login_ms: int = 0
    login_received_ms: int = 0
    sent: int = 0
    sources: dict[str, int] = msgspec.field(default_factory=dict)
    junk_logins: int = 0
    previous: str | None = None
    """The pseudonym under the former key whose login to this one was sent, and when, by receipt."""
    previous_received_ms: int = 0


def login(
    state: IdentityState | None, event: Login, stretch: Stretch
) -> tuple[IdentityState, Transfer | None]:
    """Record a login of ``event.user`` and return the transfer that moves all of its stretch, which the caller then empties.

    None when nothing moves: the user logs in as itself, or the target is junk (counted). An empty stretch is sent too, so that the
    target knows its source. A login older than the current one (by event time) moves its stretch, but the current target stays.
    """
    if state is None:
        state = IdentityState()
    if event.is_junk_target:
        state.junk_logins += 1
        return state, None
    if event.target == event.user:
        return state, None
    if state.target is None or event.time_ms >= state.login_ms:
        state.target = event.target
        state.login_ms = event.time_ms
        state.login_received_ms = event.received_ms
    state.sent += 1
    return state, Transfer(
        event.customer, event.user, event.target, state.sent, event.time_ms, event.received_ms, stretch
    )


def rotate(
    state: IdentityState | None, event: EventBase, time_ms: int
) -> tuple[IdentityState, Login] | tuple[None, None]:
    """Return the login that takes what is known under ``event.previous_user`` to ``event.user``; None when it was made before.

    ``time_ms`` is the login's. For a live event it lies before the event's own, so that a login of that very event passes on what
    arrives by this one (see ``receive``).
    """
    previous = event.previous_user
    if previous is None or previous == event.user:
        return None, None
    if state is None:
        state = IdentityState()
    is_made = state.previous == previous
    if is_made and event.received_ms - state.previous_received_ms < REPEAT_LOGIN_MS:
        return None, None
    state.previous, state.previous_received_ms = previous, event.received_ms
    login = Login(
        customer=event.customer,
        user=previous,
        target=event.user,
        time_ms=max(1, time_ms),
        received_ms=event.received_ms,
    )
    return state, login


def receive(
    state: IdentityState | None, transfer: Transfer
) -> tuple[IdentityState, Literal["apply", "repeat"] | Transfer]:
    """Decide what the target does with a transfer: ``apply`` it (see ``absorb``), drop the ``repeat``, or send on what is returned.

    It is sent on when this user has logged in elsewhere since, that is strictly later than the transfer's login, and then with that
    later time and this user's own next number. Each hop thus raises the time, and a circle ends. At a tie it stays here: sending on
    at equal times could go round for ever, and staying loses nothing.
    """
    if state is None:
        state = IdentityState()
    sources = state.sources
    applied = sources.pop(transfer.source, 0)
    sources[transfer.source] = max(applied, transfer.number)
    if transfer.number <= applied:
        return state, "repeat"
    drop_oldest(sources, MAX_SOURCES)
    if state.target is None or state.login_ms <= transfer.login_ms:
        return state, "apply"
    state.sent += 1
    return state, Transfer(
        transfer.customer,
        transfer.target,
        state.target,
        state.sent,
        state.login_ms,
        max(transfer.received_ms, state.login_received_ms),
        transfer.stretch,
    )


def follows(state: IdentityState | None, event_time_ms: int) -> str | None:
    """Return the target to which a rate, blacklist or wishlist event of this time goes on: within 30 min after the login."""
    if state is None or state.target is None:
        return None
    return state.target if 0 <= event_time_ms - state.login_ms <= FOLLOW_MS else None


def forward(state: IdentityState, event: EventBase, stretch: Stretch) -> tuple[IdentityState, Transfer]:
    """Return the transfer that takes one event, folded alone into ``stretch``, on to the current target (see ``follows``)."""
    if state.target is None:
        raise ValueError("forward needs a user that has logged in: ask follows() first")
    state.sent += 1
    return state, Transfer(
        event.customer, event.user, state.target, state.sent, state.login_ms, event.received_ms, stretch
    )


TABLE: Final = TableSpec(
    "identity",
    IdentityState,
    key="user",
    value="as source: target and transfers sent; as target: the highest number applied of each source; see below",
    expiry="sources beyond 2,000",
)
