"""Folds drawn histories into partitions in memory, and prints a digest of everything that they wrote: ``python -m ... SEED...``.

A process of its own, because a process runs its modules either compiled or as pure Python.
"""

import asyncio
import hashlib
import json
import random
import sys
from collections import Counter
from decimal import Decimal
from typing import Any, Final

from agents.partition import SLICE_RECORDS
from agents.row_budget import RowBudget
from compiled.finder import core
from events.model import EventBase, user_key
from events.partitions import partition_of
from events.topics import JOURNAL, PARTIALS, TRANSFERS
from tables.declare import TOPICS
from tests.support import builders
from tests.support.builders import MINUTE_MS, NOW_MS, user_of
from tests.support.partitions import World, fold_records

PARTITIONS: Final = 2
EVENTS: Final = 400
KINDS: Final = (
    *(
        "click",
        "clickrecommended",
        "clickrecommended",
        "consume",
        "playback",
        "buy",
        "basket",
        "deletefrombasket",
    ),
    *(
        "wishlist",
        "deletefromwishlist",
        "rendered",
        "rendered",
        "rendered",
        "viewed",
        "rate",
        "triggeropened",
    ),
    *("clicktriggered", "blacklist", "deletefromblacklist", "login", "recommended"),
)
SOURCES: Final = (JOURNAL, TRANSFERS, PARTIALS)


def event(chooser: random.Random, at: int) -> EventBase:
    """Draw an event of any kind, some of them late, repeated or without what is optional."""
    one_of = chooser.choice
    name = one_of(KINDS)
    time_ms = NOW_MS + at * 2_000 - one_of((0, 0, 0, 1, MINUTE_MS, 90 * MINUTE_MS))
    fields: dict[str, Any] = {
        "user": user_of(chooser.randrange(6)),
        "time_ms": time_ms,
        "received_ms": NOW_MS + at * 2_000 + chooser.randrange(2),
        "eid": one_of((None, None, "x", "y", str(at))),
    }
    items = [one_of(("1", "2", "3", "é", "7" * 40)) for _ in range(chooser.randrange(1, 6))]
    if name in ("rendered", "viewed", "clickrecommended"):
        fields |= {"scenario": one_of(("home", "other", None)), "request_id": one_of((None, "r1", "r2"))}
        fields |= {"variant": one_of((None, "A", "B")), "experiment": one_of((None, None, "e"))}
        fields |= {"row": one_of((None, 0, 3)), "rank": one_of((None, 0, 7))}
    if name in ("rendered", "viewed"):
        fields |= {"items": tuple(items * one_of((1, 1, 8))), "itemtype": one_of((1, 2))}
    if name == "rendered":
        fields["image"] = one_of((None, "a.png"))
    if name == "playback":
        fields |= {"position_ms": chooser.randrange(100_000), "state": one_of(("playing", "paused", "ended"))}
        fields["session"] = one_of(("s", "t"))
    if name == "buy":
        fields |= {
            "price": Decimal(chooser.randrange(10**6)) / 100,
            "quantity": one_of((1, 3, Decimal("0.5"))),
        }
    if name in ("click", "clickrecommended", "consume", "buy", "basket", "playback"):
        fields["item"] = items[0]
    if name == "rate":
        fields["rating"] = chooser.randrange(101)
    if name == "login":
        fields["target"] = user_of(chooser.randrange(6))
    if name == "recommended":
        fields["request_id"] = one_of(("r1", "r2"))
    build = getattr(builders, f"a_{name}")
    return build(**fields)


async def digest_of(seed: int) -> tuple[str, Counter[str]]:
    """Fold a history of this seed. Return a digest of all records and rows, and how many records each topic has."""
    chooser = random.Random(seed)
    world = World(PARTITIONS, budget=RowBudget(2_000), merge_after=2, switched_off={}, max_scenarios=3)
    for at in range(EVENTS):
        drawn = event(chooser, at)
        home = partition_of(user_key(drawn.customer, drawn.user), PARTITIONS)
        world.produce(JOURNAL, drawn, number=home)
    opened = [world.open(number) for number in range(PARTITIONS)]
    is_at_end = False
    while not is_at_end:
        is_at_end = True
        for topic in SOURCES:
            for number, partition in enumerate(opened):
                # A longer chunk asks the clock whether to flush, and the flushes would differ.
                unread = world.logs.read(topic, number, partition.positions.get(topic, 0))
                is_at_end = is_at_end and not unread
                await fold_records(partition, topic, unread[: chooser.randrange(1, SLICE_RECORDS)])
                if chooser.random() < 0.4:
                    assert await partition.flush()
    for partition in opened:
        assert await partition.flush()
    whole, counted = hashlib.sha256(), Counter[str]()
    for topic in sorted(topic.name for topic in TOPICS):
        for number in range(PARTITIONS):
            for record in world.logs.read(topic, number):
                whole.update(repr((topic, number, record)).encode())
                counted[topic] += 1
    for partition in opened:
        whole.update(repr(sorted(partition.store.disk.tables.items())).encode())
    world.end()
    return whole.hexdigest(), counted


async def main(seeds: list[int]) -> None:
    digests, total = [], Counter[str]()
    for seed in seeds:
        digest, counted = await digest_of(seed)
        digests.append(digest)
        total += counted
    print(json.dumps({"compiled": len(core().modules), "digests": digests, "records": total}))


if __name__ == "__main__":
    asyncio.run(main([int(seed) for seed in sys.argv[1:]]))
