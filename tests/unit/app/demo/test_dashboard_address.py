"""The dashboard's address in the demo: a view that has the events of the files."""

import pytest

from app.demo.dashboard_address import dashboard_address

DAY_MS = 86_400_000
END_MS = 1_575_158_400_000


@pytest.mark.parametrize(
    ("days", "span"),
    [(0.5, "P1D"), (1, "P1D"), (1.1, "P7D"), (7, "P7D"), (8, "P30D"), (90, "P90D"), (400, "P90D")],
)
def test_the_view_ends_with_the_files_and_spans_them(days: float, span: str) -> None:
    address = dashboard_address("http://127.0.0.1:1", "00000", END_MS - int(days * DAY_MS), END_MS)
    assert address == f"http://127.0.0.1:1/#customer=00000&span={span}&until=2019-12-01T00:00Z"


def test_the_view_ends_after_the_last_minute() -> None:
    assert dashboard_address("", "a&b", 0, END_MS + 60_000).endswith(
        "customer=a%26b&span=P90D&until=2019-12-01T00:01Z"
    )
