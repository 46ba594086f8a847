"""Folds what users see and do in experiments into their rows, and counts what this changes in the totals of variants.

docs/experiments.md has the rules, docs/decisions/0023 the reasons.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from events import model
from tables.base.table_spec import Stretch
from tables.ctr.panes import Tally
from tables.fold.fold_ports import Tables
from tables.user import experiments, identity
from tables.user.belonging import CONVERSION_MS, JOIN_MS, CountKey
from tables.user.elements import Impression, Place
from tables.user.experiments import Contribution, ExperimentsState, Participation, UserValues
from tables.user.identity import Transfer

_REVENUE: Final = "revenue"
_SHARES: Final = frozenset({"attributed_clicks", "clicked_calls", "purchases", _REVENUE})
"""The counters that follow from a user's impressions in an experiment."""


def show(
    tables: Tables, key: bytes, event: model.ItemsEvent, shown: Impression, *, is_first_of_call: bool
) -> None:
    """Count an impression in its experiment, and in the declared one that its scenario is a variant of."""
    values = UserValues(shown=len(event.items), calls=int(is_first_of_call))
    parts: dict[str, Participation] = {}
    if shown.experiment and shown.variant:
        parts[shown.experiment] = Participation(shown.variant, shown.time_ms, values)
    contest = _contest(tables, event.customer, shown.scenario)
    if contest is not None and contest not in parts:
        parts[contest] = Participation(shown.scenario, shown.time_ms, values)
    if parts:
        _take_part(tables, key, event.customer, event.user, ExperimentsState(parts, event.received_ms))


def click(tables: Tables, key: bytes, event: model.ClickRecommended) -> None:
    """Note the variant that a click names. The click itself counts where its impression does."""
    if event.experiment and event.variant:
        parts = {event.experiment: Participation(event.variant, event.time_ms)}
        _take_part(tables, key, event.customer, event.user, ExperimentsState(parts, event.received_ms))


def attribute(
    tables: Tables,
    key: bytes,
    customer: str,
    user: str,
    changed: Mapping[CountKey, int | Decimal],
    time_ms: int,
    received_ms: int,
) -> None:
    """Give the changes of a user's counts to the experiments of the impressions that they belong to."""
    shares: dict[str, dict[str, int]] = {}
    revenues: dict[str, dict[str, Decimal]] = {}
    for (counter, place, currency), amount in changed.items():
        if counter not in _SHARES:
            continue
        for experiment in _experiments_of(tables, customer, place):
            of = shares.setdefault(experiment, {})
            if currency is None:
                of[counter] = of.get(counter, 0) + int(amount)
            else:
                money = revenues.setdefault(experiment, {})
                money[currency] = money.get(currency, Decimal(0)) + Decimal(amount)
    parts = {
        experiment: Participation(
            None,
            time_ms,
            UserValues(
                clicks=of.get("attributed_clicks", 0),
                clicked_calls=of.get("clicked_calls", 0),
                purchases=of.get("purchases", 0),
                revenue=revenues.get(experiment, {}),
            ),
        )
        for experiment, of in shares.items()
    }
    if parts:
        _take_part(tables, key, customer, user, ExperimentsState(parts, received_ms))


def log_in(tables: Tables, key: bytes, event: model.Login) -> ExperimentsState | None:
    """Empty the row of a user who logs in. Return what goes to the target, or None."""
    rows = tables.rows[experiments.TABLE]
    state = rows.get(key)
    if state is None:
        return None
    moved, contributions = experiments.leave(state, event.time_ms, event.received_ms)
    rows.put(key, None)
    _count(tables.tally, event.customer, contributions)
    return moved


def receive(tables: Tables, key: bytes, customer: str, moved: ExperimentsState) -> None:
    """Take in what a login moved."""
    rows = tables.rows[experiments.TABLE]
    state, contributions = experiments.take_part(rows.get(key), moved)
    rows.put(key, state)
    _count(tables.tally, customer, contributions)


def _take_part(tables: Tables, key: bytes, customer: str, user: str, part: ExperimentsState) -> None:
    """Add to a user's row. Within 30 min after a login, send it to the target: the page still has the old id, for the same person.

    What follows from an impression of these 30 min follows it there, up to 2 h after the login.
    """
    identities = tables.rows[identity.TABLE]
    known = identities.get(key)
    target = None if known is None else known.target
    if known is None or target is None or not _follows(tables, key, part, known.login_ms):
        receive(tables, key, customer, part)
        return
    state, number = identity.next_number(known)
    identities.put(key, state)
    tables.transfer(
        Transfer(
            customer,
            user,
            target,
            number,
            known.login_ms,
            part.received_ms,
            Stretch(),
            experiments=part,
        )
    )


def _follows(tables: Tables, key: bytes, part: ExperimentsState, login_ms: int) -> bool:
    after_ms = max(each.time_ms for each in part.experiments.values()) - login_ms
    if after_ms <= identity.FOLLOW_MS or any(each.variant is not None for each in part.experiments.values()):
        return 0 <= after_ms <= identity.FOLLOW_MS
    own = tables.rows[experiments.TABLE].get(key)
    is_own = own is not None and not own.experiments.keys().isdisjoint(part.experiments)
    return not is_own and after_ms <= identity.FOLLOW_MS + JOIN_MS + CONVERSION_MS


def _experiments_of(tables: Tables, customer: str, place: Place) -> set[str]:
    found = set() if place.experiment is None else {place.experiment}
    contest = _contest(tables, customer, place.scenario)
    return found if contest is None else found | {contest}


def _contest(tables: Tables, customer: str, scenario: str | None) -> str | None:
    """Return the declared experiment that sets a scenario against others, or None."""
    if not tables.contests or scenario is None:
        return None
    return tables.contests.get(customer, {}).get(scenario)


def _count(tally: Tally, customer: str, contributions: list[Contribution]) -> None:
    for experiment, variant, time_ms, values, times in contributions:
        tally.users.count(
            customer,
            experiment,
            variant,
            time_ms,
            times,
            values.shown,
            values.clicks,
            values.calls,
            values.clicked_calls,
            values.purchases,
            values.revenue,
        )
