"""The scenarios and variants that an event names by itself."""

from typing import Any

import pytest

from events.scenarios import Label, labels_of
from tests.support.builders import (
    a_basket,
    a_bots,
    a_buy,
    a_click,
    a_clickrecommended,
    a_clicktriggered,
    a_consume,
    a_login,
    a_recommended,
    a_rendered,
    a_served_list,
    a_triggeropened,
    a_viewed,
)

LISTS = (
    a_served_list(scenario="home", variant="a"),
    a_served_list(scenario="home", row=1),
    a_served_list(scenario=None),
    a_served_list(scenario="home", row=2, variant="a"),
)


@pytest.mark.parametrize(
    ("event", "labels"),
    [
        (a_rendered(scenario="home", variant="a"), [("home", "a")]),
        (a_rendered(scenario="home", fallback_scenario="all"), [("home", None)]),
        (a_rendered(scenario=None, fallback_scenario="all"), [("all", None)]),
        (a_rendered(scenario=None), [(None, None)]),
        (a_viewed(scenario=None, fallback_scenario="all", variant="a"), [("all", "a")]),
        (a_clickrecommended(scenario="home", variant="a"), [("home", "a")]),
        (a_clickrecommended(scenario=None), [(None, None)]),
        (a_recommended(lists=LISTS, variant="b"), [("home", "a"), ("home", "b"), (None, "b")]),
        (a_recommended(lists=()), []),
        (a_triggeropened(triggername="mail", variant="a"), [("trigger:mail", "a")]),
        (a_clicktriggered(triggername=None), [("trigger:unknown", None)]),
        (a_click(), []),
        (a_consume(), []),
        (a_basket(), []),
        (a_buy(), []),
        (a_login(), []),
        (a_bots(), []),
    ],
)
def test_event_has_the_labels_that_it_names(event: Any, labels: list[Label]) -> None:
    assert list(labels_of(event)) == labels
