"""A user's experiments: which variant the user saw, and what the user did since.

Key: user. Value: experiment -> variant, or that there were several, and sums of what the user was shown and did. Expires: beyond 20
experiments those longest untouched; the row 400 days after its last event was received. A repeated event counts again; the table
``seen`` stops it before. A login takes the row to its target, so a person counts once.

Each transition returns contributions: what leaves and what enters the totals of variants (docs/decisions/0023).
"""

from decimal import Decimal
from typing import Annotated, Final, NamedTuple

import msgspec

from events.model import Currency, Millis, Word
from events.money import EXACT
from events.topics import DAY_MS
from tables.base.table_spec import TableSpec

_MAX_EXPERIMENTS: Final = 20
_MAX_CURRENCIES: Final = 8
_MOST: Final = 1_000_000
"""Of each number of a user. No person has more, and the squares of such numbers can be summed over millions of users."""
_MOST_REVENUE: Final = Decimal(10) ** 15
_KEEP_MS: Final = 400 * DAY_MS

_Sum = Annotated[int, msgspec.Meta(ge=-_MOST, le=_MOST)]


class UserValues(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What a user was shown and did in an experiment. ``clicks`` are attributed ones, and purchases follow from them."""

    shown: _Sum = 0
    clicks: _Sum = 0
    calls: _Sum = 0
    clicked_calls: _Sum = 0
    purchases: _Sum = 0
    revenue: Annotated[dict[Currency, Decimal], msgspec.Meta(max_length=_MAX_CURRENCIES)] = msgspec.field(
        default_factory=dict
    )


class Participation(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A user in one experiment. ``time_ms`` is when it last changed; it never goes back.

    ``variant`` None: none was seen yet, so the user is not counted. ``saw_several``: the user belongs to no variant any more.
    """

    variant: Word | None = None
    time_ms: Millis = 0
    values: UserValues = UserValues()
    saw_several: bool = False


class ExperimentsState(msgspec.Struct, array_like=True, gc=False):
    """A user's experiments by name, the longest untouched first."""

    experiments: Annotated[dict[Word, Participation], msgspec.Meta(max_length=_MAX_EXPERIMENTS)] = (
        msgspec.field(default_factory=dict)
    )
    received_ms: Millis = 0


class Contribution(NamedTuple):
    """What one user adds (``times`` 1) to the totals of a variant at a time, or takes back (-1). Variant None: of users of several."""

    experiment: str
    variant: str | None
    time_ms: int
    values: UserValues
    times: int


def take_part(
    state: ExperimentsState | None, moved: ExperimentsState
) -> tuple[ExperimentsState, list[Contribution]]:
    """Add what a user saw and did, or what a login moved here.

    A change is at the latest time that the user had in the experiment. So the totals up to any time are those of users as they
    were at some point of the log.
    """
    if state is None:
        state = ExperimentsState()
    contributions: list[Contribution] = []
    known = state.experiments
    for experiment, new in moved.experiments.items():
        before = known.pop(experiment, None)
        after = known[experiment] = _joined(before or Participation(), new)
        if before is not None:
            _contribute(contributions, experiment, before, after.time_ms, -1)
        _contribute(contributions, experiment, after, after.time_ms, 1)
    while len(known) > _MAX_EXPERIMENTS:
        del known[next(iter(known))]
    state.received_ms = max(state.received_ms, moved.received_ms)
    return state, contributions


def leave(
    state: ExperimentsState, login_ms: int, received_ms: int
) -> tuple[ExperimentsState, list[Contribution]]:
    """Return what a login at ``login_ms`` takes to its target, and what the user takes back here."""
    moved: dict[str, Participation] = {}
    contributions: list[Contribution] = []
    for experiment, part in state.experiments.items():
        time_ms = max(part.time_ms, login_ms)
        moved[experiment] = msgspec.structs.replace(part, time_ms=time_ms)
        _contribute(contributions, experiment, part, time_ms, -1)
    return ExperimentsState(moved, max(state.received_ms, received_ms)), contributions


def _joined(known: Participation, new: Participation) -> Participation:
    saw_several = known.saw_several or new.saw_several
    if known.variant is not None and new.variant is not None and known.variant != new.variant:
        saw_several = True
    return Participation(
        known.variant if known.variant is not None else new.variant,
        max(known.time_ms, new.time_ms),
        UserValues() if saw_several else _plus(known.values, new.values),
        saw_several,
    )


def _plus(a: UserValues, b: UserValues) -> UserValues:
    revenue = a.revenue
    if b.revenue:
        revenue = dict(revenue)
        for currency, amount in b.revenue.items():
            if currency in revenue or len(revenue) < _MAX_CURRENCIES:
                earned = EXACT.add(revenue.get(currency, Decimal(0)), amount)
                revenue[currency] = max(-_MOST_REVENUE, min(_MOST_REVENUE, earned))
    return UserValues(
        _bounded(a.shown + b.shown),
        _bounded(a.clicks + b.clicks),
        _bounded(a.calls + b.calls),
        _bounded(a.clicked_calls + b.clicked_calls),
        _bounded(a.purchases + b.purchases),
        revenue,
    )


def _bounded(number: int) -> int:
    return max(-_MOST, min(_MOST, number))


def _contribute(
    contributions: list[Contribution], experiment: str, part: Participation, time_ms: int, times: int
) -> None:
    if part.saw_several:
        contributions.append(Contribution(experiment, None, time_ms, UserValues(), times))
    elif part.variant is not None:
        contributions.append(Contribution(experiment, part.variant, time_ms, part.values, times))


TABLE: Final = TableSpec(
    "experiments",
    ExperimentsState,
    key="user",
    value="experiment -> variant, or that several were seen; sums of what was shown, clicked, called, and bought, revenue per currency",
    expiry="beyond 20 experiments those longest untouched; after 400 days",
    has_expired=lambda _key, state, now_ms: now_ms - state.received_ms > _KEEP_MS,
)
