"""An item's key gives the item back, and the right items are dropped when there are too many."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tables.user.items import drop_oldest, item_key, split_item_key


@given(st.integers(0, 2_147_483_647), st.text())
def test_key_gives_the_item_back(itemtype: int, item: str) -> None:
    assert split_item_key(item_key(itemtype, item)) == (itemtype, item)


@pytest.mark.parametrize(
    ("itemtype", "item", "key"), [(1, "7", "1/7"), (2, "a/b//c", "2/a/b//c"), (3, "", "3/")]
)
def test_key_is_type_slash_item(itemtype: int, item: str, key: str) -> None:
    assert item_key(itemtype, item) == key


def test_equal_items_of_two_types_have_two_keys() -> None:
    assert item_key(1, "11") != item_key(11, "1")


@pytest.mark.parametrize(("max_items", "left"), [(5, "abc"), (3, "abc"), (2, "bc"), (1, "c"), (0, "")])
def test_longest_untouched_items_go(max_items: int, left: str) -> None:
    items = dict.fromkeys("abc", 0)
    drop_oldest(items, max_items)
    assert list(items) == list(left)
