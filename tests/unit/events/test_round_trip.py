"""parse(build(x)) == x for every event of the tracker API: the journal gets what a client puts into a request."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from events.codec import decode, encode
from events.model import ALIASES, EVENTS
from events.target import PREFIXES, build_target
from events.tracker import TRACKER_EVENTS
from tests.support.fuzz import events
from tests.support.tracker import RECEIVED_MS, RULES, event_of

WRITTEN = {**{name: name for name in TRACKER_EVENTS}, **ALIASES}


@pytest.mark.parametrize("written", WRITTEN)
@settings(max_examples=20)  # the fault test S2 draws 10,000
@given(st.data())
def test_a_built_event_is_parsed_back(written: str, data: Any) -> None:
    segments, params, said = data.draw(events(WRITTEN[written]))
    prefix = data.draw(st.sampled_from(sorted(PREFIXES)))
    for name in {"user", "target"} & said.keys():
        said[name] = RULES.user(said[name])
    expected = EVENTS[WRITTEN[written]](
        customer="00000", time_ms=RECEIVED_MS, received_ms=RECEIVED_MS, **said
    )
    event = event_of(build_target("00000", written, segments, params, prefix=prefix))
    assert event == expected
    assert decode(encode(event)) == event
