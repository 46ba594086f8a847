"""Which JSON may a client send, right or wrong: hypothesis strategies of requests for the native endpoints of the collector."""

import gzip
import json
from typing import Any, Final

from hypothesis import strategies as st

from events.model import ALIASES, EVENTS
from tests.support.fuzz import CUSTOMERS, NASTY, Request

_TEXTS: Final = st.sampled_from(NASTY) | st.text(max_size=12)  # lone surrogates too: json.dumps escapes them
_SCALARS: Final = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.sampled_from([0, 1, -1, 2**31, 2**63, 2**64, 10**30, 1e308])
    | _TEXTS
)
JSON: Final = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3),
    max_leaves=8,
)
"""Any JSON value, and what Python writes as one: NaN, lone surrogates, numbers beyond 64 bits."""

_FIELDS: Final = sorted({field for event in EVENTS.values() for field in event.__struct_fields__})
_OTHERS: Final = (
    "type",
    "created",
    "sent",
    "storeViewId",
    "modelId",
    "requestuuid",
    "fullprice",
    "state",
    "position_ms",
)
_BASIC: Final = "Basic MDAwMDA6ODY5NS0xODI4LTkyODEwLTU1MzUtNDIzOQ=="  # 00000 and its license key
_TYPES: Final = (
    *("application/json", "application/x-ndjson", "text/plain;charset=UTF-8", "application/jsonl"),
    *("text/xml", "application/x-www-form-urlencoded", ""),
)


@st.composite
def elements(draw: st.DrawFn, kind: str | None = None) -> Any:
    """Draw an element: mostly an event with what it needs, some of its fields replaced by anything."""
    if draw(st.integers(0, 9)) == 0:
        return draw(JSON)
    element: dict[str, Any] = {
        "user": draw(st.sampled_from(["u", "max", 5, "not_defined"])),
        "item": draw(st.sampled_from(["5", 7, "a b"])),
        "items": ["5", "6"],
        "target": "v",
        "rating": 50,
        "request_id": "r",
        "lists": [{"items": ["5"], "scenario": "s", "row": 0}],
        "session": "s",
        "state": "playing",
        "position_ms": 1_000,
        "duration_ms": 90_000,
    }
    if kind is None:
        element["type"] = draw(st.sampled_from([*EVENTS, *ALIASES]))
    names = st.sampled_from([*_FIELDS, *_OTHERS]) | _TEXTS
    element |= dict(draw(st.lists(st.tuples(names, JSON), max_size=2)))
    for name in draw(st.lists(st.sampled_from(sorted(element)), max_size=1)):
        if draw(st.booleans()):
            del element[name]
    return element


@st.composite
def native_requests(draw: st.DrawFn, path: str, kind: str | None = None) -> Request:
    """Draw a request of ``/v1/{customer}/{path}``: an array, lines, one object, or no JSON at all, packed or not."""
    values = draw(st.lists(elements(kind), min_size=1, max_size=4))
    texts = [json.dumps(value) for value in values]
    form = draw(st.sampled_from(["array", "array", "lines", "one", "cut", "noise"]))
    if form == "noise":
        body = draw(st.binary(min_size=1, max_size=30))
    else:
        joined = {"lines": "\n".join(texts), "one": texts[0]}.get(form, f"[{','.join(texts)}]")
        body = joined.encode()
        body = body[: draw(st.integers(1, len(body)))] if form == "cut" else body
    right = "application/x-ndjson" if form == "lines" else "application/json"
    headers = {"Content-Type": draw(st.sampled_from([right] * 7 + [*_TYPES]))}
    packing = draw(st.sampled_from([None] * 6 + ["gzip", "gzip", "wrong", "br"]))
    if packing is not None:
        headers["Content-Encoding"] = "br" if packing == "br" else "gzip"
        body = gzip.compress(body, mtime=0) if packing == "gzip" else body
    if draw(st.integers(0, 3)) == 0:
        headers["Authorization"] = draw(st.sampled_from([_BASIC, "Basic MDAwMDA6eA==", "Bearer x"]))
    if draw(st.integers(0, 3)) == 0:
        headers["Accept"] = draw(st.sampled_from(["application/problem+json", "image/*"]))
    customer = draw(st.sampled_from([*CUSTOMERS] * 3 + ["nobody", "%00", ""]))
    method = draw(st.sampled_from(["POST"] * 9 + ["GET", "OPTIONS", "HEAD"]))
    return Request(method, f"/v1/{customer}/{path}", headers, body)
