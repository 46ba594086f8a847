"""Experiments count each user once, whatever the order of users, repeats, restarts and logins."""

import asyncio
import random
from collections import defaultdict
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from events.model import NO_PROFILE_USER
from events.topics import JOURNAL, PARTIALS
from tables.ctr.panes import Counts, add
from tables.ctr.user_totals import UserTotals, sum_of
from tables.ctr.window_keys import EXPERIMENT, WindowKey, experiment_of
from tables.declare import BY_NAME
from tests.support import experiment_oracle
from tests.support.builders import (
    CUSTOMER,
    HOUR_MS,
    MINUTE_MS,
    NOW_MS,
    OTHER_USER,
    a_buy,
    a_clickrecommended,
    a_login,
    a_recommended,
    a_rendered,
    a_served_list,
)
from tests.support.overlays import Cluster, SpiedOverlay, drained_panes, fold_all
from tests.support.partitions import World, fold_records
from tests.support.user_totals import of_user

Totals = dict[tuple[str, str | None], UserTotals]
BEGIN_MS = NOW_MS - 3 * HOUR_MS  # the broker has the records at NOW_MS, and no event is later
IN_A: dict[str, Any] = {"experiment": "list", "variant": "A"}
IN_B: dict[str, Any] = {"experiment": "list", "variant": "B"}


def totals_of(*overlays: SpiedOverlay, into: Totals | None = None) -> Totals:
    """Return (experiment, variant) -> totals of what the overlays tallied since the last call, added to ``into``."""
    found = {} if into is None else into
    for overlay in overlays:
        for tally in (overlay.tally, overlay.history_tally):
            for key, pane in tally.drain(lambda _: None, NOW_MS).items():
                if key.dimension == EXPERIMENT:
                    _add(found, key, pane.counts)
    return {place: totals for place, totals in found.items() if totals != UserTotals()}


def _add(found: Totals, key: WindowKey, counts: Counts) -> None:
    place = (experiment_of(key.scenario) or "", key.variant)
    found[place] = sum_of(found.get(place), counts.user_totals) or UserTotals()


def plain(totals: Totals) -> dict[tuple[str, str | None], dict[str, Any]]:
    """Return totals in the form of the oracle."""
    found = {}
    for place, each in totals.items():
        fields = msgspec.structs.asdict(each)
        fields["revenue"] = {
            currency: msgspec.structs.astuple(money) for currency, money in each.revenue.items()
        }
        found[place] = {name: value for name, value in fields.items() if value}
    return found


# --- one user -------------------------------------------------------------------------------------------------------------------------


def test_user_has_what_it_was_shown_and_what_followed() -> None:
    overlay = SpiedOverlay()
    fold_all(
        overlay,
        a_rendered(request_id="r", **IN_A),
        a_rendered(request_id="r", items=("3",), **IN_A),
        a_clickrecommended(item="1", request_id="r", time_ms=NOW_MS + 1),
        a_clickrecommended(item="1", request_id="r", time_ms=NOW_MS + 2),
        a_buy(item="1", time_ms=NOW_MS + 3),
    )
    assert totals_of(overlay) == {
        ("list", "A"): of_user(3, 1, 1, 1, 1, {"EUR": Decimal("19.99")}),
    }


def test_event_without_experiment_or_variant_or_profile_is_in_none() -> None:
    overlay = SpiedOverlay()
    fold_all(
        overlay,
        a_rendered(),
        a_rendered(experiment="list"),
        a_rendered(variant="A"),
        a_rendered(user=NO_PROFILE_USER, **IN_A),
        a_clickrecommended(item="1", time_ms=NOW_MS + 1),
    )
    assert totals_of(overlay) == {}
    assert "experiments" not in overlay.changed_tables()


def test_user_who_clicked_in_another_variant_saw_several() -> None:
    overlay = SpiedOverlay()
    fold_all(overlay, a_rendered(**IN_A), a_clickrecommended(item="1", time_ms=NOW_MS + 1, **IN_B))
    assert totals_of(overlay) == {("list", None): UserTotals(1)}


def test_click_that_names_no_variant_counts_in_that_of_its_impression() -> None:
    overlay = SpiedOverlay()
    fold_all(overlay, a_rendered(**IN_B), a_clickrecommended(item="2", time_ms=NOW_MS + 1))
    assert totals_of(overlay) == {("list", "B"): of_user(2, 1, 0, 0, 0, {})}


def test_impression_without_a_scenario_takes_the_experiment_that_the_back_end_served() -> None:
    overlay = SpiedOverlay()
    served = a_recommended(lists=(a_served_list(variant="B"),), experiment="list")
    fold_all(overlay, served, a_rendered(scenario=None, request_id="r1", time_ms=NOW_MS + 1))
    assert totals_of(overlay) == {("list", "B"): of_user(2, 0, 1, 0, 0, {})}


def test_scenarios_of_a_declared_experiment_are_its_variants() -> None:
    overlay = SpiedOverlay(contests={CUSTOMER: {"home": "homes", "new_home": "homes"}})
    fold_all(
        overlay,
        a_rendered(scenario="new_home"),
        a_clickrecommended(item="1", scenario="mail", time_ms=NOW_MS + 1),
        a_rendered(scenario="mail", time_ms=NOW_MS + 2),
        a_rendered(user=OTHER_USER, scenario="home", **IN_A),
    )
    for lane in (overlay.live, overlay.history):
        assert lane.contests is overlay.contests
    assert totals_of(overlay) == {
        ("homes", "new_home"): of_user(2, 1, 0, 0, 0, {}),
        ("homes", "home"): of_user(2, 0, 0, 0, 0, {}),
        ("list", "A"): of_user(2, 0, 0, 0, 0, {}),
    }


# --- many users, without logins -------------------------------------------------------------------------------------------------------


def visit(chooser: random.Random, user: str) -> list[Any]:
    """Draw what a user sees and does within 40 minutes, in log order; some events come late, and some say nothing of experiments."""
    events: list[Any] = []
    assigned = {name: chooser.choice("AB") for name in ("list", "price")}
    time_ms = BEGIN_MS
    for _ in range(chooser.randint(1, 14)):
        time_ms += chooser.randint(0, 4 * MINUTE_MS)
        late_ms = chooser.choice((0, 0, 0, 5 * MINUTE_MS))
        base = {"user": user, "time_ms": time_ms - late_ms, "received_ms": time_ms}
        name = chooser.choice(("list", "list", "price", None))
        said = {} if name is None else {"experiment": name, "variant": assigned[name]}
        if name is not None and chooser.random() < 0.03:
            said["variant"] = "C"
        request_id = chooser.choice((None, "r", "s"))
        kind = chooser.random()
        if kind < 0.5:
            items = tuple(chooser.sample("1234", chooser.randint(1, 3)))
            scenario = chooser.choice(("home", "mail"))
            events.append(a_rendered(items=items, scenario=scenario, request_id=request_id, **said, **base))
        elif kind < 0.8:
            said = said if chooser.random() < 0.5 else {}
            events.append(
                a_clickrecommended(item=chooser.choice("1234"), request_id=request_id, **said, **base)
            )
        else:
            price = chooser.choice((None, Decimal("19.99"), Decimal("0.10")))
            events.append(
                a_buy(item=chooser.choice("1234"), price=price, quantity=chooser.choice((1, 3)), **base)
            )
    return events


def mixed(chooser: random.Random, logs: list[list[Any]]) -> list[Any]:
    """Return all events in an order that keeps that of each user."""
    waiting = [list(log) for log in logs if log]
    events = []
    while waiting:
        log = chooser.choice(waiting)
        events.append(log.pop(0))
        waiting = [each for each in waiting if each]
    return events


def day_windows(world: World, partition: Any) -> Totals:
    disk = world.kill(partition)
    found: Totals = {}
    for raw_key, raw in disk.tables.get("windows", {}).items():
        key = WindowKey.decode(raw_key)
        if (key.dimension, key.granularity) == (EXPERIMENT, "day"):
            _add(found, key, BY_NAME["windows"].decode(raw).counts)
    return {place: totals for place, totals in found.items() if totals != UserTotals()}


async def windows_after(events: list[Any], chooser: random.Random) -> Totals:
    """Fold with flushes, crashes and repeated events between; return what the day windows hold in the end."""
    world = World()
    numbered = [msgspec.structs.replace(event, eid=f"e{number}") for number, event in enumerate(events)]
    sent = list(numbered)
    for event in chooser.sample(numbered, len(numbered) // 3):
        sent.insert(chooser.randint(sent.index(event) + 1, len(sent)), event)
    world.produce(JOURNAL, *sent)
    partition = world.open()

    async def fold(topic: str, most: int) -> int:
        unread = world.logs.read(topic, 0, partition.positions.get(topic, 0))[:most]
        await fold_records(partition, topic, unread)
        return len(unread)

    while True:
        folded = await fold(JOURNAL, chooser.randint(1, 20)) + await fold(PARTIALS, 5)
        if chooser.random() < 0.2:
            partition = world.open(disk=world.kill(partition))  # what was not flushed is folded again
            continue
        if chooser.random() < 0.5 or not folded:
            assert await partition.flush()
        if not folded and not world.logs.read(PARTIALS, 0, partition.positions.get(PARTIALS, 0)):
            break
    found = day_windows(world, partition)
    world.end()
    return found


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_windows_have_the_totals_of_an_independent_fold(seed: int) -> None:
    chooser = random.Random(seed)
    logs = [visit(chooser, f"k1.{letter * 26}") for letter in "abcdef"]
    events = mixed(chooser, logs)
    expected = experiment_oracle.totals_of(events)
    assert plain(asyncio.run(windows_after(events, chooser))) == expected
    assert plain(asyncio.run(windows_after(mixed(chooser, logs), chooser))) == expected


def test_independent_fold_has_everything_in_it() -> None:
    chooser, seen = random.Random(1), set[str]()
    for number in range(300):
        for (_, variant), totals in experiment_oracle.totals_of(visit(chooser, str(number))).items():
            seen |= {f"variant {variant}", *totals}
    assert seen == {"variant A", "variant B", "variant C", "variant None", *UserTotals.__struct_fields__}


# --- logins ---------------------------------------------------------------------------------------------------------------------------


def settled(*events: Any, partitions: int = 2) -> Totals:
    cluster = Cluster(partitions)
    for event in events:
        cluster.fold(event)
    cluster.settle()
    return totals_of(*cluster.overlays)


def test_visitor_and_account_are_one_user_after_the_login() -> None:
    assert settled(
        a_rendered(**IN_A),
        a_clickrecommended(item="1", time_ms=NOW_MS + 1),
        a_rendered(user=OTHER_USER, **IN_A),
        a_login(time_ms=NOW_MS + 2),
        a_buy(user=OTHER_USER, item="1", time_ms=NOW_MS + 3),
    ) == {("list", "A"): of_user(4, 1, 0, 0, 1, {"EUR": Decimal("19.99")})}


def test_visitor_and_account_who_saw_different_variants_saw_several() -> None:
    assert settled(a_rendered(**IN_A), a_rendered(user=OTHER_USER, **IN_B), a_login(time_ms=NOW_MS + 2)) == {
        ("list", None): UserTotals(1)
    }


def test_page_under_the_old_id_after_a_login_counts_for_the_account() -> None:
    assert settled(
        a_rendered(**IN_A),
        a_login(time_ms=NOW_MS + 1),
        a_rendered(items=("7",), time_ms=NOW_MS + 2, **IN_A),
        a_clickrecommended(item="7", time_ms=NOW_MS + 3),
    ) == {("list", "A"): of_user(3, 1, 0, 0, 0, {})}


def test_what_follows_from_such_a_page_counts_for_the_account_too() -> None:
    assert settled(
        a_rendered(**IN_A),
        a_login(time_ms=NOW_MS + 1),
        a_rendered(items=("7",), time_ms=NOW_MS + 20 * MINUTE_MS, **IN_A),
        a_clickrecommended(item="7", time_ms=NOW_MS + 45 * MINUTE_MS),
        a_buy(item="7", time_ms=NOW_MS + 100 * MINUTE_MS),
    ) == {("list", "A"): of_user(3, 1, 0, 0, 1, {"EUR": Decimal("19.99")})}


def test_old_id_half_an_hour_after_a_login_is_a_user_of_its_own_until_it_logs_in_again() -> None:
    events = [
        a_rendered(**IN_A),
        a_login(time_ms=NOW_MS + 1),
        a_rendered(time_ms=NOW_MS + 31 * MINUTE_MS, **IN_A),
    ]
    one = of_user(2, 0, 0, 0, 0, {})
    assert settled(*events) == {("list", "A"): sum_of(one, one)}
    assert settled(*events, a_login(time_ms=NOW_MS + 40 * MINUTE_MS)) == {
        ("list", "A"): of_user(4, 0, 0, 0, 0, {})
    }


def test_login_moves_on_with_a_later_login_of_its_target() -> None:
    third = f"k1.{'c' * 26}"
    assert settled(
        a_login(user=OTHER_USER, target=third, time_ms=NOW_MS + 9),
        a_rendered(**IN_A),
        a_login(time_ms=NOW_MS + 1),
        a_rendered(user=third, **IN_A),
        partitions=4,
    ) == {("list", "A"): of_user(4, 0, 0, 0, 0, {})}


# In the last five, what a login changes follows it in a transfer of its own: it must not arrive before that of the login.
@pytest.mark.parametrize("seed", [*range(15), 30, 47, 57, 73, 92])
def test_totals_are_those_of_the_rows_whatever_logs_in(seed: int) -> None:
    """No user is counted twice or left behind: the deltas of all partitions sum to the rows that are left, with all that they have."""
    chooser = random.Random(seed)
    users = [f"k1.{letter * 26}" for letter in "abcd"]
    cluster = Cluster(chooser.choice((1, 2, 4)))
    found: Totals = {}
    logs = [visit(chooser, user) for user in users]
    for log, user in zip(logs, users, strict=True):
        for _ in range(2):
            at = chooser.randint(0, len(log))
            time_ms = BEGIN_MS if at == 0 else log[at - 1].time_ms
            login = a_login(user=user, target=chooser.choice(users), time_ms=time_ms, received_ms=time_ms)
            log.insert(at, login)
    for event in mixed(chooser, logs):
        cluster.fold(event)
        while chooser.random() < 0.3 and cluster.deliver(chooser):
            pass
        if chooser.random() < 0.2:
            found = totals_of(*cluster.overlays, into=found)
    cluster.settle(chooser)
    found = totals_of(*cluster.overlays, into=found)
    in_rows: defaultdict[tuple[str, str | None], UserTotals] = defaultdict(UserTotals)
    for user in users:
        state = cluster.state("experiments", user)
        for experiment, part in () if state is None else state.experiments.items():
            if part.variant is None and not part.saw_several:
                continue
            values = msgspec.structs.astuple(part.values)
            place = (experiment, None if part.saw_several else part.variant)
            in_rows[place] = sum_of(in_rows[place], of_user(*values)) or UserTotals()
    assert found == dict(in_rows)


@pytest.mark.parametrize("seed", [*range(10), 54, 313])
def test_clicks_of_all_users_are_the_attributed_clicks_of_their_windows(seed: int) -> None:
    """Also after logins of visitors to an account, if nobody saw several variants: an experiment counts what the windows count."""
    chooser = random.Random(seed)
    users = [f"k1.{letter * 26}" for letter in "abc"]
    cluster = Cluster(2)
    time_ms = NOW_MS
    for _ in range(60):
        time_ms += chooser.randint(0, 3 * MINUTE_MS)
        user = chooser.choice(users)
        event = chooser.choice(
            (
                a_rendered(user=user, time_ms=time_ms, request_id=chooser.choice("rst"), **IN_A),
                a_clickrecommended(user=user, item=chooser.choice("12"), time_ms=time_ms),
                a_buy(user=user, item=chooser.choice("12"), time_ms=time_ms),
                a_login(user=chooser.choice(users[1:]), target=users[0], time_ms=time_ms),
            )
        )
        cluster.fold(event)
        while chooser.random() < 0.3 and cluster.deliver(chooser):
            pass
    cluster.settle(chooser)
    counts, totals = Counts(), UserTotals()
    for overlay in cluster.overlays:
        for key, pane in drained_panes(overlay, lambda _: None, NOW_MS).items():
            if key.dimension == "scenario":
                add(counts, pane.counts)
            elif key.dimension == EXPERIMENT:
                totals = sum_of(totals, pane.counts.user_totals) or UserTotals()
    assert (totals.shown, totals.clicks, totals.clicked_calls) == (
        counts.rendered,
        counts.attributed_clicks,
        counts.clicked_calls,
    )
