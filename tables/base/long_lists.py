"""Long lists that are freed item by item."""

from collections.abc import Iterator
from typing import TypeVar

_T = TypeVar("_T")


def used_up(items: list[_T]) -> Iterator[_T]:
    """Yield the items of a list, which lets go of each. To free a long list at once would block the event loop."""
    items.reverse()
    while items:
        yield items.pop()
