"""Header fields are read by their lists and weights."""

import pytest

from app.http.request_headers import accepted, names_tag


@pytest.mark.parametrize(
    ("header", "names"),
    [
        ("", [""]),
        ("gzip", ["gzip"]),
        ("br, GZIP;q=0.5", ["br", "gzip"]),
        ("Text/CSV ; q = 0.01, */*", ["text/csv", "*/*"]),
        ("gzip;q=0, br; q=0.000 , deflate;Q=0.;x=1", []),
    ],
)
def test_a_weight_of_zero_refuses(header: str, names: list[str]) -> None:
    assert accepted(header) == names


@pytest.mark.parametrize(
    ("header", "is_named"),
    [('"a"', True), ('W/"a"', True), ('"b", "a"', True), ("*", True), ("", False), ('"ab"', False)],
)
def test_tag_is_named_strong_or_weak(header: str, is_named: bool) -> None:
    assert names_tag(header, '"a"') is is_named
