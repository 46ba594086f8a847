"""A long list is freed item by item."""

from tables.base.long_lists import used_up


def test_a_list_lets_go_of_each_item() -> None:
    items = [1, 2, 3]
    left = [(item, len(items)) for item in used_up(items)]
    assert left == [(1, 2), (2, 1), (3, 0)]
