"""The watermark waits for partitions that lag or have no owner, for no others, and never goes back."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tables.ctr.watermarks import SourceState, WatermarkRules, WatermarkState, announce, is_history_read
from tables.declare import BY_NAME

T = 1_700_000_000_000
GRACE_MS, STALE_MS = 600_000, 90_000
READ, LAGS = True, False


def rules(partitions: int = 3) -> WatermarkRules:
    return WatermarkRules(partitions, GRACE_MS, STALE_MS)


def said(
    newest_ms: int, is_read: bool = LAGS, at_ms: int = 1_000, is_history_read: bool = True
) -> SourceState:
    """Build an announcement; its times count from T."""
    return SourceState(T + newest_ms if newest_ms else 0, T + at_ms, is_read, is_history_read)


def folded(*announcements: tuple[int, SourceState], partitions: int = 3) -> WatermarkState:
    state: WatermarkState | None = None
    for number, each in announcements:
        state = announce(state, number, each, rules(partitions))
    assert state is not None
    return state


@pytest.mark.parametrize(
    ("announcements", "reached_ms"),
    [
        pytest.param([(0, said(10)), (1, said(20)), (2, said(30))], T + 10, id="the least of those that hold"),
        pytest.param([(0, said(10, READ)), (1, said(20)), (2, said(30))], T + 20, id="one that has read all does not hold"),
        pytest.param([(0, said(10, READ)), (1, said(20, READ)), (2, said(30, READ))], T + 30, id="no partition holds"),
        pytest.param([(0, said(10)), (1, said(20))], 0, id="one that never announced holds"),
        pytest.param([(0, said(0)), (1, said(20)), (2, said(30))], 0, id="one that lags and told no time yet holds"),
        pytest.param([(0, said(0, READ)), (1, said(20)), (2, said(30))], T + 20, id="an empty one does not"),
        pytest.param(
            [(0, said(10, READ)), (1, said(20, READ)), (2, said(30, READ, 1_000 + STALE_MS))],
            T + 30,
            id="an announcement is believed for a while",
        ),
        pytest.param(
            [(0, said(10, READ)), (1, said(200, at_ms=1_001 + STALE_MS)), (2, said(300, at_ms=1_001 + STALE_MS))],
            T + 10,
            id="one without an owner holds",
        ),
        pytest.param([(0, said(10)), (1, said(20)), (2, said(30)), (0, said(5))], T + 10, id="a newest time stays"),
        pytest.param(
            [(0, said(99_000)), (1, said(99_000)), (2, said(99_000))],
            T + 1_000,
            id="no time is later than the broker's clock",
        ),
    ],
)  # fmt: skip
def test_watermark_is_held_by_those_that_lag(
    announcements: list[tuple[int, SourceState]], reached_ms: int
) -> None:
    assert folded(*announcements).reached_ms == reached_ms


def test_watermark_never_goes_back() -> None:
    before = [(0, said(10, READ)), (1, said(20, READ)), (2, said(30, READ))]
    assert folded(*before, (0, said(10, LAGS))).reached_ms == T + 30
    assert folded(*before, (0, said(10, LAGS)), (0, said(31, LAGS)), (1, said(40, READ))).reached_ms == T + 31


def test_an_older_announcement_says_nothing_of_the_lanes() -> None:
    state = folded((0, said(10, LAGS, at_ms=2_000)), (0, said(20, READ, at_ms=1_000)), partitions=1)
    assert (state.sources[0].is_live_read, state.sources[0].newest_ms) == (False, T + 20)


@pytest.mark.parametrize(
    ("silent_ms", "reached_ms"),
    [(GRACE_MS - 1, T + 30), (GRACE_MS, T + 30 + GRACE_MS), (5 * GRACE_MS, T + 30 + 5 * GRACE_MS)],
)
def test_time_goes_on_without_events_when_all_have_been_silent_for_the_grace(
    silent_ms: int, reached_ms: int
) -> None:
    night = [(number, said(30, READ, 1_000 + silent_ms)) for number in range(3)]
    state = folded(*((number, said(30, READ)) for number in range(3)), *night)
    assert state.reached_ms == reached_ms


def test_time_does_not_go_on_while_one_lags_or_before_any_event() -> None:
    later_ms = 9 * GRACE_MS
    first = [(number, said(30, READ)) for number in range(3)]
    lagging = [(number, said(30, number != 1, later_ms)) for number in range(3)]
    assert folded(*first, *lagging).reached_ms == T + 30
    empty = [(number, said(0, READ, at_ms)) for at_ms in (0, later_ms) for number in range(3)]
    assert folded(*empty).reached_ms == 0


def test_history_is_read_when_every_partition_says_so_and_lately() -> None:
    all_read = [(number, said(10)) for number in range(3)]
    assert is_history_read(folded(*all_read), rules())
    assert not is_history_read(folded(*all_read[:2]), rules())
    assert not is_history_read(folded(*all_read, (1, said(10, is_history_read=False))), rules())
    assert not is_history_read(folded(*all_read, (1, said(10, at_ms=1_001 + STALE_MS))), rules())


announcements = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.builds(
            said,
            st.integers(0, 3 * GRACE_MS),
            st.booleans(),
            st.integers(0, 3 * GRACE_MS),
            st.booleans(),
        ),
    ),
    min_size=1,
    max_size=20,
)


@given(announcements)
def test_any_announcements_never_move_it_back_nor_past_the_clock(
    drawn: list[tuple[int, SourceState]],
) -> None:
    state, before_ms = None, 0
    for number, each in drawn:
        state = announce(state, number, each, rules())
        assert state.reached_ms >= before_ms
        assert state.reached_ms <= max(source.appended_ms for source in state.sources.values())
        before_ms = state.reached_ms
        again = announce(msgspec.convert(msgspec.to_builtins(state), WatermarkState), number, each, rules())
        assert again == state


def test_state_comes_back_from_the_store() -> None:
    state = folded((0, said(10)), (2, said(20, READ)))
    coding = BY_NAME["watermarks"]
    assert coding.decode(coding.encode(state)) == state
