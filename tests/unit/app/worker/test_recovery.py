"""A journal with added partitions is refused before anything is opened, and the error names the cure."""

import pytest

from app.base.errors import TopicMismatchError
from app.worker.recovery import check_numbers


def test_partition_that_the_deployment_does_not_have_is_refused() -> None:
    with pytest.raises(
        TopicMismatchError, match=r"uptake\.events has 9 partitions on the broker, expected 8"
    ):
        check_numbers({0, 3, 8}, 8)


@pytest.mark.parametrize("numbers", [set(), {0}, {7}, set(range(8))])
def test_partitions_of_the_deployment_are_taken(numbers: set[int]) -> None:
    check_numbers(numbers, 8)
