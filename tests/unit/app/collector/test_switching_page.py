"""docs/switching.md matches the code: its customers file is valid, its requests are all taken, its settings exist."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from app.base.settings import Settings
from app.collector.endpoints import JSON_EVENTS, PRESENTATIONS
from app.collector.static_files import BUILT_IN
from app.customers.customer_fields import CustomerEntry
from events.model import ALIASES
from events.target import PREFIXES
from events.tracker import TRACKER_EVENTS
from tests.support.switching import PAGE, blocks, page_customers, page_requests

REQUESTS = page_requests()


async def test_every_request_of_the_page_is_taken_and_recorded(
    start_collector: Callable[..., Any], tmp_path: Path
) -> None:
    collector = await start_collector(page_customers(tmp_path))
    assert len(REQUESTS) > 40
    for request in REQUESTS:
        before = len(collector.events())
        answer = await collector.ask(
            request.method, request.target, data=request.body or None, headers=request.headers
        )
        assert answer.status in (200, 204), (request, await answer.text())
        assert len(collector.events()) == before + 1, request
    assert {event.customer for event in collector.events()} == {"00000", "00723"}
    for customer in ("00000", "00723"):
        shown = await (await collector.get(f"/v1/{customer}/refused")).json()
        assert (shown["refused"], shown["recorded_without"]) == ({}, {})


def test_requests_have_every_event_that_shops_send() -> None:
    sent = {request.target.split("?")[0].split("/")[3] for request in REQUESTS if request.method == "GET"}
    named = {ALIASES.get(event, event) for event in sent}
    # The others are not in the shipped clients.
    assert set(TRACKER_EVENTS) - named == {
        "owns",
        "viewed",
        "deletefrombasket",
        "deletefromblacklist",
        "wishlist",
        "deletefromwishlist",
    }


def test_fields_and_settings_that_the_page_names_exist() -> None:
    table = PAGE[PAGE.index("| field | set it if |") : PAGE.index("The setting `UPTAKE_STATIC_DIR`")]
    named = {
        name
        for row in re.findall(r"^\| ([^|]*) \|", table, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", row)
    }
    fields = set(CustomerEntry.__struct_fields__)
    assert len(named) > 5
    assert named - fields <= {"scenario_of_unlabelled"}
    assert set(re.findall(r"UPTAKE_[A-Z_]+", PAGE)) <= {
        f"UPTAKE_{name.upper()}" for name in Settings.model_fields
    }


def test_proxies_pass_on_what_takes_events_and_nothing_else() -> None:
    paths = {*(f"/{prefix}/" for prefix in PREFIXES), "/cdn/", "/uitracking/", "/users/", *BUILT_IN}
    assert {path for path in PRESENTATIONS if not path.startswith("/uitracking/")} == set()
    (nginx,), (caddy,) = blocks("nginx"), blocks("caddyfile")
    listed = re.search(r"@events path (.+)", caddy)
    assert listed is not None
    assert {path.removesuffix("*") for path in listed[1].split()} == paths
    names = "|".join(JSON_EVENTS)
    assert nginx.count(f"/({names})/?$") == caddy.count(f"/({names})/?$") == 1
    folders = re.search(r"location ~ \^/\((.+?)\)/ {", nginx)
    files = re.search(r"location ~ \^/\((.+?)\)\$ {", nginx)
    assert folders is not None
    assert files is not None
    assert {f"/{name}/" for name in folders[1].split("|")} == {path for path in paths if path.endswith("/")}
    assert {f"/{name}" for name in files[1].replace("\\", "").split("|")} == set(BUILT_IN)


def test_times_of_the_proxies_fit_those_of_the_collector() -> None:
    defaults = {name: field.default for name, field in Settings.model_fields.items()}
    (nginx,), (caddy,) = blocks("nginx"), blocks("caddyfile")
    for text in (nginx, caddy):
        for seconds in re.findall(r"keepalive(?:_timeout)? (\d+)s", text):
            assert int(seconds) * 1_000 < defaults["request_timeout_ms"]
    (read_s,) = re.findall(r"proxy_read_timeout (\d+)s", nginx)
    assert int(read_s) * 1_000 > defaults["ack_timeout_ms"]
    assert defaults["max_batch_bytes"] == 1 << 20
    assert "client_max_body_size 1m;" in nginx
    buffer_kb = re.search(r"large_client_header_buffers \d+ (\d+)k;", nginx)
    assert buffer_kb is not None
    assert int(buffer_kb[1]) * 1_024 >= defaults["max_uri_bytes"]
