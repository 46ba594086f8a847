"""Events of bots count in one counter of their scenarios and variants, and change nothing else."""

import random

import pytest

from events.model import EVENTS, NO_PROFILE_USER, BotCount, user_key
from events.scenarios import labels_of
from tables.ctr.window_keys import POSITION, SCENARIO, UNKNOWN_SCENARIO, VARIANT
from tests.support import builders
from tests.support.builders import (
    CUSTOMER,
    USER,
    a_bots,
    a_clickrecommended,
    a_recommended,
    a_rendered,
    a_served_list,
)
from tests.support.overlays import T0, SpiedOverlay, fold_all, tallied

COUNTS = (
    BotCount(3, "home", "a"),
    BotCount(2, "home"),
    BotCount(4),
    BotCount(1_000_000_000, "trigger:mail"),
)


@pytest.fixture
def overlay() -> SpiedOverlay:
    return SpiedOverlay()


def test_events_of_bots_count_by_scenario_and_variant(overlay: SpiedOverlay) -> None:
    record = a_bots(*COUNTS, time_ms=T0 + 59_999)
    assert fold_all(overlay, record, record) == [True, True]
    assert tallied(overlay, SCENARIO) == {
        (0, "home"): {"bots": 10},
        (0, UNKNOWN_SCENARIO): {"bots": 8},
        (0, "trigger:mail"): {"bots": 2_000_000_000},
    }
    fold_all(overlay, record)
    assert tallied(overlay, VARIANT) == {
        (0, "home", "a", None, None): {"bots": 3},
        (0, "home", None, None, None): {"bots": 2},
        (0, UNKNOWN_SCENARIO, None, None, None): {"bots": 4},
        (0, "trigger:mail", None, None, None): {"bots": 1_000_000_000},
    }
    fold_all(overlay, record)
    assert tallied(overlay, POSITION) == {}


def test_events_of_bots_change_no_table_and_send_nothing(overlay: SpiedOverlay) -> None:
    fold_all(overlay, a_bots(*COUNTS))
    assert overlay.changed_tables() == set()
    assert overlay.sent == []


def test_record_that_a_spool_sends_twice_counts_once(overlay: SpiedOverlay) -> None:
    record = a_bots(eid="spool-1", time_ms=T0)
    assert fold_all(overlay, record, record) == [True, False]
    assert tallied(overlay) == {(0, "home"): {"bots": 3}}


@pytest.mark.parametrize("seed", range(20))
def test_people_are_counted_as_if_there_were_no_bots(seed: int) -> None:
    drawn = random.Random(seed)
    people = [
        drawn.choice(
            [
                a_rendered(items=("1", "2"), time_ms=T0 + step),
                a_clickrecommended(item="1", time_ms=T0 + step, eid=drawn.choice([None, "e"])),
                a_recommended(time_ms=T0 + step),
                a_rendered(scenario=None, time_ms=T0 + step, user=NO_PROFILE_USER),
            ]
        )
        for step in range(30)
    ]
    alone, mixed = SpiedOverlay(), SpiedOverlay()
    fold_all(alone, *people)
    for event in people:
        fold_all(mixed, a_bots(*COUNTS, time_ms=event.time_ms), event)
    expected = tallied(alone)
    found = tallied(mixed)
    assert {key: counts for key, counts in found.items() if counts != {"bots": counts["bots"]}}.keys() == (
        expected.keys()
    )
    for key, counts in expected.items():
        assert {name: number for name, number in found[key].items() if name != "bots"} == counts
    key = user_key(CUSTOMER, USER)
    for table, rows in alone.tables.items():
        assert mixed.tables[table].get(key) == rows.get(key)


UNNAMED = {"scenario": None, "fallback_scenario": "all"}
VARIED = {
    "rendered": [{}, UNNAMED, {"scenario": None}],
    "viewed": [{}, UNNAMED],
    "clickrecommended": [{}, {"scenario": None}],
    "recommended": [{"lists": (a_served_list(scenario="x"), a_served_list(scenario=None)), "variant": "b"}],
    "triggeropened": [{}, {"triggername": None}],
    "clicktriggered": [{}, {"triggername": None}],
}


@pytest.mark.parametrize("name", EVENTS)
def test_events_that_count_by_themselves_are_those_that_count_as_bots(
    overlay: SpiedOverlay, name: str
) -> None:
    """Where an event of a person without a past counts, the same event of a bot counts too."""
    for fields in VARIED.get(name, [{}]):
        build = getattr(builders, f"an_{name}" if name == "owns" else f"a_{name}")
        event = build(**{"time_ms": T0, "user": NO_PROFILE_USER, "variant": "v", **fields})
        fold_all(overlay, event)
        person = {key[1:3] for key in tallied(overlay, VARIANT)}
        labels = [BotCount(1, *label) for label in labels_of(event)]
        fold_all(overlay, *([a_bots(*labels, time_ms=T0)] if labels else []))
        assert {key[1:3] for key in tallied(overlay, VARIANT)} == person
