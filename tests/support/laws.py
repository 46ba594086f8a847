"""Laws that hold for every table: merges do not depend on order, and a state survives encoding unchanged."""

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

S = TypeVar("S")


def stored(state: S) -> S:
    """Return the state as the store gives it back; assert that it is the same."""
    raw = msgspec.msgpack.encode(state)
    again = msgspec.msgpack.decode(raw, type=type(state))
    assert again == state
    assert msgspec.msgpack.encode(again) == raw
    return again


def assert_merge_laws(
    build: Callable[[Any], Any],
    merge: Callable[[Any, Any], Any],
    answers: Callable[[Any], Any],
    parts: tuple[Any, Any, Any],
) -> None:
    """Assert that merging three users' events gives the same answers in every order and grouping, and that nothing + x = x.

    ``build`` folds one part into a fresh state, because a merge consumes its arguments.
    """
    a, b, c = parts

    def built(part: Any) -> Any:
        return stored(build(part))

    expected = answers(merge(merge(built(a), built(b)), built(c)))
    assert answers(merge(built(a), merge(built(b), built(c)))) == expected
    assert answers(merge(merge(built(c), built(a)), built(b))) == expected
    assert answers(merge(built(b), merge(built(c), built(a)))) == expected
    assert answers(merge(None, built(a))) == answers(built(a))
