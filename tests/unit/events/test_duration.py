"""Durations of ISO 8601: fixed lengths only."""

import pytest

from events.duration import parse_duration_ms


@pytest.mark.parametrize(
    ("text", "expected_ms"),
    [
        ("PT30M", 1_800_000),
        ("PT1H30M", 5_400_000),
        ("PT90S", 90_000),
        ("P7D", 604_800_000),
        ("P1W", 604_800_000),
        ("P1DT12H", 129_600_000),
        *(
            (text, None)
            for text in (
                "",
                "P",
                "PT",
                "P1DT",
                "P1Y",
                "P1M",
                "PT0S",
                "30M",
                "PT1.5H",
                "-PT1H",
                "P9999D",
                "PT٣M",
                "PT1H\n",
            )
        ),
    ],
)
def test_duration(text: str, expected_ms: int | None) -> None:
    assert parse_duration_ms(text) == expected_ms
