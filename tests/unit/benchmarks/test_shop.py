"""A shop's events repeat for the same seed, can be folded, and have the proportions of docs/benchmarks.md."""

import re
from collections import Counter
from pathlib import Path

from benchmarks.ledger import compare
from benchmarks.rows import Population, digest_of, rows_of_visitors
from benchmarks.shop import MIX, Shop
from benchmarks.transitions import MemoryTables
from events.codec import decode
from events.model import EVENTS
from tables.fold.fold_event import fold

START_MS = 1_700_000_000_000
SHOP = Shop(events=4_000, users=40, partitions=4, seed=1, start_ms=START_MS)


def test_same_seed_same_events() -> None:
    assert list(SHOP.records()) == list(SHOP.records())


def test_every_kind_of_event_is_there_in_its_share() -> None:
    assert MIX.keys() == EVENTS.keys() - {
        "playback",
        "triggeropened",
        "clicktriggered",
        "deletefromblacklist",
    }  # no player, no mails, no second thoughts
    found = Counter(EVENTS_BY_TYPE[type(decode(record.value))] for record in SHOP.records())
    for kind, share in MIX.items():
        expected = SHOP.events * share / sum(MIX.values())
        assert abs(found[kind] - expected) < 6 * expected**0.5 + 1, kind


EVENTS_BY_TYPE = {event: name for name, event in EVENTS.items()}


def test_the_page_has_these_shares() -> None:
    page = (Path(__file__).parents[3] / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `(\w+)` \| ([\d,]+) \|", page, re.MULTILINE)
    assert {kind: int(share.replace(",", "")) for kind, share in listed} == dict(MIX)


def test_events_are_in_the_past_and_in_order() -> None:
    times = [record.time_ms for record in SHOP.records()]
    assert times == list(range(START_MS, START_MS + SHOP.events))


def test_recommended_clicks_find_their_impression() -> None:
    mix = {"rendered": 10, "clickrecommended": 1}
    tables = MemoryTables()
    for record in Shop(2_000, 5, 1, 1, START_MS, mix=mix).records():
        fold(tables, record.key, decode(record.value))  # type: ignore[arg-type]
    counts = [pane.counts for pane in tables.tally.drain(lambda key: None, 0).values()]
    assert sum(each.attributed_clicks for each in counts) > 0.9 * sum(each.clicks for each in counts) > 0


def test_rows_of_visitors_are_what_the_transitions_left() -> None:
    rows = rows_of_visitors(20, seed=1, start_ms=START_MS, visitors=10)
    assert len(rows) == 10
    assert {"impressions", "clicked"} <= {table for each in rows for table, _ in each}
    assert rows == rows_of_visitors(20, seed=1, start_ms=START_MS, visitors=10)


def test_user_with_several_rows_in_a_table_is_one_user() -> None:
    rows = rows_of_visitors(120, seed=1, start_ms=START_MS, visitors=10)
    assert len(rows) == 10
    population = Population(rows, users=20, partitions=4)
    keys = [record.key for record in population.records("impression_buckets", START_MS)]
    assert len(set(keys)) == len(keys) > 20
    users = {record.key: record.partition for record in population.records("impressions", START_MS)}
    assert {key.partition(b"\0")[0] for key in keys} <= users.keys()
    buckets = population.records("impression_buckets", START_MS)
    assert all(record.partition == users[record.key.partition(b"\0")[0]] for record in buckets)


def test_population_stays_below_its_limit_and_knows_its_digest() -> None:
    rows = rows_of_visitors(20, seed=1, start_ms=START_MS, visitors=10)
    population = Population(rows, users=1_000, partitions=4, limit=333)
    assert 333 - max(map(len, rows)) < population.rows <= 333
    written = 0
    for table in population.tables:
        records = list(population.records(table, START_MS))
        written += len(records)
        assert population.digests[table] == digest_of((each.key, each.value) for each in reversed(records))
    assert written == population.rows


def test_digest_notices_a_changed_value() -> None:
    assert digest_of([(b"a", b"1"), (b"b", b"2")]) != digest_of([(b"a", b"1"), (b"b", b"3")])
    assert digest_of([(b"a", b"1"), (b"b", b"2")]) != digest_of([(b"a", b"2"), (b"b", b"1")])


def test_totals_of_items_compare_like_those_of_users() -> None:
    assert str(compare({b"clicked": {"1": 2}}, {b"clicked": {"1": 1, "2": 1}})) == "lost 1 doubled 1"
