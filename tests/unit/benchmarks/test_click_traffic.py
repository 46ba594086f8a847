"""The traffic of `windows` repeats, has as many keys as it says, and is equal in both of its forms."""

import msgspec
import pytest

from benchmarks.click_traffic import SCENARIOS_OF_A_CUSTOMER, ClickTraffic
from events.codec import decode
from events.model import NO_PROFILE_USER, ClickRecommended, Rendered
from events.partitions import partition_of

START_MS = 1_700_000_000_000
TRAFFIC = ClickTraffic(events=3_000, keys=10, users=50, partitions=4, seed=1, start_ms=START_MS)


def events(traffic: ClickTraffic) -> list[Rendered | ClickRecommended]:
    found = [decode(record.value) for record in traffic.records()]
    assert all(isinstance(event, Rendered | ClickRecommended) for event in found)
    return found  # type: ignore[return-value]


def test_same_seed_same_records() -> None:
    for record in TRAFFIC.records():
        assert record.partition == partition_of(record.key, 4)
    assert list(TRAFFIC.records()) == list(TRAFFIC.records())


def test_anonymous_events_are_the_same_events_in_the_same_partitions() -> None:
    known, anonymous = TRAFFIC.records(), TRAFFIC.records(is_anonymous=True)
    for one, other in zip(known, anonymous, strict=True):
        event = decode(other.value)
        assert event.user == NO_PROFILE_USER
        assert msgspec.structs.replace(event, user=decode(one.value).user) == decode(one.value)
        assert other.partition == one.partition == partition_of(other.key, 4)
        assert other.key.startswith(f"{event.customer}|{NO_PROFILE_USER}".encode())


def test_a_click_is_on_the_last_list_of_its_user() -> None:
    last: dict[str, Rendered] = {}
    clicks = 0
    for event in events(TRAFFIC):
        if isinstance(event, Rendered):
            last[event.user] = event
        else:
            clicks += 1
            assert event.item in last[event.user].items
            assert (event.customer, event.scenario) == (last[event.user].customer, last[event.user].scenario)
    assert 0.03 < clicks / TRAFFIC.events < 0.07


@pytest.mark.parametrize("keys", [10, 1_000])
def test_all_keys_are_of_one_customer_while_it_has_places(keys: int) -> None:
    found = {(event.customer, event.scenario) for event in events(TRAFFIC.of_keys(keys))}
    assert {customer for customer, _ in found} == {"00000"}
    assert len(found) == 10 if keys == 10 else 900 < len(found) <= keys


def test_more_keys_than_places_are_shared_by_customers() -> None:
    traffic = TRAFFIC.of_keys(25_000)
    assert traffic.customers == ["00000", "00001", "00002"]
    names: dict[str, set[int]] = {customer: set() for customer in traffic.customers}
    users: dict[str, str] = {}
    for event in events(traffic):
        number = int((event.scenario or "").removeprefix("scenario-"))
        assert traffic.customers[number % 3] == event.customer, "a scenario is of one customer"
        names[event.customer].add(number)
        assert users.setdefault(event.user, event.customer) == event.customer, "so is a user"
    assert all(max(each) < 25_000 for each in names.values())
    assert SCENARIOS_OF_A_CUSTOMER * 3 >= 25_000
