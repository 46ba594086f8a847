"""Stored bytes stay readable: a change of any state's bytes is a visible diff of tests/data/golden_states.json.

Fields are positional, so a new one is only appended, with a default.
The bytes here then change, and ``SHORTER`` still decodes.
"""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tables import transfers
from tables.base.table_spec import Stretch
from tables.ctr.additions import Addition, Seen
from tables.ctr.item_columns import ItemColumns
from tables.ctr.item_counts import ItemCounts
from tables.ctr.item_windows import ItemWindow
from tables.ctr.panes import Counts, Pane
from tables.ctr.unique_users import add_marks
from tables.ctr.user_totals import RevenueTotals, UserTotals
from tables.ctr.user_windows import SeenSketches, UserWindow
from tables.ctr.windows import HISTORY_LANE, LIVE_LANE, SourceCounts, WindowState
from tables.user.attribution_moves import Moved
from tables.user.basket import BasketItem, BasketState
from tables.user.call_places import CallPlace, report_call
from tables.user.clicked import Clicked, ClickedState
from tables.user.consumed import Consumed, ConsumedState
from tables.user.elements import Conversion, Impression, JoiningClick
from tables.user.experiments import ExperimentsState, Participation, UserValues
from tables.user.identity import IdentityState, Transfer
from tables.user.impression_buckets import SealedLog, is_full, seal
from tables.user.impressions import (
    ImpressionsState,
    PastLogin,
    RecommendedClick,
    append,
    append_view,
    calls_of,
)
from tables.user.log_entries import pack_impression
from tables.user.playback import Last, PlaybackState, Played
from tables.user.preferences import Preference, PreferencesState
from tables.user.purchases import Purchase, PurchasesState
from tables.user.recommended import RecommendedState, ServedList
from tables.user.rendered import RenderedState, packed_of
from tables.user.shown_bytes import Shown, pack
from tests.support.builders import a_viewed

GOLDEN = Path(__file__).parents[2] / "data" / "golden_states.json"
T = 1_700_000_000_000
RENDERED = RenderedState(pack({"1/7": Shown(3, T, [T + 1, T + 2, T + 3], 1, T + 4)}))
FORMER_CLICK = RecommendedClick(T + 5, T + 6, "1/7", T, "home", "a", 0, 2, ["basket"])
IMPRESSION = Impression(T, T + 1, 1, ["7", "8"], "home", "a", "e", 0, 2, "r1", "k1.o", 3, T + 2, T, "a")
CLICK = JoiningClick(T + 5, T + 6, "1/7", "r1", "home", "a", 0, 2, "k1.o", 4, T + 7)
CONVERSION = Conversion(T + 8, T + 9, "1/7", "purchases", "EUR", Decimal("12.45"), "k1.o", 5, T + 9)
LOGIN = PastLogin(T, T + 1, "k1.target")
ITEM_COLUMNS = ItemColumns({"rendered/1": {"7": 3}}, {"1/7": {"EUR": Decimal("12.45")}})
TOTALS = UserTotals(2, 5, 13, 1, 1, 2, revenue={"EUR": RevenueTotals(Decimal("1.5"), Decimal("2.25"))})
COUNTS = Counts(1, 20, 3, 4, 5, 6, 7, 8, {"EUR": Decimal("12.45")}, 9, 10, 300)
EXPERIMENTS = ExperimentsState(
    {"list": Participation("A", T, UserValues(5, 2, 3, 1, 1, {"EUR": Decimal("1.5")}), True)}, T + 1
)


def an_impressions_state() -> ImpressionsState:
    state = ImpressionsState(
        clicks=(CLICK,),
        conversions=(CONVERSION,),
        numbered=6,
        logins=(LOGIN,),
        last_login=LOGIN,
        settled_calls=("r0\x1f",),
    )
    append(state, IMPRESSION)
    report_call(calls_of(state), "r1\x1fhome", CallPlace(T, "a"))
    return state


def a_sealed_state() -> ImpressionsState:
    """Build a row whose oldest entries and calls are in a bucket."""
    state = an_impressions_state()
    append_view(state, a_viewed(items=("7",), time_ms=T, received_ms=T + 1))
    while state.buckets == b"":
        append(state, IMPRESSION)
        if is_full(state):
            seal(state)
    append(state, IMPRESSION)
    state.merged = 1
    return state


STATES: dict[str, Any] = {
    "rendered": RENDERED,
    "impressions": an_impressions_state(),
    "impressions with a bucket": a_sealed_state(),
    "impression_buckets": SealedLog(pack_impression(IMPRESSION), b"\xc1r1\x1fhome\xff"),
    "clicked": ClickedState({"1/7": Clicked(2, T + 9, 1, T)}),
    "consumed": ConsumedState({"1/7": Consumed(90, T, T + 9, 5_000, 200, 300)}),
    "playback": PlaybackState(
        {"1/7": Played(90_000, [0, 10_000, 20_000, 30_000], {"s": Last(T, T + 1, "playing", 30_000, 1.5)})}
    ),
    "basket": BasketState(
        {"1/7": BasketItem(T, "Cameras/Film", Decimal("12.45"), "EUR", T + 1, T + 2)}, T + 3
    ),
    "purchases": PurchasesState(
        {"1/7": Purchase(3, {"EUR": Decimal("59.97"), "JPY": Decimal(456)}, T, T + 9, True, 2, 500_000)}
    ),
    "preferences": PreferencesState({"1/7": Preference(80, T, T + 1, T + 2, T + 3, T + 4)}),
    "identity": IdentityState("k1.target", T, T + 1, 2, {"k1.source": 3}, 1, "k0.target", T + 2),
    "recommended": RecommendedState([ServedList(T, T + 1, "r1", 1, ["7", "8"], "home", "a", 0, "e")]),
    "experiments": EXPERIMENTS,
    "panes": Pane(COUNTS, 3, T, T - 1, is_history=True),
    "panes of an experiment": Pane(Counts(user_totals=TOTALS), 3, T, T - 1),
    "windows": WindowState(COUNTS, 2, True, T, {1: SourceCounts(T, 3, COUNTS)}, LIVE_LANE),
    "item_windows": ItemWindow(T, ITEM_COLUMNS, ItemCounts(1, 2, 3, 4, 5, 6, 7, {"EUR": Decimal("12.45")})),
    "pending_additions": Addition(
        T - T % 3_600_000, ITEM_COLUMNS, ItemColumns(), {"a": Seen({"m"}, {"n"})}, T
    ),
    "user_windows": UserWindow({"a": SeenSketches(add_marks(b"", ["m", "n"]), b"")}, T),
    "transfer": Transfer("00000", "k1.source", "k1.target", 3, T, T + 1, Stretch({"rendered": RENDERED})),
    "attribution": Transfer(
        "00000",
        "k1.source",
        "k1.target",
        4,
        T,
        T + 1,
        Stretch(),
        Moved([IMPRESSION], [CLICK], [CONVERSION], ["r0\x1f"]),
    ),
    "experiments transfer": Transfer(
        "00000", "k1.source", "k1.target", 5, T, T + 1, Stretch(), experiments=EXPERIMENTS
    ),
}

SHORTER: list[tuple[list[Any], Any]] = [
    ([], RenderedState()),
    ([{"1/7": [3, T, [T]]}], RenderedState({"1/7": Shown(3, T, [T])})),
    ([pack({"1/7": Shown(1, T, [T])})], RenderedState(pack({"1/7": Shown(1, T, [T])}))),
    ([[[T, T, 1, ["7"]]]], ImpressionsState([Impression(T, T, 1, ["7"])])),
    ([[], [[T, T, "1/7", T]]], ImpressionsState([], [RecommendedClick(T, T, "1/7", T)])),
    ([{"1/7": [2, T]}], ClickedState({"1/7": Clicked(2, T)})),
    ([{"1/7": [90, T, T]}], ConsumedState({"1/7": Consumed(90, T, T)})),
    ([{"1/7": [90_000]}], PlaybackState({"1/7": Played(90_000)})),
    ([{"1/7": [T]}], BasketState({"1/7": BasketItem(T)})),
    ([{"1/7": [1, {}, T, T]}], PurchasesState({"1/7": Purchase(1, {}, T, T)})),
    ([{"1/7": [2, {}, T, T, True, 1]}], PurchasesState({"1/7": Purchase(2, {}, T, T, True, 1)})),
    ([{"1/7": [80, T]}], PreferencesState({"1/7": Preference(80, T)})),
    (
        [{"1/7": [80, T, T + 1, T + 2, T + 3]}],
        PreferencesState({"1/7": Preference(80, T, T + 1, T + 2, T + 3)}),
    ),
    (["b", T, T, 1], IdentityState("b", T, T, 1)),
    (["b", T, T, 1, {"a": 2}, 3], IdentityState("b", T, T, 1, {"a": 2}, 3)),
    ([[[T, T, "r", 1, ["7"]]]], RecommendedState([ServedList(T, T, "r", 1, ["7"])])),
    (
        [[1, 2, 3, 4, 5, 6, 7, 8, {"EUR": "1.5"}]],
        Pane(Counts(1, 2, 3, 4, 5, 6, 7, 8, {"EUR": Decimal("1.5")})),
    ),
    (
        [[1, 2, 3, 4, 5, 6, 7, 8, {}, 9, 10], 3, T, T, True],  # before bots were counted
        Pane(Counts(1, 2, 3, 4, 5, 6, 7, 8, {}, 9, 10), 3, T, T, is_history=True),
    ),
    (
        [
            [1, 2, 3, 4, 5, 6, 7, 8, {}, 9, 10],
            1,
            True,
            T,
            {2: [T, 3, [1, 2, 3, 4, 5, 6, 7, 8, {}, 9, 10]]},
            2,
        ],
        WindowState(
            Counts(1, 2, 3, 4, 5, 6, 7, 8, {}, 9, 10),
            1,
            True,
            T,
            {2: SourceCounts(T, 3, Counts(1, 2, 3, 4, 5, 6, 7, 8, {}, 9, 10))},
            HISTORY_LANE,
        ),
    ),
]
"""Rows stored before the last fields were appended, and what they mean today."""


FORMER = GOLDEN.with_name("golden_states_former.json")
"""Rows stored before docs/decisions/0010 or 0018 changed these formats, before times of calls were short, or before quantities were
decimals."""


def a_former_impressions_state() -> ImpressionsState:
    """Build what rows mean that were stored before conversions were kept."""
    state = ImpressionsState(former_clicks=(FORMER_CLICK,))
    append(state, Impression(T, T + 1, 1, ["7", "8"], "home", "a", "e", 0, 2, "r1"))
    state.appended = 0  # former rows of `rendered` include all of the log
    return state


def an_unsealed_state() -> ImpressionsState:
    """Build what rows mean that were stored before there were buckets."""
    state = an_impressions_state()
    state.appended = 0
    return state


FORMER_STATES = {
    **STATES,
    "rendered with all of the log": RENDERED,
    "transfer with all of the log": STATES["transfer"],
    "impressions": a_former_impressions_state(),
    "impressions packed": a_former_impressions_state(),
    "impressions with whole times": an_unsealed_state(),
    "impressions in one row": an_unsealed_state(),
    "purchases": PurchasesState(
        {"1/7": Purchase(3, {"EUR": Decimal("59.97"), "JPY": Decimal(456)}, T, T + 9, True, 2)}
    ),
}


def golden(path: Path = GOLDEN) -> dict[str, str]:
    return json.loads(path.read_text())


def encoded(state: Any) -> bytes:
    return transfers.encode(state) if isinstance(state, Transfer) else msgspec.msgpack.encode(state)


def decoded(raw: bytes, kind: type) -> Any:
    return transfers.decode(raw) if kind is Transfer else msgspec.msgpack.decode(raw, type=kind)


def test_every_state_has_golden_bytes() -> None:
    assert set(golden()) == set(STATES)


@pytest.mark.parametrize("name", STATES)
def test_state_is_stored_in_the_golden_bytes(name: str) -> None:
    assert encoded(STATES[name]).hex() == golden()[name]


@pytest.mark.parametrize("name", STATES)
def test_golden_bytes_are_read_back(name: str) -> None:
    state = STATES[name]
    assert decoded(bytes.fromhex(golden()[name]), type(state)) == state


@pytest.mark.parametrize("name", golden(FORMER))
def test_what_was_stored_in_a_former_format_is_read_and_stored_anew(name: str) -> None:
    state = FORMER_STATES[name]
    former = decoded(bytes.fromhex(golden(FORMER)[name]), type(state))
    assert former == state
    if name.startswith("rendered"):
        packed_of(former)
        assert msgspec.msgpack.encode(former).hex() == golden()["rendered"]


@pytest.mark.parametrize(("row", "state"), SHORTER)
def test_row_without_the_appended_fields_is_still_read(row: list[Any], state: Any) -> None:
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(row), type=type(state)) == state
