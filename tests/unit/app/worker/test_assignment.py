"""Partitions are spread evenly, stay with their worker, and move to one that has a copy.

Copies are never with the owner, and are spread evenly too.
"""

from hypothesis import given
from hypothesis import strategies as st

from app.worker.assignment import WorkerPlacement, better_copy, place


def started(count: int, workers: int, copies: int) -> dict[str, WorkerPlacement]:
    """Return the placement of workers that joined one after another."""
    places: dict[str, WorkerPlacement] = {}
    for number in range(workers):
        places = place(count, {**places, f"w{number}": WorkerPlacement()}, copies)
    return places


def owners(places: dict[str, WorkerPlacement]) -> dict[int, str]:
    return {partition: member for member, place in places.items() for partition in place.owned}


def holds(count: int, places: dict[str, WorkerPlacement], copies: int) -> None:
    """Assert what holds for every placement."""
    owned = [len(place.owned) for place in places.values()]
    assert sum(owned) == len(owners(places)) == count
    assert max(owned) - min(owned) <= 1
    copied = [partition for place in places.values() for partition in place.copied]
    for partition in range(count):
        assert copied.count(partition) == min(copies, len(places) - 1)
    for each in places.values():
        assert not each.owned & each.copied
    assert better_copy(places) is None


@st.composite
def histories(draw: st.DrawFn) -> tuple[int, int, list[list[int]]]:
    count, copies = draw(st.integers(1, 17)), draw(st.integers(0, 3))
    workers = st.lists(st.integers(0, 6), min_size=1, max_size=7, unique=True)
    return count, copies, draw(st.lists(workers, min_size=1, max_size=6))


@given(histories())
def test_every_partition_has_one_owner_and_its_copies_however_workers_come_and_go(
    history: tuple[int, int, list[list[int]]],
) -> None:
    count, copies, groups = history
    places: dict[str, WorkerPlacement] = {}
    for group in groups:
        before = {f"w{number}": places.get(f"w{number}", WorkerPlacement()) for number in group}
        places = place(count, before, copies)
        holds(count, places, copies)
        assert place(count, places, copies) == places, "no worker joined or left, but a partition moved"


@given(
    st.integers(1, 12),
    st.integers(0, 2),
    st.dictionaries(
        st.sampled_from("abcde"),
        st.builds(WorkerPlacement, st.sets(st.integers(0, 15)), st.sets(st.integers(0, 15))),
        min_size=1,
    ),
)
def test_whatever_workers_say_they_had_the_placing_is_sound(
    count: int, copies: int, before: dict[str, WorkerPlacement]
) -> None:
    holds(count, place(count, before, copies), copies)


def test_no_worker_is_idle_where_there_are_as_many_partitions() -> None:
    for workers in range(1, 9):
        assert all(each.owned for each in started(8, workers, 1).values())


def test_who_has_the_copy_takes_over() -> None:
    before = started(8, 2, 1)
    assert before["w0"].copied == before["w1"].owned
    after = place(8, {"w1": before["w1"]}, 1)
    assert after["w1"].owned == set(range(8))

    before = started(9, 3, 1)
    gone = before.pop("w2")
    after = place(9, before, 1)
    for partition in gone.owned:
        assert partition in before[owners(after)[partition]].copied


def test_a_worker_that_comes_moves_no_more_than_its_share() -> None:
    before = started(8, 3, 1)
    after = place(8, {**before, "w3": WorkerPlacement()}, 1)
    assert len(after["w3"].owned) == 2
    stayed = {partition: member for partition, member in owners(after).items() if member != "w3"}
    assert stayed.items() <= owners(before).items()


def test_the_owner_until_now_keeps_the_copy() -> None:
    after = place(8, {"w0": WorkerPlacement(owned=set(range(8))), "w1": WorkerPlacement()}, 1)
    assert after["w0"].copied == after["w1"].owned
    assert len(after["w1"].owned) == 4


def test_a_worker_that_starts_again_gets_what_is_on_its_disk() -> None:
    before = started(8, 2, 0)
    others = place(8, {"w1": before["w1"]}, 0)
    after = place(8, {**others, "w0": WorkerPlacement(copied=before["w0"].owned)}, 0)
    assert owners(after) == owners(before)


def test_a_partition_that_two_claim_goes_to_one_of_them() -> None:
    after = place(4, {"slept": WorkerPlacement(owned={0, 1, 2, 3}), "took": WorkerPlacement(owned={0, 1})}, 1)
    assert owners(after) == {0: "slept", 1: "took", 2: "slept", 3: "took"}
