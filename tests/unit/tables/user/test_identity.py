"""A login moves each thing once to the right user; repeats, reordering, chains and circles lose and double nothing."""

import random as randoms
from collections import Counter, defaultdict, deque
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.codec import UndecodableError
from events.model import Login
from tables.base.table_spec import Stretch
from tables.transfers import absorb, decode, encode
from tables.user import basket, clicked, consumed, playback, preferences, purchases, rendered
from tables.user.identity import (
    FOLLOW_MS,
    MAX_SOURCES,
    IdentityState,
    Transfer,
    follows,
    forward,
    login,
    receive,
)
from tests.support.builders import (
    CUSTOMER,
    NOW_MS,
    a_basket,
    a_buy,
    a_click,
    a_consume,
    a_login,
    a_playback,
    a_rate,
    a_rendered,
)
from tests.support.laws import stored
from tests.support.showings import show

USERS = "abcd"


def a_stretch(item: str = "1", user: str = "a", time_ms: int = NOW_MS) -> Stretch:
    """Build a stretch with one thing of the item in each table."""
    about = {"item": item, "user": user, "time_ms": time_ms}
    return Stretch(
        {
            "rendered": show(None, a_rendered(items=(item,), user=user, time_ms=time_ms)),
            "clicked": clicked.click(None, a_click(**about)),
            "consumed": consumed.consume(None, a_consume(**about)),
            "playback": playback.fold_heartbeat(None, a_playback(**about))[0],
            "basket": basket.put(None, a_basket(**about, price=Decimal("0.10"), currency="EUR")),
            "purchases": purchases.buy(None, a_buy(**about, price=Decimal("0.10"))),
            "preferences": preferences.rate(None, a_rate(**about)),
        }
    )


def a_transfer(**fields) -> Transfer:
    defaults = {
        "customer": CUSTOMER,
        "source": "a",
        "target": "b",
        "number": 1,
        "login_ms": NOW_MS,
        "received_ms": NOW_MS,
        "stretch": Stretch(),
    }
    return Transfer(**{**defaults, **fields})


class World:
    """Some users and the topic between them. Transfers of one source to one target keep their order, others do not."""

    def __init__(self) -> None:
        self.identities: dict[str, IdentityState] = {}
        self.held: defaultdict[str, Stretch] = defaultdict(Stretch)
        self.queues: defaultdict[tuple[str, str], deque[bytes]] = defaultdict(deque)
        self.delivered: list[bytes] = []
        self.sent = 0

    def act(self, user: str, item: str, time_ms: int) -> None:
        absorb(self.held[user], a_stretch(item, user, time_ms))

    def login(self, event: Login) -> None:
        state, transfer = login(self.identities.get(event.user), event, self.held[event.user])
        self.identities[event.user] = stored(state)
        if transfer is not None:
            self.send(transfer)
            self.held[event.user] = Stretch()

    def rate(self, user: str, item: str, time_ms: int) -> None:
        event = a_rate(user=user, item=item, time_ms=time_ms)
        state = self.identities.get(user)
        if state is None or follows(state, time_ms) is None:
            self.held[user][preferences.TABLE] = preferences.rate(self.held[user][preferences.TABLE], event)
            return
        self.identities[user], transfer = forward(
            state, event, Stretch({"preferences": preferences.rate(None, event)})
        )
        self.send(transfer)

    def send(self, transfer: Transfer) -> None:
        self.sent += 1
        self.queues[transfer.source, transfer.target].append(encode(transfer))

    def receive(self, raw: bytes) -> str:
        transfer = decode(raw)
        state, verdict = receive(self.identities.get(transfer.target), transfer)
        self.identities[transfer.target] = stored(state)
        if isinstance(verdict, Transfer):
            assert verdict.login_ms > transfer.login_ms
            self.send(verdict)
            return "pass on"
        if verdict == "apply":
            absorb(self.held[transfer.target], transfer.stretch)
        return verdict

    def deliver(self, random: randoms.Random) -> bool:
        """Deliver the first transfer of a random pair; return False if none waits."""
        waiting = [pair for pair, queue in sorted(self.queues.items()) if queue]
        if not waiting:
            return False
        raw = self.queues[random.choice(waiting)].popleft()
        assert self.receive(raw) != "repeat"
        self.delivered.append(raw)
        return True

    def repeat(self, random: randoms.Random) -> None:
        """Deliver again a transfer that was delivered before."""
        if self.delivered:
            assert self.receive(random.choice(self.delivered)) == "repeat"

    def quiet(self, random: randoms.Random) -> None:
        while self.deliver(random):
            assert self.sent < 2_000, "transfers go round for ever"

    def holders(self, table: str) -> dict[str, list[str]]:
        """Return item -> the users whose table holds it."""
        found = defaultdict(list)
        for user, stretch in self.held.items():
            state = stretch.rows.get(table)
            items = (
                rendered.ShownItems(state) if table == "rendered" and state else getattr(state, "items", ())
            )
            for key in items:
                found[key.removeprefix("1/")].append(user)
        return found


def check_totals(world: World, acted: Counter[str], rated: set[str]) -> None:
    stretches = list(world.held.values())
    shown = [rendered.ShownItems(s.rows["rendered"]) for s in stretches if "rendered" in s.rows]
    clicks = [s.rows["clicked"] for s in stretches if "clicked" in s.rows]
    bought = [s.rows["purchases"] for s in stretches if "purchases" in s.rows]
    for item, count in acted.items():
        key = f"1/{item}"
        assert sum(items[key].total for items in shown if key in items) == count
        assert sum(state.items[key].count for state in clicks if key in state.items) == count
        orders = [state.items[key] for state in bought if key in state.items]
        assert sum(each.quantity for each in orders) == count
        assert sum(each.revenue["EUR"] for each in orders) == count * Decimal("0.10")
        assert world.holders("consumed")[item]
        assert world.holders("basket")[item]
    assert set(world.holders("preferences")) == set(acted) | rated


one_user = st.sampled_from(USERS)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("act"), one_user, st.sampled_from("123")),
        st.tuples(st.just("login"), one_user, st.sampled_from([*USERS, "null"])),
        st.tuples(st.just("rate"), one_user, st.sampled_from("45")),
        st.tuples(st.just("deliver"), st.none(), st.none()),
        st.tuples(st.just("repeat"), st.none(), st.none()),
    ),
    max_size=60,
)


@given(steps, st.data(), st.integers(0, 2**32))
def test_nothing_is_lost_or_doubled_whatever_happens(steps, data, seed: int) -> None:
    """Any logins (circles, chains, storms, ties and times that go back), any delays, any repeats."""
    random = randoms.Random(seed)
    world, acted, rated = World(), Counter(), set()
    for verb, user, what in steps:
        time_ms = NOW_MS + random.choice([0, 1, 2, 3, FOLLOW_MS, 2 * FOLLOW_MS])
        if verb == "act":
            world.act(user, what, time_ms)
            acted[what] += 1
        elif verb == "login":
            world.login(a_login(user=user, target=what, time_ms=time_ms, is_junk_target=what == "null"))
        elif verb == "rate":
            world.rate(user, what, time_ms)
            rated.add(what)
        elif verb == "deliver":
            world.deliver(random)
        else:
            world.repeat(random)
    world.quiet(random)
    for _ in range(10):
        world.repeat(random)
    check_totals(world, acted, rated)


@given(
    st.permutations(USERS),
    st.lists(st.sampled_from(["step", "deliver", "repeat"]), max_size=30),
    st.integers(0, 2**32),
)
def test_all_ends_where_the_chain_of_logins_ends_however_slow_the_topic(users, pace, seed: int) -> None:
    """Each user acts and then logs in as any other, once; the log has true times."""
    random = randoms.Random(seed)
    targets = {user: random.choice([other for other in users if other != user]) for user in users[:3]}
    login_ms = {user: NOW_MS + n * 10 for n, user in enumerate(targets)}
    world, waiting = World(), deque(targets)
    for verb in [*pace, *["step"] * len(targets)]:
        if verb == "step" and waiting:
            user = waiting.popleft()
            world.act(user, user, login_ms[user] - 5)
            world.login(a_login(user=user, target=targets[user], time_ms=login_ms[user]))
        elif verb == "deliver":
            world.deliver(random)
        else:
            world.repeat(random)
    world.quiet(random)

    def end_of(user: str) -> str:
        at, since_ms = targets[user], login_ms[user]
        while login_ms.get(at, 0) > since_ms:
            at, since_ms = targets[at], login_ms[at]
        return at

    for table in ("rendered", "clicked", "consumed", "playback", "basket", "purchases", "preferences"):
        assert world.holders(table) == {user: [end_of(user)] for user in targets}


@pytest.mark.parametrize("is_slow", [False, True])
def test_chain_brings_the_last_user_what_the_middle_one_got(is_slow: bool) -> None:
    world, random = World(), randoms.Random(1)
    world.act("a", "1", NOW_MS)
    world.login(a_login(user="a", target="b", time_ms=NOW_MS + 1))
    if not is_slow:
        world.quiet(random)
    world.login(a_login(user="b", target="c", time_ms=NOW_MS + 2))
    world.quiet(random)
    assert world.holders("clicked") == {"1": ["c"]}


def test_circle_ends_and_what_was_first_moved_comes_home() -> None:
    world, random = World(), randoms.Random(1)
    world.act("a", "1", NOW_MS)
    world.act("b", "2", NOW_MS)
    world.login(a_login(user="a", target="b", time_ms=NOW_MS + 1))
    world.login(a_login(user="b", target="a", time_ms=NOW_MS + 2))
    world.quiet(random)
    assert world.holders("clicked") == {"1": ["a"], "2": ["a"]}
    assert world.sent == 3


def test_circle_of_logins_at_one_time_ends() -> None:
    world, random = World(), randoms.Random(1)
    world.act("a", "1", NOW_MS)
    world.login(a_login(user="a", target="b", time_ms=NOW_MS))
    world.login(a_login(user="b", target="a", time_ms=NOW_MS))
    world.quiet(random)
    assert world.holders("clicked") == {"1": ["b"]}  # at a tie it stays where it arrived


def test_each_account_of_a_source_gets_its_own_stretch() -> None:
    world, random = World(), randoms.Random(1)
    world.act("a", "1", NOW_MS)
    world.login(a_login(user="a", target="b", time_ms=NOW_MS + 1))
    world.act("a", "2", NOW_MS + 2)
    world.login(a_login(user="a", target="c", time_ms=NOW_MS + 3))
    world.quiet(random)
    assert world.holders("clicked") == {"1": ["b"], "2": ["c"]}


def test_repeated_login_moves_nothing_twice() -> None:
    world, random = World(), randoms.Random(1)
    world.act("a", "1", NOW_MS)
    for _ in range(3):
        world.login(a_login(user="a", target="b"))
    world.quiet(random)
    check_totals(world, Counter({"1": 1}), set())


def test_login_moves_the_stretch_with_a_number() -> None:
    state, transfer = login(None, a_login(user="a", target="b", time_ms=5, received_ms=6), a_stretch())
    assert state == IdentityState("b", 5, 6, sent=1)
    assert transfer == Transfer(CUSTOMER, "a", "b", 1, 5, 6, a_stretch())


def test_empty_stretch_is_sent_so_that_the_target_knows_its_source() -> None:
    _, transfer = login(None, a_login(user="a", target="b"), Stretch())
    assert transfer is not None
    state, verdict = receive(None, transfer)
    assert (state.sources, verdict) == ({"a": 1}, "apply")


def test_login_as_oneself_is_nothing() -> None:
    assert login(None, a_login(user="a", target="a"), a_stretch()) == (IdentityState(), None)


def test_junk_target_is_recorded_and_moves_nothing() -> None:
    before = IdentityState("b", NOW_MS, NOW_MS, 1)
    after, transfer = login(before, a_login(user="a", target="null", is_junk_target=True), a_stretch())
    assert (after, transfer) == (IdentityState("b", NOW_MS, NOW_MS, 1, {}, junk_logins=1), None)


def test_login_that_arrives_late_moves_its_stretch_but_the_current_target_stays() -> None:
    state, _ = login(None, a_login(user="a", target="b", time_ms=9), Stretch())
    state, transfer = login(state, a_login(user="a", target="c", time_ms=8), a_stretch())
    assert (state.target, state.login_ms, state.sent) == ("b", 9, 2)
    assert transfer is not None
    assert (transfer.target, transfer.number, transfer.login_ms) == ("c", 2, 8)


def test_of_two_logins_at_one_time_the_later_in_the_log_is_current() -> None:
    state, _ = login(None, a_login(user="a", target="b", time_ms=9), Stretch())
    state, _ = login(state, a_login(user="a", target="c", time_ms=9), Stretch())
    assert state.target == "c"


@pytest.mark.parametrize(
    ("login_ms", "is_passed_on"), [(NOW_MS - 1, False), (NOW_MS, False), (NOW_MS + 1, True)]
)
def test_transfer_is_passed_on_only_by_a_strictly_later_login(login_ms: int, is_passed_on: bool) -> None:
    state, verdict = receive(
        IdentityState("c", login_ms, login_ms, sent=4), a_transfer(stretch=a_stretch(), number=7)
    )
    assert state.sources == {"a": 7}
    if is_passed_on:
        assert verdict == Transfer(CUSTOMER, "b", "c", 5, login_ms, login_ms, a_stretch())
        assert state.sent == 5
    else:
        assert verdict == "apply"
        assert state.sent == 4


def test_repeat_changes_nothing() -> None:
    state, _ = receive(None, a_transfer(number=2))
    for number in (1, 2):
        state, verdict = receive(state, a_transfer(number=number))
        assert (state.sources, verdict) == ({"a": 2}, "repeat")


@pytest.mark.parametrize(
    ("after_ms", "does_follow"), [(-1, False), (0, True), (FOLLOW_MS, True), (FOLLOW_MS + 1, False)]
)
def test_preferences_follow_for_30_minutes_after_the_login(after_ms: int, does_follow: bool) -> None:
    state = IdentityState("b", NOW_MS, NOW_MS, 1)
    assert follows(state, NOW_MS + after_ms) == ("b" if does_follow else None)


@pytest.mark.parametrize("state", [None, IdentityState(), IdentityState(sources={"x": 1}, junk_logins=2)])
def test_nothing_follows_without_a_login(state: IdentityState | None) -> None:
    assert follows(state, NOW_MS) is None


def test_forward_carries_the_login_time_so_that_it_may_be_passed_on() -> None:
    stretch = Stretch({"preferences": preferences.rate(None, a_rate(user="a"))})
    state, transfer = forward(
        IdentityState("b", NOW_MS, NOW_MS, 1), a_rate(user="a", time_ms=NOW_MS + 9), stretch
    )
    assert state.sent == 2
    assert transfer == Transfer(CUSTOMER, "a", "b", 2, NOW_MS, NOW_MS + 9, stretch)


def test_forward_without_a_login_is_an_error() -> None:
    with pytest.raises(ValueError, match="follows"):
        forward(IdentityState(), a_rate(), Stretch())


def test_sources_are_bounded_and_the_latest_stay() -> None:
    state = IdentityState(sources={f"s{n}": 1 for n in range(MAX_SOURCES)})
    state, _ = receive(state, a_transfer(source="s0", number=2))
    state, _ = receive(state, a_transfer(source="new"))
    assert len(state.sources) == MAX_SOURCES
    assert {"s0", "new"} <= state.sources.keys()
    assert "s1" not in state.sources
    assert len(msgspec.msgpack.encode(state)) < 100_000


def test_transfer_is_a_map_that_other_languages_can_read() -> None:
    transfer = a_transfer(stretch=a_stretch())
    assert decode(encode(transfer)) == transfer
    plain = msgspec.msgpack.decode(encode(a_transfer()))
    assert plain == {
        "customer": CUSTOMER,
        "source": "a",
        "target": "b",
        "number": 1,
        "login_ms": NOW_MS,
        "received_ms": NOW_MS,
        "stretch": {},
        "v": 1,
    }


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (None, "null"),
        (b"", "malformed"),
        (b"{}", "malformed"),
        (b"\xff" * 50, "malformed"),
        (b"\x91" * 10_000, "malformed"),
        (msgspec.msgpack.encode({"customer": "c"}), "malformed"),
        (encode(a_transfer(v=2)), "unknown_version"),
        (
            encode(
                a_transfer(
                    stretch=Stretch({"rendered": rendered.RenderedState(bytearray(b"\xc11/1\xff-1,0,0,0;"))})
                )
            ),
            "malformed",
        ),
    ],
)
def test_record_that_is_no_transfer_says_why(raw: bytes | None, reason: str) -> None:
    with pytest.raises(UndecodableError) as caught:
        decode(raw)
    assert caught.value.reason == reason
