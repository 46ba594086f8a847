"""Every event can be written as a line and arrives at the collector unchanged; other lines are reported as unreadable."""

import gzip
import json
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from app.replay.files import count_files, read_files
from app.replay.lines import read_line
from app.replay.request import Author, ReplayEntry, Request, Unreadable
from events.codec import encode
from events.model import (
    EVENTS,
    Basket,
    Blacklist,
    Buy,
    Click,
    ClickRecommended,
    ClickTriggered,
    Consume,
    DeleteFromBasket,
    DeleteFromBlacklist,
    DeleteFromWishlist,
    EventBase,
    Login,
    Owns,
    Playback,
    Rate,
    Recommended,
    Rendered,
    TriggerOpened,
    Viewed,
    Wishlist,
)
from events.tracker import Accepted
from tests.support.builders import a_playback
from tests.support.tracker import LICENSE_KEY, RULES, report

AUTHOR = Author("00000", LICENSE_KEY)
WHO = {"customer": "00000", "user": "max müller/1"}
MONEY = {"price": Decimal("2.50"), "currency": "EUR"}
ABOUT = {"item": "shoes & socks", "itemtype": 2, "categorypath": "Men/Shoes"}
SENT = {
    "eid": "e-1",
    "experiment": "x",
    "variant": "b",
    "row": 1,
    "rank": 0,
    "lang": "de",
    "store_view_id": "3",
    "segments": "a,b",
    "created_ms": 1_600_000_000_000,
    "sent_ms": 1_600_000_000_500,
    "properties": {"title": "50% off + more"},
}
SHOWN = {"scenario": "landing page", "modelid": "m", "request_id": "r:1"}

EXAMPLES: list[EventBase] = [
    Click(**WHO, **ABOUT, **SENT),
    ClickRecommended(**WHO, **ABOUT, **SHOWN),
    Consume(**WHO, **ABOUT, percentage=40),
    Buy(**WHO, **ABOUT, **MONEY, quantity=3),
    Buy(**WHO, **ABOUT, **MONEY, quantity=Decimal("0.5")),
    Owns(**WHO, **ABOUT),
    Basket(**WHO, **ABOUT, **MONEY),
    DeleteFromBasket(**WHO, **ABOUT),
    Wishlist(**WHO, **ABOUT, **MONEY),
    DeleteFromWishlist(**WHO, **ABOUT),
    Rendered(**WHO, items=("1", "ä", "3"), **SHOWN, **SENT, image="http://images.test/1.png"),
    Viewed(**WHO, items=("1",), **SHOWN),
    Rate(**WHO, **ABOUT, rating=80),
    Blacklist(**WHO, **ABOUT),
    DeleteFromBlacklist(**WHO, **ABOUT),
    TriggerOpened(**WHO, **SENT, triggername="basket mail"),
    TriggerOpened(**WHO),
    ClickTriggered(**WHO, **ABOUT, triggername="basket mail"),
    Login(**WHO, target="account 7"),
]


def line_of(event: EventBase) -> str:
    return encode(event).decode()


def a_request(line: str, author: Author = AUTHOR) -> Request:
    entry = read_line(line, author, "f:1")
    assert isinstance(entry, Request), entry
    return entry


def test_examples_are_all_events_that_the_tracker_has() -> None:
    assert {type(event) for event in EXAMPLES} == set(EVENTS.values()) - {Recommended, Playback}


@pytest.mark.parametrize(
    ("written", "sent"), [("1e3", "1000"), ("2.0000", "2"), ("0.30000000000000004", "0.3"), ('"NaN"', "NaN")]
)
def test_quantity_is_sent_as_the_collector_reads_it(written: str, sent: str) -> None:
    line = f'{{"type":"buy","customer":"00000","user":"u","item":"5","quantity":{written}}}'
    assert f"quantity={sent}" in a_request(line).target.split("?")[1].split("&")


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda event: type(event).__name__)
@pytest.mark.parametrize("time_ms", [0, 1_500_000_000_000])
def test_event_arrives_as_it_was_written(event: EventBase, time_ms: int) -> None:
    written = msgspec.structs.replace(event, time_ms=time_ms)
    request = a_request(line_of(written))
    outcome = report(request.target)
    assert isinstance(outcome, Accepted), outcome
    arrived = outcome.event
    assert (request.lane, request.time_ms) == (event.user, time_ms or None)
    assert outcome.is_history == bool(time_ms)
    expected = msgspec.structs.replace(
        written,
        user=RULES.user(event.user),
        time_ms=arrived.time_ms,
        received_ms=arrived.received_ms,
        is_clamped=arrived.is_clamped,
    )
    if isinstance(event, Login):
        expected = msgspec.structs.replace(expected, target=RULES.user(event.target))
    assert arrived == expected
    if time_ms:
        assert arrived.time_ms == time_ms


def test_nobody_and_a_login_as_nobody_stay_what_they_are() -> None:
    click = report(a_request(line_of(Click(customer="00000", user="~", item="1"))).target)
    login = report(
        a_request(line_of(Login(customer="00000", user="a", target="~", is_junk_target=True))).target
    )
    assert isinstance(click, Accepted)
    assert click.event.user == "~"
    assert isinstance(login, Accepted)
    assert isinstance(login.event, Login)
    assert login.event.is_junk_target


@pytest.mark.parametrize(
    ("line", "lane", "time_ms"),
    [
        ("/api/00000/click/max%20m/1/11?lang=en", "max m", None),
        (
            "/ebl/1/rendered/u/1/11?overridetimestamp=2012-01-01T11%3A00%3A00&signature=x",
            "u",
            1_325_415_600_000,
        ),
        ("/api/00000/nonsense", "/api/00000/nonsense", None),
        ("/api/00000/click/%zz/1/11", "/api/00000/click/%zz/1/11", None),
    ],
)
def test_target_is_sent_unchanged_even_when_it_will_be_refused(
    line: str, lane: str, time_ms: int | None
) -> None:
    assert a_request(line) == Request(line, lane, time_ms, "f:1")


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("hello", "neither"),
        ("{}", "neither"),
        ('{"type":"dance","customer":"00000","user":"u"}', "dance"),
        ('{"type":"click","customer":"00000","user":"u"}', "item"),
        ('{"type":"click","customer":"00000","user":"\udcff","item":"1"}', "neither"),
        ("[" * 10_000, "neither"),
        ("/api/00000/click/a b/1/1", "percent-encode"),
        ("/api/00000/click/ü/1/1", "percent-encode"),
        ("/api/1 HTTP/1.1\rX: y", "percent-encode"),
        (
            line_of(Rendered(customer="00000", user="u", items=("a,b",))),
            "comma",
        ),
        (line_of(Recommended(customer="00000", user="u", request_id="r")), "no path"),
        (line_of(a_playback(customer="00000", user="u")), "no path"),
        (line_of(Click(customer="7", user="u", item="1", time_ms=1_500_000_000_000)), "license key"),
    ],
)
def test_line_that_cannot_be_sent_is_told(line: str, word: str) -> None:
    entry: ReplayEntry = read_line(line, AUTHOR, "f:1")
    assert isinstance(entry, Unreadable)
    assert word in entry.reason
    assert len(entry.text) <= 210
    assert msgspec.json.encode(entry.text)


@pytest.mark.parametrize("name", ["events.jsonl", "events.jsonl.gz", "targets.txt"])
def test_lines_of_a_file_are_read_in_its_order_and_comments_skipped(tmp_path: Path, name: str) -> None:
    lines = [
        "\ufeff# a comment",
        json.dumps({"type": "click", "customer": "00000", "user": "u", "item": "1", "time_ms": 9_000}),
        "",
        json.dumps({"type": "click", "customer": "00000", "user": "u", "item": "2", "time_ms": 5_000}),
        "/api/00000/click/u/1/3",
        "\udcff",
    ]
    data = "\r\n".join(lines).encode("utf-8", "surrogateescape")
    path = tmp_path / name
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    entries = list(read_files([path], AUTHOR))
    assert [entry.where for entry in entries] == [f"{name}:{number}" for number in (2, 4, 5, 6)]
    assert [e.target.split("?")[0][-1] for e in entries if isinstance(e, Request)] == ["1", "2", "3"]
    assert isinstance(entries[3], Unreadable)
    assert count_files([path]) == 4
