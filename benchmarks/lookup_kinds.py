"""The kinds of lookups that `loop_lag` measures, each with the largest answer or body that is allowed."""

import gzip
import json
import time
from dataclasses import dataclass, field
from typing import Any, Final

from benchmarks.lag_state import HOURS, ITEM_DAYS, LONG, MINUTES, State
from benchmarks.traffic import CUSTOMER
from tables.ctr.window_keys import HOUR_MS, POSITION, SCENARIO, VARIANT
from tables.ctr.windows import MINUTE_MS

_CANDIDATES: Final = 10_000
_CANDIDATES_OF_MANY: Final = 200
_BODY_BYTES: Final = 1_048_576
_FULL: Final = f"/v1/{CUSTOMER}/users/full0"
_REASONS: Final = "rendered,clicked,bought,consumed,basket,blacklisted"


@dataclass(frozen=True)
class Lookup:
    """A request, and the status of its answer."""

    name: str
    target: str
    method: str = "GET"
    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


def kinds(state: State) -> list[Lookup]:
    """Return one lookup of each kind; large ones have the names of what makes them large."""
    now_ms = int(time.time() * 1000)
    items = [str(item) for item in range(1, _CANDIDATES + 1)]
    users = [f"u{number}" for number in range(state.users)]
    many = {"users": users, "candidates": items[:_CANDIDATES_OF_MANY], "within": "ever", "threshold": 1}

    def ctr(name: str, hours: int, more: str, status: int = 200) -> Lookup:
        from_ms = now_ms - hours * HOUR_MS
        return Lookup(name, f"/v1/{CUSTOMER}/ctr?from={from_ms}&to={now_ms}{more}", status=status)

    hourly = "&granularity=PT1H"
    minutes = MINUTES - 1
    return [
        Lookup("health", "/health/ready"),
        Lookup("status", "/v1/status"),
        Lookup("metrics", "/metrics"),
        Lookup("exclusions", f"/v1/{CUSTOMER}/users/u1/exclusions"),
        Lookup("exclusions_full", f"{_FULL}/exclusions?within=ever&threshold=1&reasons={_REASONS}"),
        Lookup("user_full", _FULL),
        Lookup("user_full_pretty", f"{_FULL}?pretty=1"),
        _post("filter_10000", f"{_FULL}/filter", {"candidates": items, "within": "ever", "threshold": 1}),
        _post("rotation_10000", f"{_FULL}/filter", {"candidates": items, "rotation": {}}),
        _post("filter_many", f"/v1/{CUSTOMER}/filter", many),
        _post("rotation_many", f"/v1/{CUSTOMER}/filter", many | {"rotation": {}}),
        ctr("ctr_hours", HOURS[SCENARIO], hourly),
        ctr("ctr_hours_pretty", HOURS[SCENARIO], f"{hourly}&pretty=1"),
        ctr("ctr_by_variant", HOURS[VARIANT], f"{hourly}&by=variant"),
        ctr("ctr_by_position", HOURS[POSITION] - 2, f"{hourly}&by=position"),
        ctr("ctr_by_both", HOURS[POSITION] - 2, f"{hourly}&by=variant,position"),
        ctr("ctr_too_many", HOURS[POSITION], f"{hourly}&by=variant,position", status=400),
        ctr("ctr_one_window", HOURS[SCENARIO], "&granularity=P1W"),
        ctr("ctr_users", HOURS[VARIANT] - 2, f"{hourly}&by=variant&users=1"),
        ctr("ctr_of_customer", HOURS[SCENARIO], f"{hourly}&by=customer"),
        ctr("ctr_by_item", (ITEM_DAYS - 2) * 24, f"&by=item&scenario={LONG}&granularity=P1D&limit=1000"),
        Lookup(
            "ctr_minutes",
            f"/v1/{CUSTOMER}/ctr?from={now_ms - minutes * MINUTE_MS}&to={now_ms}&granularity=PT1M&scenario={LONG}",
        ),
        *_bad_bodies(items),
    ]


def _bad_bodies(items: list[str]) -> list[Lookup]:
    target = f"{_FULL}/filter"
    digits = _BODY_BYTES // 2 - 100
    twice = json.dumps({"candidates": [f"{item}:{'x' * 80}" for item in items]})[:-1]
    keys = ",".join(f'"k{number}":{number}' for number in range(_BODY_BYTES // 16))
    bodies = {
        "bad_too_many": b'{"candidates":[%s]}' % b",".join([b"1"] * digits),
        "bad_twice": f'{twice},"itemtype":1,"itemtype":1}}'.encode(),
        "bad_keys": f"{{{keys}}}".encode()[:_BODY_BYTES],
        "bad_depth": b"[" * (_BODY_BYTES - 1),
        "bad_depth_in_field": b'{"users":' + b"[" * (_BODY_BYTES - 20),
        "bad_users": json.dumps({"candidates": [], "users": ["u" * 1_000] * 1_000}).encode()[:_BODY_BYTES],
        "bad_rows": b'{"partitions":[%s]}' % b",".join([b"1"] * digits),
        "bad_packed": gzip.compress(b" " * (_BODY_BYTES * 64)),
    }
    lookups = []
    for name, body in bodies.items():
        where = f"/v1/{CUSTOMER}/ctr/rows" if name == "bad_rows" else target
        packed = {"Content-Encoding": "gzip"} if name == "bad_packed" else {}
        lookups.append(Lookup(name, where, "POST", body, 413 if packed else 400, packed))
    return lookups


def _post(name: str, target: str, body: dict[str, Any]) -> Lookup:
    return Lookup(name, target, "POST", json.dumps(body).encode())
