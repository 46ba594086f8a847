"""An answer has a result for each row, or words that an operator can read."""

import json

import pytest

from app.base.errors import UptakeError
from app.importer.batch_answer import RowResult, row_results, words


def test_results_come_in_the_order_of_the_rows() -> None:
    said = [{"status": "accepted"}, {"status": "rejected", "code": "bad_item", "reason": "r", "retry": True}]
    body = json.dumps({"accepted": 1, "results": said}).encode()
    assert row_results(body, 2) == [RowResult("accepted"), RowResult("rejected", "bad_item", "r", True)]


@pytest.mark.parametrize(
    "body", [b"", b"hello", b"[]", b'{"results":[]}', b'{"results":[{}]}', b"\xff", b'{"results":1}']
)
def test_answer_of_another_server_is_not_taken_for_results(body: bytes) -> None:
    with pytest.raises(UptakeError, match="not that of an Uptake collector"):
        row_results(body, 1)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"code":"unauthorized","detail":"wrong key"}', "status 401, unauthorized: wrong key"),
        (b" no such page \n", "status 401: no such page"),
        (b"\xff", "status 401: \ufffd"),
        (b"", "status 401"),
        (b"x" * 600, "status 401: " + "x" * 500),
    ],
)
def test_words_are_those_of_the_server(body: bytes, expected: str) -> None:
    assert words(401, body) == expected
