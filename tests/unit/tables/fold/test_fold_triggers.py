"""Triggered messages count per trigger, and their clicks are remembered as clicks and attributed to nothing."""

import pytest

from events.model import NO_PROFILE_USER, user_key
from tests.support.builders import (
    CUSTOMER,
    USER,
    a_click,
    a_clicktriggered,
    a_rendered,
    a_triggeropened,
)
from tests.support.overlays import T0, SpiedOverlay, fold_all, tallied

KEY = user_key(CUSTOMER, USER)


@pytest.fixture
def overlay() -> SpiedOverlay:
    return SpiedOverlay()


def test_opened_messages_and_clicks_count_per_trigger(overlay: SpiedOverlay) -> None:
    fold_all(
        overlay,
        a_triggeropened(triggername="a", time_ms=T0),
        a_triggeropened(triggername="a", time_ms=T0),
        a_triggeropened(triggername="b", time_ms=T0, user=NO_PROFILE_USER),
        a_clicktriggered(triggername="a", time_ms=T0),
        a_clicktriggered(triggername=None, time_ms=T0, user=NO_PROFILE_USER),
    )
    assert {scenario: counts for (_, scenario), counts in tallied(overlay).items()} == {
        "trigger:a": {"calls": 2, "clicks": 1},
        "trigger:b": {"calls": 1},
        "trigger:unknown": {"clicks": 1},
    }


def test_click_in_a_message_is_remembered_and_joins_no_impression(overlay: SpiedOverlay) -> None:
    fold_all(
        overlay,
        a_rendered(items=("1",), time_ms=T0),
        a_clicktriggered(item="1", time_ms=T0 + 5),
        a_click(item="1", time_ms=T0 + 6),
    )
    item = overlay.tables["clicked"].get(KEY).items["1/1"]
    assert (item.count, item.recommended, item.first_ms, item.last_ms) == (1, 1, T0 + 5, T0 + 6)
    counts = {scenario: counted for (_, scenario), counted in tallied(overlay).items()}
    assert counts["trigger:mail"] == {"clicks": 1}
    assert counts["home"] == {"rendered": 1}
