"""Assigns partitions and copies to workers: a pure rule over what each worker had before.

With more than half a worker per partition, Faust's own rule leaves workers idle.
For example, it gives 8 partitions to 7 workers as 2, 2, 2, 2, 0, 0, 0.
This rule keeps the order of Faust's aims: partitions stay where they are, a worker with a copy takes over, loads are even.
See docs/decisions/0012-copies-that-follow-changelogs.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(slots=True)
class WorkerPlacement:
    """The partitions that one worker owns, and those that it keeps a copy of."""

    owned: set[int] = field(default_factory=set)
    copied: set[int] = field(default_factory=set)

    @property
    def stores(self) -> int:
        """Number of databases: one for each owned partition and each copy."""
        return len(self.owned) + len(self.copied)


def place(count: int, before: Mapping[str, WorkerPlacement], copies: int) -> dict[str, WorkerPlacement]:
    """Return what each worker has from now on: one owner for each of ``count`` partitions, and ``copies`` copies on others.

    ``before`` is what each worker had. The numbers of owned partitions differ by at most one.
    A partition never has more copies than there are other workers.
    """
    after = {member: WorkerPlacement() for member in sorted(before)}
    orphans = _keep(count, before, after)
    room = _rooms(count, before, after, orphans)
    for member, mine in after.items():
        for partition in _surplus(member, mine, room, before):
            mine.owned.discard(partition)
            orphans.append(partition)
    _give(orphans, before, after, room)
    _copy(count, before, after, min(copies, len(after) - 1))
    return after


def _keep(count: int, before: Mapping[str, WorkerPlacement], after: dict[str, WorkerPlacement]) -> list[int]:
    """Leave each partition with a worker that had it; return the partitions that no worker had.

    Two workers had the same partition if one of them was suspended while the other took over.
    """
    orphans: list[int] = []
    for partition in range(count):
        had = [member for member in after if partition in before[member].owned]
        if had:
            after[min(had, key=lambda member: len(after[member].owned))].owned.add(partition)
        else:
            orphans.append(partition)
    return orphans


def _rooms(
    count: int,
    before: Mapping[str, WorkerPlacement],
    after: Mapping[str, WorkerPlacement],
    orphans: list[int],
) -> dict[str, int]:
    """Return how many partitions each worker is to own.

    If they do not divide evenly, the workers that have or can take over most partitions own one more.
    """
    least, more = divmod(count, len(after))
    ranked = sorted(
        after,
        key=lambda member: (
            -min(len(after[member].owned), least + 1),
            -len(before[member].copied.intersection(orphans)),
            member,
        ),
    )
    return {member: least + (rank < more) for rank, member in enumerate(ranked)}


def _surplus(
    member: str, mine: WorkerPlacement, room: Mapping[str, int], before: Mapping[str, WorkerPlacement]
) -> list[int]:
    """Return the partitions that a worker has to give up: first those that another worker has a copy of."""

    def is_copied(partition: int) -> bool:
        return any(partition in place.copied for other, place in before.items() if other != member)

    ranked = sorted(mine.owned, key=lambda partition: (not is_copied(partition), -partition))
    return ranked[: max(0, len(ranked) - room[member])]


def _give(
    orphans: list[int],
    before: Mapping[str, WorkerPlacement],
    after: dict[str, WorkerPlacement],
    room: Mapping[str, int],
) -> None:
    """Give each partition without an owner to a worker that has a copy, else to the one with the most room."""

    def space(member: str) -> int:
        return room[member] - len(after[member].owned)

    def takers(partition: int) -> list[str]:
        return [member for member in after if partition in before[member].copied and space(member) > 0]

    rest: list[int] = []
    for partition in sorted(orphans, key=lambda orphan: (len(takers(orphan)), orphan)):
        able = takers(partition)
        if able:
            after[max(able, key=space)].owned.add(partition)
        else:
            rest.append(partition)
    for partition in rest:
        after[max(after, key=space)].owned.add(partition)


def _copy(
    count: int, before: Mapping[str, WorkerPlacement], after: dict[str, WorkerPlacement], copies: int
) -> None:
    """Spread the copies: first to workers that have one, then to former owners, each up to a fair share.

    The fair share limits all stores of a worker, owned or copied.
    A second share limits the copies of one owner's partitions: if that owner fails, no worker has room for all of them.
    The remaining copies go to the workers that would own the fewest partitions after that.
    """
    owner = {partition: member for member, place in after.items() for partition in place.owned}
    if _is_settled(count, before, after, copies):
        for member, mine in after.items():
            mine.copied |= before[member].copied
        return
    fair = -(-count * (1 + copies) // len(after))
    share = {member: -(-len(mine.owned) * copies // max(1, len(after) - 1)) for member, mine in after.items()}
    for had in ("copied", "owned"):  # a copy is closer to the end than the store of a released partition
        for partition in range(count):
            for member, mine in after.items():
                if (
                    partition in getattr(before[member], had)
                    and member != owner[partition]
                    and mine.stores < fair
                    and len(mine.copied & after[owner[partition]].owned) < share[owner[partition]]
                    and _copies(partition, after) < copies
                ):
                    mine.copied.add(partition)
    for partition in range(count):
        theirs = after[owner[partition]].owned
        while _copies(partition, after) < copies:
            able = [
                (
                    mine.stores >= fair,
                    len(mine.owned) + len(mine.copied & theirs),
                    len(mine.copied),
                    member,
                )
                for member, mine in after.items()
                if member != owner[partition] and partition not in mine.copied
            ]
            after[min(able)[-1]].copied.add(partition)
    while (better := better_copy(after)) is not None:
        partition, rich, poor = better
        after[rich].copied.discard(partition)
        after[poor].copied.add(partition)


def better_copy(places: Mapping[str, WorkerPlacement]) -> tuple[int, str, str] | None:
    """Return a copy (partition, from, to) whose move would make the numbers of stores more even; None if no move would."""
    ranked = sorted(places, key=lambda member: (places[member].stores, member))
    for rich in reversed(ranked):
        for poor in ranked:
            if places[rich].stores - places[poor].stores < 2:
                break
            movable = places[rich].copied - places[poor].copied - places[poor].owned
            if movable:
                return max(movable), rich, poor
    return None


def _is_settled(
    count: int, before: Mapping[str, WorkerPlacement], after: Mapping[str, WorkerPlacement], copies: int
) -> bool:
    """Return whether no partition moved and all copies exist, so that they may stay where they are."""
    return (
        all(
            before[member].owned == mine.owned and not before[member].copied & mine.owned
            for member, mine in after.items()
        )
        and all(_copies(partition, before) == copies for partition in range(count))
        and better_copy(before) is None
    )


def _copies(partition: int, places: Mapping[str, WorkerPlacement]) -> int:
    return sum(partition in place.copied for place in places.values())
