"""The reader of the fault tests tells old state from fresh state."""

import pytest

from tests.faults.reader import Answer, Probe, judged


@pytest.mark.parametrize(
    ("clicks", "stale_ms", "kind"),
    [
        (4, None, "fresh"),
        (2, None, "fresh"),
        (1, None, "unmarked_stale"),
        (1, 2_000, "marked"),
        (0, 2_000, "marked"),
        (1, 500, "unmarked_stale"),
        (5, None, "invented"),
        (5, 2_000, "invented"),
    ],
    ids=[
        "all there",
        "younger than a session is missing",
        "older than a session is missing",
        "as old as it says",
        "within the margin of its mark",
        "older than it says",
        "more than was sent",
        "more than was sent, with a mark",
    ],
)
def test_answer_is_judged_by_what_kafka_had_acknowledged(
    clicks: int, stale_ms: int | None, kind: str
) -> None:
    probe = Probe("live-0", "~u", "live-0", sent=4, acknowledged=[7.6, 8.4, 9.0, 10.0])
    assert judged(Answer(10.0, clicks, stale_ms), probe, session_seconds=1.5) == kind
