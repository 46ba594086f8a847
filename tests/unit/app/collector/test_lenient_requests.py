"""Requests in the forms in which shipped clients send them, over HTTP."""

from typing import Any

import pytest

CLICK = "/api/00000/click/u/1/5"


@pytest.mark.parametrize("target", [f"/{CLICK}", f"//{CLICK}", f"{CLICK}/", f"/{CLICK}/?title=t"])
async def test_slashes_at_both_ends_mean_nothing(collector: Any, target: str) -> None:
    assert (await collector.get(target)).status == 204
    assert [event.item for event in collector.events()] == ["5"]


@pytest.mark.parametrize(
    "path", ["/v1/00000/events", "/v1/00000/recommended", "/uitracking/users/presentationtracking"]
)
async def test_slashes_at_both_ends_of_other_paths_mean_nothing(collector: Any, path: str) -> None:
    body = '{"user":"u","request_id":"r","data":[]}'
    answers = [
        await collector.ask(
            "POST", f"{each}?customer=00000", data=body, headers={"Content-Type": "application/json"}
        )
        for each in (path, f"/{path}", f"{path}/")
    ]
    assert {answer.status for answer in answers} <= {200, 204}
    assert len({await answer.text() for answer in answers}) == 1
    assert (await collector.get("//health/live")).status == 200


@pytest.mark.parametrize("encoding", ["", "identity", "Identity", " IDENTITY "])
async def test_form_body_that_is_not_compressed_is_read(collector: Any, encoding: str) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Content-Encoding": encoding}
    answer = await collector.ask("POST", CLICK, data=b"lang=de", headers=headers)
    assert answer.status == 204
    assert [event.lang for event in collector.events()] == ["de"]
