"""Golden requests: the lines of tests/data/golden_requests.jsonl, each with what must become of it.

- ``from`` cites the source: a section of a page in docs/, the manual of the tracker API (YOOCHOOSE), an article on
  tracking a video page, the first requirements, or what a client that shops install was seen to send.
- ``request`` holds method and address, word for word.
- ``status`` is the answer's; ``event`` (or ``events``) are the expected records, ``code`` is that of a rejection.
  Without any of them nothing is recorded.
- ``results`` is the outcome of each element of a body of many: ``accepted`` or a code.
- ``only`` is ``http`` if the line is about what surrounds the parser, ``parser`` if the HTTP server refuses it first.

In texts, ``{1024*u}`` stands for 1024 times ``u``, ``{now-5000}`` for the client's clock and ``{received-3000}`` for the
time of receipt. Users are written raw; this module makes their pseudonyms and shares no code with the collector.
"""

import base64
import hashlib
import hmac
import json
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

DATA: Final = Path(__file__).parents[1] / "data"
CUSTOMERS_TOML: Final = DATA / "golden_customers.toml"
NOBODY: Final = "~"
DEFAULTS: Final[dict[str, dict[str, Any]]] = {
    # The fields that a record leaves out: docs/events.md, "Fields that have their default are left out".
    "": {"v": 1, "is_clamped": False},
    "consume": {"percentage": 100},
    "buy": {"quantity": 1},
    "playback": {"rate": 1.0},
    "owns": {"quantity": 1},
    "login": {"is_junk_target": False},
}

_REPEAT: Final = re.compile(r"\{([0-9]+)\*([^{}]+)\}")
_CLOCK: Final = re.compile(r"\{(now|received)([+-][0-9]+)\}")
_KEYS: Final = tomllib.loads(CUSTOMERS_TOML.read_text(encoding="utf-8"))["customers"]


@dataclass(frozen=True)
class Line:
    """One line of the file, its repeats written out; its clocks are filled in when it is sent."""

    number: int
    source: str
    request: str
    status: int
    headers: dict[str, str]
    body: str
    code: str | None
    parameter: str | None
    events: tuple[dict[str, Any], ...]
    topic: str
    answer: dict[str, str | None]
    only: str | None
    results: tuple[str, ...] | None
    where: str = field(init=False)

    def __post_init__(self) -> None:
        """Name the line as a failed test shows it."""
        object.__setattr__(self, "where", f"line {self.number}: {self.source}\n  {self.request[:300]}")

    @property
    def method(self) -> str:
        return self.request.partition(" ")[0]

    def target(self, now_ms: int) -> str:
        """The address without scheme and host, as a client writes it into the request line."""
        address = self.request.partition(" ")[2]
        if "://" in address:
            address = "/" + address.partition("://")[2].partition("/")[2]
        return with_clock(address, {"now": now_ms})

    @property
    def host(self) -> str:
        address = self.request.partition(" ")[2]
        return address.partition("://")[2].partition("/")[0] or "uptake.example"

    def sent_body(self, now_ms: int) -> bytes:
        """The body, uncompressed; a client may compress it."""
        return with_clock(self.body, {"now": now_ms}).encode("utf-8", "surrogateescape")

    def expected(self, now_ms: int, received_ms: int) -> list[dict[str, Any]]:
        """Return the expected records of a request that was sent and received at these times."""
        clocks = {"now": now_ms, "received": received_ms}
        return [_record(_clocked(event, clocks), received_ms) for event in self.events]


def lines() -> Iterator[Line]:
    """Read the file."""
    with (DATA / "golden_requests.jsonl").open(encoding="utf-8") as file:
        for number, text in enumerate(file, 1):
            if not text.strip():
                continue
            written = _repeated(json.loads(text))
            events = (
                written["events"] if "events" in written else [written["event"]] if "event" in written else []
            )
            yield Line(
                number=number,
                source=written["from"],
                request=written["request"],
                status=written["status"],
                headers=written.get("headers", {}),
                body=written.get("body", ""),
                code=written.get("code"),
                parameter=written.get("parameter"),
                events=tuple(events),
                topic=written.get("topic", "uptake.events"),
                answer=written.get("answer", {}),
                only=written.get("only"),
                results=tuple(written["results"]) if "results" in written else None,
            )


def with_defaults(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record completed by the fields that are left out because they have their default."""
    own = DEFAULTS.get(record["type"], {})
    own_item = {"itemtype": 1} if {"item", "items"} & record.keys() else {}
    return {**DEFAULTS[""], **own, **own_item, **record}


def pseudonym(customer: str, raw: str, *, previous: bool = False) -> str:
    """Return ``{key id}.{pseudonym}`` by the rule in docs/events.md, "Users".

    The pseudonym is the HMAC-SHA256 under the customer's key, cut to 128 bits, in base32.
    """
    entry, prefix = _KEYS[customer], "previous_" if previous else ""
    digest = hmac.new(bytes.fromhex(entry[f"{prefix}pseudonym_key"]), raw.encode(), hashlib.sha256).digest()[
        :16
    ]
    return f"{entry[f'{prefix}key_id']}.{base64.b32encode(digest).decode().rstrip('=').lower()}"


def with_clock(text: str, clocks: dict[str, int]) -> str:
    """Return a text with its clocks filled in."""
    return _CLOCK.sub(lambda found: str(clocks[found[1]] + int(found[2])), text)


def _record(event: dict[str, Any], received_ms: int) -> dict[str, Any]:
    record = {"time_ms": received_ms, "received_ms": received_ms, **event}
    customer = record["customer"]
    for name in ("user", "target"):
        if record.get(name, NOBODY) != NOBODY:
            record[name] = pseudonym(customer, record[name])
    if "previous_user" in record:
        record["previous_user"] = pseudonym(customer, record["previous_user"], previous=True)
    if isinstance(record.get("items"), str):
        record["items"] = record["items"].split(",")
    return with_defaults(record)


def _clocked(value: Any, clocks: dict[str, int]) -> Any:
    if isinstance(value, dict):
        return {name: _clocked(each, clocks) for name, each in value.items()}
    if isinstance(value, str) and _CLOCK.fullmatch(value):
        return int(with_clock(value, clocks))
    return value


def _repeated(value: Any) -> Any:
    if isinstance(value, dict):
        return {_repeated(name): _repeated(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_repeated(each) for each in value]
    if isinstance(value, str):
        return _REPEAT.sub(lambda found: int(found[1]) * found[2], value)
    return value
