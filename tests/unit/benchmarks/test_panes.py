"""The peers count the same panes as our tally."""

from benchmarks.panes import count_shown, pane_key
from benchmarks.traffic import Traffic
from events.codec import decode
from events.model import Rendered
from tables.ctr.panes import Pane, Tally
from tables.ctr.window_keys import SCENARIO


def test_panes_of_peers_are_those_of_the_tally() -> None:
    traffic = Traffic(
        events=500, users=20, partitions=1, seed=2, start_ms=1_700_000_000_000 // 60_000 * 60_000 + 59_800
    )
    tally, panes = Tally(), dict[bytes, Pane]()
    for record in traffic.records():
        event = decode(record.value)
        assert isinstance(event, Rendered)
        tally.count("rendered", event.customer, event.scenario, None, event.time_ms, items=len(event.items))
        key = pane_key(event)
        panes[key] = count_shown(panes.get(key), event)
    drained = tally.drain(lambda key: None, 0)
    expected = {key.encode(): pane.counts for key, pane in drained.items() if key.dimension == SCENARIO}
    assert len({key.start_ms for key in drained}) == 2
    assert {key: pane.counts for key, pane in panes.items()} == expected
