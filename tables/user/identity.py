"""Logins: what one moves from its source to its target, so that nothing is lost or counted twice.

Key: user. Value: as source, the current target, when, and how many transfers were sent; as target, the highest transfer number
applied of each source. Expires: never, except sources beyond 2,000. A repeated login moves the stretch since the last one. A
repeated transfer is recognised by its number and changes nothing.

A transfer travels in the topic ``uptake.transfers``. Transfers of one source to one target arrive in the order of their numbers,
because one partition writes them and one reads them. The rules are in docs/decisions/0004.
"""

from typing import Final, Literal

import msgspec

from events.model import EventBase, Login
from tables.base.table_spec import Stretch, TableSpec
from tables.user.attribution_moves import Moved
from tables.user.experiments import ExperimentsState
from tables.user.items import drop_oldest

TRANSFER_VERSION: Final = 1
FOLLOW_MS: Final = 30 * 60_000
"""For this long after a login, sites still send rate, blacklist and wishlist with the old id."""
MAX_SOURCES: Final = 2_000
"""How many sources a target remembers (about 80 kB). To forget one does no harm: the numbers are only the second guard against a
repeated transfer. The first are the positions, which are part of every flush."""

REPEAT_LOGIN_MS: Final = 3_600_000
"""While a key rotates, the login from the old pseudonym is made once, and repeated after this time. A collector may have written
events under the old key since, because it read the new key late or held events back without Kafka."""


class Transfer(msgspec.Struct, frozen=True, gc=False):
    """What one login moves: a record of ``uptake.transfers`` (tables/transfers.py).

    ``number`` counts the transfers of ``source``, from 1. ``login_ms`` is the event time of the login that sent the transfer here.
    The transfer shares the states of its stretch, so encode it before they change.
    """

    customer: str
    source: str
    target: str
    number: int
    login_ms: int
    received_ms: int
    stretch: Stretch
    attribution: Moved | None = None
    """Impressions, clicks and conversions. They have a route of their own (tables/fold/fold_attribution.py)."""
    v: int = TRANSFER_VERSION
    experiments: ExperimentsState | None = None
    """The user's experiments (tables/fold/fold_experiments.py)."""


class IdentityState(msgspec.Struct, array_like=True, gc=False):
    """A user as source (``target`` is None before the first login) and as target (``sources``: user -> highest number applied)."""

    target: str | None = None
    login_ms: int = 0
    login_received_ms: int = 0
    sent: int = 0
    sources: dict[str, int] = msgspec.field(default_factory=dict)
    junk_logins: int = 0
    previous: str | None = None
    """The pseudonym under the former key, if its login to this one was sent. ``previous_received_ms`` says when, by receipt."""
    previous_received_ms: int = 0


def login(
    state: IdentityState | None, event: Login, stretch: Stretch
) -> tuple[IdentityState, Transfer | None]:
    """Record a login of ``event.user`` and return the transfer that moves its whole stretch. The caller then empties the stretch.

    Return None for the transfer if nothing moves: the user logs in as itself, or the target is junk, which is counted. An empty
    stretch is sent too, so that the target knows its source. A login that is older than the current one, by event time, moves its
    stretch but does not replace the current target.
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
    """Return the login that moves the data of ``event.previous_user`` to ``event.user``, or None if it was made before.

    ``time_ms`` is the time of the login. For a live event it must be before the event's own time. Then, if the event is itself a login,
    its target receives what this login moves (see ``receive``).
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
    """Decide what the target does with a transfer: ``apply`` it, drop the ``repeat``, or send on the one returned.

    A transfer is sent on if this user logged in elsewhere strictly later than the transfer's login. It then has that later time, and
    the next number of this user. So each hop raises the time, and a circle of logins ends. At equal times the transfer stays here,
    where nothing is lost; otherwise it could circle for ever.
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
        experiments=transfer.experiments,
    )


def next_number(state: IdentityState | None) -> tuple[IdentityState, int]:
    """Return the number of the user's next transfer, and count it."""
    if state is None:
        state = IdentityState()
    state.sent += 1
    return state, state.sent


def follows(state: IdentityState | None, event_time_ms: int) -> str | None:
    """Return the target to which a rate, blacklist or wishlist event is forwarded: one within 30 min after the login."""
    if state is None or state.target is None:
        return None
    return state.target if 0 <= event_time_ms - state.login_ms <= FOLLOW_MS else None


def forward(state: IdentityState, event: EventBase, stretch: Stretch) -> tuple[IdentityState, Transfer]:
    """Return the transfer that takes one event to the current target (see ``follows``). ``stretch`` holds only that event."""
    if state.target is None:
        raise ValueError("forward needs a user who has logged in: call follows() first")
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
    memory_per_row=300,
    memory_per_byte=2.5,
)
