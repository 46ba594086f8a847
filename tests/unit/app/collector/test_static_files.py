"""Scripts of shop plugins come from the operator's directory, with caching; nothing outside it is served."""

import os
from pathlib import Path
from typing import Any

import pytest

from app.customers.customer import Customer
from app.customers.customer_registry import Customers
from tests.support.tracker import RULES, rules

SCRIPT = "/cdn/v1/00000/tracking.js"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    found = tmp_path / "static"
    (found / "other").mkdir(parents=True)
    (found / "tracking.js").write_text("track('ü');")
    (found / "tracking.css").write_text("a{}")
    (found / "other" / "tracking.js").write_text("other();")
    (tmp_path / "tracking.js").write_text("secret();")
    return found


@pytest.fixture
async def collector(start_collector: Any, directory: Path) -> Any:
    names = ("other", "..")
    customers = {name: Customer(rules(customer=name)) for name in names}
    return await start_collector(Customers({"00000": Customer(RULES), **customers}), static_dir=directory)


async def test_script_is_served_with_type_and_caching(collector: Any) -> None:
    for path in (SCRIPT, f"{SCRIPT}?v=2", f"/{SCRIPT}"):
        answer = await collector.get(path)
        assert (answer.status, await answer.text()) == (200, "track('ü');")
        assert answer.headers["Content-Type"] == "text/javascript; charset=utf-8"
        assert answer.headers["Cache-Control"] == "public, max-age=3600"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
    style = await collector.get("/cdn/v1/00000/tracking.css")
    assert (style.content_type, await style.text()) == ("text/css", "a{}")
    assert collector.events() == []


async def test_customer_may_have_a_script_of_its_own(collector: Any) -> None:
    assert await (await collector.get("/cdn/v1/other/tracking.js")).text() == "other();"
    assert await (await collector.get("/cdn/v1/other/tracking.css")).text() == "a{}"


async def test_plugin_with_an_id_gets_its_own_script(collector: Any, directory: Path) -> None:
    (directory / "other" / "shop-2").mkdir()
    (directory / "other" / "shop-2" / "tracking.js").write_text("second();")
    (directory / "other" / "a.b").mkdir()
    (directory / "other" / "a.b" / "tracking.js").write_text("secret();")
    answer = await collector.get("/cdn/v1/other/shop-2/tracking.js")
    assert (answer.status, await answer.text()) == (200, "second();")
    for path in (
        "shop-2/tracking.css",
        "shop-3/tracking.js",
        "a.b/tracking.js",
        "shop-2/x/tracking.js",
        "/tracking.js",
    ):
        assert (await collector.get(f"/cdn/v1/other/{path}")).status == 404, path


async def test_client_that_has_the_file_gets_304_until_the_file_changes(
    collector: Any, directory: Path
) -> None:
    tag = (await collector.get(SCRIPT)).headers["ETag"]
    for known in (tag, f"W/{tag}", f'"x", {tag}', "*"):
        answer = await collector.get(SCRIPT, If_None_Match=known)
        assert (answer.status, answer.headers["ETag"], await answer.read()) == (304, tag, b"")
    assert (await collector.get(SCRIPT, If_None_Match='"x"')).status == 200
    replaced = directory / "new"
    replaced.write_text("track('ä');")  # as long as before
    replaced.replace(directory / "tracking.js")
    changed = await collector.get(SCRIPT, If_None_Match=tag)
    assert (changed.status, await changed.text()) == (200, "track('ä');")
    (directory / "tracking.js").unlink()
    assert (await collector.get(SCRIPT)).status == 404


async def test_head_has_no_body_and_other_methods_are_405(collector: Any) -> None:
    head = await collector.ask("HEAD", SCRIPT)
    assert (head.status, head.headers["Content-Length"], await head.read()) == (200, "12", b"")
    refused = await collector.ask("POST", SCRIPT)
    assert (refused.status, refused.headers["Allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    "path",
    [
        "/cdn/v1/nobody/tracking.js",
        "/cdn/v1/../tracking.js",
        "/cdn/v1/00000/../tracking.js",
        "/cdn/v1/00000/%2e%2e/tracking.js",
        "/cdn/v1/00000/other/tracking.js",
        "/cdn/v1/00000/tracking.html",
        "/cdn/v1/00000/",
        "/cdn/v1/",
    ],
)
async def test_nothing_else_is_served(collector: Any, path: str) -> None:
    answer = await collector.get(path)
    assert "secret" not in await answer.text()
    assert answer.status == (200 if path == "/cdn/v1/../tracking.js" else 404)


async def test_customers_id_does_not_lead_out_of_the_directory(collector: Any) -> None:
    assert await (await collector.get("/cdn/v1/../tracking.js")).text() == "track('ü');"


async def test_file_that_is_too_large_is_not_served(collector: Any, directory: Path) -> None:
    (directory / "tracking.js").write_bytes(b"x" * (4 * 1_048_576 + 1))
    assert (await collector.get(SCRIPT)).status == 404


@pytest.mark.parametrize("kind", ["directory", "too large", "pipe", "circle"])
async def test_what_cannot_be_served_is_logged_once_until_it_can_be(
    collector: Any, directory: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    script = directory / "tracking.js"
    for _ in range(2):
        caplog.clear()
        script.unlink()
        if kind == "directory":
            script.mkdir()
        elif kind == "pipe":
            os.mkfifo(script)
        elif kind == "circle":
            script.symlink_to("tracking.js")
        else:
            script.write_bytes(b"x" * (4 * 1_048_576 + 1))
        assert [(await collector.get(SCRIPT)).status for _ in range(3)] == [404] * 3
        assert [each.getMessage().split()[0] for each in caplog.records if "STATIC" in each.getMessage()] == [
            "tracking.js"
        ]
        script.rmdir() if kind == "directory" else script.unlink()
        script.write_text("track();")
        assert await (await collector.get(SCRIPT)).text() == "track();"


async def test_directory_may_be_a_link_that_a_deployment_points_elsewhere(
    start_collector: Any, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "tracking.js").write_text(name)
    (tmp_path / "current").symlink_to("one")
    collector = await start_collector(static_dir=tmp_path / "current")
    assert await (await collector.get(SCRIPT)).text() == "one"
    (tmp_path / "next").symlink_to("two")
    (tmp_path / "next").replace(tmp_path / "current")
    assert await (await collector.get(SCRIPT)).text() == "two"


async def test_link_out_of_the_directory_is_not_followed(collector: Any, directory: Path) -> None:
    (directory.parent / "outside.js").write_text("secret")
    (directory / "tracking.js").unlink()
    (directory / "tracking.js").symlink_to(directory.parent / "outside.js")
    assert (await collector.get(SCRIPT)).status == 404


@pytest.mark.parametrize(
    ("name", "status", "kind"),
    [("robots.txt", 200, "text/plain"), ("crossdomain.xml", 200, "text/xml"), ("favicon.ico", 204, None)],
)
async def test_what_every_host_is_asked_for_is_built_in_unless_there_is_a_file(
    collector: Any, directory: Path, name: str, status: int, kind: str | None
) -> None:
    answer = await collector.get(f"/{name}")
    assert (answer.status, answer.headers["Cache-Control"]) == (status, "public, max-age=3600")
    assert kind is None or answer.content_type == kind
    (directory / name).write_bytes(b"mine")
    mine = await collector.get(f"/{name}")
    assert (mine.status, await mine.read()) == (200, b"mine")


async def test_without_a_directory_there_is_no_script(start_collector: Any) -> None:
    collector = await start_collector()
    answer = await collector.get(SCRIPT)
    assert (answer.status, "UPTAKE_STATIC_DIR" in await answer.text()) == (404, True)
    robots = await collector.get("/robots.txt")
    assert (robots.status, await robots.text()) == (200, "User-agent: *\nDisallow: /\n")


async def test_presentations_come_without_their_first_segment_too(collector: Any) -> None:
    for path in ("/users/presentationtracking", "/users/presentationtracking/"):
        answer = await collector.ask("POST", f"{path}?customer=00000", data={"data": '[{"video_id":5}]'})
        assert answer.status == 204
    clicked = {"url": "/watch/5?trackId=1", "user": "u"}
    assert (await collector.ask("POST", "/users/click?customer=00000", data=clicked)).status == 204
    assert [type(event).__name__ for event in collector.events()] == ["Rendered"] * 2 + ["ClickRecommended"]
