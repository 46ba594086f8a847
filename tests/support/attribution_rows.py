"""Elements of a user's attribution row, added with defaults, so that a test varies one thing."""

from tables.user.attribution import click, convert, show
from tables.user.belonging import Counted
from tables.user.elements import Conversion, Impression, JoiningClick, Place
from tables.user.impressions import ImpressionsState
from tests.support.builders import NOW_MS, USER

HOME = Place(NOW_MS, "home", item="1/1")


def shown(
    state: ImpressionsState,
    time_ms: int = NOW_MS,
    items: tuple[str, ...] = ("1", "2"),
    received_ms: int | None = None,
    scenario: str | None = "home",
) -> Counted:
    received_ms = time_ms if received_ms is None else received_ms
    return show(state, USER, Impression(time_ms, received_ms, 1, list(items), scenario))


def clicked(
    state: ImpressionsState, time_ms: int = NOW_MS, item: str = "1", received_ms: int | None = None
) -> Counted:
    received_ms = time_ms if received_ms is None else received_ms
    return click(state, USER, JoiningClick(time_ms, received_ms, f"1/{item}", None, "mail"))


def converted(
    state: ImpressionsState, time_ms: int = NOW_MS, counter: str = "purchases", item: str = "1"
) -> Counted:
    return convert(state, USER, Conversion(time_ms, time_ms, f"1/{item}", counter))
