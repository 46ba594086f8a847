"""An entry of the log says what was shown or viewed, and is read back as it was."""

from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tables.user.elements import Impression
from tables.user.impressions import impression_of
from tables.user.log_entries import (
    decode_impression,
    is_view,
    pack_impression,
    pack_view,
    received_ms_of,
    renewed,
    scenario_of,
    split_log,
)
from tables.user.shown_bytes import MAX_STAMP_MS
from tests.support.builders import NOW_MS, a_rendered

words = st.none() | st.text(st.characters(codec="utf-8"), max_size=5)
places = st.none() | st.integers(0, 10_000)
any_time = st.integers(0, MAX_STAMP_MS)
impressions = st.builds(
    Impression,
    any_time,
    any_time,
    st.integers(0, 2**31 - 1),
    st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=4), min_size=1, max_size=6),
    scenario=words,
    variant=words,
    experiment=words,
    row=places,
    rank=places,
    request_id=words,
    origin=words,
    number=st.integers(-(2**48), 2**48),
    entry_ms=st.none() | any_time,
    call_ms=st.none() | any_time,
    call_variant=words,
    image=words,
)


@given(st.lists(impressions, max_size=5))
def test_impressions_are_read_back_in_their_order(shown: list[Impression]) -> None:
    log = b"".join(map(pack_impression, shown))
    found = [decode_impression(entry) for entry in split_log(log)]
    for each in shown:
        if each.call_ms is None:
            each.call_variant = found[shown.index(each)].call_variant  # no place of a call without its time
    assert found == shown
    for entry, each in zip(split_log(log), shown, strict=True):
        assert (received_ms_of(entry), scenario_of(entry), is_view(entry)) == (
            each.received_ms,
            each.scenario,
            False,
        )


def test_views_stand_between_impressions() -> None:
    shown = pack_impression(impression_of(a_rendered()))
    viewed = pack_view(1, ["7", "ÿ"], NOW_MS, NOW_MS + 1)
    assert [is_view(entry) for entry in split_log(shown + viewed + shown)] == [False, True, False]
    assert received_ms_of(viewed) == NOW_MS + 1


@dataclass
class Former:
    """An impression as former versions stored it: a header of 12 bytes, and msgpack with short times."""

    shown: Impression

    def packed(self) -> bytes:
        fields: list[Any] = list(msgspec.structs.astuple(self.shown))
        received_ms, fields[1] = fields[1], 0
        if fields[13] is not None:
            fields[13] = fields[13] - fields[0] - 1
        body = msgspec.msgpack.encode(fields if fields[15] is not None else fields[:15])
        return len(body).to_bytes(4, "big") + received_ms.to_bytes(8, "big") + body


@pytest.mark.parametrize("image", [None, "a"])
@pytest.mark.parametrize("call_ms", [None, NOW_MS, NOW_MS - 5])
def test_log_of_the_former_format_means_the_same(image: str | None, call_ms: int | None) -> None:
    shown = Impression(
        NOW_MS, NOW_MS + 1, 1, ["7", "8"], "home", request_id="r", call_ms=call_ms, image=image, number=3
    )
    log = renewed(Former(shown).packed() * 2)
    assert [decode_impression(entry) for entry in split_log(log)] == [shown, shown]
